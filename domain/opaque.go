package domain

import "github.com/google/uuid"

// Address is what the address of a postback or pixel says beside its parameters.
type Address struct {
	// OfferID is the offer that the address is of: of an opaque code, or of the pixel that the click's
	// cookie was chosen by. It decides nothing (rule 2): a click of another offer is refused.
	OfferID *uuid.UUID `json:"offerId,omitempty"`
	// Opaque says that the address was an opaque code (rule 65).
	Opaque bool `json:"opaque,omitempty"`
	// OfAdvertiser says that the code is an opaque postback's, which only its advertiser was given. It
	// authenticates a verdict (rule 77) and nothing else: not a time (rule 19).
	OfAdvertiser bool `json:"ofAdvertiser,omitempty"`
	// GoalID is the goal of an opaque code; nil where it is of the default goal.
	GoalID *uuid.UUID `json:"goalId,omitempty"`
	// DefaultGoal says that a plain address means the default goal where no goal is named.
	DefaultGoal bool `json:"defaultGoal,omitempty"`
}

// OpaqueForm is the kind of an opaque address: the letters before its code.
type OpaqueForm string

// The opaque addresses: a postback or a pixel, of an offer's default goal or of one goal. Each has a
// code of its own, so that a pixel's, which stands on a public page, does not give the postback away.
const (
	OpaquePostback     OpaqueForm = "SP"
	OpaqueGoalPostback OpaqueForm = "GP"
	OpaquePixel        OpaqueForm = "SL"
	OpaqueGoalPixel    OpaqueForm = "GL"
)

// Content is what the code of this form hides: the offer, and the goal where the form is of one.
func (form OpaqueForm) Content(offerID, goalID uuid.UUID) []byte {
	if form.ofGoal() {
		return append(offerID[:], goalID[:]...)
	}
	return offerID[:]
}

// Read is the offer and the goal, or uuid.Nil for the default goal, of what a code hid.
func (form OpaqueForm) Read(content []byte) (offerID, goalID uuid.UUID, ok bool) {
	if form.ofGoal() {
		ok = len(content) == 2*len(offerID)
		copy(goalID[:], content[min(len(content), len(offerID)):])
	} else {
		ok = len(content) == len(offerID)
	}
	copy(offerID[:], content)
	return offerID, goalID, ok
}

// IsPixel says whether its codes stand on public pages.
func (form OpaqueForm) IsPixel() bool { return form == OpaquePixel || form == OpaqueGoalPixel }

func (form OpaqueForm) ofGoal() bool { return form == OpaqueGoalPostback || form == OpaqueGoalPixel }

// address judges the address that a postback came by against the click's offer. A plain address is
// refused where the offer enforces encrypted tracking (rule 65); a signature does not make it an
// opaque one. What was held came by an address that was right at the time.
func (f *Facts) address() Reason {
	address := f.Postback.Address
	if address == nil {
		address = &Address{}
	}
	switch {
	case f.DecideBy != nil || f.Postback.Upload != nil: // what a person uploads came by no address
		return ReasonNone
	case address.OfferID != nil && *address.OfferID != f.Click.OfferID:
		return ReasonGoalMismatch
	case f.Current.EnforceEncryptedTracking && !address.Opaque:
		return ReasonEncryptionRequired
	default:
		return ReasonNone
	}
}

// addressed is the goal that the address itself names, beside the parameters: an opaque code always
// names one, so that nobody makes it another goal's by a parameter; a plain address of the older
// protocol means the default goal where no parameter names one. The plain ones of ours name none
// (rule 4).
func (f *Facts) addressed(named []*Event) []*Event {
	address := f.Postback.Address
	switch {
	case address == nil:
		return named
	case address.Opaque && address.GoalID != nil:
		return append(named, f.Current.EventByID(*address.GoalID))
	case address.Opaque, address.DefaultGoal && len(named) == 0:
		return append(named, f.Current.DefaultEvent())
	default:
		return named
	}
}
