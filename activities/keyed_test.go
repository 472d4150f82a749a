package activities

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// by is how a postback came (rule 78).
func by(how string) func(*domain.Postback) { return func(p *domain.Postback) { p.AdvertiserKey = how } }

func TestRule78AKeyedTenantNeedsMoreThanAClickID(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	rig.keyed()
	o := rig.offer([]domain.Event{goal("A")})
	opaque := func(p *domain.Postback) {
		p.AdvertiserKey, p.Address = domain.SentWithoutKey, &domain.Address{OfferID: &o.ID, GoalID: &o.Events[0].ID, Opaque: true, OfAdvertiser: true}
	}
	for name, c := range map[string]struct {
		how    func(*domain.Postback)
		status domain.Status
		reason domain.Reason
	}{
		"a click id alone":        {by(domain.SentWithoutKey), "", domain.ReasonKeyRequired},
		"the key":                 {by(domain.SentByKey(rig.key())), domain.StatusSuccess, ""},
		"another key":             {by(domain.SentByKey("another")), "", domain.ReasonKeyRequired},
		"an opaque address":       {opaque, domain.StatusSuccess, ""},
		"a pixel":                 {by(domain.SentByPixel), domain.StatusPending, ""},
		"an upload":               {func(p *domain.Postback) { p.Upload = &domain.Upload{Actor: "token"} }, domain.StatusSuccess, ""},
		"from the release before": {by(""), domain.StatusSuccess, ""},
		"a key as it sent it":     {by(rig.key()), domain.StatusSuccess, ""},
		"another as it sent it":   {by("another"), domain.StatusSuccess, ""},
	} {
		click := rig.click(o)
		answer := rig.post(click, "A", c.how)
		require.Equal(t, []any{c.status, c.reason}, []any{answer.Status, answer.Reason}, name)
		if c.reason != "" {
			require.Equal(t, domain.OutcomeRefused, answer.Outcome, name)
			require.Equal(t, answer.Detail, value[string](rig, "SELECT detail FROM postbacks WHERE id = $1", answer.PostbackID), name)
			require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A", by(domain.SentByKey(rig.key()))).Outcome, "%s: it uses nothing up", name)
		}
		if c.status == domain.StatusPending {
			row := rig.conversion(answer.ConversionID)
			require.True(t, row.NeedsReview)
			require.False(t, *row.IsExpected)
			rig.review(answer.ConversionID, domain.ActionApprove)
			require.Equal(t, domain.StatusSuccess, rig.conversion(answer.ConversionID).Status)
		}
	}
	test := rig.click(o, func(c *domain.Click) { c.IsTest = true })
	require.Equal(t, domain.StatusSuccess, rig.post(test, "A", func(p *domain.Postback) { p.IsTest = true }).Status, "the test tool is exempt")

	rig.set("UPDATE advertisers SET ip_allowlist = '{192.0.2.1}'")
	require.Equal(t, domain.StatusSuccess, rig.post(rig.click(o), "A", by(domain.SentWithoutKey)).Status, "its address proves it")
	require.Equal(t, domain.StatusPending, rig.post(rig.click(o), "A", by(domain.SentByPixel)).Status, "a pixel never")
}

func TestRule78AnOpenTenantCountsAsBefore(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")})
	for how, reason := range map[string]domain.Reason{
		domain.SentWithoutKey: "", domain.SentByPixel: "", domain.SentByKey(rig.key()): "", "": "", domain.SentByKey("another"): domain.ReasonKeyRequired,
	} {
		answer := rig.post(rig.click(o), "A", by(how))
		require.Equal(t, reason, answer.Reason, how)
		require.Equal(t, reason == "", answer.Status == domain.StatusSuccess, how)
	}
}

// A held postback was proved when it came: neither a new key nor the tenant's change of mind refuses it
// afterwards, and a pixel's is still looked at by a person.
func TestRule78AHeldPostbackStaysAsGoodAsItWas(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A", numbered(1)), goal("B", numbered(2))})
	held := func(how string) (domain.Click, uuid.UUID) {
		click := rig.click(o)
		p := rig.postback(click, "B", by(how))
		require.Equal(t, domain.OutcomeHeld, rig.decide(p).Answer.Outcome)
		return click, p.ID
	}
	plain, plainID := held(domain.SentWithoutKey)
	pixel, pixelID := held(domain.SentByPixel)
	keyed, keyedID := held(domain.SentByKey(rig.key()))
	rig.keyed()
	rig.set("UPDATE advertisers SET key_hash = $1", domain.AdvertiserKeyHash("new"))
	for _, click := range []domain.Click{plain, pixel, keyed} {
		require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A", by(domain.SentByKey("new"))).Outcome)
	}
	for id, status := range map[uuid.UUID]domain.Status{plainID: domain.StatusSuccess, pixelID: domain.StatusPending, keyedID: domain.StatusSuccess} {
		require.Equal(t, status, value[domain.Status](rig, "SELECT status FROM postbacks WHERE id = $1", id))
	}
}

