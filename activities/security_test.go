package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

func TestRule67Token(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A", repeats)})
	click := rig.click(o)
	rig.set("UPDATE advertisers SET security_token_hash = $1", rig.Keys.Hash("correct horse"))
	with := func(hashes []string) domain.Answer {
		rig.wait(time.Minute)
		return rig.post(click, "A", func(p *domain.Postback) { p.TokenHashes = hashes })
	}
	require.Equal(t, domain.ReasonBadSignature, with(nil).Reason)
	require.Equal(t, domain.ReasonBadSignature, with(rig.Keys.Hashes("wrong horse")).Reason)
	require.Equal(t, domain.ReasonBadSignature, with([]string{""}).Reason)
	require.Equal(t, domain.OutcomeAccepted, with(rig.Keys.Hashes("correct horse")).Outcome)

	// The keys are rotated: the hash in the database is still the old key's.
	rotated, err := keyring.Parse(keyring.Generate() + "," + rig.secretKeys)
	require.NoError(t, err)
	require.NotEqual(t, rig.Keys.Hash("correct horse"), rotated.Hash("correct horse"))
	require.Equal(t, domain.OutcomeAccepted, with(rotated.Hashes("correct horse")).Outcome)
	require.Equal(t, domain.ReasonBadSignature, with(rotated.Hashes("wrong horse")).Reason)
	rig.set("UPDATE advertisers SET security_token_hash = $1", rotated.Hash("correct horse"))
	require.Equal(t, domain.OutcomeAccepted, with(rotated.Hashes("correct horse")).Outcome)
	require.Equal(t, int64(3), value[int64](rig, "SELECT count(*) FROM conversions"))
	require.Equal(t, int64(3), value[int64](rig, "SELECT count(*) FROM postbacks WHERE authenticated"))
	require.Equal(t, int64(4), value[int64](rig, "SELECT count(*) FROM postbacks WHERE outcome = 'refused'"), "each refusal is kept")
}

func TestRule67AddressList(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")})
	from := func(list []string, ip string) domain.Answer {
		rig.set("UPDATE advertisers SET ip_allowlist = $1", list)
		return rig.post(rig.click(o), "A", func(p *domain.Postback) { p.SourceIP = ip })
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
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A", numbered(1)), goal("B", numbered(2), func(e *domain.Event) { e.DeadlineDays = decimal("1") })})
	click := rig.click(o)
	soon := click.ClickedAt.Add(time.Hour)
	proof := func(p *domain.Postback) { p.CompletedAt = &soon }
	rig.wait(3 * 24 * time.Hour)
	require.Equal(t, domain.ReasonDeadlinePassed, rig.post(click, "B", proof).Reason, "nobody vouches for it")
	rig.set("UPDATE advertisers SET ip_allowlist = '{192.0.2.1}'")
	held := rig.postback(click, "B", proof)
	require.Equal(t, domain.OutcomeHeld, rig.decide(held).Answer.Outcome, "rule 10: healed by proof")
	rig.set("UPDATE advertisers SET ip_allowlist = '{203.0.113.1}'")
	rig.post(click, "A", func(p *domain.Postback) { p.SourceIP, p.CompletedAt = "203.0.113.1", &soon })
	require.Equal(t, domain.OutcomeAccepted, rig.decide(held).Answer.Outcome, "held, it stays as trusted as it was when it came")
}

func TestRule67Signature(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 16)
	o := rig.offer([]domain.Event{goal("A")})
	rig.set("UPDATE advertisers SET signing_secret_sealed = $1", rig.Keys.Seal([]byte("s3cret")))
	post := func(change func(*domain.Postback)) domain.Answer { return rig.post(rig.click(o), "A", change) }
	now := rig.now()
	changed := func(with func(*domain.Postback), change func(*domain.Signed)) func(*domain.Postback) {
		return func(p *domain.Postback) { with(p); change(p.Signed) }
	}
	for name, bad := range map[string]func(*domain.Postback){
		"none":           func(*domain.Postback) {},
		"another secret": rig.signed("guess", "n1", now),
		"another text":   changed(rig.signed("s3cret", "n1", now), func(s *domain.Signed) { s.SealedText = rig.Keys.Seal([]byte("else")) }),
		"no hex":         changed(rig.signed("s3cret", "n1", now), func(s *domain.Signed) { s.Signature = "xyz" }),
		"cut short":      changed(rig.signed("s3cret", "n1", now), func(s *domain.Signed) { s.Signature = s.Signature[:32] }),
		"empty":          changed(rig.signed("s3cret", "n1", now), func(s *domain.Signed) { s.Signature = "" }),
		"too old":        rig.signed("s3cret", "n1", now.Add(-301*time.Second)),
		"too far ahead":  rig.signed("s3cret", "n1", now.Add(301*time.Second)),
	} {
		require.Equal(t, domain.ReasonBadSignature, post(bad).Reason, name)
	}
	good := rig.postback(rig.click(o), "A", rig.signed("s3cret", "n1", now))
	require.Equal(t, domain.OutcomeAccepted, rig.decide(good).Answer.Outcome, "a wrong signature uses up no nonce")
	require.Equal(t, domain.OutcomeAccepted, rig.decide(good).Answer.Outcome, "the same message again is no replay")
	require.Equal(t, domain.ReasonBadSignature, post(rig.signed("s3cret", "n1", now)).Reason, "a nonce once")
	require.Equal(t, domain.OutcomeAccepted, post(rig.signed("s3cret", "n2", now.Add(-300*time.Second))).Outcome)

	clicks := rig.clicks(o, 40, nil)
	outcomes := make([]domain.Outcome, len(clicks))
	atOnce(t, len(clicks), func(i int) error {
		decided, err := rig.Decide(t.Context(), rig.tenantID, rig.postback(clicks[i], "A", rig.signed("s3cret", "n3", now)))
		outcomes[i] = decided.Answer.Outcome
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
