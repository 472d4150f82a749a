package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestOpaqueContent(t *testing.T) {
	t.Parallel()
	offer, event := idOf("offer"), idOf("goal")
	for _, form := range []OpaqueForm{OpaquePostback, OpaquePixel} {
		offerID, goalID, ok := form.Read(form.Content(offer, event))
		require.Equal(t, []any{offer, uuid.Nil, true}, []any{offerID, goalID, ok})
	}
	for _, form := range []OpaqueForm{OpaqueGoalPostback, OpaqueGoalPixel} {
		offerID, goalID, ok := form.Read(form.Content(offer, event))
		require.Equal(t, []any{offer, event, true}, []any{offerID, goalID, ok})
		for _, bad := range [][]byte{nil, offer[:], append(form.Content(offer, event), 0)} {
			_, _, ok = form.Read(bad)
			require.False(t, ok)
		}
	}
	for _, bad := range [][]byte{nil, offer[:15], OpaqueGoalPixel.Content(offer, event)} {
		_, _, ok := OpaquePostback.Read(bad)
		require.False(t, ok)
	}
}

// Rules 2, 62 and 65: what an address says, against the click and the parameters.
func TestAddresses(t *testing.T) {
	t.Parallel()
	offer := multiOffer(goal("A"), goal("B"))
	offer.Events[0].DisplayOrder, offer.Events[1].DisplayOrder = 2, 1
	a, b, gone, other := offer.Events[0].ID, offer.Events[1].ID, idOf("gone"), idOf("another offer")
	opaque := func(goalID *uuid.UUID) *Address { return &Address{OfferID: &offer.ID, Opaque: true, GoalID: goalID} }
	for name, c := range map[string]struct {
		address  *Address
		post     Postback
		enforced bool
		want     uuid.UUID
		reason   Reason
	}{
		"plain":                               {nil, Postback{EventID: "A"}, false, a, ""},
		"plain without a name":                {nil, Postback{}, false, uuid.Nil, ReasonMissingEvent},
		"of the default goal":                 {&Address{DefaultGoal: true}, Postback{}, false, b, ""},
		"of the default goal, one is named":   {&Address{DefaultGoal: true}, Postback{GoalName: "A"}, false, a, ""},
		"of the default goal, a wrong name":   {&Address{DefaultGoal: true}, Postback{GoalName: "C"}, false, uuid.Nil, ReasonUnknownEvent},
		"by cookie":                           {&Address{OfferID: &offer.ID}, Postback{EventID: "A"}, false, a, ""},
		"by another offer's cookie":           {&Address{OfferID: &other}, Postback{EventID: "A"}, false, uuid.Nil, ReasonGoalMismatch},
		"opaque":                              {opaque(nil), Postback{}, false, b, ""},
		"opaque of a goal":                    {opaque(&a), Postback{}, false, a, ""},
		"opaque, the same named":              {opaque(&a), Postback{EventID: "A", GoalName: "A"}, false, a, ""},
		"opaque, another named":               {opaque(&a), Postback{GoalID: b.String()}, false, uuid.Nil, ReasonGoalMismatch},
		"opaque of the default goal, another": {opaque(nil), Postback{EventID: "A"}, false, uuid.Nil, ReasonGoalMismatch},
		"opaque of a goal that is gone":       {opaque(&gone), Postback{}, false, uuid.Nil, ReasonUnknownEvent},
		"opaque of another offer":             {&Address{OfferID: &other, Opaque: true}, Postback{}, false, uuid.Nil, ReasonGoalMismatch},
		"enforced, plain":                     {nil, Postback{EventID: "A"}, true, uuid.Nil, ReasonEncryptionRequired},
		"enforced, signed":                    {nil, Postback{EventID: "A", Signed: &Signed{}}, true, uuid.Nil, ReasonEncryptionRequired},
		"enforced, compatible":                {&Address{DefaultGoal: true}, Postback{}, true, uuid.Nil, ReasonEncryptionRequired},
		"enforced, by cookie":                 {&Address{OfferID: &offer.ID, DefaultGoal: true}, Postback{}, true, uuid.Nil, ReasonEncryptionRequired},
		"enforced, opaque":                    {opaque(nil), Postback{}, true, b, ""},
		"enforced, opaque of a goal":          {opaque(&a), Postback{}, true, a, ""},
		"enforced, opaque of another":         {&Address{OfferID: &other, Opaque: true}, Postback{}, true, uuid.Nil, ReasonGoalMismatch},
	} {
		now := clickedAt.Add(time.Hour)
		enforced := *offer
		enforced.EnforceEncryptedTracking = c.enforced
		c.post.Address, c.post.ReceivedAt = c.address, now
		decision := Decide(Facts{
			Postback: c.post, Now: now, Click: Click{ID: idOf("click"), ClickedAt: clickedAt, OfferID: offer.ID},
			AtClick: &enforced, Current: &enforced, Currency: "USD",
		})
		require.Equal(t, c.reason, decision.Reason, name)
		if c.reason != "" {
			require.Equal(t, OutcomeRefused, decision.Outcome, name)
			require.Nil(t, decision.New, name)
			continue
		}
		require.Equal(t, c.want, decision.New.EventID, name)
	}
}

// What was held came by an address that was right then: switching enforcement on takes nothing back.
func TestEnforcementSparesHeld(t *testing.T) {
	t.Parallel()
	offer := multiOffer(goal("A"))
	offer.EnforceEncryptedTracking = true
	now := clickedAt.Add(time.Hour)
	decision := Decide(Facts{
		Postback: Postback{EventID: "A", ReceivedAt: now}, Now: now, DecideBy: &now, Click: Click{ClickedAt: clickedAt, OfferID: offer.ID},
		AtClick: offer, Current: offer, Currency: "USD",
	})
	require.Equal(t, OutcomeAccepted, decision.Outcome)
}

func TestLastClick(t *testing.T) {
	t.Parallel()
	m, n := "m", "n"
	click := func(name string, member *string) VisitorClick { return VisitorClick{idOf(name), member} }
	for name, c := range map[string]struct {
		clicks []VisitorClick
		want   uuid.UUID
		ok     bool
	}{
		"none":              {nil, uuid.Nil, false},
		"one":               {[]VisitorClick{click("1", nil)}, idOf("1"), true},
		"the latest":        {[]VisitorClick{click("2", &m), click("1", &m)}, idOf("2"), true},
		"nobody's":          {[]VisitorClick{click("2", nil), click("1", nil)}, idOf("2"), true},
		"of two members":    {[]VisitorClick{click("2", &m), click("1", &n)}, uuid.Nil, false},
		"a member's or not": {[]VisitorClick{click("3", &m), click("2", nil), click("1", &m)}, uuid.Nil, false},
	} {
		id, ok := LastClick(c.clicks)
		require.Equal(t, []any{c.want, c.ok}, []any{id, ok}, name)
	}
}
