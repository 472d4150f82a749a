package domain

import (
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestLookupsAreWholeAndStable(t *testing.T) {
	seen := map[uuid.UUID]bool{}
	for _, kind := range LookupKinds() {
		items, ok := Lookup(kind)
		require.True(t, ok, kind)
		require.NotEmpty(t, items, kind)
		for _, item := range items {
			require.NotEmpty(t, item.Name, kind)
			require.Equal(t, uuid.Version(5), item.ID.Version())
			require.False(t, seen[item.ID], "%s %s", kind, item.Name)
			seen[item.ID] = true
		}
	}
	_, ok := Lookup("planets")
	require.False(t, ok)

	require.Len(t, TrackingSystems(), 44)
	countries, _ := Lookup("countries")
	require.Len(t, countries, 249)
	ages, _ := Lookup("ages")
	require.Nil(t, ages[0].MinAge)
	require.Nil(t, ages[0].MaxAge)
	require.Equal(t, "13-17", ages[1].Name)

	// Ids are kept in offers and by clients: these may never change.
	us, _ := ParseCountry("US")
	require.Equal(t, "c50d3f00-9047-5d0e-a684-04f9289452c4", us.ID.String())
	require.Equal(t, "fef38f4f-0833-541f-b5bd-ed1ea4d1750f", ages[0].ID.String())
}

func TestParseCountry(t *testing.T) {
	id := LookupID("countries", "AF")
	for _, text := range []string{"AF", "af", "AFG", "004", "4", " af ", id.String()} {
		item, ok := ParseCountry(text)
		require.True(t, ok, text)
		require.Equal(t, "AF", item.Code)
	}
	uk, _ := ParseCountry("UK")
	require.Equal(t, "GB", uk.Code)
	for _, text := range []string{"", "XX", "ZZZ", "999", "Afghanistania", uuid.NewString()} {
		_, ok := ParseCountry(text)
		require.False(t, ok, text)
	}
}

func TestParseState(t *testing.T) {
	for text, want := range map[string]string{
		"US-CA": "US-CA", "us-ca": "US-CA", LookupID("states", "US-CA").String(): "US-CA", "IN-OR": "IN-OD",
		"LU-LU": "LU-LU", "GB-ENG": "GB-ENG",
	} {
		item, ok := ParseState(text)
		require.True(t, ok, text)
		require.Equal(t, want, item.Code)
		require.Equal(t, want[:2], item.CountryCode)
	}
	for _, text := range []string{"", "CA", "US-ZZ", "XX-1", "LU-", "LU-ABCD", "LU-A.", "UK-1", "US-"} {
		_, ok := ParseState(text)
		require.False(t, ok, text)
	}
	for _, text := range []string{"CA", "california", "US-CA"} {
		item, ok := ParseStateIn("US", text)
		require.True(t, ok, text)
		require.Equal(t, "US-CA", item.Code)
	}
	_, ok := ParseStateIn("", "CA")
	require.False(t, ok)
}

func TestParseGenderAndDevice(t *testing.T) {
	for text, want := range map[string]string{
		"male": "male", "F": "female", "Non-Binary": "other", LookupID("genders", "other").String(): "other",
	} {
		item, ok := ParseGender(text)
		require.True(t, ok, text)
		require.Equal(t, want, item.Code)
	}
	_, ok := ParseGender("")
	require.False(t, ok)
	device, ok := ParseDevice("ios")
	require.True(t, ok)
	require.Equal(t, DeviceIOS, device)
	_, ok = ParseDevice("All")
	require.False(t, ok)
}

func TestParseTrackingSystem(t *testing.T) {
	name, ok := ParseTrackingSystem("cjaffiliate")
	require.True(t, ok)
	require.Equal(t, "CJAffiliate", name)
	_, ok = ParseTrackingSystem("none")
	require.False(t, ok)
}

// Rule 45: one country has one code, however it is written.
func TestRule45CountriesAreOneCode(t *testing.T) {
	t.Parallel()
	for code, texts := range map[string][]string{
		"US": {"US", "us", "USA", "usa", "840", "United States", "united states of america", " US "}, "GB": {"GB", "UK", "uk", "GBR", "826", "United Kingdom", "Great Britain"},
		"AL": {"8", "08", "008", "ALB", "Albania"}, "KR": {"South Korea", "Republic of Korea", "410"}, "": {"", "Nowhere", "XX", "T1", "-1", "99999"},
	} {
		for _, text := range texts {
			if got := CountryCode(text); got != code {
				t.Errorf("%q is %q, want %q", text, got, code)
			}
		}
	}
	names, err := os.ReadFile("testdata/country_names.tsv") // the database's copy is held against them too
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(names)), "\n")
	if len(lines) != len(commonCountryNames) {
		t.Errorf("testdata/country_names.tsv has %d of %d names", len(lines), len(commonCountryNames))
	}
	for _, line := range lines {
		name, code, _ := strings.Cut(line, "\t")
		if got := CountryCode(strings.ToLower(name)); got != code || commonCountryNames[name] == "" {
			t.Errorf("%s is %q, want %q", name, got, code)
		}
	}
	click := Click{Country: "uk", PubGeoCountry: "usa", PubGeoState: "california", PubDevice: "ios"}
	click.Normalise()
	if click.Country != "GB" || click.PubGeoCountry != "US" || click.PubGeoState != "US-CA" || click.PubDevice != DeviceIOS {
		t.Errorf("%+v", click)
	}
	unknown := Click{Country: "", PubGeoCountry: "Narnia", PubGeoState: "7", PubDevice: "toaster"}
	as := unknown
	unknown.Normalise()
	if unknown.PubGeoCountry != as.PubGeoCountry || unknown.PubGeoState != as.PubGeoState || unknown.PubDevice != as.PubDevice {
		t.Errorf("%+v", unknown)
	}
}
