package attribution

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// Decisions makes and moves conversions. Its methods are idempotent and may be called by a
// workflow or directly: what serialises them is the lock on the click's row.
type Decisions struct {
	Store *db.Store
	Keys  *keyring.Keyring
	// Nudge tells the relay that events were committed.
	Nudge func()
	// Now is the clock; time.Now outside of tests.
	Now func() time.Time
	// Owes is set where no workflow asks: what a decision leaves to be waited for is then written down
	// in its transaction (Owed), for a worker to make up for.
	Owes bool

	versions offerVersions
}

type versionKey struct {
	offer   uuid.UUID
	version int64
}

// offerVersions are the versions of offers that decisions have gone by of late. A version never changes,
// so that nothing here grows old; what has not been asked for longest makes room.
type offerVersions struct {
	once sync.Once
	lru  *lru.Cache[versionKey, *domain.Offer]
}

// maxOfferVersions bounds the memory: some ten kilobytes each.
const maxOfferVersions = 4096

func (v *offerVersions) cache() *lru.Cache[versionKey, *domain.Offer] {
	v.once.Do(func() {
		var err error
		if v.lru, err = lru.New[versionKey, *domain.Offer](maxOfferVersions); err != nil { // only for a size that is not positive
			panic(err)
		}
	})
	return v.lru
}

// ConversionStart is what a Conversion workflow waits for.
type ConversionStart struct {
	TenantID     uuid.UUID
	ConversionID uuid.UUID
	// ReleaseAt is nil while only a person can decide.
	ReleaseAt *time.Time
}

// DecisionResult is what a decision leaves to be done.
type DecisionResult struct {
	Answer domain.Answer
	// Waiting are conversions that became Pending and need somebody to wait for them.
	Waiting []ConversionStart `json:",omitempty"`
	// HeldUntil is when the next held postback of the click must be decided at the latest.
	HeldUntil *time.Time `json:",omitempty"`
	// SessionClosed says that the session's end point was reached.
	SessionClosed bool `json:",omitempty"`
}

func (d *Decisions) offer(ctx context.Context, tx dbgen.DBTX, id uuid.UUID, version int64) (*domain.Offer, error) {
	key := versionKey{id, version}
	cache := d.versions.cache()
	if cached, ok := cache.Get(key); ok {
		return cached, nil
	}
	row, err := queries.GetOfferVersion(ctx, tx, id, version)
	if err != nil {
		return nil, fmt.Errorf("offer %s version %d: %w", id, version, err)
	}
	var offer domain.Offer
	if err := json.Unmarshal(row.Document, &offer); err != nil {
		return nil, fmt.Errorf("offer %s version %d: %w", id, version, activities.Undecodable(err))
	}
	cache.Add(key, &offer)
	return &offer, nil
}

// clickState is a locked click with everything that decisions about it go by.
type clickState struct {
	click   dbgen.Click
	context dbgen.DecisionContextRow
	atClick *domain.Offer
	current *domain.Offer
	session []dbgen.Conversion
}

// clickStateReads are the queries of a click's state, queued.
type clickStateReads struct {
	click   *db.Result[dbgen.LockClickRow]
	context *db.Result[dbgen.DecisionContextRow]
	session *db.Result[[]dbgen.Conversion]
}

// queueClickState queues the lock on the click and what is read under it: each of the queries after the
// first sees what was committed before the lock was had.
func queueClickState(ctx context.Context, batch *db.Batch, tenantID, clickID uuid.UUID) clickStateReads {
	return clickStateReads{
		click: db.QueueRead(batch, func(q db.Querier) (dbgen.LockClickRow, error) { return queries.LockClick(ctx, q, tenantID, clickID) }),
		context: db.QueueRead(batch, func(q db.Querier) (dbgen.DecisionContextRow, error) {
			return queries.DecisionContext(ctx, q, tenantID, clickID)
		}),
		session: db.QueueRead(batch, func(q db.Querier) ([]dbgen.Conversion, error) {
			return queries.ConversionsOfClick(ctx, q, tenantID, clickID)
		}),
	}
}

