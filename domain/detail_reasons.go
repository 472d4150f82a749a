package domain

import (
	"fmt"
	"strings"
	"time"
)

// reasonSentence explains a rejection or refusal.
func (f *Facts) reasonSentence(d *Decision) sentence {
	p := &f.Postback
	switch d.Reason {
	case ReasonMissingEvent:
		said := "The offer has several events: " + p.named("cnv_event_id") + " must name one of them."
		if p.EventID != "" {
			said = "The offer has several events, but " + p.named("cnv_event_id") + ", which must name one of them, " + NothingSaid(p.EventID) + "."
		}
		return sentence{
			anyone:     said,
			advertiser: "They are: " + quoted(f.eventNames((*Event).advertisersName)) + ".",
		}
	case ReasonUnknownEvent:
		return f.unknownEventSentence()
	case ReasonGoalMismatch:
		return sentence{anyone: f.goalMismatchDetail()}
	case ReasonMissingAmount:
		return sentence{anyone: f.amountDetail()}
	case ReasonCurrencyMismatch:
		return sentence{anyone: fmt.Sprintf("%s is %q, but conversions must be in %s.", p.named("cnv_currency"), clip(p.Currency), f.Currency)}
	case ReasonCapDaily, ReasonCapWeekly, ReasonCapMonthly, ReasonCapTotal, ReasonBudgetExhausted:
		if d.Exhausted != nil {
			return f.capSentence(d.Exhausted)
		}
	}
	if s := f.timeSentence(d); s.anyone != "" {
		return s
	}
	return sentence{anyone: d.Reason.Sentence()}
}

func (f *Facts) unknownEventSentence() sentence {
	p := &f.Postback
	for _, sent := range []struct {
		field, value string
		of           func(*Event) string
	}{
		{"cnv_event_id", p.EventID, (*Event).advertisersName}, {"goal_name", p.GoalName, func(e *Event) string { return e.Slug }}, {"goal_id", p.GoalID, nil},
	} {
		if sent.value == "" {
			continue
		}
		s := sentence{anyone: fmt.Sprintf("%s %q is not an event of this offer.", p.named(sent.field), clip(sent.value))}
		switch {
		case f.Event() != nil:
			s.anyone = fmt.Sprintf("The event of %s %q no longer accepts conversions.", p.named(sent.field), clip(sent.value))
		case sent.of != nil:
			s.advertiser = suggestion(sent.value, f.eventNames(sent.of))
		}
		return s
	}
	return sentence{anyone: "This goal does not accept conversions."}
}

// suggestion names what was probably meant, or where nothing is near what there is.
func suggestion(sent string, names []string) string {
	if near := Nearest(sent, names); len(near) > 0 {
		return "Closest match: " + quoted(near) + "."
	}
	if len(names) == 0 {
		return ""
	}
	return "The events are: " + quoted(names) + "."
}

func (e *Event) advertisersName() string { return e.EventID }

// eventNames are the names of the events that take conversions now.
func (f *Facts) eventNames(of func(*Event) string) (names []string) {
	for i := range f.Current.Events {
		if e := &f.Current.Events[i]; f.open(e) && of(e) != "" {
			names = append(names, of(e))
		}
	}
	return names
}

func (f *Facts) goalMismatchDetail() string {
	p := &f.Postback
	var sent []string
	for _, one := range []struct{ field, value string }{{"cnv_event_id", p.EventID}, {"goal_id", p.GoalID}, {"goal_name", p.GoalName}} {
		if one.value != "" {
			sent = append(sent, p.named(one.field))
		}
	}
	switch {
	case f.foreignName() && f.Event() == nil && len(sent) == 1:
		return p.named("adv_id") + " is not the advertiser of this click's offer."
	case len(sent) < 2: // the address names a goal, too
		return "The goal that was sent is not the goal of the address."
	default:
		return strings.Join(sent, " and ") + " do not name the same goal of this offer."
	}
}

