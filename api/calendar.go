package api

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// One convention holds for every bound of a time: from, to, …_from and …_to of queries, filters and bodies. A
// date is a whole day of the zone, so that both ends are included; an instant is itself, and exclusive as an
// end. The zone is that of tz, else the tenant's. Answers say what was read: from, to (exclusive), timezone.

// errOneTime is what a bound must be.
var errOneTime = errors.New("must be a date such as 2026-05-13, meaning the whole day, or an RFC 3339 time such as 2026-05-13T10:00:00Z")

// calendar reads the bounds of one request, and keeps what it read.
type calendar struct {
	zone     *time.Location
	from, to *time.Time
}

// span is what a text covers: a whole day, or nothing but an instant.
func (c *calendar) span(text string) (from, until time.Time, err error) {
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return domain.DayStart(day, c.zone), domain.DayStart(day.AddDate(0, 0, 1), c.zone), nil
	}
	at, err := readInstant(text)
	return at, at, err
}

// readInstant reads RFC 3339. A plus of its offset that was not percent-encoded is a space.
func readInstant(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(text, " ", "+"))
	if err != nil {
		return at, errOneTime
	}
	return at, nil
}

// isBound says whether a text can be a bound, in whatever zone.
func isBound(text string) bool {
	_, _, err := (&calendar{zone: time.UTC}).span(text)
	return err == nil
}

// start and end read the two bounds.
func (c *calendar) start(text string) (time.Time, error) {
	from, _, err := c.span(text)
	from = from.UTC()
	c.from = &from
	return from, err
}

func (c *calendar) end(text string) (time.Time, error) {
	_, until, err := c.span(text)
	until = until.UTC()
	c.to = &until
	return until, err
}

// optional reads the bounds of a body that may be missing: prefix and From, prefix and To.
func (c *calendar) optional(prefix, from, to string) error {
	var wrong checks
	if from != "" {
		if _, err := c.start(from); err != nil {
			wrong.add(prefix+"From", "%s", err)
		}
	}
	if to != "" {
		if _, err := c.end(to); err != nil {
			wrong.add(prefix+"To", "%s", err)
		}
	}
	return wrong.err()
}

// said is what the answer says of the bounds.
func (c *calendar) said() (from, to *time.Time, zone string) {
	if c.from == nil && c.to == nil {
		return nil, nil, ""
	}
	return c.from, c.to, c.zone.String()
}

// timeCondition is the SQL of a filter by time. One that is no bound finds an instant, or a day.
func (f listField) timeCondition(dates *calendar, text string, number int) (string, []any, error) {
	p := "$" + strconv.Itoa(number)
	if f.minted { // to the millisecond, which is what ids tell
		p = "uuid_v7_floor(" + p + "::timestamptz)"
	}
	switch f.kind {
	case fieldFrom:
		at, err := dates.start(text)
		return f.column + " >= " + p, []any{at}, err
	case fieldTo:
		at, err := dates.end(text)
		return f.column + " < " + p, []any{at}, err
	default:
		from, until, err := dates.span(text)
		if err != nil || from.Equal(until) {
			return f.column + " = " + p, []any{from}, err
		}
		return f.column + " >= " + p + " AND " + f.column + " < $" + strconv.Itoa(number+1), []any{from, until}, nil
	}
}

// calendar is that of a list's request. The tenant is only looked up where a time is asked for.
func (l listing[T]) calendar(ctx context.Context, tx pgx.Tx, in ListInput, at time.Time) (*calendar, error) {
	for name := range in.filters {
		if field, ok := l.field(name); ok && field.kind.isTime() {
			return calendarOf(ctx, tx, in.TZ, at)
		}
	}
	var c checks
	zone := c.zone(in.TZ, time.UTC)
	return &calendar{zone: zone}, c.err()
}

// calendarOf is the calendar of a zone, else of the principal's tenant; of the operator's own it is in UTC.
func calendarOf(ctx context.Context, tx pgx.Tx, name string, at time.Time) (*calendar, error) {
	var c checks
	zone := c.zone(name, time.UTC)
	if err := c.err(); err != nil {
		return nil, err
	}
	tenantID := principal(ctx).TenantID
	if name != "" || tenantID == uuid.Nil {
		return &calendar{zone: zone}, nil
	}
	tenant, err := dbgen.New().GetTenant(ctx, tx, tenantID)
	if err != nil {
		return nil, orNotFound(err)
	}
	own, err := db.ZoneOf(tenant)
	if err != nil {
		return nil, err
	}
	return &calendar{zone: own.At(at)}, nil
}

// zone reads tz.
func (c *checks) zone(name string, otherwise *time.Location) *time.Location {
	if name == "" {
		return otherwise
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		c.add("tz", "is not an IANA time zone such as Europe/Berlin")
		return otherwise
	}
	return zone
}
