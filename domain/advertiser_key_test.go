package domain

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ownKey, oldKey = "ownkeyownkeyownkeyownkeyownkey22", "oldkeyoldkeyoldkeyoldkeyoldkey22"

// keyedSecurity is an advertiser's whose key was rotated an hour ago.
func keyedSecurity(change func(*Security)) Security {
	until := clickedAt.Add(23 * time.Hour)
	s := Security{Keyed: true, KeyHash: AdvertiserKeyHash(ownKey), PreviousKeyHash: AdvertiserKeyHash(oldKey), PreviousKeyUntil: &until}
	if change != nil {
		change(&s)
	}
	return s
}

func TestRule78WhatCounts(t *testing.T) {
	open := func(s *Security) { s.Keyed = false }
	token := func(s *Security) { s.HasToken, s.TokenOK = true, true }
	opaque, opaquePixel := &Address{Opaque: true, OfAdvertiser: true}, &Address{Opaque: true}
	for _, c := range []struct {
		name     string
		security Security
		postback Postback
		want     Proof
	}{
		{"keyed: a click id alone", keyedSecurity(nil), Postback{AdvertiserKey: SentWithoutKey}, Proof{Refused: ReasonKeyRequired}},
		{"keyed: the key", keyedSecurity(nil), Postback{AdvertiserKey: SentByKey(ownKey)}, Proof{ByKey: true}},
		{"keyed: the key in capitals", keyedSecurity(nil), Postback{AdvertiserKey: SentByKey(strings.ToUpper(ownKey))}, Proof{ByKey: true}},
		{"keyed: another's key", keyedSecurity(nil), Postback{AdvertiserKey: SentByKey("another")}, Proof{Refused: ReasonKeyRequired}},
		{"keyed: the key before", keyedSecurity(nil), Postback{AdvertiserKey: SentByKey(oldKey)}, Proof{ByKey: true}},
		{"keyed: the key before, after its day", keyedSecurity(nil), Postback{AdvertiserKey: SentByKey(oldKey), ReceivedAt: clickedAt.Add(23 * time.Hour)}, Proof{Refused: ReasonKeyRequired}},
		{"keyed: an opaque postback", keyedSecurity(nil), Postback{AdvertiserKey: SentWithoutKey, Address: opaque}, Proof{}},
		{"keyed: the token", keyedSecurity(token), Postback{AdvertiserKey: SentWithoutKey}, Proof{Authenticated: true}},
		{"keyed: the token and another's key", keyedSecurity(token), Postback{AdvertiserKey: SentByKey("another")}, Proof{Refused: ReasonKeyRequired}},
		{"keyed: the key and no token", keyedSecurity(func(s *Security) { s.HasToken = true }), Postback{AdvertiserKey: SentByKey(ownKey)}, Proof{Refused: ReasonBadSignature}},
		{"keyed: a pixel", keyedSecurity(nil), Postback{AdvertiserKey: SentByPixel}, Proof{Forgeable: true}},
		{"keyed: an opaque pixel", keyedSecurity(nil), Postback{AdvertiserKey: SentByPixel, Address: opaquePixel}, Proof{Forgeable: true}},
		{"keyed: a pixel with the token, which its page shows", keyedSecurity(token), Postback{AdvertiserKey: SentByPixel}, Proof{Forgeable: true}},
		{"keyed: a message of the release before", keyedSecurity(nil), Postback{}, Proof{}},
		{"keyed: one with a key of the release before", keyedSecurity(nil), Postback{AdvertiserKey: "kd93jf0s"}, Proof{}},
		{"keyed: no key is stored", Security{Keyed: true}, Postback{AdvertiserKey: SentByKey("")}, Proof{Refused: ReasonKeyRequired}},
		{"open: a click id alone", keyedSecurity(open), Postback{AdvertiserKey: SentWithoutKey}, Proof{}},
		{"open: the key", keyedSecurity(open), Postback{AdvertiserKey: SentByKey(ownKey)}, Proof{ByKey: true}},
		{"open: another's key", keyedSecurity(open), Postback{AdvertiserKey: SentByKey("another")}, Proof{Refused: ReasonKeyRequired}},
		{"open: a pixel", keyedSecurity(open), Postback{AdvertiserKey: SentByPixel}, Proof{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.postback.ReceivedAt.IsZero() {
				c.postback.ReceivedAt = clickedAt
			}
			got := c.security.Check(&c.postback)
			if got.Refused != ReasonNone {
				require.NotEmpty(t, got.Detail)
				got.Detail = ""
			}
			require.Equal(t, c.want, got)
		})
	}
	require.Equal(t, 401, HTTPStatus(OutcomeRefused, ReasonKeyRequired))
}

// A refusal says what to use instead, and of a key that was replaced that it was.
func TestRule78RefusalsSayWhatToDo(t *testing.T) {
	security := keyedSecurity(nil)
	says := func(p Postback) string { return security.Check(&p).Detail }
	for _, word := range []string{"/track/{advertiserKey}", "/SP", "/GP", "security_token", "signature", "list"} {
		require.Contains(t, says(Postback{AdvertiserKey: SentWithoutKey}), word)
	}
	require.Contains(t, says(Postback{AdvertiserKey: SentByKey("another")}), "does not belong to this click's advertiser")
	require.Contains(t, says(Postback{AdvertiserKey: SentByKey(oldKey), ReceivedAt: clickedAt.Add(25 * time.Hour)}), "was replaced and worked until 2026-03-02T11:00:00Z")
}

