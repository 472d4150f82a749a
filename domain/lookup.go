package domain

import (
	_ "embed" // the two tables below
	"strings"
	"sync"

	"github.com/google/uuid"
)

// LookupItem is one value that offer documents refer to by id, or by one of its codes. Ids are
// the same in every installation and release.
type LookupItem struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
	// Code is ISO 3166-1 alpha-2 of a country, ISO 3166-2 of a state, else the word that
	// documents and links use: a gender, a tracking system, a macro with its braces.
	Code string `json:"code,omitempty"`
	// Alpha3 and Numeric are a country's other codes.
	Alpha3  string `json:"alpha3,omitempty"`
	Numeric string `json:"numeric,omitempty"`
	// CountryCode is the alpha-2 code of a state's country.
	CountryCode string `json:"countryCode,omitempty"`
	// MinAge and MaxAge are an age range's ends, inclusive; nil is unbounded.
	MinAge      *int   `json:"minAge,omitempty"`
	MaxAge      *int   `json:"maxAge,omitempty"`
	Description string `json:"description,omitempty"`
}

// LookupKinds are the names of the lookups, as their routes spell them.
func LookupKinds() []string {
	return []string{"ages", "categories", "countries", "states", "genders", "trackingSystems", "macros"}
}

// Lookup is the built-in list of one kind, whole and in its order of presentation; false for a
// kind that does not exist. Callers must not change the items.
func Lookup(kind string) ([]LookupItem, bool) {
	list, ok := lookups()[kind]
	return list, ok
}

// lookupNamespace is the namespace of all lookup ids (UUIDv5). It must never change.
var lookupNamespace = uuid.MustParse("6f1b9d0e-0c6a-5d55-9a3b-2f4f7d1c8e10")

// LookupID is the stable id of a lookup value: kind as in LookupKinds, key its code or, where it
// has none, its name in lower case.
func LookupID(kind, key string) uuid.UUID {
	return uuid.NewSHA1(lookupNamespace, []byte(kind+"/"+key))
}

// lookups is made at first use: some 800 hashes, of which a redirect needs none.
var lookups = sync.OnceValue(func() map[string][]LookupItem {
	return map[string][]LookupItem{
		"ages":            ageItems(),
		"categories":      namedItems("categories", categoryNames),
		"countries":       countryItems(),
		"states":          stateItems(),
		"genders":         genderItems(),
		"trackingSystems": trackingSystemItems(),
		"macros":          macroItems(),
	}
})

// The codes and English names of ISO 3166-1, and the codes and names of ISO 3166-2's upper level
// for the countries whose offers target states; a state of another country is known by the form
// of its code alone.
var (
	//go:embed lookup_countries.tsv
	countryTable string
	//go:embed lookup_states.tsv
	stateTable string
)

func tableRows(table string) [][]string {
	var rows [][]string
	for line := range strings.Lines(table) {
		rows = append(rows, strings.Split(strings.TrimRight(line, "\r\n"), "\t"))
	}
	return rows
}

func countryItems() []LookupItem {
	var items []LookupItem
	for _, row := range tableRows(countryTable) {
		items = append(items, LookupItem{
			ID: LookupID("countries", row[0]), Code: row[0], Alpha3: row[1], Numeric: row[2], Name: row[3],
		})
	}
	return items
}

func stateItems() []LookupItem {
	var items []LookupItem
	for _, row := range tableRows(stateTable) {
		country, _, _ := strings.Cut(row[0], "-")
		items = append(items, LookupItem{
			ID: LookupID("states", row[0]), Code: row[0], Name: row[1], CountryCode: country,
		})
	}
	return items
}

func namedItems(kind string, names []string) []LookupItem {
	items := make([]LookupItem, len(names))
	for i, name := range names {
		items[i] = LookupItem{ID: LookupID(kind, strings.ToLower(name)), Name: name}
	}
	return items
}

func genderItems() []LookupItem {
	items := []LookupItem{{Name: "Male", Code: "male"}, {Name: "Female", Code: "female"}, {Name: "Other", Code: "other"}}
	for i := range items {
		items[i].ID = LookupID("genders", items[i].Code)
	}
	return items
}

// ageItems starts with everyone.
func ageItems() []LookupItem {
	ranges := []struct {
		name     string
		min, max int
	}{
		{"Everyone", 0, 0},
		{"13-17", 13, 17}, {"18-24", 18, 24}, {"25-34", 25, 34}, {"35-44", 35, 44}, {"45-54", 45, 54},
		{"55-64", 55, 64}, {"65+", 65, 0}, {"13+", 13, 0}, {"18+", 18, 0}, {"21+", 21, 0},
	}
	items := make([]LookupItem, len(ranges))
	for i, r := range ranges {
		items[i] = LookupItem{ID: LookupID("ages", strings.ToLower(r.name)), Name: r.name}
		if r.min > 0 {
			items[i].MinAge = &r.min
		}
		if r.max > 0 {
			items[i].MaxAge = &r.max
		}
	}
	return items
}

// categoryNames is a starter list; tenants add their own.
var categoryNames = []string{
	"Apps", "Automotive", "Beauty", "Business", "Casino", "Cashback", "Crypto", "Dating", "Deals", "Education",
	"Electronics", "Entertainment", "Fashion", "Finance", "Food and Drink", "Games", "Health and Fitness",
	"Home and Garden", "Insurance", "Lifestyle", "Lotteries", "Music", "News", "Pets", "Shopping", "Social",
	"Sports", "Streaming", "Subscriptions", "Surveys", "Telecom", "Travel", "Utilities", "Other",
}

func trackingSystemItems() []LookupItem {
	names := TrackingSystems()
	items := make([]LookupItem, len(names))
	for i, name := range names {
		items[i] = LookupItem{ID: LookupID("trackingSystems", strings.ToLower(name)), Name: name, Code: name}
	}
	return items
}

func macroItems() []LookupItem {
	items := make([]LookupItem, len(macros))
	for i, m := range macros {
		items[i] = LookupItem{
			ID: LookupID("macros", m.Name), Name: m.Name, Code: "{" + m.Name + "}", Description: m.Description,
		}
	}
	return items
}
