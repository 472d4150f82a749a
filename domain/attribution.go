package domain

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Facts are everything that one decision about a postback rests on. The caller has locked the
// click, so that they hold until the decision is written.
type Facts struct {
	Postback Postback
	// Now is the instant of the decision: the receipt's or, for a held postback, a later one.
	Now time.Time
	// DecideBy is the end of its grace, for a postback that is held already (rule 14).
	DecideBy *time.Time
	// Held is how many other postbacks of the click are held.
	Held  int
	Click Click
	// AtClick is the offer's version at the click: order and timing are judged by it.
	AtClick *Offer
	// Current is the offer's version now: money, pending period, caps and review go by it.
	Current *Offer
	// Currency and RewardRatio are the tenant's (rules 36, 38).
	Currency    string
	RewardRatio *Micros
	// Side is whose book it is decided in: the owner's, or the advertiser's of a shared offer (rule 58).
	Side Side
	// GoalsOff says that the tenant has switched goals off: only the default one converts (rule 69).
	GoalsOff bool
	// PartnerCaps are those of the click's partner.
	PartnerCaps Caps
	// Partner has the custom terms of the click's partner for this event; nil without terms or partner.
	Partner *PartnerTerms
	// Authenticated says that the advertiser's security was set and passed (rule 67), ByKey that the
	// postback came by the advertiser's key, and Forgeable that a person must look at it (rule 78).
	Authenticated bool
	ByKey         bool
	Forgeable     bool
	// Session are all conversions of this click, oldest first.
	Session []Conversion
	// Member are the live conversions of the same member and event from other clicks (rule 6).
	Member []Conversion
}

// Decision is what becomes of a postback.
type Decision struct {
	Outcome Outcome
	Reason  Reason
	// Existing is the conversion that is answered where none is made.
	Existing *Conversion
	// Move is what an advertiser's verdict does to Existing (rule 77).
	Move Action
	// Finding says that a verdict about Existing was not believed, which a person should look at.
	Finding bool
	// New is the conversion to write, for accepted and for a first rejection.
	New *NewConversion
	// EventID is set when held or counted, DecideBy when held (rule 14).
	EventID  uuid.UUID
	DecideBy time.Time
	// Counted says that it was recorded as a click: accepted, and no conversion (rule 70).
	Counted bool
	// Exhausted is the cap or budget that had nothing left for it (rule 29); the caller of OverCap sets it.
	Exhausted *Exhausted
}

// NewConversion is a conversion as it is decided, money frozen (rule 24).
type NewConversion struct {
	EventID           uuid.UUID
	Status            Status
	Reason            Reason
	CreatedAt         time.Time
	CompletedAt       time.Time
	CompletionTrusted bool
	ReleaseAt         *time.Time
	NeedsReview       bool
	// AwaitsVerdict says that it is Pending by the advertiser's word (rule 77).
	AwaitsVerdict bool
	// Expected says of a Pending one that it will succeed in the ordinary way of its offer, by its timer or
	// by a person who approves every one (rules 21, 22), and so counts as earned in the EPC (rule 43). What
	// waits for a person because something is special about it does not (rules 31, 48, 64, 77, 78).
	Expected bool
	Amount   *Micros
	Revenue  Micros
	Payout   Micros
	Reward   Micros
	// OutOfRange says that one of the figures is larger than can be booked.
	OutOfRange bool
	// RevenueRule and PayoutRule say why; nil where the click has no partner.
	RevenueRule   *AppliedRule
	PayoutRule    *AppliedRule
	UniquePer     UniquePer
	ClosesSession bool
	// CapReservations are what it takes from caps and budget when it is live.
	CapReservations []CapReservation
	// OverCap says that it is live without a slot, until a person approves it (rule 31).
	OverCap bool
}

