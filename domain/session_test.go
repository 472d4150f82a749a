package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// visits are sessions of several members on one offer, decided as the deciding transactions do:
// each knows its members' conversions from the other sessions.
type visits struct {
	offer    *Offer
	sessions []*play
}

// click opens a session; "" is nobody's.
func (v *visits) click(member string) *play {
	p := newPlay(v.offer)
	p.facts.Click.ID = uuid.New()
	if p.facts.Click.PubMemberID = &member; member == "" {
		p.facts.Click.PubMemberID = nil
	}
	v.sessions = append(v.sessions, p)
	return p
}

func (v *visits) post(p *play, after time.Duration, event, conversionID string) Decision {
	p.facts.Member = nil
	for _, other := range v.sessions {
		if member := other.facts.Click.PubMemberID; other == p || member == nil || p.facts.Click.PubMemberID == nil || *member != *p.facts.Click.PubMemberID {
			continue
		}
		for _, c := range other.facts.Session {
			if c.EventID == idOf(event) && c.Status.Live() && !v.offer.EventByID(c.EventID).AllowRepetitions {
				p.facts.Member = append(p.facts.Member, c)
			}
		}
	}
	return p.post(after, event, named(conversionID))
}

// The table of rules 5 to 7 and 63: what becomes of an event that anna has completed in her first
// session, completed once more. TestSessionsOnTheDatabase in activities asks the same of the
// database.
func TestRules5To7Sessions(t *testing.T) {
	const again, twice, closed = OutcomeDuplicate, OutcomeAccepted, OutcomeRejected
	for _, c := range []struct {
		name          string
		click         string // "same", or the member of a new one
		member        string // of the first click
		after         time.Duration
		id            string
		off, once, on Outcome
	}{
		{"same click, the same id", "same", "anna", day, "1", again, again, again},
		{"same click, another id", "same", "anna", day, "2", again, again, twice},
		{"same click, no id, within the window", "same", "anna", 9 * time.Second, "", again, again, again},
		{"same click, no id, after the window", "same", "anna", 10 * time.Second, "", again, again, twice},
		{"same click of nobody, another id", "same", "", day, "2", again, again, twice},
		{"same click of nobody, the same id", "same", "", day, "1", again, again, again},
		{"new click, same member, the same id", "anna", "anna", day, "1", again, twice, twice},
		{"new click, same member, another id", "anna", "anna", day, "2", again, twice, twice},
		{"new click, other member", "bert", "anna", day, "1", twice, twice, twice},
		{"new click of nobody after a member", "", "anna", day, "1", twice, twice, twice},
		{"new click of a member after nobody", "anna", "", day, "1", twice, twice, twice},
		{"new click of nobody after nobody", "", "", day, "1", twice, twice, twice},
	} {
		for mode, want := range map[string]Outcome{"off": c.off, "once": c.once, "on": c.on} {
			t.Run(c.name+", repeats "+mode, func(t *testing.T) {
				v := &visits{offer: multiOffer(goal("off"), goal("once", repeats, oncePerSession), goal("on", repeats), goal("end", endPoint))}
				first := v.click(c.member)
				require.Equal(t, OutcomeAccepted, v.post(first, 0, mode, "1").Outcome)
				next := first
				if c.click != "same" {
					next = v.click(c.click)
				}
				d := v.post(next, c.after, mode, c.id)
				require.Equal(t, want, d.Outcome, "reason %q", d.Reason)

				require.Equal(t, OutcomeAccepted, v.post(first, c.after, "end", "").Outcome)
				d = v.post(first, c.after+time.Hour, mode, "3")
				if want = again; mode == "on" {
					want = closed
				}
				require.Equal(t, want, d.Outcome, "rule 63: after the end point of the first session")
				open := v.click("carl")
				require.Equal(t, twice, v.post(open, c.after+time.Hour, mode, "3").Outcome, "rule 63: a new click opens a new session")
			})
		}
	}
}

// Rules 5 to 7: whoever clicks and converts how often, a member is paid once where repeats are off,
// once per session where that is set, and a session that is closed takes nothing more.
func TestRules5To7ManySessions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := &visits{offer: multiOffer(goal("off"), goal("once", repeats, oncePerSession), goal("on", repeats), goal("end", endPoint))}
		paid, closed := map[[2]string]int{}, map[*play]bool{}
		for i := range rapid.IntRange(1, 30).Draw(t, "postbacks") {
			if len(v.sessions) == 0 || rapid.IntRange(0, 3).Draw(t, "click") == 0 {
				v.click(rapid.SampledFrom([]string{"", "anna", "bert"}).Draw(t, "member"))
			}
			p := rapid.SampledFrom(v.sessions).Draw(t, "session")
			event := rapid.SampledFrom([]string{"off", "once", "on", "end"}).Draw(t, "event")
			d := v.post(p, time.Duration(i)*time.Minute, event, rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "id"))
			if d.Outcome != OutcomeAccepted {
				continue
			}
			require.False(t, closed[p], "rule 63")
			closed[p] = event == "end"
			per := p.facts.Click.ID.String()
			if member := p.facts.Click.PubMemberID; member != nil && (event == "off" || event == "end") {
				per = *member
			}
			paid[[2]string{event, per}]++
			require.True(t, event == "on" || paid[[2]string{event, per}] == 1, "rules 5 to 7: %s twice for %s", event, per)
		}
	})
}

func TestUniqueClick(t *testing.T) {
	offer := multiOffer(goal("A"))
	at := func(before time.Duration) *time.Time { at := clickedAt.Add(-before); return &at }
	require.True(t, offer.UniqueClick(clickedAt, nil), "the first one")
	require.False(t, offer.UniqueClick(clickedAt, at(0)))
	require.False(t, offer.UniqueClick(clickedAt, at(30*day-1)), "rule 18: within the session window")
	require.True(t, offer.UniqueClick(clickedAt, at(30*day)), "rule 18: after it")
}
