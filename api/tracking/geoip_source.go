package tracking

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/offerflow/offerflow/domain"
)

// What is known of countries is said wherever it matters: at the start, in /readyz, in the warnings of offers,
// in the test tool, at a click that is refused for it, and in that click's trace. An offer with countries would
// be a dead end without a word else.

// oldCountries is the age from which the embedded database is warned of.
const oldCountries = 365 * 24 * time.Hour

// Missing says why the country of no address can be told, and what to set; "" where there is a source.
func (f *GeoIP) Missing() string {
	switch {
	case f.db != nil && !f.db.useless, f.headerCounts():
		return ""
	case f.db != nil:
		return "the file of OFFERFLOW_GEOIP_FILE has no countries in a known format (country.iso_code or country_code); " +
			"set it to a database of countries or cities, or leave it empty for the embedded one"
	case f.header != "":
		return "OFFERFLOW_GEOIP_FILE is off, and no proxy is trusted to send OFFERFLOW_COUNTRY_HEADER; add the proxy to OFFERFLOW_TRUSTED_PROXIES"
	default:
		return "OFFERFLOW_GEOIP_FILE is off; set it to a database, leave it empty for the embedded one, or set OFFERFLOW_COUNTRY_HEADER"
	}
}

// headerCounts says whether there is a proxy whose word on countries is taken.
func (f *GeoIP) headerCounts() bool { return f.header != "" && len(f.proxies) > 0 }

// Source names what tells countries.
func (f *GeoIP) Source() string {
	header := "the header " + f.header + " of trusted proxies"
	switch {
	case f.Missing() != "":
		return "nothing"
	case f.db == nil || f.db.useless:
		return header
	case f.headerCounts():
		return header + ", else " + f.db.String()
	default:
		return f.db.String()
	}
}

// MissingStates says why no state or postal code can be told; "" where they can, or where not even a country can.
func (f *GeoIP) MissingStates() string {
	if f.Missing() != "" || f.db != nil && f.db.tellsStates {
		return ""
	}
	return "IP addresses give countries only (" + f.Source() + "): states and postal codes come only from the link's pub_geo_state " +
		"and pub_postal_code; set OFFERFLOW_GEOIP_FILE to a database of cities"
}

// report says at the start where countries come from.
func (f *GeoIP) report(at time.Time) {
	if missing := f.Missing(); missing != "" {
		slog.Warn("countries are unknown: clicks on offers with countries are refused unless the link has pub_geo_country", "why", missing)
		return
	}
	slog.Info("countries come from " + f.Source())
	if f.header != "" && !f.headerCounts() {
		slog.Warn("OFFERFLOW_COUNTRY_HEADER is ignored because no proxy is trusted: add the proxy that sets it to OFFERFLOW_TRUSTED_PROXIES")
	}
	if f.db != nil && f.db.file == "" && at.Sub(f.db.date()) > oldCountries {
		slog.Warn("the embedded database of countries is more than a year old: update Offerflow, or set OFFERFLOW_GEOIP_FILE", "built", f.db.date().Format(time.DateOnly))
	}
}

// WhyUnknown is the sentence about a visitor whose country is not known.
func (f *GeoIP) WhyUnknown(clientIP string) string {
	const sayIt = "set pub_geo_country in the link to send the country yourself"
	if missing := f.Missing(); missing != "" {
		return "country unknown: " + missing
	}
	addr, err := netip.ParseAddr(clientIP)
	if err == nil && isPrivate(addr.Unmap()) {
		return fmt.Sprintf("country unknown: the address %s is private; %s, or OFFERFLOW_TRUSTED_PROXIES if it is your proxy's", clientIP, sayIt)
	}
	return fmt.Sprintf("country unknown: %s has no country for the address %s; %s", f.Source(), domain.Truncated(clientIP, 64), sayIt)
}

// sharedAddresses are those between a provider and its customers.
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// isPrivate says whether an address is of no country, since it is not on the internet.
func isPrivate(addr netip.Addr) bool {
	return addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() || sharedAddresses.Contains(addr)
}

// MissesCountry says whether an audience is out of a target because its country is not known (rule 45).
func MissesCountry(reason domain.Reason, targeting *domain.Targeting, a domain.Audience) bool {
	return reason == domain.ReasonOutOfTarget && a.Country == "" && len(targeting.Countries)+len(targeting.States) > 0
}
