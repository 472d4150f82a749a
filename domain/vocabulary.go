// Package domain holds the vocabulary and the business rules of Offerflow as pure functions:
// no I/O, no clock, no context. Time is an argument. The rule numbers in comments are those of
// docs/rules.md.
package domain

// Reason says why something was refused, rejected, held or answered as a duplicate. The list is
// closed and reads the same in API, callback, report, log and console.
type Reason string

// Reasons of postbacks and conversions, in the order of the outcomes table.
const (
	ReasonNone               Reason = ""
	ReasonMalformed          Reason = "malformed"
	ReasonBadSignature       Reason = "bad_signature"
	ReasonIPNotAllowed       Reason = "ip_not_allowed"
	ReasonKeyRequired        Reason = "key_required"
	ReasonUnknownClick       Reason = "unknown_click"
	ReasonMissingEvent       Reason = "missing_event"
	ReasonUnknownEvent       Reason = "unknown_event"
	ReasonGoalMismatch       Reason = "goal_mismatch"
	ReasonEncryptionRequired Reason = "encryption_required"
	ReasonDuplicate          Reason = "duplicate"
	ReasonOutOfSequence      Reason = "out_of_sequence"
	ReasonTooSoon            Reason = "too_soon"
	ReasonMissingAmount      Reason = "missing_amount"
	ReasonCurrencyMismatch   Reason = "currency_mismatch"
	ReasonCapDaily           Reason = "cap_daily"
	ReasonCapWeekly          Reason = "cap_weekly"
	ReasonCapMonthly         Reason = "cap_monthly"
	ReasonCapTotal           Reason = "cap_total"
	ReasonBudgetExhausted    Reason = "budget_exhausted"
	ReasonDeadlinePassed     Reason = "deadline_passed"
	ReasonSessionClosed      Reason = "session_closed"
	ReasonFraudVelocity      Reason = "fraud_velocity"
	ReasonFraudTime          Reason = "fraud_time"
	ReasonFraudAccount       Reason = "fraud_account"
	ReasonFraudGeo           Reason = "fraud_geo"
	ReasonBlocked            Reason = "blocked"
	ReasonManual             Reason = "manual"
	ReasonReversed           Reason = "reversed"
	ReasonAdvertiser         Reason = "advertiser"
)

// Reasons of clicks that cannot convert (rule 46).
const (
	ReasonOfferInactive  Reason = "offer_inactive"
	ReasonOutOfTarget    Reason = "out_of_target"
	ReasonCapped         Reason = "capped"
	ReasonPartnerBlocked Reason = "partner_blocked"
	ReasonFraudBot       Reason = "fraud_bot"
	ReasonFraudProxy     Reason = "fraud_proxy"
)

// Outcome is the answer to a postback.
type Outcome string

// The outcomes of http.md. OutcomeQueued is an answer only: no decision ever stores it.
const (
	OutcomeAccepted  Outcome = "accepted"
	OutcomeDuplicate Outcome = "duplicate"
	OutcomeRejected  Outcome = "rejected"
	OutcomeHeld      Outcome = "held"
	OutcomeQueued    Outcome = "queued"
	OutcomeRefused   Outcome = "refused"
)

// Status is where a conversion stands.
type Status string

// The three statuses. Pending and Success are live.
const (
	StatusPending  Status = "Pending"
	StatusSuccess  Status = "Success"
	StatusRejected Status = "Rejected"
)

// Live says whether a conversion in this status counts against caps and blocks duplicates.
func (s Status) Live() bool { return s == StatusPending || s == StatusSuccess }

// HTTPStatus is the status code that a postback's sender gets for a decision, by the outcomes
// table at the end of the rules.
func HTTPStatus(outcome Outcome, reason Reason) int {
	switch outcome {
	case OutcomeHeld, OutcomeQueued:
		return 202
	case OutcomeRefused:
		switch reason {
		case ReasonMalformed:
			return 400
		case ReasonBadSignature, ReasonIPNotAllowed, ReasonKeyRequired:
			return 401
		case ReasonUnknownClick:
			return 404
		default:
			return 422
		}
	default:
		return 200
	}
}

// Heals says whether a later valid postback for the same click and event may become a conversion
// of its own after a rejection for this reason (rule 10). A deadline heals only with proof of
// timely completion, which the window rule itself demands; manual and reversed heal by a person
// only (rule 25), advertiser by its later verdict too (rule 77).
func (r Reason) Heals() bool {
	switch r {
	case ReasonOutOfSequence, ReasonTooSoon, ReasonMissingAmount, ReasonCurrencyMismatch,
		ReasonCapDaily, ReasonCapWeekly, ReasonCapMonthly, ReasonCapTotal, ReasonBudgetExhausted,
		ReasonDeadlinePassed:
		return true
	default:
		return false
	}
}
