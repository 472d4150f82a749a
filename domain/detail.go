package domain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Explanation says in words what became of a postback and why: which field, what is missing, until when.
// It is for people, and in the sender's names; programs go by outcome and reason.
type Explanation struct {
	// Detail is for whoever sent the postback, who may be a stranger.
	Detail string
	// Hint is what the tenant's log says besides.
	Hint string
}

// sentence is what there is to say, by who may hear it. The names of an offer's events and its caps are
// for its advertiser and the tenant: a stranger could forge a conversion with them. What concerns the
// partner is for the tenant alone.
type sentence struct{ anyone, advertiser, tenant string }

// Explain says what became of a postback.
func (f *Facts) Explain(d *Decision) Explanation {
	s := f.sentence(d)
	if f.byAdvertiser() {
		return Explanation{Detail: joinSentences(s.anyone, s.advertiser), Hint: s.tenant}
	}
	return Explanation{Detail: s.anyone, Hint: joinSentences(s.advertiser, s.tenant)}
}

// Whole is all of it, for the tenant.
func (e Explanation) Whole() string { return joinSentences(e.Detail, e.Hint) }

func joinSentences(one, other string) string {
	if one == "" || other == "" {
		return one + other
	}
	return one + " " + other
}

func (f *Facts) sentence(d *Decision) sentence {
	switch d.Outcome {
	case OutcomeAccepted:
		return f.acceptedSentence(d)
	case OutcomeHeld:
		return f.heldSentence(d)
	case OutcomeDuplicate:
		if d.Finding {
			return sentence{anyone: f.doubtDetail()}
		}
		if d.Existing != nil && d.Existing.ClickID != f.Click.ID {
			return sentence{anyone: "The same member has already completed this event through another click."}
		}
		return sentence{anyone: ReasonDuplicate.Sentence()}
	default:
		return f.reasonSentence(d)
	}
}

func (f *Facts) acceptedSentence(d *Decision) sentence {
	switch {
	case f.Forgeable && d.New != nil:
		return sentence{anyone: "Pending until a person approves it: pixels can be forged, so with postbackSecurity keyed they need an approval."}
	case d.Move == ActionApprove:
		return sentence{anyone: "Approved by the advertiser's verdict."}
	case d.Counted:
		return sentence{anyone: "The goal is recorded as a click: it is counted, without a conversion."}
	case d.New == nil || d.New.Status != StatusPending:
		return sentence{}
	case d.New.AwaitsVerdict:
		return sentence{anyone: "Pending until a later verdict or a person decides."}
	case d.New.OverCap:
		s := sentence{anyone: "A cap is reached: pending until a person approves it."}
		if d.Exhausted != nil {
			s.advertiser, s.tenant = f.capOwner(d.Exhausted)
		}
		return s
	case d.New.ReleaseAt == nil:
		return sentence{anyone: "Pending until a person approves it."}
	default:
		return sentence{anyone: "Pending until " + instantText(*d.New.ReleaseAt) + "."}
	}
}

// doubtDetail says why a verdict changed nothing (rule 77).
func (f *Facts) doubtDetail() string {
	name := f.Postback.named("cnv_status")
	switch {
	case f.Postback.Verdict() == VerdictUnknown:
		return fmt.Sprintf("%s %q is not a known verdict: nothing was changed, and a person must check it.", name, clip(f.Postback.Status))
	case f.believed():
		return "Several conversions match " + name + ": nothing was changed, and a person must check it. Send cnv_conversion_id."
	default:
		return "The sender of " + name + " is not authenticated: nothing was changed, and a person must check it."
	}
}

func (f *Facts) heldSentence(d *Decision) sentence {
	s := sentence{anyone: fmt.Sprintf("Held until %s: an event that must be completed first is missing.", instantText(d.DecideBy))}
	if event := f.Current.EventByID(d.EventID); event != nil {
		s.advertiser = f.waitsFor(f.timing(event))
	}
	return s
}

// waitsFor names the events that must come before one and did not (rule 12).
func (f *Facts) waitsFor(t timing) string {
	var names []string
	for i := range t.offer.Events {
		e := &t.offer.Events[i]
		if t.event.SequenceNumber != nil && f.ordered(e) && *e.SequenceNumber < *t.event.SequenceNumber && !f.doneBefore(e.ID, t) {
			names = append(names, e.EventID)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "Missing: " + quoted(names) + "."
}

// maxNamed is how many names a sentence lists.
const maxNamed = 3

// quoted lists names, and how many there are besides those that it lists.
func quoted(names []string) string {
	var listed []string
	for _, name := range names[:min(len(names), maxNamed)] {
		listed = append(listed, fmt.Sprintf("%q", clip(name)))
	}
	if more := len(names) - maxNamed; more > 0 {
		return strings.Join(listed, ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(listed, ", ")
}

// instantText is a time in a sentence, to the second.
func instantText(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// shortDuration leaves out the zeros behind: 2h for 2h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// wholeSeconds rounds up: whoever waits so long has waited long enough.
func wholeSeconds(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}

func (f *Facts) eventOf(d *Decision) *Event {
	var id uuid.UUID
	switch {
	case d.New != nil:
		id = d.New.EventID
	case d.Existing != nil:
		id = d.Existing.EventID
	default:
		return f.Event()
	}
	return f.Current.EventByID(id)
}

// Warn are all warnings about a postback: what the edge left out, and an amount that nobody can read
// where none is needed (rules 35, 71).
func (f *Facts) Warn() FieldErrors {
	p := &f.Postback
	if p.Amount == "" || f.needsAmount() {
		return p.Warnings
	}
	if _, err := ParseAmount(p.Amount); err != nil {
		return append(slices.Clone(p.Warnings), FieldError{Field: p.named("cnv_amount"), Reason: err.Error() + "; it was ignored"})
	}
	return p.Warnings
}

// named is the sender's name of one of our parameters.
func (p *Postback) named(ours string) string {
	if theirs := p.Said[ours]; theirs != "" {
		return theirs
	}
	return ours
}

// ReadWarnings reads warnings as the log keeps them; nil where there are none.
func ReadWarnings(stored []byte) (FieldErrors, error) {
	var warnings FieldErrors
	if err := json.Unmarshal(stored, &warnings); err != nil || len(warnings) == 0 {
		return nil, err
	}
	return warnings, nil
}
