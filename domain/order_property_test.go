package domain

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawOrder makes an offer of up to six events with random order, gaps, windows and repeats.
func drawOrder(t *rapid.T) *Offer {
	var events []Event
	for i := range rapid.IntRange(1, 6).Draw(t, "events") {
		e := goal(string(rune('A' + i)))
		if rapid.IntRange(0, 3).Draw(t, "numbered") > 0 {
			seq(rapid.IntRange(1, 3).Draw(t, "number"))(&e)
		}
		for _, trait := range []func(*Event){repeats, oncePerSession, gap("1"), deadline("0.5")} {
			if rapid.IntRange(0, 2).Draw(t, "trait") == 0 {
				trait(&e)
			}
		}
		events = append(events, e)
	}
	if end := rapid.IntRange(0, 12).Draw(t, "end point"); end < len(events) {
		events[end].IsEndPoint = true
	}
	return changedOffer(multiOffer(events...), func(o *Offer) { o.TrustCompletionTime, o.OutOfOrderGraceMinutes = true, *decimal("10080") })
}

type timed struct {
	event, id string
	after     time.Duration
}

// drawHistory is what a member does: steps of half hours, each event perhaps several times.
func drawHistory(t *rapid.T, offer *Offer) (history []timed) {
	after := time.Duration(0)
	for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
		after += time.Duration(rapid.IntRange(1, 5).Draw(t, "half hours")) * 30 * time.Minute
		event := rapid.SampledFrom(offer.Events).Draw(t, "event")
		history = append(history, timed{event.EventID, fmt.Sprint(i), after})
	}
	return history
}

func (p *play) liveSet() (set []string) {
	for _, c := range p.facts.Session {
		if c.Status.Live() {
			set = append(set, c.EventID.String()+" "+c.CompletedAt.Format(time.RFC3339))
		}
	}
	slices.Sort(set)
	return set
}

// Invariant 8: of events that are valid in the order in which they were completed, any order of
// arrival makes the same ones live, where the times are trusted and the early ones are held.
func TestInvariant8OrderOfArrivalDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := drawOrder(t)
		inOrder := newPlay(offer)
		var valid []timed
		for _, step := range drawHistory(t, offer) {
			if inOrder.post(3*day, step.event, completed(step.after), named(step.id)).Outcome == OutcomeAccepted {
				valid = append(valid, step)
			}
		}
		other := newPlay(offer)
		for i, step := range rapid.Permutation(valid).Draw(t, "arrival") {
			other.post(3*day+time.Duration(i)*time.Minute, step.event, completed(step.after), named(step.id))
		}
		require.Len(t, other.liveSet(), len(valid))
		require.Equal(t, inOrder.liveSet(), other.liveSet())
		require.Empty(t, other.held)
	})
}

// Rules 5 to 7, 9: whatever comes in whatever order, trusted or not, and whatever people do, no two
// live conversions share what they are unique by; and no decision contradicts itself.
func TestNeverTwoLiveForOneKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		offer := drawOrder(t)
		offer.OutOfOrderGraceMinutes = *decimal(rapid.SampledFrom([]string{"0", "30", "600"}).Draw(t, "grace"))
		p, now := newPlay(offer), time.Duration(0)
		for range rapid.IntRange(1, 25).Draw(t, "postbacks") {
			now += time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute
			var with []func(*Postback)
			if rapid.Bool().Draw(t, "timed") {
				with = append(with, completed(now-time.Duration(rapid.IntRange(-2, 300).Draw(t, "ago"))*time.Minute))
			}
			id := rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "id")
			d := p.post(now, rapid.SampledFrom(offer.Events).Draw(t, "event").EventID, append(with, named(id))...)
			requireConsistentRapid(t, d)
			if rapid.IntRange(0, 5).Draw(t, "person") == 0 && len(p.facts.Session) > 0 {
				p.reviewAny(t, now)
			}
			requireUnique(t, offer, p.facts.Session)
		}
	})
}

// reviewAny rejects or reverses any conversion.
func (p *play) reviewAny(t *rapid.T, after time.Duration) {
	c := &p.facts.Session[rapid.IntRange(0, len(p.facts.Session)-1).Draw(t, "which")]
	action := rapid.SampledFrom([]Action{ActionReject, ActionReverse}).Draw(t, "action")
	if status, reason, err := Move(*c, action, clickedAt.Add(after)); err == nil {
		c.Status, c.Reason = status, reason
	}
}

func requireConsistentRapid(t *rapid.T, d Decision) {
	require.True(t, d.New == nil || d.Existing == nil)
	require.Equal(t, d.Outcome == OutcomeAccepted, d.New != nil && d.New.Status.Live())
	require.Equal(t, d.Outcome == OutcomeDuplicate, d.Existing != nil && d.Existing.Status.Live())
	require.Equal(t, d.Outcome == OutcomeHeld, !d.DecideBy.IsZero())
}

func requireUnique(t *rapid.T, offer *Offer, session []Conversion) {
	type key struct {
		event uuid.UUID
		id    string
	}
	seen := map[key]bool{}
	for _, c := range session {
		event := offer.EventByID(c.EventID)
		if !c.Status.Live() || (event.AllowRepetitions && !event.OncePerSession && c.CnvConversionID == "") {
			continue
		}
		k := key{event: c.EventID}
		if event.AllowRepetitions && !event.OncePerSession {
			k.id = c.CnvConversionID
		}
		require.False(t, seen[k], "two live ones of %s %q", event.Name, k.id)
		seen[k] = true
	}
}