// Decide applies rules 3 to 22, 35 to 38, 62 to 66, 69, 70 and 77 to one postback whose click is known
// and whose sender has passed rule 67. Caps and budget are left to the caller, which takes the Slots
// in the deciding transaction and calls OverCap when one is exhausted.
func Decide(f Facts) Decision {
	if reason := f.address(); reason != ReasonNone { // rule 65
		return Decision{Outcome: OutcomeRefused, Reason: reason}
	}
	event, reason := f.event()
	if reason != ReasonNone {
		return Decision{Outcome: OutcomeRefused, Reason: reason}
	}
	if f.open(event) && event.RecordAs == RecordAsClick { // rule 70
		return Decision{Outcome: OutcomeAccepted, EventID: event.ID, Counted: true}
	}
	if d, done := f.verdict(event); done && (d.New == nil || f.open(event)) { // rule 77
		return d
	}
	if d, done := f.duplicate(event); done { // of a closed goal, too: it keeps its history (rule 69)
		return d
	}
	if !f.open(event) {
		return Decision{Outcome: OutcomeRefused, Reason: ReasonUnknownEvent}
	}
	n := f.newConversion(event)
	timing := f.timing(event)
	reason, decideBy := f.refusal(timing, &n)
	if !decideBy.IsZero() {
		return Decision{Outcome: OutcomeHeld, EventID: event.ID, DecideBy: decideBy}
	}
	if reason != ReasonNone {
		return f.Reject(n, reason)
	}
	f.settleStatus(event, &n)
	return Decision{Outcome: OutcomeAccepted, New: &n}
}

// WillBeRefused says that Decide refuses the postback, or answers it with a conversion that is there,
// whatever conversions there are. It needs only Postback, Click, Current and GoalsOff.
func (f *Facts) WillBeRefused() bool {
	if f.address() != ReasonNone {
		return true
	}
	event, reason := f.event()
	// A verdict about a goal that is closed still moves its conversions (rule 77).
	return reason != ReasonNone || !f.open(event) && f.Postback.Verdict() == VerdictNone
}

// refusal runs the checks in their one order: the session, the window, the order, the gap, the
// money. A decideBy that is set means held.
func (f *Facts) refusal(t timing, n *NewConversion) (reason Reason, decideBy time.Time) {
	if f.sessionClosed(t) { // rule 63
		return ReasonSessionClosed, time.Time{}
	}
	if f.deadlinePassed(t) { // rules 18, 19
		return ReasonDeadlinePassed, time.Time{}
	}
	if !f.predecessorsDone(t) { // rules 12 to 14
		if by := f.decideBy(); f.Now.Before(by) && !f.holdsTooMany() {
			return ReasonNone, by
		}
		return ReasonOutOfSequence, time.Time{}
	}
	if f.tooSoon(t) { // rules 15 to 17
		return ReasonTooSoon, time.Time{}
	}
	if f.Postback.Currency != "" && f.Postback.Currency != f.Currency { // rule 38
		return ReasonCurrencyMismatch, time.Time{}
	}
	if f.needsAmount() && n.Amount == nil || n.OutOfRange { // rule 35: what cannot be booked is no amount
		return ReasonMissingAmount, time.Time{}
	}
	// Rule 47. A minimum of 0 is no check: a receipt before its click is a clock's fault.
	if least := f.Current.MinClickToConversion(); least > 0 && t.done.Sub(f.Click.ClickedAt) < least {
		return ReasonFraudTime, time.Time{}
	}
	return ReasonNone, time.Time{}
}

// MaxHeldPerClick is how many postbacks of one click may be held (rule 14). Each of them is decided again
// whenever another event of the click lands, so that a click with many would keep a worker busy. One more
// is out of sequence at once, which heals: sent again after its predecessor, it counts (rule 10).
const MaxHeldPerClick = 100

// holdsTooMany says that the click has no room for another held postback. One that is held already stays.
func (f *Facts) holdsTooMany() bool { return f.DecideBy == nil && f.Held >= MaxHeldPerClick }

// decideBy is when the grace of an early event ends (rule 14). It runs from the first decision and
// not from the receipt, so that a predecessor that waits behind it in a backlog is not too late.
func (f *Facts) decideBy() time.Time {
	if f.DecideBy != nil {
		return *f.DecideBy
	}
	return f.Now.Add(f.AtClick.Grace())
}

