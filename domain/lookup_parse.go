package domain

import (
	"strings"
	"sync"

	"github.com/google/uuid"
)

// lookupIndex finds items of one kind by id and by every code and name, in upper case.
type lookupIndex struct {
	byID   map[uuid.UUID]LookupItem
	byCode map[string]LookupItem
}

func indexLookup(kind string, keys func(LookupItem) []string) lookupIndex {
	index := lookupIndex{byID: map[uuid.UUID]LookupItem{}, byCode: map[string]LookupItem{}}
	items, _ := Lookup(kind)
	for _, item := range items {
		index.byID[item.ID] = item
		for _, key := range keys(item) {
			index.byCode[strings.ToUpper(key)] = item
		}
	}
	return index
}

func (x lookupIndex) find(text string) (LookupItem, bool) {
	if id, ok := parseUUID(text); ok {
		item, ok := x.byID[id]
		return item, ok
	}
	item, ok := x.byCode[strings.ToUpper(strings.TrimSpace(text))]
	return item, ok
}

var (
	countryIndex = sync.OnceValue(func() lookupIndex {
		index := indexLookup("countries", func(c LookupItem) []string { return []string{c.Code, c.Alpha3, c.Numeric, c.Name} })
		index.byCode["UK"] = index.byCode["GB"] // exceptionally reserved, and what many senders write
		for name, code := range commonCountryNames {
			index.byCode[name] = index.byCode[code]
		}
		return index
	})
	stateIndex = sync.OnceValue(func() lookupIndex {
		index := indexLookup("states", func(s LookupItem) []string {
			return []string{s.Code, s.CountryCode + "/" + s.Name}
		})
		// Codes that ISO replaced in 2023, still found in geolocation data.
		for old, now := range map[string]string{"IN-CT": "IN-CG", "IN-OR": "IN-OD", "IN-TG": "IN-TS", "IN-UT": "IN-UK"} {
			index.byCode[old] = index.byCode[now]
		}
		return index
	})
	genderIndex = sync.OnceValue(func() lookupIndex {
		index := indexLookup("genders", func(g LookupItem) []string { return []string{g.Code, g.Code[:1]} })
		for _, word := range []string{"X", "NON-BINARY", "NONBINARY", "DIVERSE"} {
			index.byCode[word] = index.byCode["OTHER"]
		}
		return index
	})
	ageIndex      = sync.OnceValue(func() lookupIndex { return indexLookup("ages", noKeys) })
	categoryIndex = sync.OnceValue(func() lookupIndex { return indexLookup("categories", noKeys) })
)

func noKeys(LookupItem) []string { return nil }

// commonCountryNames are what people call countries besides the lookup's names.
var commonCountryNames = map[string]string{
	"UNITED STATES OF AMERICA": "US", "U.S.": "US", "U.S.A.": "US", "AMERICA": "US", "GREAT BRITAIN": "GB", "BRITAIN": "GB", "U.K.": "GB",
	"ENGLAND": "GB", "SCOTLAND": "GB", "WALES": "GB", "NORTHERN IRELAND": "GB", "CZECH REPUBLIC": "CZ", "HOLLAND": "NL", "THE NETHERLANDS": "NL",
	"KOREA": "KR", "REPUBLIC OF KOREA": "KR", "KOREA, REPUBLIC OF": "KR", "RUSSIAN FEDERATION": "RU", "VIET NAM": "VN", "TURKEY": "TR", "TURKIYE": "TR",
	"IVORY COAST": "CI", "COTE D'IVOIRE": "CI", "UAE": "AE", "BURMA": "MM", "MACEDONIA": "MK", "SWAZILAND": "SZ", "CABO VERDE": "CV", "MACAU": "MO",
	"IRAN, ISLAMIC REPUBLIC OF": "IR", "ISLAMIC REPUBLIC OF IRAN": "IR", "SYRIAN ARAB REPUBLIC": "SY", "TAIWAN, PROVINCE OF CHINA": "TW",
	"BOLIVIA, PLURINATIONAL STATE OF": "BO", "VENEZUELA, BOLIVARIAN REPUBLIC OF": "VE", "TANZANIA, UNITED REPUBLIC OF": "TZ", "MOLDOVA, REPUBLIC OF": "MD",
	"LAO PEOPLE'S DEMOCRATIC REPUBLIC": "LA", "BRUNEI DARUSSALAM": "BN", "HOLY SEE": "VA", "EAST TIMOR": "TL", "REUNION": "RE", "CURACAO": "CW",
	"DEMOCRATIC REPUBLIC OF THE CONGO": "CD", "DR CONGO": "CD", "DRC": "CD", "ALAND ISLANDS": "AX", "THE BAHAMAS": "BS", "THE GAMBIA": "GM",
}

