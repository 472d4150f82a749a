package tracking

import (
	"net/netip"

	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/domain"
)

// Place is where a visitor is, as far as it is known: ISO 3166-1 alpha-2 and ISO 3166-2.
type Place struct {
	country, state, postalCode string
	// rough says that the embedded database tells it: what the publisher says of its member goes before.
	rough bool
}

// GeoIP tells the place of a client: from the header of a trusted proxy, else from a database of
// addresses.
type GeoIP struct {
	header  string
	proxies []netip.Prefix
	// db is nil where OFFERFLOW_GEOIP_FILE is off.
	db *countryDB
}

// find is the place of a request. clientIP is what the trusted proxies say it is.
func (f *GeoIP) find(c *gin.Context, clientIP string) Place {
	if f.header != "" && f.trusted(c.RemoteIP()) {
		if country, ok := domain.ParseCountry(c.GetHeader(f.header)); ok {
			return Place{country: country.Code}
		}
	}
	if f.db == nil {
		return Place{}
	}
	addr, err := netip.ParseAddr(clientIP)
	if err != nil {
		return Place{}
	}
	return f.db.find(addr.Unmap())
}

func (f *GeoIP) trusted(peer string) bool {
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
