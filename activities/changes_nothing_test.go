package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// What no workflow needs to hear of is known before the decision, by whatever name the goal is called.
func TestWhatChangesNothingIsForeseen(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	a, again, counted := goal("A", pendingFor("1")), goal("Again", repeats), goal("Counted", func(e *domain.Event) { e.RecordAs = domain.RecordAsClick })
	o := rig.offer([]domain.Event{a, again, counted, goal("Late", numbered(2)), goal("Early", numbered(1))})
	click, other := rig.click(o), rig.click(o)
	withID := func(id string) func(*domain.Postback) { return func(p *domain.Postback) { p.ConversionID = id } }
	says := func(status string) func(*domain.Postback) { return func(p *domain.Postback) { p.Status = status } }
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A").Outcome)
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "Again", withID("1")).Outcome)
	single := rig.offer([]domain.Event{goal("")}, func(o *domain.Offer) { o.OfferType = domain.OfferTypeSingleEvent })
	done := rig.click(single)
	require.Equal(t, domain.OutcomeAccepted, rig.post(done, "").Outcome)
	secret := rig.offer([]domain.Event{goal("A")}, func(o *domain.Offer) { o.EnforceEncryptedTracking = true })
	for name, c := range map[string]struct {
		of   domain.Postback
		want bool
	}{
		"the first of a goal":                     {rig.postback(other, "A"), false},
		"the same again":                          {rig.postback(click, "A"), true},
		"the same again, approved":                {rig.postback(click, "A", says("approved")), true},
		"rule 77: what takes it back":             {rig.postback(click, "A", says("rejected")), false},
		"the same goal by another name":           {rig.postback(click, "", byGoalID(a.ID)), true},
		"rule 7: a retry with its id":             {rig.postback(click, "Again", withID("1")), true},
		"rule 7: another repeat":                  {rig.postback(click, "Again", withID("2")), false},
		"rule 3: an event that there is not":      {rig.postback(other, "Nonsense"), true},
		"rule 4: no event":                        {rig.postback(other, ""), true},
		"rule 62: names of two goals":             {rig.postback(other, "A", byGoalID(again.ID)), true},
		"rule 14: one that is early":              {rig.postback(other, "Late"), false},
		"rule 70: a goal that is counted":         {rig.postback(other, "Counted"), false},
		"a single goal again, by whatever name":   {rig.postback(done, "what it was not called"), true},
		"rule 65: a plain address, opaque wanted": {rig.postback(rig.click(secret), "A"), true},
		"rule 65: the address of another offer":   {rig.postback(other, "A", func(p *domain.Postback) { p.Address = &domain.Address{OfferID: &single.ID} }), true},
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
	rig := newDecisionRig(t, 4)
	click := rig.click(rig.offer([]domain.Event{goal("A")}))
	test := rig.click(rig.offer([]domain.Event{goal("A")}), func(c *domain.Click) { c.IsTest = true })
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
	rig.set("UPDATE advertisers SET security_token_hash = $1", rig.Keys.Hash("correct horse"))
	require.True(t, nothing(rig.postback(click, "A")))
	require.True(t, nothing(rig.postback(click, "A", token("wrong horse"))))
	require.False(t, nothing(rig.postback(click, "A", token("correct horse"))))
	require.False(t, nothing(rig.postback(test, "A", func(p *domain.Postback) { p.IsTest = true })), "a test needs none")
	require.False(t, nothing(rig.postback(click, "A", func(p *domain.Postback) { p.Upload = &domain.Upload{} })), "an upload needs none")
	rig.set("UPDATE advertisers SET security_token_hash = NULL, ip_allowlist = '{198.51.100.0/24}'")
	require.True(t, nothing(rig.postback(click, "A")))
	require.False(t, nothing(rig.postback(click, "A", func(p *domain.Postback) { p.SourceIP = "198.51.100.7" })))
}

// A refusal moves nothing that is held, nor does another early event: each costs the same however much its
// click holds. The workflow still hears when the grace of what is held ends.
func TestRule14ARefusalLeavesWhatIsHeldAlone(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	click := rig.click(rig.offer([]domain.Event{goal("First", numbered(1)), goal("Second", numbered(2))}))
	early := rig.decide(rig.postback(click, "Second"))
	require.Equal(t, domain.OutcomeHeld, early.Answer.Outcome)
	decisions := 0
	rig.Now = func() time.Time { // each decision asks for the time, those about held ones too
		decisions++
		return rig.now()
	}
	for range 5 {
		require.Equal(t, domain.OutcomeHeld, rig.post(click, "Second").Outcome)
	}
	rig.wait(time.Minute)
	refused := rig.decide(rig.postback(click, "Nonsense"))
	require.Equal(t, domain.OutcomeRefused, refused.Answer.Outcome)
	require.Equal(t, early.HeldUntil.UTC(), refused.HeldUntil.UTC())
	require.Equal(t, 6, decisions, "one for each postback")
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "First").Outcome)
	require.Zero(t, value[int64](rig, "SELECT count(*) FROM held_postbacks"), "what makes them decidable decides them")
}