// CountryCode is the alpha-2 code of what a sender calls a country, "" for what is none (rule 45).
func CountryCode(text string) string {
	country, _ := ParseCountry(text)
	return country.Code
}

// ParseCountry finds a country by lookup id, alpha-2, alpha-3 or numeric code (leading zeros may
// be missing), or by a common name, in any case.
func ParseCountry(text string) (LookupItem, bool) {
	text = strings.TrimSpace(text)
	if len(text) < 3 && strings.Trim(text, "0123456789") == "" && text != "" {
		text = strings.Repeat("0", 3-len(text)) + text
	}
	return countryIndex().find(text)
}

// ParseState finds a state by lookup id or ISO 3166-2 code, in any case. A country without
// states of its own in the lookup may have any code of the right form; such an item has no id.
func ParseState(text string) (LookupItem, bool) {
	if item, ok := stateIndex().find(text); ok {
		return item, true
	}
	code := strings.ToUpper(strings.TrimSpace(text))
	country, part, _ := strings.Cut(code, "-")
	if len(country) != 2 || len(part) < 1 || len(part) > 3 || strings.ContainsFunc(part, notCode) {
		return LookupItem{}, false
	}
	if known, ok := ParseCountry(country); !ok || known.Code != country || hasStates(country) {
		return LookupItem{}, false
	}
	return LookupItem{Name: code, Code: code, CountryCode: country}, true
}

func notCode(c rune) bool { return !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') }

var countriesWithStates = sync.OnceValue(func() map[string]bool {
	with := map[string]bool{}
	items, _ := Lookup("states")
	for _, item := range items {
		with[item.CountryCode] = true
	}
	return with
})

func hasStates(country string) bool { return countriesWithStates()[country] }

// ParseStateIn is ParseState for a click's parameters, where the state of a known country (its
// alpha-2 code) may also come without the country's prefix, or as its English name.
func ParseStateIn(country, text string) (LookupItem, bool) {
	if item, ok := ParseState(text); ok {
		return item, true
	}
	if country == "" {
		return LookupItem{}, false
	}
	if item, ok := stateIndex().find(country + "/" + strings.TrimSpace(text)); ok {
		return item, true
	}
	return ParseState(country + "-" + strings.TrimSpace(text))
}

// ParseGender finds a gender by lookup id, name or initial, in any case. Its Code is what
// targeting holds.
func ParseGender(text string) (LookupItem, bool) { return genderIndex().find(text) }

// AgeRangeByID finds a built-in age range.
func AgeRangeByID(id uuid.UUID) (AgeRange, bool) {
	item, ok := ageIndex().byID[id]
	return AgeRange{Min: item.MinAge, Max: item.MaxAge}, ok
}

// CategoryByID finds a built-in category.
func CategoryByID(id uuid.UUID) (LookupItem, bool) {
	item, ok := categoryIndex().byID[id]
	return item, ok
}

// Device types of targeting, as documents spell them. All is the empty list.
const (
	DeviceIOS     = "IOS"
	DeviceAndroid = "Android"
	DeviceMacOS   = "MacOS"
	DeviceBrowser = "Browser"
	deviceAll     = "All"
)

var deviceTypes = []string{DeviceIOS, DeviceAndroid, DeviceMacOS, DeviceBrowser, deviceAll}

// ParseDevice finds a device type's canonical spelling, whatever the case of text; `All` is not
// a device.
func ParseDevice(text string) (string, bool) {
	for _, device := range deviceTypes[:len(deviceTypes)-1] {
		if strings.EqualFold(device, strings.TrimSpace(text)) {
			return device, true
		}
	}
	return "", false
}
