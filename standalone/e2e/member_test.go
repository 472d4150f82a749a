package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// text is an answer's JSON as it came.
func (s *shop) text(t *testing.T, path string) string {
	t.Helper()
	var body json.RawMessage
	check(t, s.Call(t.Context(), http.MethodGet, path, nil, &body))
	return string(body)
}

// A member clicks, converts and is told of, is exported and erased: afterwards nothing that an API shows has its
// id or what its click said, the figures are the same, a reversal still goes out, and a new click of the same id
// is a new member's.
func TestAMemberIsExportedAndErased(t *testing.T) {
	const member, said = "e2e member/ë77", "e2e-said-51fd"
	s, r := newShop(t, nil), newReceiver(t)
	s.putEndpoint(t, map[string]any{"url": r.URL + "/hook", "events": []string{"success", "pending", "rejected"}})
	offerID, link := s.single(t, nil)
	click := s.click(t, link, "pub_member_id", member, "pub_sub_1", said, "pub_click_id", said, "pub_postal_code", said)
	converted := s.convert(t, click, "", "accepted", "cnv_email", said+"@example.com", "cnv_sub_1", said)
	if got := r.next(t, 1); got.Conversion.PubMemberID != member {
		t.Fatalf("%s", got.body)
	}
	until(t, patience, "the delivery's end", func() bool {
		return strings.Contains(s.text(t, "/api/v1/deliveries?filter.Conversion="+converted.ConversionID), `"delivered"`)
	})
	path := "/api/v1/members/" + url.PathEscape(member)
	var exported struct {
		Balance                                                   struct{ Points string }
		Clicks, Postbacks, Conversions, LedgerEntries, Deliveries []map[string]any
	}
	check(t, s.Call(t.Context(), http.MethodGet, path+"/export", nil, &exported))
	if len(exported.Clicks) != 1 || len(exported.Postbacks) != 1 || len(exported.Conversions) != 1 || len(exported.LedgerEntries) < 2 || len(exported.Deliveries) != 1 {
		t.Fatalf("%+v", exported)
	}
	if whole := s.text(t, path+"/export"); strings.Count(whole, said) < 5 || exported.Balance.Points != "100.00" {
		t.Errorf("the export lacks what the click and the postback said: %s", whole)
	}
	from, to := s.since.UTC().Format(time.DateOnly), s.since.UTC().AddDate(0, 0, 1).Format(time.DateOnly)
	places := []string{
		"/api/v1/clicks?page_size=100", "/api/v1/clicks/" + click, "/api/v1/postbacks?page_size=100", "/api/v1/conversions/" + converted.ConversionID,
		"/api/v1/deliveries?page_size=100", "/api/v1/audit?page_size=100", "/api/v1/jobs?page_size=100", path + "/ledger", path + "/offers",
		"/api/v1/sdk-conversion-system/conversions?created_at_from=" + from + "&created_at_to=" + to,
	}
	report := "/api/v1/reports/performance?group_by=offer,event,country&from=" + from + "&to=" + to
	before := s.text(t, report)

	var made struct{ JobID string }
	check(t, s.Call(t.Context(), http.MethodDelete, path, nil, &made))
	job, err := s.JobDone(t.Context(), made.JobID)
	check(t, err)
	if job.Failed != 0 || job.Total == 0 {
		t.Fatalf("%+v", job)
	}
	for _, place := range places {
		text := s.text(t, place)
		for _, secret := range []string{"ë77", said} {
			if strings.Contains(text, secret) {
				t.Errorf("%s still shows %s: %s", place, secret, text)
			}
		}
	}
	if after := s.text(t, report); after != before {
		t.Errorf("the report was\n%s\nand is\n%s", before, after)
	}
	s.balance(t, member, "0.00", "0.00")
	if got := s.conversions(t, offerID); got != 1 {
		t.Errorf("%d conversions", got)
	}

	_, err = s.Review(t.Context(), "reverse", converted.ConversionID)
	check(t, err)
	reversal := r.next(t, 2)
	pseudonym := reversal.Conversion.PubMemberID
	if !strings.HasPrefix(pseudonym, "erased-") || strings.Contains(reversal.body, said) || reversal.Conversion.ConversionID != converted.ConversionID {
		t.Errorf("%s", reversal.body)
	}
	s.balance(t, pseudonym, "0.00", "0.00")

	again := s.click(t, link, "pub_member_id", member)
	s.convert(t, again, "", "accepted")
	s.balance(t, member, "100.00", "0.00")
	var fresh blackbox.Page[struct{ ID string }]
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/clicks?filter.pubMemberId="+url.QueryEscape(member), nil, &fresh))
	if len(fresh.Items) != 1 || fresh.Items[0].ID != again {
		t.Errorf("%+v", fresh.Items)
	}
	logs, err := os.ReadFile(w.logs)
	check(t, err)
	if bytes.Contains(logs, []byte("e2e member")) || bytes.Contains(logs, []byte(url.PathEscape(member))) || bytes.Contains(logs, []byte(said)) {
		t.Error("a log names the member")
	}
}