// duplicate finds the conversion that this postback is a retry of (rules 5 to 7), or the rejection
// that only a person may heal (rules 10, 25).
func (f *Facts) duplicate(event *Event) (Decision, bool) {
	for i := range f.Session {
		c := &f.Session[i]
		switch {
		case c.EventID != event.ID:
		case c.Status.Live() && f.repeats(event, c):
			return Decision{Outcome: OutcomeDuplicate, Reason: ReasonDuplicate, Existing: c}, true
		case c.Status == StatusRejected && !c.Reason.Heals() && c.Reason != ReasonSessionClosed && f.covers(event, c):
			return Decision{Outcome: OutcomeRejected, Reason: c.Reason, Existing: c}, true
		}
	}
	if !event.AllowRepetitions && len(f.Member) > 0 { // rule 6
		return Decision{Outcome: OutcomeDuplicate, Reason: ReasonDuplicate, Existing: &f.Member[0]}, true
	}
	return Decision{}, false
}

// repeats says whether the postback is a retry of a conversion of the same event, rather than
// another occurrence of it.
func (f *Facts) repeats(event *Event, c *Conversion) bool {
	if !event.AllowRepetitions || event.OncePerSession { // rules 5, 7
		return true
	}
	if f.Postback.ConversionID != "" {
		return c.CnvConversionID == f.Postback.ConversionID
	}
	// Without an id, a network's retry is what is the same in all that was sent and came at the same
	// time; either may have come first.
	return f.Postback.ReceivedAt.Sub(c.ReceivedAt).Abs() < event.Dedupe() && f.sameAsSent(c)
}

// sameAsSent says whether the postback carries what the one of a conversion did (rule 7). Amounts are
// compared as values; no currency is the tenant's.
func (f *Facts) sameAsSent(c *Conversion) bool {
	return f.Postback.Verdict() == c.Sent.Verdict && f.sameFigures(c)
}

func (f *Facts) sameFigures(c *Conversion) bool {
	sent, was := &f.Postback, &c.Sent
	return sameAmount(sent.Amount, was.Amount) &&
		cmp.Or(sent.Currency, f.Currency) == cmp.Or(was.Currency, f.Currency) &&
		sameInstant(sent.CompletedAt, was.CompletedAt) &&
		slices.Equal(withoutEmptyTail(sent.Subs), withoutEmptyTail(was.Subs))
}

func sameAmount(a, b string) bool {
	first, err := ParseAmount(a)
	second, otherErr := ParseAmount(b)
	if err != nil || otherErr != nil { // what cannot be read is left out
		return err != nil && otherErr != nil
	}
	return first == second
}

func sameInstant(a, b *time.Time) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(*b)
}

func withoutEmptyTail(texts []string) []string {
	for len(texts) > 0 && texts[len(texts)-1] == "" {
		texts = texts[:len(texts)-1]
	}
	return texts
}

// sameIdentity says whether the same rejection of a postback is the row that is there (rule 10):
// repeats are told apart by their ids, and without one they share it at any distance.
func (f *Facts) sameIdentity(event *Event, c *Conversion) bool {
	return !event.AllowRepetitions || event.OncePerSession || c.CnvConversionID == f.Postback.ConversionID
}

// Reject is the decision for a rejection: the same one again returns the row that is there
// (rule 10), a first one is written.
func (f *Facts) Reject(n NewConversion, reason Reason) Decision {
	event := f.Current.EventByID(n.EventID)
	for i := range f.Session {
		c := &f.Session[i]
		if c.EventID == n.EventID && c.Status == StatusRejected && c.Reason == reason && f.sameIdentity(event, c) {
			return Decision{Outcome: OutcomeRejected, Reason: reason, Existing: c}
		}
	}
	// ClosesSession stays: a person may yet make it live (rule 25).
	n.Status, n.Reason, n.ReleaseAt, n.NeedsReview, n.Expected, n.AwaitsVerdict = StatusRejected, reason, nil, false, false, false
	return Decision{Outcome: OutcomeRejected, Reason: reason, New: &n}
}

