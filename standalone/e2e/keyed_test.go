package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// keyedShop is a tenant as the operator makes it by default: a click id alone proves nothing (rule 78).
func keyedShop(t *testing.T, advertiser map[string]any) *shop {
	t.Helper()
	return newShopOf(t, map[string]any{"rewardRatio": 10, "postbackSecurity": "keyed"}, advertiser)
}

// address is the path of an advertiser's own postback address.
func address(t *testing.T, advertiser blackbox.Advertiser) string {
	t.Helper()
	u, err := url.Parse(advertiser.PostbackURL)
	check(t, err)
	return u.Path
}

// Rule 78: a member who reads the click id in its redirect posts it wherever conversions are taken, and
// earns nothing; the advertiser's own postback counts afterwards as if nobody had tried.
func TestAMemberCannotPostItsOwnConversion(t *testing.T) {
	s := keyedShop(t, nil)
	other, err := s.NewAdvertiser(t.Context(), map[string]any{"name": "Another"})
	check(t, err)
	noteSecrets(path.Base(other.PostbackURL))
	_, link := s.single(t, map[string]any{"reward": 150})
	click := s.click(t, link, "pub_member_id", "thief")
	for _, where := range []string{"/track", "/postback", "/api/v1/conversion", "/track/guessed", "/postback/guessed", address(t, other)} {
		answer := s.send(t, http.MethodGet, where+"?gk_click_id="+click+"&cnv_status=approved", "", "")
		wanted(t, answer, "refused key_required")
		if answer.HTTPStatus != http.StatusUnauthorized || !strings.Contains(answer.Detail, "/track/{advertiserKey}") {
			t.Errorf("%s: %+v", where, answer)
		}
	}
	thief := newBrowser(t, "Mozilla/5.0 (Linux; Android 14) thief")
	thief.told(t, "/aff_lsr?transaction_id="+click, "success=false; err_msg=key_required;")
	if balance, err := s.Balance(t.Context(), "thief"); err != nil || balance.Points != "0.00" || balance.PendingPoints != "0.00" {
		t.Fatalf("%+v %v", balance, err)
	}
	wanted(t, s.send(t, http.MethodGet, address(t, s.advertiser)+"?gk_click_id="+click, "", ""), "accepted")
	if balance, err := s.Balance(t.Context(), "thief"); err != nil || balance.Points != "150.00" {
		t.Fatalf("%+v %v", balance, err)
	}
	log, _ := json.Marshal(postbacks(t, s.Client))
	if strings.Contains(string(log), path.Base(s.advertiser.PostbackURL)) {
		t.Error("the log shows the key")
	}
}

// Rule 78: a pixel's conversion waits for a person; what a person uploads or tests needs no key; a token is as
// good as one.
func TestWhatCountsWithoutAKey(t *testing.T) {
	s := keyedShop(t, nil)
	offerID, link := s.single(t, nil)
	click := s.click(t, link, "pub_member_id", "seen")
	status, _, _ := newBrowser(t, "Mozilla/5.0 (Linux; Android 14) page").open(t, "/pixel.gif?gk_click_id="+click)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	var pixel logged
	until(t, patience, "the pixel's row", func() bool {
		for _, row := range postbacks(t, s.Client) {
			pixel = row
		}
		return pixel.Outcome == "accepted"
	})
	conversion, err := s.Conversion(t.Context(), pixel.ConversionID)
	check(t, err)
	if conversion.Status != "Pending" {
		t.Fatalf("%+v", conversion)
	}
	reviewed, err := s.Review(t.Context(), "approve", conversion.ID)
	if err != nil || reviewed.Results[0].Status != "Success" {
		t.Fatalf("%+v %v", reviewed, err)
	}
	var test struct {
		OK    bool
		Steps []struct{ Step, Detail string }
	}
	check(t, s.Call(t.Context(), http.MethodPost, "/api/v1/tools/test-conversion", map[string]any{"offerId": offerID}, &test))
	if said, _ := json.Marshal(test.Steps); !strings.Contains(string(said), "postbackUrl") {
		t.Errorf("the test tool does not say what the advertiser's own postbacks need: %s", said)
	}
	var goals blackbox.Page[struct {
		OpaqueCodes struct{ OfferPostback string }
	}]
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/offers/"+offerID+"/goals", nil, &goals))
	code, err := url.Parse(goals.Items[0].OpaqueCodes.OfferPostback)
	check(t, err)
	newBrowser(t, "a server").told(t, code.Path+"?transaction_id="+s.click(t, link), "success=true;")
	check(t, s.Call(t.Context(), http.MethodPut, "/api/v1/advertisers/"+s.advertiser.ID, map[string]any{"name": "Game Studio", "securityToken": "a-token-of-16-bytes-at-least"}, nil))
	noteSecrets("a-token-of-16-bytes-at-least")
	s.convert(t, s.click(t, link), "", "accepted", "security_token", "a-token-of-16-bytes-at-least")
	s.convert(t, s.click(t, link), "", "refused bad_signature")
}

// Both keys live for a day after a rotation; a second one ends the first.
func TestAnAdvertisersKeyIsRotated(t *testing.T) {
	s := keyedShop(t, nil)
	_, link := s.single(t, nil)
	keys := []blackbox.Advertiser{s.advertiser}
	for range 2 {
		var next blackbox.Advertiser
		check(t, s.Call(t.Context(), http.MethodPost, "/api/v1/advertisers/"+s.advertiser.ID+"/key/rotate", nil, &next))
		noteSecrets(path.Base(next.PostbackURL))
		keys = append(keys, next)
		for i, key := range keys {
			answer, err := s.ConvertBy(t.Context(), key, s.click(t, link), "")
			if err == nil && answer.Outcome == "queued" {
				answer, err = s.Decided(t.Context(), answer.PostbackID)
			}
			check(t, err)
			if i >= len(keys)-2 {
				wanted(t, answer, "accepted")
			} else {
				wanted(t, answer, "refused key_required")
			}
		}
	}
}
