package tracking

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// Without any setting the embedded database tells countries: addresses whose holders have not moved for
// decades, and none for those that are of no country.
func TestEmbeddedCountries(t *testing.T) {
	t.Parallel()
	finder, err := NewGeoIP(Config{})
	require.NoError(t, err)
	require.Empty(t, finder.Missing())
	for address, country := range map[string]string{
		"8.8.8.8": "US", "193.99.144.80": "DE", "212.58.244.1": "GB", "133.11.0.1": "JP", "200.160.2.3": "BR", "196.25.1.1": "ZA",
		"2001:4860:4860::8888": "US", "2a02:2e0:3fe:1001:7777:772e:2:85": "DE",
		"127.0.0.1": "", "10.1.2.3": "", "192.168.1.1": "", "::1": "", "fe80::1": "", "203.0.113.7": "", "2001:db8::7": "",
	} {
		for range 2 { // read, and remembered
			require.Equal(t, Place{country: country, rough: country != ""}, finder.db.find(netip.MustParseAddr(address)), address)
		}
	}
	require.NotEmpty(t, *finder.db.known.Load())
	require.Regexp(t, `^the embedded database of countries of 20\d\d-\d\d-\d\d$`, finder.Source())
	notice, err := os.ReadFile("countries/NOTICE")
	require.NoError(t, err)
	require.Contains(t, string(notice), fmt.Sprintf("sha256: %x", sha256.Sum256(embeddedCountries)), "the notice is that of another file")
}

// smallDatabase writes a database of one network with a record.
func smallDatabase(t *testing.T, kind string, record mmdbtype.Map) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, RecordSize: 24, IncludeReservedNetworks: true, BuildEpoch: 1_700_000_000})
	require.NoError(t, err)
	_, network, err := net.ParseCIDR("203.0.113.0/24")
	require.NoError(t, err)
	require.NoError(t, tree.Insert(network, record))
	var content bytes.Buffer
	_, err = tree.WriteTo(&content)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "small.mmdb")
	require.NoError(t, os.WriteFile(path, content.Bytes(), 0o600))
	return path
}

// What tells countries is named, and so is what keeps them from being told.
func TestCountrySource(t *testing.T) {
	t.Parallel()
	countries := smallDatabase(t, "country", mmdbtype.Map{"country_code": mmdbtype.String("AT")})
	operators := smallDatabase(t, "ASN", mmdbtype.Map{"autonomous_system_number": mmdbtype.Uint32(64500)})
	proxies := []string{"10.0.0.0/8"}
	for name, c := range map[string]struct {
		config                 Config
		source, missing, state string
	}{
		"nothing set":                {Config{}, "the embedded database of countries of 20", "", "IP addresses give countries only (the embedded database"},
		"a file":                     {Config{GeoIPFile: countries}, "the database of OFFERFLOW_GEOIP_FILE of 2023-11-14", "", "IP addresses give countries only"},
		"a file of cities":           {Config{GeoIPFile: geoIPFile(t)}, "the database of OFFERFLOW_GEOIP_FILE of 20", "", ""},
		"off":                        {Config{GeoIPFile: "off"}, "nothing", "OFFERFLOW_GEOIP_FILE is off", ""},
		"off, with a header":         {Config{GeoIPFile: "OFF", CountryHeader: "CF-IPCountry", TrustedProxies: proxies}, "the header CF-IPCountry of trusted proxies", "", "IP addresses give countries only"},
		"a header and no proxy":      {Config{GeoIPFile: "off", CountryHeader: "CF-IPCountry"}, "nothing", "OFFERFLOW_TRUSTED_PROXIES", ""},
		"a header and the database":  {Config{CountryHeader: "CF-IPCountry", TrustedProxies: proxies}, "the header CF-IPCountry of trusted proxies, else the embedded", "", "IP addresses give"},
		"a file without countries":   {Config{GeoIPFile: operators}, "nothing", "has no countries in a known format", ""},
		"such a file, with a header": {Config{GeoIPFile: operators, CountryHeader: "X", TrustedProxies: proxies}, "the header X of trusted proxies", "", "IP addresses give"},
	} {
		finder, err := NewGeoIP(c.config)
		require.NoError(t, err, name)
		require.True(t, strings.HasPrefix(finder.Source(), c.source), "%s: %s", name, finder.Source())
		for said, want := range map[string]string{finder.Missing(): c.missing, finder.MissingStates(): c.state} {
			require.Contains(t, said, want, name)
			require.Equal(t, want == "", said == "", "%s: %s", name, said)
		}
	}
	finder, err := NewGeoIP(Config{GeoIPFile: countries})
	require.NoError(t, err)
	require.Equal(t, "AT", finder.db.find(netip.MustParseAddr("203.0.113.9")).country, "the form of smaller databases")
}