// OverCap is the decision for a conversion whose slot was not to be had: Rejected, or by the
// offer's policy Pending, uncounted, until a person approves (rules 31, 32).
func (f *Facts) OverCap(n NewConversion, reason Reason) Decision {
	if !reason.IsCap() || f.Current.OverCapPolicy != OverCapPolicyPending {
		return f.Reject(n, reason)
	}
	n.Status, n.ReleaseAt, n.NeedsReview, n.Expected, n.OverCap, n.CapReservations, n.AwaitsVerdict = StatusPending, nil, true, false, true, nil, false
	return Decision{Outcome: OutcomeAccepted, New: &n}
}

// newConversion freezes everything but status (rule 24).
func (f *Facts) newConversion(event *Event) NewConversion {
	done, trusted := f.completion()
	n := NewConversion{
		EventID: event.ID, CreatedAt: f.Now, CompletedAt: done, CompletionTrusted: trusted,
		UniquePer: f.uniquePer(event), ClosesSession: event.IsEndPoint,
	}
	if amount, err := ParseAmount(f.Postback.Amount); err == nil {
		n.Amount = &amount
	}
	f.money(event, &n)
	n.stateFigures(f.Postback.Upload)
	if !f.Click.IsTest { // a test counts for nothing, and takes nothing from anybody
		n.CapReservations = CapReservations(f.Current, event, f.Click.PartnerID, f.PartnerCaps, n.Revenue)
	}
	return n
}

func (f *Facts) uniquePer(event *Event) UniquePer {
	switch {
	case event.AllowRepetitions && event.OncePerSession:
		return UniquePerClick
	case event.AllowRepetitions:
		return UniquePerNone
	case f.Click.KnowsMember() && !f.Click.IsTest: // a test is in no real one's way
		return UniquePerMember
	default:
		return UniquePerClick
	}
}

// settleStatus sets Pending or Success (rules 21, 22) and, for a repeat, the stricter of its own
// and the first live one's (rule 8).
func (f *Facts) settleStatus(event *Event, n *NewConversion) {
	n.Status = StatusSuccess
	switch verdict := f.Postback.Verdict(); {
	case event.RequiresApproval || f.Current.RewardType == RewardTypeManual:
		n.Status, n.NeedsReview = StatusPending, true
		n.Expected = !event.RequiresApproval && !f.doubted() && !f.Forgeable && verdict != VerdictPending
	case f.Forgeable: // rule 78: until a person
		n.Status, n.NeedsReview = StatusPending, true
	case verdict == VerdictPending && f.believed(): // rule 77: until a person or a later verdict
		n.Status, n.NeedsReview, n.AwaitsVerdict = StatusPending, true, true
	case f.doubted(): // rule 77: until a person
		n.Status, n.NeedsReview = StatusPending, true
	case event.PendingTime != nil && *event.PendingTime > 0:
		releaseAt := n.CreatedAt.Add(event.PendingTime.Days())
		n.Status, n.ReleaseAt, n.Expected = StatusPending, &releaseAt, true
	}
	if !event.AllowRepetitions {
		return
	}
	for _, first := range f.Session {
		if first.EventID != event.ID || !first.Status.Live() {
			continue
		}
		if first.Status == StatusPending {
			n.followPending(first)
		}
		return
	}
}

// followPending keeps a repeat Pending as long as the first one is (rule 8).
func (n *NewConversion) followPending(first Conversion) {
	n.Expected = first.Expected && (n.Expected || n.Status == StatusSuccess)
	n.Status = StatusPending
	if first.NeedsReview || n.NeedsReview {
		n.NeedsReview, n.ReleaseAt = true, nil
		return
	}
	if n.ReleaseAt == nil || (first.ReleaseAt != nil && n.ReleaseAt.Before(*first.ReleaseAt)) {
		n.ReleaseAt = first.ReleaseAt
	}
}
