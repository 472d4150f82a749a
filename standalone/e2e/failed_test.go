package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// failedMessage is the tests' own reading of one.
type failedMessage struct {
	ID, Source, State, Error string
	TenantID, About          *string
	Attempts                 int
}

func failedMessages(t *testing.T, c *blackbox.Client, path string) (items []failedMessage) {
	t.Helper()
	var page struct{ Items []failedMessage }
	check(t, c.Call(t.Context(), http.MethodGet, path, nil, &page))
	return page.Items
}

// Rule 37: a postback that would make a balance larger than can be booked keeps no other from its
// decision. Its sender hears that it is queued; it is seen by its tenant alone, and by the operator, and
// decided once its cause is mended and it is sent again.
func TestRule37AnOverflowStopsNobody(t *testing.T) {
	const path = "/api/v1/failed-messages"
	s, stranger := newShop(t, nil), newShop(t, nil)
	link := s.multi(t, map[string]any{"conversionType": "RevShare"},
		blackbox.Event("buy", nil, map[string]any{"hasRevenue": false, "revenue": nil, "reward": 1000, "allowRepetitions": true}))
	clickID := s.click(t, link, "pub_member_id", "rich")
	const huge = "900000000000"
	first := s.convert(t, clickID, "buy", "accepted", "cnv_amount", huge, "cnv_conversion_id", "1")
	var failed []string
	for _, id := range []string{"2", "3"} {
		answer, err := s.Convert(t.Context(), clickID, "buy", "cnv_amount", huge, "cnv_conversion_id", id)
		check(t, err)
		if answer.Outcome != "queued" || answer.HTTPStatus != http.StatusAccepted {
			t.Errorf("%+v", answer)
		}
		failed = append(failed, answer.PostbackID)
	}
	s.convert(t, clickID, "buy", "accepted", "cnv_amount", "1", "cnv_conversion_id", "4") // under the same click's lock
	until(t, patience, "both are seen", func() bool { return len(failedMessages(t, s.Client, path)) == 2 })
	for _, one := range failedMessages(t, s.Client, path+"?filter.about="+failed[0]) {
		if one.Source != "postbacks" || one.State != "failed" || !strings.Contains(one.Error, "out of range") || one.TenantID == nil {
			t.Errorf("%+v", one)
		}
	}
	if n := len(failedMessages(t, stranger.Client, path)); n != 0 {
		t.Errorf("a stranger sees %d", n)
	}
	mine := failedMessages(t, s.Client, path+"?filter.about="+failed[0])[0]
	if err := stranger.Call(t.Context(), http.MethodPost, path+"/"+mine.ID+"/resend", nil, nil); err == nil {
		t.Error("a stranger sends it again")
	}
	if n := len(failedMessages(t, w.operator, "/api/v1/operator/failed-messages?filter.about="+failed[1])); n != 1 {
		t.Errorf("the operator sees %d", n)
	}
	var whole struct {
		Payload struct{ Postback struct{ ID string } }
	}
	check(t, s.Call(t.Context(), http.MethodGet, path+"/"+mine.ID, nil, &whole))
	if whole.Payload.Postback.ID != failed[0] {
		t.Errorf("payload of %s", whole.Payload.Postback.ID)
	}

	// Sent again without being mended it fails again, and is the same row.
	check(t, s.Call(t.Context(), http.MethodPost, path+"/"+mine.ID+"/resend", nil, nil))
	until(t, patience, "it failed again", func() bool {
		again := failedMessages(t, s.Client, path+"?filter.about="+failed[0])[0]
		return again.State == "failed" && again.Attempts > mine.Attempts
	})
	_, err := s.Review(t.Context(), "reverse", first.ConversionID)
	check(t, err)
	check(t, s.Call(t.Context(), http.MethodPost, path+"/"+mine.ID+"/resend", nil, nil))
	later, err := s.Decided(t.Context(), failed[0])
	check(t, err)
	wanted(t, later, "accepted")
	_, err = s.Review(t.Context(), "reverse", later.ConversionID)
	check(t, err)
	var sent struct{ Count int }
	check(t, s.Call(t.Context(), http.MethodPost, path+"/resend", map[string]any{"source": "postbacks"}, &sent))
	if sent.Count != 1 {
		t.Errorf("%d sent again", sent.Count)
	}
	later, err = s.Decided(t.Context(), failed[1])
	check(t, err)
	wanted(t, later, "accepted")
}
