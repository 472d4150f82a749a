package attribution_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

// by is how a postback came (rule 78).
func by(how string) func(*domain.Postback) { return func(p *domain.Postback) { p.AdvertiserKey = how } }

func TestRule78AKeyedTenantNeedsMoreThanAClickID(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	rig.Keyed()
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	opaque := func(p *domain.Postback) {
		p.AdvertiserKey, p.Address = domain.SentWithoutKey, &domain.Address{OfferID: &o.ID, GoalID: &o.Events[0].ID, Opaque: true, OfAdvertiser: true}
	}
	for name, c := range map[string]struct {
		how    func(*domain.Postback)
		status domain.Status
		reason domain.Reason
	}{
		"a click id alone":        {by(domain.SentWithoutKey), "", domain.ReasonKeyRequired},
		"the key":                 {by(domain.SentByKey(rig.Key())), domain.StatusSuccess, ""},
		"another key":             {by(domain.SentByKey("another")), "", domain.ReasonKeyRequired},
		"an opaque address":       {opaque, domain.StatusSuccess, ""},
		"a pixel":                 {by(domain.SentByPixel), domain.StatusPending, ""},
		"an upload":               {func(p *domain.Postback) { p.Upload = &domain.Upload{Actor: "token"} }, domain.StatusSuccess, ""},
		"from the release before": {by(""), domain.StatusSuccess, ""},
		"a key as it sent it":     {by(rig.Key()), domain.StatusSuccess, ""},
		"another as it sent it":   {by("another"), domain.StatusSuccess, ""},
	} {
		click := rig.Click(o)
		answer := rig.Post(click, "A", c.how)
		require.Equal(t, []any{c.status, c.reason}, []any{answer.Status, answer.Reason}, name)
		if c.reason != "" {
			require.Equal(t, domain.OutcomeRefused, answer.Outcome, name)
			require.Equal(t, answer.Detail, activitytest.Value[string](rig, "SELECT detail FROM postbacks WHERE id = $1", answer.PostbackID), name)
			require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A", by(domain.SentByKey(rig.Key()))).Outcome, "%s: it uses nothing up", name)
		}
		if c.status == domain.StatusPending {
			row := rig.Conversion(answer.ConversionID)
			require.True(t, row.NeedsReview)
			require.False(t, *row.IsExpected)
			rig.Review(answer.ConversionID, domain.ActionApprove)
			require.Equal(t, domain.StatusSuccess, rig.Conversion(answer.ConversionID).Status)
		}
	}
	test := rig.Click(o, func(c *domain.Click) { c.IsTest = true })
	require.Equal(t, domain.StatusSuccess, rig.Post(test, "A", func(p *domain.Postback) { p.IsTest = true }).Status, "the test tool is exempt")

	rig.Set("UPDATE advertisers SET ip_allowlist = '{192.0.2.1}'")
	require.Equal(t, domain.StatusSuccess, rig.Post(rig.Click(o), "A", by(domain.SentWithoutKey)).Status, "its address proves it")
	require.Equal(t, domain.StatusPending, rig.Post(rig.Click(o), "A", by(domain.SentByPixel)).Status, "a pixel never")
}

func TestRule78AnOpenTenantCountsAsBefore(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	for how, reason := range map[string]domain.Reason{
		domain.SentWithoutKey: "", domain.SentByPixel: "", domain.SentByKey(rig.Key()): "", "": "", domain.SentByKey("another"): domain.ReasonKeyRequired,
	} {
		answer := rig.Post(rig.Click(o), "A", by(how))
		require.Equal(t, reason, answer.Reason, how)
		require.Equal(t, reason == "", answer.Status == domain.StatusSuccess, how)
	}
}

// A held postback was proved when it came: neither a new key nor the tenant's change of mind refuses it
// afterwards, and a pixel's is still looked at by a person.
func TestRule78AHeldPostbackStaysAsGoodAsItWas(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2))})
	held := func(how string) (domain.Click, uuid.UUID) {
		click := rig.Click(o)
		p := rig.Postback(click, "B", by(how))
		require.Equal(t, domain.OutcomeHeld, rig.MustDecide(p).Answer.Outcome)
		return click, p.ID
	}
	plain, plainID := held(domain.SentWithoutKey)
	pixel, pixelID := held(domain.SentByPixel)
	keyed, keyedID := held(domain.SentByKey(rig.Key()))
	rig.Keyed()
	rig.Set("UPDATE advertisers SET key_hash = $1", domain.AdvertiserKeyHash("new"))
	for _, click := range []domain.Click{plain, pixel, keyed} {
		require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A", by(domain.SentByKey("new"))).Outcome)
	}
	for id, status := range map[uuid.UUID]domain.Status{plainID: domain.StatusSuccess, pixelID: domain.StatusPending, keyedID: domain.StatusSuccess} {
		require.Equal(t, status, activitytest.Value[domain.Status](rig, "SELECT status FROM postbacks WHERE id = $1", id))
	}
}

func TestRule78TwoKeysLiveForADay(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	rig.Keyed()
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Set("UPDATE advertisers SET previous_key_hash = key_hash, key_hash = $1, previous_key_until = $2",
		domain.AdvertiserKeyHash("new"), rig.Time().Add(24*time.Hour))
	post := func(key string) domain.Answer { return rig.Post(rig.Click(o), "A", by(domain.SentByKey(key))) }
	require.Equal(t, domain.StatusSuccess, post("new").Status)
	require.Equal(t, domain.StatusSuccess, post(rig.Key()).Status)
	rig.Wait(24 * time.Hour)
	require.Equal(t, domain.StatusSuccess, post("new").Status)
	late := post(rig.Key())
	require.Equal(t, domain.ReasonKeyRequired, late.Reason)
	require.Contains(t, late.Detail, "was replaced")

	refused := rig.RefusedAt(rig.Time(), by(domain.SentByKey(rig.Key())))
	_, err := rig.Refuse(t.Context(), refused, domain.ReasonMalformed)
	require.NoError(t, err)
	require.Equal(t, rig.TenantID, *activitytest.Value[*uuid.UUID](rig, "SELECT tenant_id FROM postbacks WHERE id = $1", refused.ID), "its log shows who uses the old one still")
}

