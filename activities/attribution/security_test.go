package attribution_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

func TestRule67Token(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeats)})
	click := rig.Click(o)
	rig.Set("UPDATE advertisers SET security_token_hash = $1", rig.Keys.Hash("correct horse"))
	with := func(hashes []string) domain.Answer {
		rig.Wait(time.Minute)
		return rig.Post(click, "A", func(p *domain.Postback) { p.TokenHashes = hashes })
	}
	require.Equal(t, domain.ReasonBadSignature, with(nil).Reason)
	require.Equal(t, domain.ReasonBadSignature, with(rig.Keys.Hashes("wrong horse")).Reason)
	require.Equal(t, domain.ReasonBadSignature, with([]string{""}).Reason)
	require.Equal(t, domain.OutcomeAccepted, with(rig.Keys.Hashes("correct horse")).Outcome)

	// The keys are rotated: the hash in the database is still the old key's.
	rotated, err := keyring.Parse(keyring.Generate() + "," + rig.SecretKeys)
	require.NoError(t, err)
	require.NotEqual(t, rig.Keys.Hash("correct horse"), rotated.Hash("correct horse"))
	require.Equal(t, domain.OutcomeAccepted, with(rotated.Hashes("correct horse")).Outcome)
	require.Equal(t, domain.ReasonBadSignature, with(rotated.Hashes("wrong horse")).Reason)
	rig.Set("UPDATE advertisers SET security_token_hash = $1", rotated.Hash("correct horse"))
	require.Equal(t, domain.OutcomeAccepted, with(rotated.Hashes("correct horse")).Outcome)
	require.Equal(t, int64(3), activitytest.Value[int64](rig, "SELECT count(*) FROM conversions"))
	require.Equal(t, int64(3), activitytest.Value[int64](rig, "SELECT count(*) FROM postbacks WHERE authenticated"))
	require.Equal(t, int64(4), activitytest.Value[int64](rig, "SELECT count(*) FROM postbacks WHERE outcome = 'refused'"), "each refusal is kept")
}

func TestRule67AddressList(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	from := func(list []string, ip string) domain.Answer {
		rig.Set("UPDATE advertisers SET ip_allowlist = $1", list)
		return rig.Post(rig.Click(o), "A", func(p *domain.Postback) { p.SourceIP = ip })
	}
	for _, c := range []struct {
		list []string
		ip   string
		ok   bool
	}{
		{[]string{"192.0.2.0/24"}, "192.0.2.9", true},
		{[]string{"192.0.2.0/24"}, "192.0.3.9", false},
		{[]string{"198.51.100.1", "192.0.2.1"}, "192.0.2.1", true},
		{[]string{"192.0.2.1"}, "192.0.2.2", false},
		{[]string{"192.0.2.9/24"}, "192.0.2.1", true}, // bits beyond the mask
		{[]string{"2001:db8::/64"}, "2001:db8::5", true},
		{[]string{"192.0.2.1"}, "::ffff:192.0.2.1", true},
		{[]string{"nonsense"}, "192.0.2.1", false},
		{[]string{}, "203.0.113.1", true},
	} {
		answer := from(c.list, c.ip)
		require.Equal(t, c.ok, answer.Outcome == domain.OutcomeAccepted, "%v %s", c.list, c.ip)
		if !c.ok {
			require.Equal(t, domain.ReasonIPNotAllowed, answer.Reason)
		}
	}
}

// rule 19: a passed check is what makes the advertiser's time trusted.
func TestRule19AuthenticatedTime(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2), func(e *domain.Event) { e.DeadlineDays = activitytest.Decimal("1") })})
	click := rig.Click(o)
	soon := click.ClickedAt.Add(time.Hour)
	proof := func(p *domain.Postback) { p.CompletedAt = &soon }
	rig.Wait(3 * 24 * time.Hour)
	require.Equal(t, domain.ReasonDeadlinePassed, rig.Post(click, "B", proof).Reason, "nobody vouches for it")
	rig.Set("UPDATE advertisers SET ip_allowlist = '{192.0.2.1}'")
	held := rig.Postback(click, "B", proof)
	require.Equal(t, domain.OutcomeHeld, rig.MustDecide(held).Answer.Outcome, "rule 10: healed by proof")
	rig.Set("UPDATE advertisers SET ip_allowlist = '{203.0.113.1}'")
	rig.Post(click, "A", func(p *domain.Postback) { p.SourceIP, p.CompletedAt = "203.0.113.1", &soon })
	require.Equal(t, domain.OutcomeAccepted, rig.MustDecide(held).Answer.Outcome, "held, it stays as trusted as it was when it came")
}

func TestRule67Signature(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 16)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Set("UPDATE advertisers SET signing_secret_sealed = $1", rig.Keys.Seal([]byte("s3cret")))
	post := func(change func(*domain.Postback)) domain.Answer { return rig.Post(rig.Click(o), "A", change) }
	now := rig.Time()
	changed := func(with func(*domain.Postback), change func(*domain.Signed)) func(*domain.Postback) {
		return func(p *domain.Postback) { with(p); change(p.Signed) }
	}
	for name, bad := range map[string]func(*domain.Postback){
		"none":           func(*domain.Postback) {},
		"another secret": rig.Signed("guess", "n1", now),
		"another text":   changed(rig.Signed("s3cret", "n1", now), func(s *domain.Signed) { s.SealedText = rig.Keys.Seal([]byte("else")) }),
		"no hex":         changed(rig.Signed("s3cret", "n1", now), func(s *domain.Signed) { s.Signature = "xyz" }),
		"cut short":      changed(rig.Signed("s3cret", "n1", now), func(s *domain.Signed) { s.Signature = s.Signature[:32] }),
		"empty":          changed(rig.Signed("s3cret", "n1", now), func(s *domain.Signed) { s.Signature = "" }),
		"too old":        rig.Signed("s3cret", "n1", now.Add(-301*time.Second)),
		"too far ahead":  rig.Signed("s3cret", "n1", now.Add(301*time.Second)),
	} {
		require.Equal(t, domain.ReasonBadSignature, post(bad).Reason, name)
	}
	good := rig.Postback(rig.Click(o), "A", rig.Signed("s3cret", "n1", now))
	require.Equal(t, domain.OutcomeAccepted, rig.MustDecide(good).Answer.Outcome, "a wrong signature uses up no nonce")
	require.Equal(t, domain.OutcomeAccepted, rig.MustDecide(good).Answer.Outcome, "the same message again is no replay")
	require.Equal(t, domain.ReasonBadSignature, post(rig.Signed("s3cret", "n1", now)).Reason, "a nonce once")
	require.Equal(t, domain.OutcomeAccepted, post(rig.Signed("s3cret", "n2", now.Add(-300*time.Second))).Outcome)

	clicks := rig.Clicks(o, 40, nil)
	outcomes := make([]domain.Outcome, len(clicks))
	activitytest.AtOnce(t, len(clicks), func(i int) error {
		result, err := rig.Decide(t.Context(), rig.TenantID, rig.Postback(clicks[i], "A", rig.Signed("s3cret", "n3", now)))
		outcomes[i] = result.Answer.Outcome
		return err
	})
	accepted := 0
	for _, outcome := range outcomes {
		if outcome == domain.OutcomeAccepted {
			accepted++
		}
	}
	require.Equal(t, 1, accepted, "a nonce once, however many at once")
}
