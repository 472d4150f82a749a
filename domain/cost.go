package domain

import "strings"

// CostModelInstall and CostModelAction are what an advertiser pays for.
const (
	CostModelInstall = "CPI"
	CostModelAction  = "CPA"
)

// OS is the operating system of a store id: the App Store's are digits, with or without "id" before
// them, all others are package names.
func (c CostDatum) OS() string {
	digits := strings.TrimPrefix(strings.ToLower(c.StoreID), "id")
	if digits != "" && strings.Trim(digits, "0123456789") == "" {
		return "iOS"
	}
	return "Android"
}

// CostDatumFor is the app that a click or conversion is accounted to, of those in costData: one of
// its device's store, and among those the one whose model fits, installs for the default event and
// actions for all others. What fits no better goes to the first; it is false where there are none.
func (o *Offer) CostDatumFor(device string, isDefaultEvent bool) (CostDatum, bool) {
	if len(o.CostData) == 0 {
		return CostDatum{}, false
	}
	best, fits := o.CostData[0], -1
	for _, c := range o.CostData {
		fit := 0
		if strings.EqualFold(c.OS(), device) {
			fit += 2
		}
		if (c.CostModel == CostModelInstall) == isDefaultEvent {
			fit++
		}
		if fit > fits {
			best, fits = c, fit
		}
	}
	return best, true
}