func forgeable(p *play) { p.facts.Forgeable = true }

func TestRule78APixelWaitsForAPerson(t *testing.T) {
	for name, event := range map[string]Event{"at once": goal("A"), "released by time": goal("A", pending("1")), "a repeat": goal("A", repeats)} {
		t.Run(name, func(t *testing.T) {
			p := newPlay(multiOffer(event))
			forgeable(p)
			d := p.post(time.Hour, "A")
			require.Equal(t, OutcomeAccepted, d.Outcome)
			require.Equal(t, []any{StatusPending, true, false}, []any{d.New.Status, d.New.NeedsReview, d.New.Expected}, "rule 43: not earned yet")
			require.Nil(t, d.New.ReleaseAt, "no timer approves it")
			require.Contains(t, p.facts.Explain(&d).Detail, "pixels can be forged")
		})
	}
	p := newPlay(multiOffer(goal("A", approval)))
	forgeable(p)
	require.False(t, p.post(time.Hour, "A").New.Expected)
}

// Rule 77: a key is as good as a token for a verdict, and says nothing of a time (rule 19). A pixel is good
// for neither, whatever the offer trusts.
func TestRule78WhoseVerdictCounts(t *testing.T) {
	byKey := newPlay(multiOffer(goal("A", deadline("1"))))
	byKey.facts.ByKey = true
	require.Equal(t, OutcomeAccepted, byKey.post(time.Hour, "A").Outcome)
	d := byKey.post(2*time.Hour, "A", says("rejected"))
	require.Equal(t, []any{OutcomeRejected, ReasonReversed}, []any{d.Outcome, d.Reason})
	late := newPlay(multiOffer(goal("A", deadline("1"))))
	late.facts.ByKey = true
	require.Equal(t, ReasonDeadlinePassed, late.post(48*time.Hour, "A", completed(time.Hour)).Reason)

	pixel := newPlay(multiOffer(goal("A")))
	pixel.facts.Current.TrustAdvertiserStatus = true
	require.Equal(t, StatusSuccess, pixel.post(time.Hour, "A").New.Status)
	forgeable(pixel)
	d = pixel.post(2*time.Hour, "A", says("rejected"))
	require.Equal(t, []any{OutcomeDuplicate, true}, []any{d.Outcome, d.Finding}, "it takes nothing back")
}

func TestPathWithoutKey(t *testing.T) {
	for path, want := range map[string]string{
		"/track/kd93jf0s": "/track/***", "/track/kd93jf0s/more": "/track/***", "/Postback/KD": "/Postback/***", "/api/v1/conversion/k": "/api/v1/conversion/***",
		"/track": "/track", "/track/": "/track/", "/SPabc": "/SPabc", "/aff_lsr": "/aff_lsr", "/api/v1/tools/test-conversion": "/api/v1/tools/test-conversion", "": "",
	} {
		require.Equal(t, want, PathWithoutKey(path))
		require.Equal(t, want, PathWithoutKey(want), "twice is once")
	}
}

// Rule 67: bad_signature says which it was.
func TestBadSignatureSaysWhichItWas(t *testing.T) {
	signed := func(change func(*Signed)) *Signed {
		s := &Signed{Timestamp: clickedAt, Nonce: "n-123456", Signature: "00"}
		if change != nil {
			change(s)
		}
		return s
	}
	for name, c := range map[string]struct {
		security Security
		postback Postback
		says     string
	}{
		"no token":     {Security{HasToken: true}, Postback{}, "security_token is missing"},
		"wrong token":  {Security{HasToken: true}, Postback{TokenHashes: []string{"x"}}, "security_token is not this advertiser's"},
		"not signed":   {Security{HasSecret: true}, Postback{}, "not signed"},
		"no signature": {Security{HasSecret: true}, Postback{Signed: signed(func(s *Signed) { s.Signature = "" })}, "of_signature is missing"},
		"no nonce":     {Security{HasSecret: true}, Postback{Signed: signed(func(s *Signed) { s.Nonce = "" })}, "of_nonce is missing"},
		"no time":      {Security{HasSecret: true}, Postback{Signed: signed(func(s *Signed) { s.Timestamp = time.Time{} })}, "of_timestamp is missing"},
		"stale":        {Security{HasSecret: true}, Postback{Signed: signed(func(s *Signed) { s.Timestamp = clickedAt.Add(-301 * time.Second) })}, "of_timestamp is stale: it is 2026-03-01T11:54:59Z"},
		"wrong":        {Security{HasSecret: true}, Postback{Signed: signed(nil)}, "of_signature is wrong"},
		"token first":  {Security{HasToken: true, HasSecret: true}, Postback{Signed: signed(nil)}, "security_token is missing"},
	} {
		c.postback.ReceivedAt = clickedAt
		proof := c.security.Check(&c.postback)
		require.Equal(t, ReasonBadSignature, proof.Refused, name)
		require.Contains(t, proof.Detail, c.says, name)
	}
	require.Contains(t, NonceFault("n-123456"), `of_nonce "n-123456" was already used`)
}
