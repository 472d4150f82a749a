package domain

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestMove(t *testing.T) {
	due := clickedAt
	waiting := Conversion{Status: StatusPending, ReleaseAt: &due}
	review := Conversion{Status: StatusPending, ReleaseAt: &due, NeedsReview: true}
	untimed := Conversion{Status: StatusPending}
	success := Conversion{Status: StatusSuccess}
	rejected := func(r Reason) Conversion { return Conversion{Status: StatusRejected, Reason: r} }
	for _, c := range []struct {
		name   string
		from   Conversion
		action Action
		at     time.Time
		status Status
		reason Reason
		err    error
	}{
		{"rule 21: released when due", waiting, ActionRelease, due, StatusSuccess, ReasonNone, nil},
		{"rule 21: not a nanosecond before", waiting, ActionRelease, due.Add(-1), "", "", ErrNotDue},
		{"rule 21: exactly once", success, ActionRelease, due, "", "", ErrNothingToDo},
		{"rule 23: a rejected one is not released", rejected(ReasonManual), ActionRelease, due, "", "", ErrNothingToDo},
		{"rule 22: the timer does not approve", review, ActionRelease, due.Add(day), "", "", ErrAwaitsReview},
		{"rule 22: nor without a time", untimed, ActionRelease, due.Add(day), "", "", ErrAwaitsReview},
		{"rule 22: a person does", review, ActionApprove, due, StatusSuccess, ReasonNone, nil},
		{"rule 22: also before it is due", waiting, ActionApprove, due.Add(-day), StatusSuccess, ReasonNone, nil},
		{"rule 25: approved twice", success, ActionApprove, due, "", "", ErrNothingToDo},
		{"rule 25: any Rejected", rejected(ReasonTooSoon), ActionApprove, due, StatusSuccess, ReasonNone, nil},
		{"rule 25: fraud too", rejected(ReasonFraudTime), ActionApprove, due, StatusSuccess, ReasonNone, nil},
		{"rule 25: a reversed one too", rejected(ReasonReversed), ActionApprove, due, StatusSuccess, ReasonNone, nil},
		{"rule 23: rejected while Pending", waiting, ActionReject, due, StatusRejected, ReasonManual, nil},
		{"rule 23: a Success is not rejected but reversed", success, ActionReject, due, "", "", ErrOnlyPending},
		{"rule 23: rejected twice", rejected(ReasonManual), ActionReject, due, "", "", ErrNothingToDo},
		{"rule 23: reversed after Success", success, ActionReverse, due, StatusRejected, ReasonReversed, nil},
		{"rule 23: reversed twice", rejected(ReasonReversed), ActionReverse, due, "", "", ErrNothingToDo},
		{"rule 23: a Pending one is not reversed but rejected", waiting, ActionReverse, due, "", "", ErrOnlySuccessful},
		{"rule 23: a rejected one has nothing to reverse", rejected(ReasonManual), ActionReverse, due, "", "", ErrOnlySuccessful},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, reason, err := Move(c.from, c.action, c.at)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.status, status)
			require.Equal(t, c.reason, reason)
		})
	}
	for _, action := range []Action{ActionRelease, ActionApprove, ActionReject, ActionReverse} {
		for _, c := range []Conversion{waiting, success, rejected(ReasonManual)} {
			c.Side = SidePublisher
			_, _, err := Move(c, action, due)
			require.ErrorIs(t, err, ErrDecidedByAdvertiser, "rule 58: %s of a publisher's copy", action)
			c.Side = SideAdvertiser
			_, _, err = Move(c, action, due)
			require.NotErrorIs(t, err, ErrDecidedByAdvertiser)
		}
	}
	_, _, err := Move(waiting, "explode", due)
	require.Error(t, err)
}

// rule 25: over any life, the rewards that successes give and reversals take sum to none or one.
func TestNetRewardIsNeverMoreThanOne(t *testing.T) {
	actions := []Action{ActionRelease, ActionApprove, ActionReject, ActionReverse}
	rapid.Check(t, func(t *rapid.T) {
		release := clickedAt.Add(time.Duration(rapid.IntRange(0, 10).Draw(t, "release")) * time.Hour)
		c := Conversion{
			Status:      rapid.SampledFrom([]Status{StatusPending, StatusSuccess, StatusRejected}).Draw(t, "status"),
			NeedsReview: rapid.Bool().Draw(t, "review"), ReleaseAt: &release,
		}
		if c.Status == StatusRejected {
			c.Reason = ReasonTooSoon
		}
		reward := map[bool]int{true: 1}[c.Status == StatusSuccess]
		now := clickedAt
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "wait")) * time.Hour)
			was := c.Status
			status, reason, err := Move(c, rapid.SampledFrom(actions).Draw(t, "action"), now)
			if err != nil {
				continue
			}
			c.Status, c.Reason, c.NeedsReview = status, reason, false
			switch {
			case was == StatusSuccess:
				reward--
			case status == StatusSuccess:
				reward++
			}
			require.NotEqual(t, was, status, "a transition changes something")
			require.Contains(t, []int{0, 1}, reward)
			require.Equal(t, c.Status == StatusSuccess, reward == 1)
			require.Equal(t, c.Status == StatusRejected, c.Reason != ReasonNone)
		}
	})
}

func TestOutcomesTable(t *testing.T) {
	type row struct {
		reasons []Reason
		outcome Outcome
		status  int
		heals   bool
	}
	rows := map[string]row{
		"malformed":       {[]Reason{ReasonMalformed}, OutcomeRefused, 400, false},
		"not the sender":  {[]Reason{ReasonBadSignature, ReasonIPNotAllowed}, OutcomeRefused, 401, false},
		"rule 1: unknown": {[]Reason{ReasonUnknownClick}, OutcomeRefused, 404, false},
		"rules 3, 4, 62, 65: no such goal": {[]Reason{ReasonMissingEvent, ReasonUnknownEvent, ReasonGoalMismatch, ReasonEncryptionRequired},
			OutcomeRefused, 422, false},
		"rule 5: duplicate":     {[]Reason{ReasonDuplicate}, OutcomeDuplicate, 200, false},
		"rule 14: in its grace": {[]Reason{ReasonNone}, OutcomeHeld, 202, false},
		"accepted":              {[]Reason{ReasonNone}, OutcomeAccepted, 200, false},
		"not decided yet":       {[]Reason{ReasonNone}, OutcomeQueued, 202, false},
		"rule 10: heals": {[]Reason{ReasonOutOfSequence, ReasonTooSoon, ReasonMissingAmount, ReasonCurrencyMismatch, ReasonCapDaily,
			ReasonCapWeekly, ReasonCapMonthly, ReasonCapTotal, ReasonBudgetExhausted, ReasonDeadlinePassed}, OutcomeRejected, 200, true},
		"rule 10: does not heal": {[]Reason{ReasonSessionClosed, ReasonFraudVelocity, ReasonFraudTime, ReasonFraudAccount, ReasonFraudGeo,
			ReasonBlocked, ReasonManual, ReasonReversed, ReasonAdvertiser}, OutcomeRejected, 200, false},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			for _, reason := range r.reasons {
				require.Equal(t, r.status, HTTPStatus(r.outcome, reason), reason)
				require.Equal(t, r.heals, reason.Heals(), reason)
			}
		})
	}
}

func TestLive(t *testing.T) {
	require.True(t, StatusPending.Live())
	require.True(t, StatusSuccess.Live())
	require.False(t, StatusRejected.Live())
}
