package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// Rules 62, 63, 66, 70: a session whose goals are named by their slugs, through the whole machine.
func TestASessionByGoalNames(t *testing.T) {
	s := newShop(t, nil)
	const grace = 6 * time.Second
	offerID, link, err := s.NewOffer(t.Context(), blackbox.MultiEvent(s.advertiser.ID, s.age, []map[string]any{
		blackbox.Event("Sign up", nil, nil), blackbox.Event("Basket", nil, map[string]any{"recordAs": "click"}),
		blackbox.Event("First", 1, nil), blackbox.Event("Second", 2, nil),
		blackbox.Event("The end", nil, map[string]any{"isEndPoint": true, "isPrivate": true}),
	}, map[string]any{"outOfOrderGraceMinutes": as(time.Minute, grace)}))
	check(t, err)
	click := s.click(t, link, "pub_member_id", "anna")
	named := func(goal, want string) blackbox.Answer { return s.convert(t, click, "", want, "goal_name", goal) }

	named("sign-up", "accepted")
	named("sign-up", "duplicate duplicate")
	for range 2 {
		if counted := named("basket", "accepted"); counted.HTTPStatus != http.StatusOK || counted.ConversionID != "" || counted.Status != "" {
			t.Errorf("rule 70: %+v", counted)
		}
	}
	s.convert(t, click, "Sign up", "refused goal_mismatch", "goal_name", "basket")
	named("nothing", "refused unknown_event")

	// Its deadline is kept by the click's workflow, although another goal without an event's name is
	// live already.
	early := named("second", "held")
	until(t, grace+patience, "rule 14: decided when its grace ends", func() bool {
		answer, err := s.Decided(t.Context(), early.PostbackID)
		check(t, err)
		return answer.Outcome == "rejected" && answer.Reason == "out_of_sequence"
	})
	named("first", "accepted")
	named("second", "accepted")
	named("the-end", "accepted")
	s.convert(t, s.click(t, link, "pub_member_id", "bert"), "", "accepted", "goal_name", "first")
	other := s.click(t, link, "pub_member_id", "carl")
	s.convert(t, other, "", "accepted", "goal_name", "the-end")
	s.convert(t, other, "", "rejected session_closed", "goal_name", "first")
	s.convert(t, s.click(t, link, "pub_member_id", "carl"), "", "accepted", "goal_name", "first")

	var goals blackbox.Page[struct {
		Slug                     string
		ClickCount, SessionCount int
	}]
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/offers/"+offerID+"/goals?filter.recordAs=click", nil, &goals))
	if len(goals.Items) != 1 || goals.Items[0].Slug != "basket" || goals.Items[0].ClickCount != 2 || goals.Items[0].SessionCount != 1 {
		t.Errorf("rule 70: %+v", goals.Items)
	}
}