func TestRule78TwoKeysLiveForADay(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	rig.keyed()
	o := rig.offer([]domain.Event{goal("A")})
	rig.set("UPDATE advertisers SET previous_key_hash = key_hash, key_hash = $1, previous_key_until = $2",
		domain.AdvertiserKeyHash("new"), rig.now().Add(24*time.Hour))
	post := func(key string) domain.Answer { return rig.post(rig.click(o), "A", by(domain.SentByKey(key))) }
	require.Equal(t, domain.StatusSuccess, post("new").Status)
	require.Equal(t, domain.StatusSuccess, post(rig.key()).Status)
	rig.wait(24 * time.Hour)
	require.Equal(t, domain.StatusSuccess, post("new").Status)
	late := post(rig.key())
	require.Equal(t, domain.ReasonKeyRequired, late.Reason)
	require.Contains(t, late.Detail, "was replaced")

	refused := rig.refusedAt(rig.now(), by(domain.SentByKey(rig.key())))
	_, err := rig.Refuse(t.Context(), refused, domain.ReasonMalformed)
	require.NoError(t, err)
	require.Equal(t, rig.tenantID, *value[*uuid.UUID](rig, "SELECT tenant_id FROM postbacks WHERE id = $1", refused.ID), "its log shows who uses the old one still")
}

// The log shows no key, not even one that came with a message of the release before.
func TestRule78NoKeyInTheLog(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")})
	old := func(p *domain.Postback) { p.AdvertiserKey, p.Path = rig.key(), "/track/"+rig.key() }
	answer := rig.post(rig.click(o), "A", old)
	unmatched := rig.postback(rig.click(o), "A", old)
	_, err := rig.Refuse(t.Context(), unmatched, domain.ReasonUnknownClick)
	require.NoError(t, err)
	for _, id := range []uuid.UUID{answer.PostbackID, unmatched.ID} {
		require.Equal(t, "/track/***", value[string](rig, "SELECT path FROM postbacks WHERE id = $1", id))
	}
}

// http.md: the same signed request again gets the first one's answer; its nonce with another content does not.
func TestRule67TheSameSignedRequestAgain(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 8)
	o := rig.offer([]domain.Event{goal("A", repeats), goal("B", numbered(2)), goal("F", numbered(1)), goal("C", capped(1))})
	rig.set("UPDATE advertisers SET signing_secret_sealed = $1", rig.Keys.Seal([]byte("s3cret")))
	decide := func(p domain.Postback) domain.Answer {
		decided, err := rig.Decide(t.Context(), rig.tenantID, p)
		require.NoError(t, err)
		return decided.Answer
	}
	for n, event := range []string{"A", "B", "unknown", "C"} {
		click, nonce := rig.click(o), "nonce-"+event
		signed := rig.signed("s3cret", nonce, rig.now())
		first := decide(rig.postback(click, event, signed))
		before := value[int64](rig, "SELECT count(*) FROM conversions")
		rig.wait(time.Minute) // beyond what rule 7 takes for a retry
		again := rig.postback(click, event, signed)
		require.Equal(t, first, decide(again), event)
		require.Equal(t, first, decide(rig.postback(click, event, signed)), "%s, a third time", event)
		require.Equal(t, before, value[int64](rig, "SELECT count(*) FROM conversions"), event)
		require.Contains(t, value[string](rig, "SELECT detail FROM postbacks WHERE id = $1", again.ID), first.PostbackID.String())
		require.Equal(t, n == 2, value[domain.Outcome](rig, "SELECT outcome FROM postbacks WHERE id = $1", again.ID) == domain.OutcomeRefused, "the log counts it once")

		other := decide(rig.postback(rig.click(o), event, rig.signed("s3cret", nonce, rig.now())))
		require.Equal(t, []any{domain.OutcomeRefused, domain.ReasonBadSignature}, []any{other.Outcome, other.Reason}, event)
		require.Contains(t, other.Detail, `of_nonce "`+nonce+`" was used before`)
	}

	click := rig.click(o)
	signed := rig.signed("s3cret", "at-once", rig.now())
	answers := make([]domain.Answer, 20)
	atOnce(t, len(answers), func(i int) error {
		decided, err := rig.Decide(t.Context(), rig.tenantID, rig.postback(click, "A", signed))
		answers[i] = decided.Answer
		return err
	})
	for _, answer := range answers {
		require.Equal(t, answers[0], answer, "one of them is the first, and all get its answer")
	}
	require.EqualValues(t, 1, value[int64](rig, "SELECT count(*) FROM conversions WHERE click_id = $1", click.ID))
}

// A nonce is used up by what passed everything, and by nothing else.
func TestRule67ARefusedRequestUsesUpNoNonce(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")})
	rig.set("UPDATE advertisers SET signing_secret_sealed = $1, ip_allowlist = '{203.0.113.1}'", rig.Keys.Seal([]byte("s3cret")))
	click, signed := rig.click(o), rig.signed("s3cret", "nonce-1", rig.now())
	require.Equal(t, domain.ReasonIPNotAllowed, rig.post(click, "A", signed).Reason)
	require.Equal(t, domain.OutcomeAccepted, rig.post(click, "A", signed, func(p *domain.Postback) { p.SourceIP = "203.0.113.1" }).Outcome)
}

func TestRule67TwoSigningSecretsLiveForADay(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")})
	rig.set("UPDATE advertisers SET signing_secret_sealed = $1, previous_secret_sealed = $2, previous_secret_until = $3",
		rig.Keys.Seal([]byte("new")), rig.Keys.Seal([]byte("old")), rig.now().Add(24*time.Hour))
	post := func(secret string) domain.Answer {
		return rig.post(rig.click(o), "A", rig.signed(secret, uuid.NewString(), rig.now()))
	}
	require.Equal(t, domain.OutcomeAccepted, post("new").Outcome)
	require.Equal(t, domain.OutcomeAccepted, post("old").Outcome)
	require.Equal(t, domain.ReasonBadSignature, post("other").Reason)
	rig.wait(24 * time.Hour)
	require.Equal(t, domain.OutcomeAccepted, post("new").Outcome)
	require.Equal(t, domain.ReasonBadSignature, post("old").Reason)
}
