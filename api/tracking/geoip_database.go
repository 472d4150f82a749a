package tracking

import (
	_ "embed" // the database of countries
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/inbound"
)

// embeddedCountries stand in where the operator names no database (countries/NOTICE). What is not looked up
// in it stays on disk.
//
//go:embed countries/iptoasn-country.mmdb
var embeddedCountries []byte

// GeoIPOff is what OFFERFLOW_GEOIP_FILE says to look no address up.
const GeoIPOff = "off"

// countryDB is a database of addresses in MaxMind's format.
type countryDB struct {
	reader *maxminddb.Reader
	// file is empty for the embedded one.
	file string
	// tellsStates says that it knows more than countries, useless that it knows none.
	tellsStates, useless bool
	// known are the places of a database of countries by their records, of which it has some hundreds; nil for
	// one that tells more. It is replaced, never changed.
	known atomic.Pointer[map[uintptr]Place]
	mu    sync.Mutex
}

// placeRecord is what is read of a record: MaxMind's form, and that of smaller databases.
type placeRecord struct {
	CountryCode string `maxminddb:"country_code"`
	Country     struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Code string `maxminddb:"iso_code"`
	} `maxminddb:"subdivisions"`
	Postal struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"postal"`
}

// NewGeoIP opens what tells places.
func NewGeoIP(config Config) (GeoIP, error) {
	file := config.GeoIPFile
	proxies, err := inbound.ParsePrefixes(config.TrustedProxies)
	if err != nil {
		return GeoIP{}, fmt.Errorf("OFFERFLOW_TRUSTED_PROXIES: %w", err)
	}
	finder := GeoIP{header: config.CountryHeader, proxies: proxies}
	if strings.EqualFold(file, GeoIPOff) {
		return finder, nil
	}
	if finder.db, err = openCountries(file); err != nil {
		return GeoIP{}, fmt.Errorf("OFFERFLOW_GEOIP_FILE %s: %w", file, err)
	}
	return finder, nil
}

func openCountries(file string) (*countryDB, error) {
	var reader *maxminddb.Reader
	var err error
	if file == "" {
		reader, err = maxminddb.OpenBytes(embeddedCountries)
	} else {
		reader, err = maxminddb.Open(file)
	}
	if err != nil {
		return nil, err
	}
	db := &countryDB{reader: reader, file: file}
	kind := strings.ToLower(reader.Metadata.DatabaseType)
	db.tellsStates = strings.Contains(kind, "city") || strings.Contains(kind, "enterprise") || strings.Contains(kind, "insights")
	if strings.Contains(kind, "country") {
		db.known.Store(&map[uintptr]Place{})
	}
	db.useless = !db.tellsCountries()
	return db, nil
}

// maxKnownRecords are more than a database of countries has.
const maxKnownRecords = 4096

// find is the place of an address. Records of a database of countries are read once.
func (d *countryDB) find(addr netip.Addr) Place {
	result := d.reader.Lookup(addr)
	if !result.Found() {
		return Place{}
	}
	known := d.known.Load()
	if known == nil {
		return readPlace(result)
	}
	found, ok := (*known)[result.Offset()]
	if ok {
		return found
	}
	found = readPlace(result)
	found.rough = d.file == ""
	if len(*known) >= maxKnownRecords {
		return found
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	more := maps.Clone(*d.known.Load())
	more[result.Offset()] = found
	d.known.Store(&more)
	return found
}

func readPlace(result maxminddb.Result) Place {
	var record placeRecord
	if err := result.Decode(&record); err != nil {
		return Place{}
	}
	code := record.Country.Code
	if code == "" {
		code = record.CountryCode
	}
	found := Place{country: domain.CountryCode(code), postalCode: record.Postal.Code}
	if len(record.Subdivisions) > 0 && found.country != "" {
		found.state = found.country + "-" + record.Subdivisions[0].Code
	}
	return found
}

// triedRecords are how many records are looked at for a country.
const triedRecords = 10_000

// tellsCountries says whether the database has countries in a form that is read. One of operators or of
// hostnames opens without an error, and then tells nothing of anybody.
func (d *countryDB) tellsCountries() bool {
	tried := 0
	for result := range d.reader.Networks() {
		if readPlace(result).country != "" {
			return true
		}
		if tried++; tried >= triedRecords {
			break
		}
	}
	return false
}

// date is the day on which the database was built.
func (d *countryDB) date() time.Time { return d.reader.Metadata.BuildTime().UTC() }

func (d *countryDB) String() string {
	day := d.date().Format(time.DateOnly)
	if d.file == "" {
		return "the embedded database of countries of " + day
	}
	return "the database of OFFERFLOW_GEOIP_FILE of " + day
}
