package db

import (
	"time"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// ZoneOf is a tenant's calendar.
func ZoneOf(row dbgen.Tenant) (domain.Zone, error) {
	current, err := time.LoadLocation(row.Timezone)
	if err != nil {
		return domain.Zone{}, err
	}
	zone := domain.Zone{Current: current}
	if row.NextTimezone != nil && row.NextTimezoneAt != nil {
		zone.NextAt = *row.NextTimezoneAt
		zone.Next, err = time.LoadLocation(*row.NextTimezone)
	}
	return zone, err
}
