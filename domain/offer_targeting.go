package domain

import (
	"slices"
	"strings"

	"github.com/google/uuid"
)

func (f *docFields) targeting() Targeting {
	t := Targeting{ShowForUnknownGender: f.flag("showForUnknownGender", false)}
	f.ages(&t)
	t.CategoryIDs = f.ids("categoryIds", true, f.categoryKnown)
	t.Countries = f.codes("countryIds", true, "a country's lookup id or ISO 3166 code", ParseCountry)
	t.States = f.codes("stateIds", false, "a state's lookup id or ISO 3166-2 code", ParseState)
	t.ZipCodes = f.zipCodes()
	t.Genders = f.codes("genderIds", false, "a gender's lookup id or name", ParseGender)
	t.PlacementIDs = f.ids("placementIds", false, f.terms.PlacementExists)
	t.Devices = f.devices()
	for _, state := range t.States {
		if country, _, _ := strings.Cut(state, "-"); len(t.Countries) > 0 && !slices.Contains(t.Countries, country) {
			f.warn(f.at("stateIds"), "%s is in none of the targeted countries, so no member can match it", state)
		}
	}
	f.warnOfPlaces(&t)
	return t
}

// warnOfPlaces adds what PlaceWarnings finds.
func (f *docFields) warnOfPlaces(t *Targeting) {
	for _, warning := range PlaceWarnings(t, f.terms.NoCountries, f.terms.NoStates) {
		f.warn(f.at(warning.Field), "%s", warning.Reason)
	}
}

// PlaceWarnings are about what an offer asks of a visitor's place where nothing tells it, and why nothing does:
// without them the offer would refuse every click and be on no wall, without an explanation.
func PlaceWarnings(t *Targeting, noCountries, noStates string) (warnings FieldErrors) {
	warn := func(field string, codes []string, why string) {
		if len(codes) > 0 && why != "" {
			warnings = append(warnings, FieldError{Field: field, Reason: why})
		}
	}
	if noCountries != "" {
		noCountries = "a visitor's country is known only if the link has pub_geo_country; all other clicks are refused: " + noCountries
	}
	warn("countryIds", t.Countries, noCountries)
	warn("stateIds", t.States, noCountries)
	warn("stateIds", t.States, noStates)
	warn("zipCodes", t.ZipCodes, noStates)
	return warnings
}

func (f *docFields) ages(t *Targeting) {
	var ages AgeRange
	known := func(id uuid.UUID) (ok bool) {
		if ages, ok = AgeRangeByID(id); !ok && f.terms.Age != nil {
			ages, ok = f.terms.Age(id)
		}
		return ok
	}
	if id, ok := f.id("ageId", true, known); ok {
		t.AgeID, t.MinAge, t.MaxAge = id, ages.Min, ages.Max
	}
}

func (r *docReader) categoryKnown(id uuid.UUID) bool {
	_, ok := CategoryByID(id)
	return ok || r.terms.CategoryKnown != nil && r.terms.CategoryKnown(id)
}

// mustBeText is for codes that came as numbers: 00501 is 501 by then, and 008 is no number at all.
const mustBeText = "must be text in quotes, because numbers lose leading zeros"

// ids are a list of known ids without repeats; empty, never nil.
func (f *docFields) ids(name string, required bool, known func(uuid.UUID) bool) []uuid.UUID {
	ids, seen := []uuid.UUID{}, map[uuid.UUID]bool{}
	for _, item := range f.list(name, required, 0, maxTargets) {
		if id, ok := f.idAt(item.path, item.docNode, known); ok && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// codes are a list of lookup values by their codes, without repeats; empty, never nil.
func (f *docFields) codes(name string, required bool, what string, parse func(string) (LookupItem, bool)) []string {
	codes, seen := []string{}, map[string]bool{}
	for _, item := range f.list(name, required, 0, maxTargets) {
		if item.kind == docNumber {
			f.fail(item.path, mustBeText)
			continue
		}
		value, ok := parse(item.text)
		if !ok || item.kind != docString {
			f.fail(item.path, "must be %s", what)
			continue
		}
		if !seen[value.Code] {
			seen[value.Code] = true
			codes = append(codes, value.Code)
		}
	}
	return codes
}

// zipCodes are kept as written, in upper case. A number has lost its leading zeros.
func (f *docFields) zipCodes() []string {
	codes, seen := []string{}, map[string]bool{}
	for _, item := range f.list("zipCodes", false, 0, maxZipCodes) {
		if item.kind == docNumber {
			f.fail(item.path, mustBeText)
			continue
		}
		text, ok := f.plain(item.path, item.docNode, maxZipCode, false)
		if !ok {
			continue
		}
		text = strings.ToUpper(strings.TrimSpace(text))
		key := postalKey(text)
		if key == "" {
			f.fail(item.path, "must not be empty")
		} else if !seen[key] {
			seen[key] = true
			codes = append(codes, text)
		}
	}
	return codes
}

// devices are one type, several in a list, or several in one string with commas. All, wherever
// it stands, is everyone.
func (f *docFields) devices() []string {
	devices := []string{}
	node, ok := f.optional("deviceType")
	if !ok {
		return devices
	}
	path, items := f.at("deviceType"), node.items
	switch {
	case node.kind == docString:
		items = nil
		for part := range strings.SplitSeq(node.text, ",") {
			items = append(items, docNode{kind: docString, text: part})
		}
	case node.kind != docList:
		f.fail(path, "must be a string or a list, not %s", node.kind)
	case len(items) > 2*len(deviceTypes):
		f.fail(path, "has more than %d values", 2*len(deviceTypes))
		return devices
	}
	for _, item := range items {
		if device := f.wordAt(path, item, deviceTypes); device != "" && !slices.Contains(devices, device) {
			devices = append(devices, device)
		}
	}
	if slices.Contains(devices, deviceAll) {
		return []string{}
	}
	return devices
}