func (f *Facts) amountDetail() string {
	p := &f.Postback
	name := p.named("cnv_amount")
	_, err := ParseAmount(p.Amount)
	switch {
	case p.Amount == "" && f.needsAmount():
		return name + " is missing: the offer pays a percentage of the sale."
	case p.Amount == "":
		return "The conversion's value is too large to be booked: check the offer's figures."
	case err != nil:
		return fmt.Sprintf("%s %q %s.", name, clip(p.Amount), err)
	default:
		return fmt.Sprintf("%s %q makes the conversion's value too large to be booked.", name, clip(p.Amount))
	}
}

// timeSentence explains what was too early or too late.
func (f *Facts) timeSentence(d *Decision) sentence {
	event := f.eventOf(d)
	if event == nil {
		return sentence{}
	}
	t := f.timing(event)
	switch d.Reason {
	case ReasonDeadlinePassed:
		end := f.Click.ClickedAt.Add(t.offer.Window(t.event))
		if !t.done.After(end) {
			return sentence{anyone: "The event was completed in time, but the postback had to arrive by " + instantText(end.Add(LateProof)) + "."}
		}
		return sentence{anyone: "The event had to be completed by " + instantText(end) + "."}
	case ReasonOutOfSequence:
		if f.holdsTooMany() {
			said := fmt.Sprintf("This click already has the maximum of %d held postbacks: send this one again once the earlier event is completed.", f.Held)
			return sentence{anyone: said, advertiser: f.waitsFor(t)}
		}
		return sentence{anyone: ReasonOutOfSequence.Sentence(), advertiser: f.waitsFor(t)}
	case ReasonTooSoon:
		if missing, since := f.shortfall(t); missing > 0 {
			least := t.event.MinTimeFromPreviousEvent.Hours()
			return sentence{anyone: fmt.Sprintf("Completed at %s, %s too soon: it counts from %s on, %s after %s.", instantText(t.done),
				shortDuration(wholeSeconds(missing)), instantText(since.Add(least).Add(time.Second-1)), shortDuration(least), instantText(since))}
		}
	case ReasonSessionClosed:
		for _, c := range f.Session {
			if c.ClosesSession && c.Status.Live() {
				return sentence{anyone: "This click's session was closed by its end point, completed at " + instantText(c.CompletedAt) +
					"; a new click opens another session."}
			}
		}
	}
	return sentence{}
}

// capSentence says which cap or budget had nothing left, and when it is reset.
func (f *Facts) capSentence(e *Exhausted) sentence {
	what, until := "cap", "does not reset, but can be raised."
	if e.Slot.Scope == CapScopeBudget {
		what = "budget"
	}
	if e.ResetsAt != nil {
		until = "resets at " + instantText(*e.ResetsAt) + "."
	}
	s := sentence{anyone: strings.TrimSuffix(e.Slot.Reason.Sentence(), ".") + "; the " + what + " " + until}
	s.advertiser, s.tenant = f.capOwner(e)
	return s
}

// capOwner says whose cap it is. That a click came from a partner is not the advertiser's to know.
func (f *Facts) capOwner(e *Exhausted) (advertiser, tenant string) {
	switch e.Slot.Scope {
	case CapScopePartner:
		return "", fmt.Sprintf("The partner's cap is %d.", e.Slot.Ceiling)
	case CapScopeBudget:
		return fmt.Sprintf("The budget is %s, and this conversion needs %s.", Micros(e.Slot.Ceiling), Micros(e.Slot.Amount)), ""
	default:
		if event := f.Current.EventByID(e.Slot.ScopeID); event != nil && f.Current.OfferType != OfferTypeSingleEvent {
			return fmt.Sprintf("The cap is %d for the event %q.", e.Slot.Ceiling, clip(event.EventID)), ""
		}
		return fmt.Sprintf("The offer's cap is %d.", e.Slot.Ceiling), ""
	}
}

// Sentence is what a reason says by itself.
func (r Reason) Sentence() string { return reasonSentences[r] }

var reasonSentences = map[Reason]string{
	ReasonMalformed:          "The request cannot be parsed.",
	ReasonBadSignature:       "The security token or signature that this advertiser requires is missing or wrong.",
	ReasonIPNotAllowed:       "The sender's IP address is not on this advertiser's allowlist.",
	ReasonKeyRequired:        keyRequiredDetail,
	ReasonUnknownClick:       "No click with this id is known.",
	ReasonMissingEvent:       "The request does not name an event of the offer.",
	ReasonUnknownEvent:       "The offer has no such event.",
	ReasonGoalMismatch:       "The goal parameters do not name the same goal of this offer.",
	ReasonEncryptionRequired: "This offer accepts conversions only at its opaque addresses (/SP, /GP).",
	ReasonDuplicate:          "This event of this click has already converted.",
	ReasonOutOfSequence:      "An event that must be completed first was not completed in time.",
	ReasonTooSoon:            "The event was completed too soon after the preceding event.",
	ReasonMissingAmount:      "The offer pays a percentage of the sale, and the amount is missing or invalid.",
	ReasonCurrencyMismatch:   "The sale's currency is not the tenant's.",
	ReasonCapDaily:           "The daily cap is reached.",
	ReasonCapWeekly:          "The weekly cap is reached.",
	ReasonCapMonthly:         "The monthly cap is reached.",
	ReasonCapTotal:           "The all-time cap is reached.",
	ReasonBudgetExhausted:    "The remaining budget of the offer is too small for this conversion.",
	ReasonDeadlinePassed:     "The time to complete the event is over.",
	ReasonSessionClosed:      "This click's session was closed by its end point; a new click opens another.",
	ReasonFraudVelocity:      "A fraud check refused the conversion.",
	ReasonFraudTime:          "The click-to-conversion time is shorter than the offer allows.",
	ReasonFraudAccount:       "A fraud check refused the conversion.",
	ReasonFraudGeo:           "A fraud check refused the conversion.",
	ReasonBlocked:            "The sender or its member is blocked.",
	ReasonManual:             "A person rejected the conversion.",
	ReasonReversed:           "The conversion was reversed.",
	ReasonAdvertiser:         "The advertiser rejected the conversion.",

	ReasonOfferInactive:  "The offer did not accept clicks: it was paused, expired, not launched yet or had no goal to complete.",
	ReasonOutOfTarget:    "The member was outside the offer's targeting: country, state, postal code, device, age, gender or placement.",
	ReasonCapped:         "A cap or the budget of the offer or the partner was reached.",
	ReasonPartnerBlocked: "The partner was not active.",
	ReasonFraudBot:       "The click came from a known bot or link preview.",
	ReasonFraudProxy:     "The click came from a proxy or a data centre.",
}

// RefusalDetail explains the refusal of a postback that no decision was needed for: what the edge or the
// check of its security said of it, or what the reason says.
func RefusalDetail(p *Postback, reason Reason) string {
	switch {
	case p.Detail != "":
		return p.Detail
	case reason == ReasonIPNotAllowed:
		return fmt.Sprintf("The sender's IP address %s is not on this advertiser's allowlist.", p.SourceIP)
	case reason == ReasonUnknownClick && p.ClickID == nil:
		return "No click of this visitor on this offer and partner is known: send the click id."
	case reason == ReasonUnknownClick:
		return fmt.Sprintf("No click with the id %s is known: %s must be the value of {gk_click_id}.", p.ClickID, p.named("gk_click_id"))
	default:
		return reason.Sentence()
	}
}

// ErrorsDetail names what is wrong with a malformed postback, at most three things.
func ErrorsDetail(errs FieldErrors) string {
	var parts []string
	for _, e := range errs[:min(len(errs), maxNamed)] {
		parts = append(parts, e.Field+" "+e.Reason)
	}
	if more := len(errs) - maxNamed; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more fields are wrong", more))
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, "; ") + "."
}