// clickState is what was read, with the offer at the click and now; pgx.ErrNoRows means that there is no
// such click.
func (d *Decisions) clickState(ctx context.Context, tx pgx.Tx, reads clickStateReads) (*clickState, error) {
	if !reads.click.Found || !reads.context.Found {
		return nil, pgx.ErrNoRows
	}
	s := &clickState{click: reads.click.Value.Click, context: reads.context.Value, session: reads.session.Value}
	var err error
	if s.atClick, err = d.offer(ctx, tx, s.click.OfferID, s.click.OfferVersion); err != nil {
		return nil, err
	}
	s.current, err = d.offer(ctx, tx, s.click.OfferID, s.context.OfferVersion)
	return s, err
}

// lockClickState locks the click and loads its state in a transaction that is under way.
func (d *Decisions) lockClickState(ctx context.Context, tx pgx.Tx, tenantID, clickID uuid.UUID) (*clickState, error) {
	batch := &db.Batch{}
	reads := queueClickState(ctx, batch, tenantID, clickID)
	if err := batch.Send(ctx, tx); err != nil {
		return nil, err
	}
	return d.clickState(ctx, tx, reads)
}

// periods are the tenant's calendar periods of an instant.
func (s *clickState) periods(at time.Time) (domain.Periods, error) {
	zone, err := s.zone()
	if err != nil {
		return domain.Periods{}, err
	}
	return domain.PeriodsAt(at, zone.At(at)), nil
}

func (s *clickState) zone() (domain.Zone, error) {
	return zoneOf(s.context.Timezone, s.context.NextTimezone, s.context.NextTimezoneAt)
}

func (s *clickState) partnerCaps() domain.Caps {
	c := s.context
	return domain.Caps{Daily: c.DailyCap, Weekly: c.WeeklyCap, Monthly: c.MonthlyCap, AllTime: c.AllTimeCap}
}

func zoneOf(current string, next *string, nextAt *time.Time) (domain.Zone, error) {
	location, err := time.LoadLocation(current)
	if err != nil {
		return domain.Zone{}, fmt.Errorf("time zone %q: %w", current, err)
	}
	zone := domain.Zone{Current: location}
	if next == nil || nextAt == nil {
		return zone, nil
	}
	if zone.Next, err = time.LoadLocation(*next); err != nil {
		return domain.Zone{}, fmt.Errorf("time zone %q: %w", *next, err)
	}
	zone.NextAt = *nextAt
	return zone, nil
}

// conversionFacts is what the rules know of a conversion's row.
func conversionFacts(row *dbgen.Conversion) domain.Conversion {
	return domain.Conversion{
		ID: row.ID, Side: row.Side, ClickID: row.ClickID, EventID: row.EventID, Status: row.Status, Reason: row.RejectionReason,
		Sequence: row.Sequence, ReceivedAt: row.ReceivedAt, CompletedAt: row.UserCompletedAt,
		CompletionTrusted: row.CompletionTrusted, ReleaseAt: row.ReleaseAt, NeedsReview: row.NeedsReview, Expected: isExpected(row),
		Sent: domain.Sent{
			Amount: row.CnvAmount, Currency: row.CnvCurrency, CompletedAt: row.CnvCompletedAt, Subs: row.CnvSubs,
			Verdict: domain.ReadVerdict(row.CnvStatus),
		},
		AwaitsVerdict: row.AwaitsVerdict, ByAdvertiser: row.ByAdvertiser,
		CnvConversionID: row.CnvConversionID, ClosesSession: row.ClosesSession, IsCounted: row.IsCounted,
		Revenue: row.RevenueMicros, Payout: row.PayoutMicros, Reward: row.RewardMicros,
	}
}

// isExpected reads rows from before is_expected by what they wait for.
func isExpected(row *dbgen.Conversion) bool {
	if row.IsExpected != nil {
		return *row.IsExpected
	}
	return !row.NeedsReview
}

func allFacts(rows []dbgen.Conversion) []domain.Conversion {
	facts := make([]domain.Conversion, len(rows))
	for i := range rows {
		facts[i] = conversionFacts(&rows[i])
	}
	return facts
}

// inTenant runs fn in a tenant's transaction, again where it collides with another.
func (d *Decisions) inTenant(ctx context.Context, tenantID uuid.UUID, fn func(ctx context.Context, tx pgx.Tx) error) error {
	return db.RetryCollisions(func() error { return d.Store.Tenant(ctx, tenantID, fn) })
}
