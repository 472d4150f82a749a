package tracking

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// geoIPFile writes a MaxMind city database with a few networks.
func geoIPFile(t *testing.T) string {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoLite2-City", RecordSize: 24, IncludeReservedNetworks: true})
	require.NoError(t, err)
	for network, record := range map[string]mmdbtype.Map{
		"203.0.113.0/24": {
			"country":      mmdbtype.Map{"iso_code": mmdbtype.String("US")},
			"subdivisions": mmdbtype.Slice{mmdbtype.Map{"iso_code": mmdbtype.String("CA")}, mmdbtype.Map{"iso_code": mmdbtype.String("XX")}},
			"postal":       mmdbtype.Map{"code": mmdbtype.String("94016")},
		},
		"198.51.100.0/24": {"country": mmdbtype.Map{"iso_code": mmdbtype.String("DE")}},
		"2001:db8::/32":   {"country": mmdbtype.Map{"iso_code": mmdbtype.String("FR")}, "postal": mmdbtype.Map{"code": mmdbtype.String("75001")}},
		"192.0.2.0/24":    {"country": mmdbtype.String("not a map")},
	} {
		_, parsed, err := net.ParseCIDR(network)
		require.NoError(t, err)
		require.NoError(t, tree.Insert(parsed, record))
	}
	path := filepath.Join(t.TempDir(), "city.mmdb")
	file, err := os.Create(path)
	require.NoError(t, err)
	_, err = tree.WriteTo(file)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return path
}

// Country, state and postal code at the click come from the client's address, as the trusted proxies say
// it (rule 45); a proxy's own header for the country goes first, and what the publisher says of its
// member fills what the address does not tell.
func TestPlaceFromMaxMindAtTheClick(t *testing.T) {
	file := geoIPFile(t)
	for name, c := range map[string]struct {
		address, header, claims string
		country, state, postal  string
	}{
		"a whole record":              {address: "203.0.113.7", country: "US", state: "US-CA", postal: "94016"},
		"another is claimed":          {address: "203.0.113.7", claims: "&pub_geo_country=DE&pub_geo_state=DE-BE", country: "US", state: "US-CA", postal: "94016"},
		"a country alone":             {address: "198.51.100.7", country: "DE"},
		"the state is claimed":        {address: "198.51.100.7", claims: "&pub_geo_country=DE&pub_geo_state=DE-BE", country: "DE", state: "DE-BE"},
		"IPv6":                        {address: "2001:db8::7", country: "FR", postal: "75001"},
		"IPv4 in IPv6":                {address: "::ffff:203.0.113.7", country: "US", state: "US-CA", postal: "94016"},
		"an address that it lacks":    {address: "8.8.8.8"},
		"a record of another make":    {address: "192.0.2.7"},
		"the proxy's header first":    {address: "203.0.113.7", header: "AT", country: "AT"},
		"a header that is no country": {address: "203.0.113.7", header: "T1", country: "US", state: "US-CA", postal: "94016"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, aim := range []struct {
				targeting domain.Targeting
				hit       bool
			}{
				{domain.Targeting{}, true},
				{domain.Targeting{Countries: []string{c.country}}, c.country != ""},
				{domain.Targeting{Countries: []string{"JP"}}, false},
				{domain.Targeting{States: []string{c.state}}, c.state != ""},
				{domain.Targeting{States: []string{"US-NY"}}, false},
				{domain.Targeting{ZipCodes: []string{c.postal}}, c.postal != ""},
				{domain.Targeting{ZipCodes: []string{"00000"}}, false},
			} {
				click := clickFrom(t, file, aim.targeting, c.address, c.header, c.claims)
				require.Equal(t, c.country, click.Country)
				require.Equal(t, aim.hit, click.RefusedReason == domain.ReasonNone, "%+v: %s", aim.targeting, click.RefusedReason)
			}
		})
	}
}

// clickFrom is what is recorded of a click from an address on an offer with this targeting.
func clickFrom(t *testing.T, file string, targeting domain.Targeting, address, header, claims string) domain.Click {
	t.Helper()
	e := newEdge(t)
	e.offer.Targeting = targeting
	e.load(t)
	var err error
	e.places, err = NewGeoIP(Config{TrustedProxies: []string{"10.0.0.0/8"}, CountryHeader: "CF-IPCountry", GeoIPFile: file})
	require.NoError(t, err)
	headers := []string{"User-Agent", iPhone, "X-Forwarded-For", address}
	if header != "" {
		headers = append(headers, "CF-IPCountry", header)
	}
	e.get("/c/"+e.link.ID.String()+"?pub_member_id=m"+claims, headers...)
	require.Len(t, e.click, 1)
	return e.click[0]
}

// A file that cannot be read stops the process at its start, with the setting's name.
func TestPlaceFileThatCannotBeRead(t *testing.T) {
	whole, err := os.ReadFile(geoIPFile(t))
	require.NoError(t, err)
	for name, content := range map[string][]byte{"empty": {}, "not a database": []byte("country,US\n"), "cut short": whole[:len(whole)/2]} {
		path := filepath.Join(t.TempDir(), "broken.mmdb")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		_, err := NewGeoIP(Config{GeoIPFile: path})
		require.ErrorContains(t, err, "OFFERFLOW_GEOIP_FILE", name)
		require.ErrorContains(t, err, path, name)
	}
	_, err = NewGeoIP(Config{GeoIPFile: filepath.Join(t.TempDir(), "missing.mmdb")})
	require.ErrorContains(t, err, "OFFERFLOW_GEOIP_FILE")
	require.ErrorIs(t, err, os.ErrNotExist)
}