// The log shows no key, not even one that came with a message of the release before.
func TestRule78NoKeyInTheLog(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	old := func(p *domain.Postback) { p.AdvertiserKey, p.Path = rig.Key(), "/track/"+rig.Key() }
	answer := rig.Post(rig.Click(o), "A", old)
	unmatched := rig.Postback(rig.Click(o), "A", old)
	_, err := rig.Refuse(t.Context(), unmatched, domain.ReasonUnknownClick)
	require.NoError(t, err)
	for _, id := range []uuid.UUID{answer.PostbackID, unmatched.ID} {
		require.Equal(t, "/track/***", activitytest.Value[string](rig, "SELECT path FROM postbacks WHERE id = $1", id))
	}
}

// http.md: the same signed request again gets the first one's answer; its nonce with another content does not.
func TestRule67TheSameSignedRequestAgain(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 8)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeats), activitytest.Goal("B", activitytest.Numbered(2)), activitytest.Goal("F", activitytest.Numbered(1)), activitytest.Goal("C", activitytest.Capped(1))})
	rig.Set("UPDATE advertisers SET signing_secret_sealed = $1", rig.Keys.Seal([]byte("s3cret")))
	decide := func(p domain.Postback) domain.Answer {
		result, err := rig.Decide(t.Context(), rig.TenantID, p)
		require.NoError(t, err)
		return result.Answer
	}
	for n, event := range []string{"A", "B", "unknown", "C"} {
		click, nonce := rig.Click(o), "nonce-"+event
		signed := rig.Signed("s3cret", nonce, rig.Time())
		first := decide(rig.Postback(click, event, signed))
		before := activitytest.Value[int64](rig, "SELECT count(*) FROM conversions")
		rig.Wait(time.Minute) // beyond what rule 7 takes for a retry
		again := rig.Postback(click, event, signed)
		require.Equal(t, first, decide(again), event)
		require.Equal(t, first, decide(rig.Postback(click, event, signed)), "%s, a third time", event)
		require.Equal(t, before, activitytest.Value[int64](rig, "SELECT count(*) FROM conversions"), event)
		require.Contains(t, activitytest.Value[string](rig, "SELECT detail FROM postbacks WHERE id = $1", again.ID), first.PostbackID.String())
		require.Equal(t, n == 2, activitytest.Value[domain.Outcome](rig, "SELECT outcome FROM postbacks WHERE id = $1", again.ID) == domain.OutcomeRefused, "the log counts it once")

		other := decide(rig.Postback(rig.Click(o), event, rig.Signed("s3cret", nonce, rig.Time())))
		require.Equal(t, []any{domain.OutcomeRefused, domain.ReasonBadSignature}, []any{other.Outcome, other.Reason}, event)
		require.Contains(t, other.Detail, `of_nonce "`+nonce+`" was already used`)
	}

	click := rig.Click(o)
	signed := rig.Signed("s3cret", "at-once", rig.Time())
	answers := make([]domain.Answer, 20)
	activitytest.AtOnce(t, len(answers), func(i int) error {
		result, err := rig.Decide(t.Context(), rig.TenantID, rig.Postback(click, "A", signed))
		answers[i] = result.Answer
		return err
	})
	for _, answer := range answers {
		require.Equal(t, answers[0], answer, "one of them is the first, and all get its answer")
	}
	require.EqualValues(t, 1, activitytest.Value[int64](rig, "SELECT count(*) FROM conversions WHERE click_id = $1", click.ID))
}

// A nonce is used up by what passed everything, and by nothing else.
func TestRule67ARefusedRequestUsesUpNoNonce(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Set("UPDATE advertisers SET signing_secret_sealed = $1, ip_allowlist = '{203.0.113.1}'", rig.Keys.Seal([]byte("s3cret")))
	click, signed := rig.Click(o), rig.Signed("s3cret", "nonce-1", rig.Time())
	require.Equal(t, domain.ReasonIPNotAllowed, rig.Post(click, "A", signed).Reason)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "A", signed, func(p *domain.Postback) { p.SourceIP = "203.0.113.1" }).Outcome)
}

func TestRule67TwoSigningSecretsLiveForADay(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Set("UPDATE advertisers SET signing_secret_sealed = $1, previous_secret_sealed = $2, previous_secret_until = $3",
		rig.Keys.Seal([]byte("new")), rig.Keys.Seal([]byte("old")), rig.Time().Add(24*time.Hour))
	post := func(secret string) domain.Answer {
		return rig.Post(rig.Click(o), "A", rig.Signed(secret, uuid.NewString(), rig.Time()))
	}
	require.Equal(t, domain.OutcomeAccepted, post("new").Outcome)
	require.Equal(t, domain.OutcomeAccepted, post("old").Outcome)
	require.Equal(t, domain.ReasonBadSignature, post("other").Reason)
	rig.Wait(24 * time.Hour)
	require.Equal(t, domain.OutcomeAccepted, post("new").Outcome)
	require.Equal(t, domain.ReasonBadSignature, post("old").Reason)
}
