package erasure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/sdk/activity"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// The stages of an erasure. Each is an item of its job, and clicks are as many items as there are batches.
const (
	stageClicks  = "clicks"
	stageViews   = "views"
	stageReports = "reports"
	// stageRest is the logs, and all of it again until nothing is found: what came in meanwhile.
	stageRest = "rest"
)

const (
	// clicksAtOnce are the clicks of one transaction, with all that belongs to them. Nearly every member has
	// fewer, and is erased in one step.
	clicksAtOnce = 200
	// maxItems bounds the items of a job; the last one does what is left.
	maxItems = 10_000
	// MaxClicks are as many clicks as are counted for it.
	MaxClicks = maxItems * clicksAtOnce
	// logPage are the rows of a log that are looked through in one statement.
	logPage = 5_000
)

// Stages are the lines of the items of a job that erases a member with so many clicks.
func Stages(clicks int64) (lines []string) {
	batches := min((clicks+clicksAtOnce-1)/clicksAtOnce, maxItems)
	for range batches {
		lines = append(lines, stageClicks)
	}
	return append(lines, stageViews, stageReports, stageRest)
}

// MemberHash is what an erasure is found by while the member's id is known.
func MemberHash(keys *keyring.Keyring, tenantID uuid.UUID, member string) string {
	return keys.Pseudonym(tenantID, "erasure:"+member)
}

// Erasures does what rows of member_erasures ask for.
type Erasures struct {
	Store *db.Store
	Keys  *keyring.Keyring
	Now   func() time.Time
}

// erasure replaces one member's id by a pseudonym wherever the tenant's database holds it, and empties what
// else may say who the member is. Every step finds what it has to do by the member's id, so that one that was
// cut short, or is done again, finds the rest.
type erasure struct {
	store             *db.Store
	tenantID, jobID   uuid.UUID
	member, pseudonym string
	// before is when the erasure was asked for: what is younger is a new member's.
	before time.Time
	// memberKey stands for the pseudonym in the books of advertisers of shared offers.
	memberKey string
}

// open is the erasure of a row; nil where the member's id is forgotten already.
func (s *Erasures) open(row *dbgen.MemberErasure) (*erasure, error) {
	if row.MemberSealed == "" {
		return nil, nil
	}
	member, err := s.Keys.Open(row.MemberSealed)
	if err != nil {
		return nil, fmt.Errorf("the member of erasure %s: %w", row.JobID, err)
	}
	return &erasure{
		store: s.Store, tenantID: row.TenantID, jobID: row.JobID, member: string(member), pseudonym: row.Pseudonym, before: row.ErasedBefore,
		memberKey: domain.MemberKeyPrefix + s.Keys.Pseudonym(row.TenantID, domain.MemberKeyPrefix+row.Pseudonym),
	}, nil
}

// Stage does one stage of the erasure that a job is about, and says whether it changed anything. After the last
// one, later passes are due (PassLate).
func (s *Erasures) Stage(ctx context.Context, tenantID, jobID uuid.UUID, stage string) (changed bool, err error) {
	row, err := queries.SystemGetErasure(ctx, s.Store.SystemPool(), tenantID, jobID)
	if err != nil {
		return false, err
	}
	e, err := s.open(&row)
	if err != nil || e == nil {
		return false, err
	}
	changed, err = e.stage(ctx, stage)
	if err != nil || stage != stageRest {
		return changed, err
	}
	now := s.now()
	return changed, queries.SystemFinishErasure(ctx, s.Store.SystemPool(), dbgen.SystemFinishErasureParams{
		TenantID: tenantID, JobID: jobID, FinishedAt: now, NextPassAt: now.Add(latePasses[0]),
	})
}

func (s *Erasures) now() time.Time { return s.Now().UTC().Truncate(time.Microsecond) }

func (e *erasure) stage(ctx context.Context, stage string) (changed bool, err error) {
	switch stage {
	case stageClicks:
		n, err := e.someClicks(ctx)
		return n > 0, err
	case stageViews:
		return e.views(ctx)
	case stageReports:
		return e.reports(ctx)
	case stageRest:
		return e.all(ctx)
	default:
		return false, activities.Undecodable(fmt.Errorf("unknown stage %q of an erasure", stage))
	}
}

// all erases whatever is there, until nothing is found.
func (e *erasure) all(ctx context.Context) (changed bool, err error) {
	for {
		n, err := e.someClicks(ctx)
		if err != nil {
			return changed, err
		}
		if n == 0 {
			break
		}
		changed = true
	}
	views, err := e.views(ctx)
	if err != nil {
		return changed, err
	}
	return changed || views, errors.Join(e.again(ctx), e.logs(ctx))
}

func (e *erasure) heartbeat(ctx context.Context) {
	if activity.IsActivity(ctx) {
		activity.RecordHeartbeat(ctx)
	}
}

// inTx runs a transaction of the system role, anew where that may help.
func (e *erasure) inTx(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	defer e.heartbeat(ctx)
	return db.RetryCollisions(func() error { return e.store.System(ctx, fn) })
}

// views takes the member out of its views of offers.
func (e *erasure) views(ctx context.Context) (changed bool, err error) {
	for {
		n, err := queries.SystemEraseViews(ctx, e.store.SystemPool(), dbgen.SystemEraseViewsParams{
			TenantID: e.tenantID, Member: e.member, Pseudonym: e.pseudonym, Before: e.before, AtMost: logPage,
		})
		if err != nil || n == 0 {
			return changed, err
		}
		changed = true
		e.heartbeat(ctx)
	}
}

// reportsSpan is how much of the sums of reports is looked through in one statement.
const reportsSpan = 7 * 24 * time.Hour

// reports replaces the member among the visitors of all sums from before the erasure: the clicks that they
// were made of may be gone.
func (e *erasure) reports(ctx context.Context) (changed bool, err error) {
	since, err := queries.SystemFirstClickBucket(ctx, e.store.SystemPool(), e.tenantID)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	for end := e.before.Truncate(activities.RollupBucket); err == nil && since.Before(end); since = since.Add(reportsSpan) {
		var n int64
		n, err = queries.SystemReplaceVisitorsBetween(ctx, e.store.SystemPool(), dbgen.SystemReplaceVisitorsBetweenParams{
			TenantID: e.tenantID, Since: since, Until: earlier(since.Add(reportsSpan), end), Was: "m" + e.member, Becomes: "m" + e.pseudonym,
		})
		changed = changed || n > 0
		e.heartbeat(ctx)
	}
	return changed, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
