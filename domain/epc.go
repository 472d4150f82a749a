package domain

import "time"

// Earnings is what an offer brought its tenant over the last EPCWindow, and when it last brought
// anything. The zero value is an offer that nobody has clicked.
type Earnings struct {
	// Clicks are those that were not refused, Conversions those that succeeded.
	Clicks, Conversions int64
	Revenue             Micros
	// LastRevenueAt is nil while there never was any.
	LastRevenueAt *time.Time
}

const (
	// EPCWindow is how far back an EPC looks, and EPCClicks how many clicks make it count (rule 43).
	EPCWindow = 30 * 24 * time.Hour
	EPCClicks = 100
)
