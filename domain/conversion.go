package domain

import (
	"errors"
	"time"

	"github.com/google/uuid"
)

// UniquePer is what the uniqueness of a conversion goes by (rules 5 to 7).
type UniquePer string

// The ways of uniqueness.
const (
	UniquePerMember UniquePer = "member"
	UniquePerClick  UniquePer = "click"
	UniquePerNone   UniquePer = "none"
)

// Conversion is what the rules know of a conversion.
type Conversion struct {
	ID uuid.UUID
	// Side is whose row it is (rule 58); the zero Side is an owner's.
	Side       Side
	ClickID    uuid.UUID
	EventID    uuid.UUID
	Status     Status
	Reason     Reason
	Sequence   int64
	ReceivedAt time.Time
	// CompletedAt is done(e): the advertiser's time if CompletionTrusted, else the receipt.
	CompletedAt       time.Time
	CompletionTrusted bool
	ReleaseAt         *time.Time
	NeedsReview       bool
	Expected          bool
	// AwaitsVerdict says that it is Pending by the advertiser's word (rule 77); ByAdvertiser that its
	// last move was the advertiser's.
	AwaitsVerdict, ByAdvertiser bool
	CnvConversionID             string
	// Sent is what its postback carried, as sent.
	Sent            Sent
	ClosesSession   bool
	IsCounted       bool
	Revenue, Payout Micros
	Reward          Micros
}

// Sent is what tells a network's retry from another repeat where neither has an id (rule 7).
type Sent struct {
	Amount, Currency string
	CompletedAt      *time.Time
	Subs             []string
	Verdict          AdvertiserVerdict
}

// Action is what moves a conversion after its decision.
type Action string

// The actions. ActionRelease is the timer's; the others are people's.
const (
	ActionRelease Action = "release"
	ActionApprove Action = "approve"
	ActionReject  Action = "reject"
	ActionReverse Action = "reverse"
	// ActionDecline is the advertiser's: its verdict takes back what is live (rule 77).
	ActionDecline Action = "decline"
)

// Errors of Move. Their texts are shown to people.
var (
	ErrNotDue         = errors.New("not due yet")
	ErrAwaitsReview   = errors.New("waits for a person")
	ErrNothingToDo    = errors.New("already in that status")
	ErrOnlyPending    = errors.New("only a pending conversion can be rejected; reverse a successful one")
	ErrOnlySuccessful = errors.New("only a successful conversion can be reversed; reject a pending one")
	// ErrDecidedByAdvertiser is everybody's who tries to move a publisher's row (rule 58).
	ErrDecidedByAdvertiser = errors.New("decided by the advertiser: ask it")
)

// Move is the state machine of a conversion (rules 21 to 25): the status and reason after an
// action, or why it cannot be. An action whose result is there already is ErrNothingToDo.
func Move(c Conversion, action Action, now time.Time) (Status, Reason, error) {
	if c.Side == SidePublisher { // rule 58
		return "", "", ErrDecidedByAdvertiser
	}
	switch action {
	case ActionRelease:
		return release(c, now)
	case ActionApprove: // rule 25: any Rejected may become Success by a person
		if c.Status == StatusSuccess {
			return "", "", ErrNothingToDo
		}
		return StatusSuccess, ReasonNone, nil
	case ActionReject: // rule 23
		switch c.Status {
		case StatusRejected:
			return "", "", ErrNothingToDo
		case StatusSuccess:
			return "", "", ErrOnlyPending
		}
		return StatusRejected, ReasonManual, nil
	case ActionReverse: // rule 23
		switch {
		case c.Status == StatusRejected && c.Reason == ReasonReversed:
			return "", "", ErrNothingToDo
		case c.Status != StatusSuccess:
			return "", "", ErrOnlySuccessful
		}
		return StatusRejected, ReasonReversed, nil
	case ActionDecline: // rule 77
		switch c.Status {
		case StatusRejected:
			return "", "", ErrNothingToDo
		case StatusSuccess:
			return StatusRejected, ReasonReversed, nil
		}
		return StatusRejected, ReasonAdvertiser, nil
	default:
		return "", "", errors.New("unknown action " + string(action))
	}
}

// ReleasesItself says whether a Pending conversion becomes Success by its timer, without a person (rules 21, 22).
func (c Conversion) ReleasesItself() bool {
	return c.Status == StatusPending && !c.NeedsReview && c.ReleaseAt != nil
}

// release is what the timer does (rules 21, 22).
func release(c Conversion, now time.Time) (Status, Reason, error) {
	switch {
	case c.Status != StatusPending:
		return "", "", ErrNothingToDo
	case !c.ReleasesItself(): // rule 22: the timer does not approve
		return "", "", ErrAwaitsReview
	case now.Before(*c.ReleaseAt): // rule 21
		return "", "", ErrNotDue
	}
	return StatusSuccess, ReasonNone, nil
}
