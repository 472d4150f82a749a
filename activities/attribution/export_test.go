package attribution

import (
	"context"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// What the tests of this package, which stand outside it, reach besides its exported names.

const (
	ActorTimer          = actorTimer
	ChunkItems          = chunkItems
	ComparedDays        = comparedDays
	ComparedSettled     = comparedSettled
	MaxOfferVersions    = maxOfferVersions
	PartnershipsAtATime = partnershipsPage
	WaitStarted         = waitStarted
)

var (
	ErrAdvertiserMoved  = errAdvertiserMoved
	ExchangeDifferences = exchangeDifferences
	CopiedColumns       = copiedColumns
	ItemID              = itemID
)

type Record = advertiserRecord

func (x *Exchange) ReadRecord(ctx context.Context, partnership domain.Partnership, conversionID uuid.UUID) (*Record, error) {
	return x.readAdvertiserRecord(ctx, partnership, conversionID)
}

func (x *Exchange) SyncFrom(ctx context.Context, partnership domain.Partnership, from *Record) (Synced, error) {
	return x.syncOnce(ctx, partnership, from, false)
}

func (r *Reconciliations) ObserveState(ctx context.Context) error { return r.observeState(ctx) }

func (d *Decisions) LoadOffer(ctx context.Context, tx dbgen.DBTX, id uuid.UUID, version int64) (*domain.Offer, error) {
	return d.offer(ctx, tx, id, version)
}

type VersionKey = versionKey

func NewVersionKey(offer uuid.UUID, version int64) VersionKey { return versionKey{offer, version} }

func (d *Decisions) VersionCache() *lru.Cache[VersionKey, *domain.Offer] { return d.versions.cache() }
