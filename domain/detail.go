package domain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Detail says in one sentence what became of a postback and why: which field, what is missing, until
// when. It is for people, and in the sender's names; programs go by outcome and reason.
func (f *Facts) Detail(d *Decision) string {
	switch d.Outcome {
	case OutcomeAccepted:
		if f.Forgeable && d.New != nil {
			return "Pending until a person approves it: a pixel can be forged, so that none counts by itself where postbackSecurity is keyed."
		}
		return acceptedDetail(d)
	case OutcomeHeld:
		return f.heldDetail(d)
	case OutcomeDuplicate:
		if d.Finding {
			return f.doubtDetail()
		}
		if d.Existing != nil && d.Existing.ClickID != f.Click.ID {
			return "The same member has this event already, by another click."
		}
		return "This event of this click was converted already."
	default:
		return f.reasonDetail(d)
	}
}

func acceptedDetail(d *Decision) string {
	switch {
	case d.Move == ActionApprove:
		return "Approved by the advertiser's verdict."
	case d.Counted:
		return "The goal is recorded as a click: it is counted, and no conversion is made."
	case d.New == nil || d.New.Status != StatusPending:
		return ""
	case d.New.AwaitsVerdict:
		return "Pending until a later verdict, or a person."
	case d.New.OverCap:
		return "A cap is reached: pending until a person approves it."
	case d.New.ReleaseAt == nil:
		return "Pending until a person approves it."
	default:
		return "Pending until " + instantText(*d.New.ReleaseAt) + "."
	}
}

