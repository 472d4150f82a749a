package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// tested is what the test tool answers.
type tested struct {
	OK                                            bool
	ClickID, PostbackID, ConversionID, DeliveryID string
	Steps                                         []struct {
		Step, State, Detail, Reason string
		StatusCode                  int
	}
}

func (r tested) states() (all []string) {
	for _, step := range r.Steps {
		all = append(all, strings.TrimSpace(step.Step+" "+step.State+" "+step.Reason))
	}
	return all
}

func (s *shop) try(t *testing.T, fields map[string]any) (result tested) {
	t.Helper()
	begin := time.Now()
	check(t, s.Call(t.Context(), http.MethodPost, "/api/v1/tools/test-conversion", fields, &result))
	if took := time.Since(begin); took > patience/3 { // its own bound is 10 s
		t.Errorf("took %s", took)
	}
	return result
}

// Click, postback, conversion and callback in one call, by the way that real ones take; then what it
// says of a setting that does not work.
func TestTestConversion(t *testing.T) {
	s, r := newShop(t, map[string]any{"securityToken": "of-the-advertiser"}), newReceiver(t)
	s.putEndpoint(t, map[string]any{"url": r.URL + "/hook"})
	offerID, _, err := s.NewOffer(t.Context(), blackbox.MultiEvent(s.advertiser.ID, s.age, []map[string]any{
		blackbox.Event("install", 1, map[string]any{"dailyCap": 1}), blackbox.Event("level", 2, map[string]any{"minTimeFromPreviousEvent": 24}),
	}, nil))
	check(t, err)
	for range 2 { // the cap of one a day counts no test
		result := s.try(t, map[string]any{"offerId": offerID, "eventId": "install", "pub_member_id": "ann"})
		want := []string{"offer ok", "event ok", "sequence ok", "click ok", "postback ok", "conversion ok", "callback ok"}
		if !result.OK || !slices.Equal(result.states(), want) {
			t.Fatalf("%+v", result)
		}
	}
	if got := r.next(t, 2).Conversion; !got.IsTest || got.PubMemberID != "ann" || got.Status != "Success" {
		t.Errorf("%+v", got)
	}
	balance, err := s.Balance(t.Context(), "ann")
	check(t, err)
	if balance.Points != "0.00" {
		t.Errorf("a test paid %s points", balance.Points)
	}

	result := s.try(t, map[string]any{"offerId": offerID, "eventId": "level"})
	if got := result.states(); got[len(got)-1] != "sequence failed out_of_sequence" {
		t.Errorf("%+v", result)
	}
	result = s.try(t, map[string]any{"offerId": offerID, "eventId": "level", "completePredecessors": true})
	if !result.OK || len(result.Steps) != 8 {
		t.Errorf("%+v", result)
	}
	r.answer.Store(http.StatusInternalServerError)
	result = s.try(t, map[string]any{"offerId": offerID})
	if last := result.Steps[len(result.Steps)-1]; result.OK || last.Step != "callback" || last.StatusCode != http.StatusInternalServerError || result.DeliveryID == "" {
		t.Errorf("%+v", result)
	}
}
