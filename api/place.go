package api

import (
	"fmt"
	"net/netip"

	"github.com/gin-gonic/gin"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/inbound"
)

// place is where a visitor is, as far as it is known: ISO 3166-1 alpha-2 and ISO 3166-2.
type place struct{ country, state, postalCode string }

// placeFinder tells the place of a client: from the header of a trusted proxy, else from a MaxMind
// database of addresses.
type placeFinder struct {
	header  string
	proxies []netip.Prefix
	db      *maxminddb.Reader
}

func newPlaceFinder(config Config, file string) (placeFinder, error) {
	proxies, err := inbound.ParsePrefixes(config.TrustedProxies)
	if err != nil {
		return placeFinder{}, fmt.Errorf("OFFERFLOW_TRUSTED_PROXIES: %w", err)
	}
	finder := placeFinder{header: config.CountryHeader, proxies: proxies}
	if file == "" {
		return finder, nil
	}
	if finder.db, err = maxminddb.Open(file); err != nil {
		return placeFinder{}, fmt.Errorf("OFFERFLOW_GEOIP_FILE %s: %w", file, err)
	}
	return finder, nil
}

// find is the place of a request. clientIP is what the trusted proxies say it is.
func (f *placeFinder) find(c *gin.Context, clientIP string) place {
	if f.header != "" && f.trusted(c.RemoteIP()) {
		if country, ok := domain.ParseCountry(c.GetHeader(f.header)); ok {
			return place{country: country.Code}
		}
	}
	if f.db == nil {
		return place{}
	}
	addr, err := netip.ParseAddr(clientIP)
	if err != nil {
		return place{}
	}
	var record struct {
		Country struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
		Subdivisions []struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"subdivisions"`
		Postal struct {
			Code string `maxminddb:"code"`
		} `maxminddb:"postal"`
	}
	if err := f.db.Lookup(addr.Unmap()).Decode(&record); err != nil {
		return place{}
	}
	found := place{country: domain.CountryCode(record.Country.Code), postalCode: record.Postal.Code}
	if len(record.Subdivisions) > 0 && found.country != "" {
		found.state = found.country + "-" + record.Subdivisions[0].Code
	}
	return found
}

func (f *placeFinder) trusted(peer string) bool {
	addr, err := netip.ParseAddr(peer)
	if err != nil {
		return false
	}
	for _, prefix := range f.proxies {
		if prefix.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}
