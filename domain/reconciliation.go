package domain

import (
	"slices"

	"github.com/google/uuid"
)

// BookDay is what both books of a partnership hold of one day and status (rule 61). Its JSON form is
// what the database keeps.
type BookDay struct {
	// Day is YYYY-MM-DD in the advertiser's calendar.
	Day        string  `json:"day"`
	Status     Status  `json:"status"`
	Advertiser BookSum `json:"advertiser"`
	Publisher  BookSum `json:"publisher"`
}

// BookSum is how many conversions, and their money: the advertiser's cost, the publisher's revenue.
type BookSum struct {
	Count int64  `json:"count"`
	Sum   Micros `json:"micros"`
}

// Difference is a way in which the books of a partnership do not agree about a conversion.
type Difference string

// The differences: between the two rows, and between a row and its own book's transitions or ledger.
const (
	// DifferenceMissing is one that the publisher's book lacks, DifferenceUnknown one that the advertiser's lacks.
	DifferenceMissing  Difference = "missing"
	DifferenceUnknown  Difference = "unknown"
	DifferenceStatus   Difference = "status"
	DifferenceReason   Difference = "reason"
	DifferenceSequence Difference = "sequence"
	DifferenceRevenue  Difference = "revenue"
	// DifferenceValues is any other value that both books hold: click, event, version, currency, amount, times.
	DifferenceValues            Difference = "values"
	DifferenceAdvertiserHistory Difference = "advertiserHistory"
	DifferencePublisherHistory  Difference = "publisherHistory"
	DifferenceAdvertiserLedger  Difference = "advertiserLedger"
	DifferencePublisherLedger   Difference = "publisherLedger"
)

// Differences are all of them.
var Differences = []Difference{
	DifferenceMissing, DifferenceUnknown, DifferenceStatus, DifferenceReason, DifferenceSequence, DifferenceRevenue, DifferenceValues,
	DifferenceAdvertiserHistory, DifferencePublisherHistory, DifferenceAdvertiserLedger, DifferencePublisherLedger,
}

// BookDifference is a conversion about which the books of a partnership do not agree.
type BookDifference struct {
	ConversionID uuid.UUID    `json:"conversionId"`
	What         []Difference `json:"what"`
	// Repaired says that the books agreed after the sync was replayed.
	Repaired bool `json:"repaired"`
}

// IsReplayable says whether replaying the sync can mend it: the publisher's book follows the
// advertiser's, so that book must have the conversion and not contradict itself. What is wrong there
// would be copied, and is for a person to see to.
func (d BookDifference) IsReplayable() bool {
	return !slices.ContainsFunc(d.What, func(what Difference) bool {
		return what == DifferenceUnknown || what == DifferenceAdvertiserHistory || what == DifferenceAdvertiserLedger
	})
}
