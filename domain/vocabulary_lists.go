package domain

import (
	"slices"
	"strings"
)

// The closed lists that filters and documents go by. A word that is added to the vocabulary is added here.

// OfferTypes are those of offers.
var OfferTypes = []OfferType{OfferTypeSingleEvent, OfferTypeMultiEvent}

// Statuses are those of conversions.
var Statuses = []Status{StatusPending, StatusSuccess, StatusRejected}

// StoredOutcomes are those that a decided postback has.
var StoredOutcomes = []Outcome{OutcomeAccepted, OutcomeDuplicate, OutcomeRejected, OutcomeHeld, OutcomeRefused}

// RejectionReasons are those that a Rejected conversion has.
var RejectionReasons = []Reason{
	ReasonOutOfSequence, ReasonTooSoon, ReasonMissingAmount, ReasonCurrencyMismatch, ReasonCapDaily, ReasonCapWeekly, ReasonCapMonthly,
	ReasonCapTotal, ReasonBudgetExhausted, ReasonDeadlinePassed, ReasonSessionClosed, ReasonFraudVelocity, ReasonFraudTime, ReasonFraudAccount,
	ReasonFraudGeo, ReasonBlocked, ReasonManual, ReasonReversed, ReasonAdvertiser,
}

// PostbackReasons are those that a postback's answer has.
var PostbackReasons = append([]Reason{
	ReasonMalformed, ReasonBadSignature, ReasonIPNotAllowed, ReasonKeyRequired, ReasonUnknownClick, ReasonMissingEvent, ReasonUnknownEvent, ReasonGoalMismatch,
	ReasonEncryptionRequired, ReasonDuplicate,
}, RejectionReasons...)

// ClickReasons are those of clicks that cannot convert (rule 46).
var ClickReasons = []Reason{
	ReasonOfferInactive, ReasonOutOfTarget, ReasonCapped, ReasonPartnerBlocked, ReasonFraudBot, ReasonFraudProxy, ReasonFraudVelocity, ReasonBlocked,
}

// ToldToPartners says whether partners are told a reason: of fraud and blocklists they only see that it was
// refused (rule 48).
func (r Reason) ToldToPartners() bool {
	return r != ReasonNone && r != ReasonBlocked && !strings.HasPrefix(string(r), "fraud_")
}

// PartnerReasons are the rejections that partners are told.
func PartnerReasons() []Reason {
	return slices.DeleteFunc(slices.Clone(RejectionReasons), func(r Reason) bool { return !r.ToldToPartners() })
}