// doubtDetail says why a verdict changed nothing (rule 77).
func (f *Facts) doubtDetail() string {
	name := f.Postback.named("cnv_status")
	switch {
	case f.Postback.Verdict() == VerdictUnknown:
		return fmt.Sprintf("%s %q is no verdict that is known: nothing was changed, and a person is to look at it.", name, clip(f.Postback.Status))
	case f.believed():
		return "Several conversions could be meant by " + name + ": nothing was changed, and a person is to look at it. Send cnv_conversion_id."
	default:
		return "The sender of " + name + " is not authenticated: nothing was changed, and a person is to look at it."
	}
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

func (f *Facts) heldDetail(d *Decision) string {
	missing := "an earlier event"
	if event := f.Current.EventByID(d.EventID); event != nil {
		if names := f.missing(f.timing(event)); len(names) > 0 {
			missing = strings.Join(names, ", ")
		}
	}
	return fmt.Sprintf("Held until %s: this click has not completed %s yet.", instantText(d.DecideBy), missing)
}

// missing are the events that must come before one and did not (rule 12), quoted, at most three.
func (f *Facts) missing(t timing) []string {
	var names []string
	for i := range t.offer.Events {
		e := &t.offer.Events[i]
		if t.event.SequenceNumber == nil || !f.ordered(e) || *e.SequenceNumber >= *t.event.SequenceNumber || f.doneBefore(e.ID, t) {
			continue
		}
		if len(names) == 3 {
			return append(names, "others")
		}
		names = append(names, fmt.Sprintf("%q", clip(e.EventID)))
	}
	return names
}

// reasonDetail explains a rejection or refusal.
func (f *Facts) reasonDetail(d *Decision) string {
	p := &f.Postback
	switch d.Reason {
	case ReasonMissingEvent:
		if p.EventID != "" {
			return "The offer has several events, and " + p.named("cnv_event_id") + ", which must say which, " + NothingSaid(p.EventID) + "."
		}
		return "The offer has several events: " + p.named("cnv_event_id") + " must say which."
	case ReasonUnknownEvent:
		return f.unknownEventDetail()
	case ReasonGoalMismatch:
		return "The names of the goal that were sent do not name the same goal of this offer."
	case ReasonEncryptionRequired:
		return "This offer takes conversions by its opaque addresses (/SP, /GP) only."
	case ReasonMissingAmount:
		if p.Amount == "" {
			return p.named("cnv_amount") + " is missing: the offer pays a share of the sale."
		}
		_, err := ParseAmount(p.Amount)
		return fmt.Sprintf("%s %q %s.", p.named("cnv_amount"), clip(p.Amount), err)
	case ReasonCurrencyMismatch:
		return fmt.Sprintf("%s is %q, and conversions are taken in %s.", p.named("cnv_currency"), clip(p.Currency), f.Currency)
	}
	if detail := f.timeDetail(d); detail != "" {
		return detail
	}
	return d.Reason.detail()
}

func (f *Facts) unknownEventDetail() string {
	p := &f.Postback
	for _, name := range []struct{ field, value string }{{"cnv_event_id", p.EventID}, {"goal_name", p.GoalName}, {"goal_id", p.GoalID}} {
		if name.value != "" {
			return fmt.Sprintf("%s %q is no event of this offer.", p.named(name.field), clip(name.value))
		}
	}
	return "This goal takes no conversions."
}

// timeDetail explains what was too early or too late.
func (f *Facts) timeDetail(d *Decision) string {
	event := f.eventOf(d)
	if event == nil {
		return ""
	}
	t := f.timing(event)
	switch d.Reason {
	case ReasonDeadlinePassed:
		return "The event had to be completed by " + instantText(f.Click.ClickedAt.Add(t.offer.Window(t.event))) + "."
	case ReasonOutOfSequence:
		if f.holdsTooMany() {
			return fmt.Sprintf("%d postbacks of this click wait for an earlier event already, as many as may: send it again once %s is completed.",
				f.Held, strings.Join(f.missing(t), ", "))
		}
		if names := f.missing(t); len(names) > 0 {
			return "This click did not complete " + strings.Join(names, ", ") + " in time."
		}
	case ReasonTooSoon:
		if least := t.event.MinTimeFromPreviousEvent; least != nil {
			return fmt.Sprintf("Completed at %s, less than %s after the event before it.", instantText(t.done), shortDuration(least.Hours()))
		}
	}
	return ""
}

func (f *Facts) eventOf(d *Decision) *Event {
	switch {
	case d.New != nil:
		return f.Current.EventByID(d.New.EventID)
	case d.Existing != nil:
		return f.Current.EventByID(d.Existing.EventID)
	default:
		return f.Event()
	}
}

// detail is what a reason says by itself.
func (r Reason) detail() string { return reasonDetails[r] }

var reasonDetails = map[Reason]string{ //nolint:gosec // it speaks of tokens and holds none
	ReasonMalformed:       "What was sent cannot be read.",
	ReasonBadSignature:    "The security token or signature that this advertiser requires is missing or wrong.",
	ReasonIPNotAllowed:    "The sender's address is not on this advertiser's list.",
	ReasonKeyRequired:     keyRequiredDetail,
	ReasonUnknownClick:    "No click with this id is known.",
	ReasonDuplicate:       "This event of this click was converted already.",
	ReasonOutOfSequence:   "An event that must come before it was not completed in time.",
	ReasonTooSoon:         "It came too soon after the event before it.",
	ReasonCapDaily:        "The cap of the day is reached.",
	ReasonCapWeekly:       "The cap of the week is reached.",
	ReasonCapMonthly:      "The cap of the month is reached.",
	ReasonCapTotal:        "The cap is reached for good.",
	ReasonBudgetExhausted: "The budget does not suffice for it.",
	ReasonDeadlinePassed:  "The time to complete the event is over.",
	ReasonSessionClosed:   "This click's session was closed by its end point; a new click opens another.",
	ReasonFraudVelocity:   "Refused by a fraud check.",
	ReasonFraudTime:       "It came sooner after the click than the offer allows.",
	ReasonFraudAccount:    "Refused by a fraud check.",
	ReasonFraudGeo:        "Refused by a fraud check.",
	ReasonBlocked:         "The sender or its member is blocked.",
	ReasonManual:          "A person rejected it.",
	ReasonReversed:        "It was taken back.",
	ReasonAdvertiser:      "The advertiser rejected it.",
}

// RefusalDetail explains the refusal of a postback that no decision was needed for: what the edge said,
// or what the reason says of this one.
func RefusalDetail(p *Postback, reason Reason) string {
	switch {
	case p.Detail != "":
		return p.Detail
	case reason == ReasonIPNotAllowed:
		return fmt.Sprintf("The sender's address %s is not on this advertiser's list.", p.SourceIP)
	case reason == ReasonUnknownClick && p.ClickID == nil:
		return "No click of this offer and partner is known from this visitor: send the click id."
	case reason == ReasonUnknownClick:
		return fmt.Sprintf("No click with the id %s is known.", p.ClickID)
	default:
		return reason.detail()
	}
}

// ErrorsDetail is the first of the errors of a malformed postback as a sentence.
func ErrorsDetail(errs FieldErrors) string {
	if len(errs) == 0 {
		return ""
	}
	return errs[0].Field + " " + errs[0].Reason + "."
}

// Warn are all warnings about a postback: what the edge left out, and an amount that nobody can read
// where none is needed (rules 35, 71).
func (f *Facts) Warn() FieldErrors {
	p := &f.Postback
	if p.Amount == "" || f.needsAmount() {
		return p.Warnings
	}
	if _, err := ParseAmount(p.Amount); err != nil {
		return append(slices.Clone(p.Warnings), FieldError{Field: p.named("cnv_amount"), Reason: err.Error() + "; it was left out"})
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
