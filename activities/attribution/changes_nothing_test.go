package attribution_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

// What no workflow needs to hear of is known before the decision, by whatever name the goal is called.
func TestWhatChangesNothingIsForeseen(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	a, again, counted := activitytest.Goal("A", activitytest.PendingFor("1")), activitytest.Goal("Again", activitytest.Repeats), activitytest.Goal("Counted", func(e *domain.Event) { e.RecordAs = domain.RecordAsClick })
	o := rig.Offer([]domain.Event{a, again, counted, activitytest.Goal("Late", activitytest.Numbered(2)), activitytest.Goal("Early", activitytest.Numbered(1))})
	click, other := rig.Click(o), rig.Click(o)
	withID := func(id string) func(*domain.Postback) { return func(p *domain.Postback) { p.ConversionID = id } }
	says := func(status string) func(*domain.Postback) { return func(p *domain.Postback) { p.Status = status } }
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A").Outcome)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "Again", withID("1")).Outcome)
	single := rig.Offer([]domain.Event{activitytest.Goal("")}, func(o *domain.Offer) { o.OfferType = domain.OfferTypeSingleEvent })
	done := rig.Click(single)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(done, "").Outcome)
	secret := rig.Offer([]domain.Event{activitytest.Goal("A")}, func(o *domain.Offer) { o.EnforceEncryptedTracking = true })
	for name, c := range map[string]struct {
		of   domain.Postback
		want bool
	}{
		"the first of a goal":                     {rig.Postback(other, "A"), false},
		"the same again":                          {rig.Postback(click, "A"), true},
		"the same again, approved":                {rig.Postback(click, "A", says("approved")), true},
		"rule 77: what takes it back":             {rig.Postback(click, "A", says("rejected")), false},
		"the same goal by another name":           {rig.Postback(click, "", byGoalID(a.ID)), true},
		"rule 7: a retry with its id":             {rig.Postback(click, "Again", withID("1")), true},
		"rule 7: another repeat":                  {rig.Postback(click, "Again", withID("2")), false},
		"rule 3: an event that there is not":      {rig.Postback(other, "Nonsense"), true},
		"rule 4: no event":                        {rig.Postback(other, ""), true},
		"rule 62: names of two goals":             {rig.Postback(other, "A", byGoalID(again.ID)), true},
		"rule 14: one that is early":              {rig.Postback(other, "Late"), false},
		"rule 70: a goal that is counted":         {rig.Postback(other, "Counted"), false},
		"a single goal again, by whatever name":   {rig.Postback(done, "what it was not called"), true},
		"rule 65: a plain address, opaque wanted": {rig.Postback(rig.Click(secret), "A"), true},
		"rule 65: the address of another offer":   {rig.Postback(other, "A", func(p *domain.Postback) { p.Address = &domain.Address{OfferID: &single.ID} }), true},
	} {
		found, ok, err := rig.ClickOf(t.Context(), &c.of)
		require.NoError(t, err)
		require.True(t, ok)
		nothing, err := rig.ChangesNothing(t.Context(), &found, &c.of)
		require.NoError(t, err)
		require.Equal(t, c.want, nothing, name)
	}
}

// Rule 67: what fails the advertiser's security is foreseen, what passes it is not.
func TestRule67ForeseenRefusals(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	click := rig.Click(rig.Offer([]domain.Event{activitytest.Goal("A")}))
	test := rig.Click(rig.Offer([]domain.Event{activitytest.Goal("A")}), func(c *domain.Click) { c.IsTest = true })
	nothing := func(p domain.Postback) bool {
		found, ok, err := rig.ClickOf(t.Context(), &p)
		require.NoError(t, err)
		require.True(t, ok)
		nothing, err := rig.ChangesNothing(t.Context(), &found, &p)
		require.NoError(t, err)
		return nothing
	}
	token := func(text string) func(*domain.Postback) {
		return func(p *domain.Postback) { p.TokenHashes = rig.Keys.Hashes(text) }
	}
	rig.Set("UPDATE advertisers SET security_token_hash = $1", rig.Keys.Hash("correct horse"))
	require.True(t, nothing(rig.Postback(click, "A")))
	require.True(t, nothing(rig.Postback(click, "A", token("wrong horse"))))
	require.False(t, nothing(rig.Postback(click, "A", token("correct horse"))))
	require.False(t, nothing(rig.Postback(test, "A", func(p *domain.Postback) { p.IsTest = true })), "a test needs none")
	require.False(t, nothing(rig.Postback(click, "A", func(p *domain.Postback) { p.Upload = &domain.Upload{} })), "an upload needs none")
	rig.Set("UPDATE advertisers SET security_token_hash = NULL, ip_allowlist = '{198.51.100.0/24}'")
	require.True(t, nothing(rig.Postback(click, "A")))
	require.False(t, nothing(rig.Postback(click, "A", func(p *domain.Postback) { p.SourceIP = "198.51.100.7" })))
}

// A refusal moves nothing that is held, nor does another early event: each costs the same however much its
// click holds. The workflow still hears when the grace of what is held ends.
func TestRule14ARefusalLeavesWhatIsHeldAlone(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	click := rig.Click(rig.Offer([]domain.Event{activitytest.Goal("First", activitytest.Numbered(1)), activitytest.Goal("Second", activitytest.Numbered(2))}))
	early := rig.MustDecide(rig.Postback(click, "Second"))
	require.Equal(t, domain.OutcomeHeld, early.Answer.Outcome)
	decisions := 0
	rig.Now = func() time.Time { // each decision asks for the time, those about held ones too
		decisions++
		return rig.Time()
	}
	for range 5 {
		require.Equal(t, domain.OutcomeHeld, rig.Post(click, "Second").Outcome)
	}
	rig.Wait(time.Minute)
	refused := rig.MustDecide(rig.Postback(click, "Nonsense"))
	require.Equal(t, domain.OutcomeRefused, refused.Answer.Outcome)
	require.Equal(t, early.HeldUntil.UTC(), refused.HeldUntil.UTC())
	require.Equal(t, 6, decisions, "one for each postback")
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "First").Outcome)
	require.Zero(t, activitytest.Value[int64](rig, "SELECT count(*) FROM held_postbacks"), "what makes them decidable decides them")
}