// Rule 46: a click that is refused since nobody knows its country says so, to whoever clicks from a private
// address on the page, and to the operator in the log; a link that names the country is let pass.
func TestClickOfUnknownCountrySaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		address, fallback string
		config            Config
		status            int
		page, log         string
	}{
		"from this machine":     {address: "127.0.0.1", status: http.StatusNotFound, page: "country unknown: the address 127.0.0.1 is private; set pub_geo_country", log: "the address 127.0.0.1 is private"},
		"from a private net":    {address: "192.168.7.7", status: http.StatusNotFound, page: "the address 192.168.7.7 is private", log: "OFFERFLOW_TRUSTED_PROXIES"},
		"unknown to the source": {address: "203.0.113.7", status: http.StatusNotFound, log: "has no country for the address 203.0.113.7"},
		"a fallback":            {address: "127.0.0.1", fallback: "https://fallback.example/", status: http.StatusFound, log: "the address 127.0.0.1 is private"},
		"no source":             {address: "8.8.8.8", config: Config{GeoIPFile: GeoIPOff}, status: http.StatusNotFound, log: "country unknown: OFFERFLOW_GEOIP_FILE is off"},
		"of another country":    {address: "8.8.8.8", status: http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEdge(t)
			e.offer.Targeting.Countries = []string{"DE"}
			e.offer.FallbackURL = c.fallback
			e.load(t)
			var err error
			e.places, err = NewGeoIP(c.config)
			require.NoError(t, err)
			said := saidMeanwhile(t, func() {
				path := "/c/" + e.link.ID.String()
				w := e.get(path, "User-Agent", iPhone, "X-Forwarded-For", c.address)
				require.Equal(t, c.status, w.Code)
				require.Contains(t, w.Body.String(), c.page)
				require.Equal(t, c.page != "", strings.Contains(w.Body.String(), "country unknown"), w.Body.String())
				e.get(path, "User-Agent", iPhone, "X-Forwarded-For", c.address)
				require.Equal(t, http.StatusFound, e.get(path+"?pub_geo_country=DE", "User-Agent", iPhone, "X-Forwarded-For", "127.0.0.1").Code)
			})
			require.Contains(t, said, c.log)
			times := 0
			if c.log != "" {
				times = 1
			}
			require.Equal(t, times, strings.Count(said, "country unknown"), "not once for each click: %s", said)
			require.Equal(t, domain.ReasonOutOfTarget, e.click[0].RefusedReason)
		})
	}
}

// The embedded database fills what the link leaves open, and overrules nobody: an offer that was reached by
// what the link says is reached after an upgrade too.
func TestEmbeddedCountriesOverruleNobody(t *testing.T) {
	t.Parallel()
	for query, hit := range map[string]bool{"": false, "?pub_geo_country=DE": true, "?pub_geo_country=US": false, "?pub_geo_country=nowhere": false} {
		e := newEdge(t)
		e.offer.Targeting.Countries = []string{"DE"}
		e.load(t)
		e.get("/c/"+e.link.ID.String()+query, "User-Agent", iPhone, "X-Forwarded-For", "8.8.8.8")
		require.Equal(t, hit, e.click[0].RefusedReason == domain.ReasonNone, query)
		require.Equal(t, "US", e.click[0].Country, "what the address tells is kept, whoever is believed")
	}
}

// saidMeanwhile is what the log says while something is done.
func saidMeanwhile(t *testing.T, do func()) string {
	t.Helper()
	var said bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&said, nil)))
	defer slog.SetDefault(before)
	do()
	return said.String()
}

// The start says where countries come from, and what is wrong with it.
func TestCountriesAtTheStart(t *testing.T) {
	for want, c := range map[string]Config{
		"countries come from the embedded database of countries of 20": {},
		"OFFERFLOW_GEOIP_FILE is off":                                  {GeoIPFile: GeoIPOff},
		"OFFERFLOW_COUNTRY_HEADER is ignored":                          {CountryHeader: "X"},
	} {
		finder, err := NewGeoIP(c)
		require.NoError(t, err)
		require.Contains(t, saidMeanwhile(t, func() { finder.report(finder.builtAt()) }), want)
	}
	finder, err := NewGeoIP(Config{})
	require.NoError(t, err)
	const old = "more than a year old"
	require.NotContains(t, saidMeanwhile(t, func() { finder.report(finder.builtAt().Add(oldCountries)) }), old)
	require.Contains(t, saidMeanwhile(t, func() { finder.report(finder.builtAt().Add(oldCountries + time.Second)) }), old)
}

// builtAt is when the database was built.
func (f *GeoIP) builtAt() time.Time {
	if f.db == nil {
		return time.Time{}
	}
	return f.db.date()
}

// BenchmarkClickWithCountry is a whole redirect but for the disk and the network, with the look-up and without.
func BenchmarkClickWithCountry(b *testing.B) {
	for _, source := range []string{"", GeoIPOff} {
		e := newEdge(b)
		e.clicks = nowhere{}
		e.offer.Targeting.Countries = []string{"DE"}
		e.load(b)
		var err error
		if e.places, err = NewGeoIP(Config{GeoIPFile: source}); err != nil {
			b.Fatal(err)
		}
		path := "/c/" + e.link.ID.String() + "?pub_member_id=m&pub_geo_country=DE"
		b.Run("source="+source, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := e.get(path, "User-Agent", iPhone, "X-Forwarded-For", "193.99.144.80"); w.Code != http.StatusFound {
					b.Fatal(w.Code)
				}
			}
		})
	}
}

type nowhere struct{}

func (nowhere) Publish(context.Context, *domain.Click) error { return nil }

// BenchmarkPlace is what a click costs more for its country.
func BenchmarkPlace(b *testing.B) {
	for name, config := range map[string]Config{"embedded": {}, "off": {GeoIPFile: GeoIPOff}} {
		finder, err := NewGeoIP(config)
		if err != nil {
			b.Fatal(err)
		}
		for of, address := range map[string]string{"v4": "193.99.144.80", "v6": "2a02:2e0:3fe:1001:7777:772e:2:85", "private": "127.0.0.1"} {
			b.Run(name+"/"+of, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					finder.find(nil, address)
				}
			})
		}
	}
}
