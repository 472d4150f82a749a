package domain

import (
	"slices"
	"strings"
)

// AdvertiserVerdict is what an advertiser says of a conversion by a postback's status (rule 77).
type AdvertiserVerdict string

// The verdicts. VerdictNone and VerdictApproved make conversions as ever; VerdictUnknown is a status
// that nobody can read.
const (
	VerdictNone     AdvertiserVerdict = ""
	VerdictApproved AdvertiserVerdict = "approved"
	VerdictPending  AdvertiserVerdict = "pending"
	VerdictRejected AdvertiserVerdict = "rejected"
	VerdictUnknown  AdvertiserVerdict = "unknown"
)

// rejectingWords are the spellings of VerdictRejected.
var rejectingWords = []string{"rejected", "declined", "cancelled", "canceled", "reversed", "chargeback"}

// ReadVerdict reads a status as it was sent.
func ReadVerdict(status string) AdvertiserVerdict {
	switch word := strings.ToLower(strings.TrimSpace(status)); {
	case word == "":
		return VerdictNone
	case word == "approved":
		return VerdictApproved
	case word == "pending":
		return VerdictPending
	case slices.Contains(rejectingWords, word):
		return VerdictRejected
	default:
		return VerdictUnknown
	}
}

// Verdict is what the postback's sender says by its status.
func (p *Postback) Verdict() AdvertiserVerdict { return ReadVerdict(p.Status) }

// believed says whether a verdict of this postback's counts: its sender is authenticated, by its key or
// an opaque postback address too (rule 78), or the offer trusts whoever posts (rule 77). What is unknown
// is believed of nobody, and what anybody can forge neither.
func (f *Facts) believed() bool {
	if f.Postback.Verdict() == VerdictUnknown || f.Forgeable {
		return false
	}
	return f.byAdvertiser() || f.Current.TrustAdvertiserStatus
}

// byAdvertiser says whether the advertiser sent the postback, as far as that can be told: its security was
// passed, or it came by the key or an opaque address that only the advertiser was given.
func (f *Facts) byAdvertiser() bool {
	return !f.Forgeable && (f.Authenticated || f.ByKey || f.Postback.byOpaqueAddress())
}

// doubted says whether a verdict was given that does not count. An approval changes nothing that a
// postback without a status would not.
func (f *Facts) doubted() bool {
	switch f.Postback.Verdict() {
	case VerdictNone, VerdictApproved:
		return false
	default:
		return !f.believed()
	}
}

// ByVerdict says whether a conversion was rejected by the advertiser's word: only its later approval
// revives it, or a person (rules 25, 77).
func (c *Conversion) ByVerdict() bool {
	return c.Status == StatusRejected && (c.Reason == ReasonAdvertiser || c.Reason == ReasonReversed && c.ByAdvertiser)
}

// verdict is rule 77 for a postback whose event is known, before the rules that make conversions; done
// is false where those decide.
func (f *Facts) verdict(event *Event) (d Decision, done bool) {
	given := f.Postback.Verdict()
	if given == VerdictNone || given == VerdictApproved && f.DecideBy != nil { // one that was held is older than what was decided since
		return d, false
	}
	live, ambiguous := f.liveOf(event)
	switch {
	case live != nil && f.doubted():
		if given == VerdictPending && live.Status == StatusPending { // it says what is so
			return d, false
		}
		return Decision{Outcome: OutcomeDuplicate, Reason: ReasonDuplicate, Existing: live, Finding: true}, true
	case live != nil && ambiguous && given == VerdictRejected: // which of them, nobody can say
		return Decision{Outcome: OutcomeDuplicate, Reason: ReasonDuplicate, Existing: live, Finding: true}, true
	case !f.believed():
		return d, false
	case given == VerdictRejected:
		return f.rejectedByVerdict(event, live), true
	case given == VerdictApproved:
		return f.approvedByVerdict(event, live)
	default:
		return d, false
	}
}

// rejectedByVerdict takes back what is live, or writes down that nothing is to be.
func (f *Facts) rejectedByVerdict(event *Event, live *Conversion) Decision {
	if live != nil {
		_, reason, _ := Move(*live, ActionDecline, f.Now)
		return Decision{Outcome: OutcomeRejected, Reason: reason, Existing: live, Move: ActionDecline}
	}
	for i := range f.Session { // it is rejected already, for whatever reason that does not heal
		c := &f.Session[i]
		if c.EventID == event.ID && c.Status == StatusRejected && !c.Reason.Heals() && f.covers(event, c) {
			return Decision{Outcome: OutcomeRejected, Reason: c.Reason, Existing: c}
		}
	}
	return f.Reject(f.newConversion(event), ReasonAdvertiser)
}

// approvedByVerdict revives what the advertiser's word rejected, and approves what waits for its
// verdict. Anything else is decided as ever.
func (f *Facts) approvedByVerdict(event *Event, live *Conversion) (Decision, bool) {
	if live != nil {
		if waiting := f.waitingForVerdict(event); waiting != nil {
			return Decision{Outcome: OutcomeAccepted, Existing: waiting, Move: ActionApprove}, true
		}
		return Decision{}, false
	}
	if len(f.Member) > 0 { // rule 6: the member has it from another click
		return Decision{}, false
	}
	for i := range slices.Backward(f.Session) {
		c := &f.Session[i]
		if c.EventID == event.ID && c.ByVerdict() && f.covers(event, c) {
			return Decision{Outcome: OutcomeAccepted, Existing: c, Move: ActionApprove}, true
		}
	}
	return Decision{}, false
}

// liveOf is the live conversion that a verdict is about: the one of the click and event; with repeats
// the one of the same id, and without an id the last one. ambiguous says that there are several such.
func (f *Facts) liveOf(event *Event) (live *Conversion, ambiguous bool) {
	for i := range f.Session {
		c := &f.Session[i]
		if c.EventID != event.ID || !c.Status.Live() || !f.names(event, c) {
			continue
		}
		ambiguous, live = live != nil, c
	}
	return live, ambiguous
}

// waitingForVerdict is the one that a verdict may be about and that waits for it.
func (f *Facts) waitingForVerdict(event *Event) *Conversion {
	var waiting *Conversion
	for i := range f.Session {
		c := &f.Session[i]
		if c.EventID == event.ID && c.Status == StatusPending && c.AwaitsVerdict && f.names(event, c) {
			if waiting != nil {
				return nil // which of them, nobody can say
			}
			waiting = c
		}
	}
	return waiting
}

// names says whether a verdict may be about a conversion of its event: without repeats about the one
// there is, with them about that of its id, and without an id about any.
func (f *Facts) names(event *Event, c *Conversion) bool {
	return !event.AllowRepetitions || event.OncePerSession || f.Postback.ConversionID == "" || c.CnvConversionID == f.Postback.ConversionID
}

// covers says whether a rejection that does not heal is about this postback too. The word of an
// advertiser that names no id is about what came before it, and about what says of the same again.
func (f *Facts) covers(event *Event, c *Conversion) bool {
	if f.repeats(event, c) {
		return true
	}
	if f.Postback.ConversionID != "" || c.CnvConversionID != "" || !c.ByVerdict() {
		return false
	}
	return !f.Postback.ReceivedAt.After(c.ReceivedAt) || f.Postback.Verdict() != VerdictNone && f.sameFigures(c)
}
