package domain

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Audience is what is known of a member when offers are listed, and again at the click. The zero
// value of a field is "unknown".
type Audience struct {
	// Country is ISO 3166-1 alpha-2, as ParseCountry gives it.
	Country string
	// State is ISO 3166-2, as ParseStateIn gives it.
	State string
	// PostalCode as people write it: case, spaces and hyphens do not matter.
	PostalCode string
	// Device is one of the Device constants.
	Device string
	Age    *int
	// Gender is a lookup's code, as ParseGender gives it.
	Gender      string
	PlacementID *uuid.UUID
}

// Matches says whether an audience is within the targeting (rule 45). Empty lists are everyone;
// lists that are set must all match. What is not known of a member does not match a list that is
// set, because an advertiser does not pay for traffic that may be outside it; unknown gender
// alone has a setting of its own.
func (t *Targeting) Matches(a Audience) bool { return t.Mismatch(a) == "" }

// Mismatch names the first part of the targeting that keeps an audience out, for the evidence
// beside `out_of_target`: country, state, postalCode, device, age, gender or placement. It is
// empty when the audience matches.
func (t *Targeting) Mismatch(a Audience) string {
	switch {
	case !oneOf(t.Countries, a.Country):
		return "country"
	case !oneOf(t.States, a.State):
		return "state"
	case !t.matchesPostalCode(a.PostalCode):
		return "postalCode"
	case !oneOf(t.Devices, a.Device):
		return "device"
	case !t.matchesAge(a.Age):
		return "age"
	case !t.matchesGender(a.Gender):
		return "gender"
	case !t.matchesPlacement(a.PlacementID):
		return "placement"
	default:
		return ""
	}
}

// oneOf is false for the unknown, "", unless the list is empty.
func oneOf(list []string, value string) bool {
	return len(list) == 0 || value != "" && slices.ContainsFunc(list, func(v string) bool { return strings.EqualFold(v, value) })
}

func (t *Targeting) matchesAge(age *int) bool {
	if t.MinAge == nil && t.MaxAge == nil {
		return true
	}
	return age != nil && (t.MinAge == nil || *age >= *t.MinAge) && (t.MaxAge == nil || *age <= *t.MaxAge)
}

func (t *Targeting) matchesGender(gender string) bool {
	if gender == "" && len(t.Genders) > 0 {
		return t.ShowForUnknownGender
	}
	return oneOf(t.Genders, gender)
}

func (t *Targeting) matchesPlacement(id *uuid.UUID) bool {
	return len(t.PlacementIDs) == 0 || id != nil && slices.Contains(t.PlacementIDs, *id)
}

// matchesPostalCode also takes an American ZIP+4 for the five-digit code that it refines.
func (t *Targeting) matchesPostalCode(code string) bool {
	if len(t.ZipCodes) == 0 {
		return true
	}
	key := postalKey(code)
	return key != "" && slices.ContainsFunc(t.ZipCodes, func(zip string) bool {
		target := postalKey(zip)
		return target == key || allDigits(key) && len(key) == 9 && len(target) == 5 && strings.HasPrefix(key, target)
	})
}

// postalKey is what two spellings of one postal code have in common.
func postalKey(code string) string {
	return strings.ToUpper(postalFill.Replace(code))
}

var postalFill = strings.NewReplacer(" ", "", "-", "")

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }
