package api

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// reconciliationDocument is one comparison of both books, the same for both sides (rule 61).
type reconciliationDocument struct {
	ID          uuid.UUID                  `json:"id"`
	At          time.Time                  `json:"at"`
	From        string                     `json:"from" format:"date" doc:"The first day compared, in the advertiser's time zone."`
	To          string                     `json:"to" format:"date" doc:"The last day compared."`
	IsEqual     bool                       `json:"isEqual" doc:"true if nothing differed."`
	Days        []reconciledDay            `json:"days" doc:"As found before repairs. Test conversions are excluded."`
	Differences []reconciliationDifference `json:"differences" doc:"At most 500; if more differ, the next entry has the rest."`
	Found       int32                      `json:"found" doc:"Number of conversions that differed."`
	Repaired    int32                      `json:"repaired" doc:"Number of conversions repaired by replaying the sync."`
}

// reconciledDay is what both books held of one day and status.
type reconciledDay struct {
	Day        string        `json:"day" format:"date" doc:"By time of receipt."`
	Status     domain.Status `json:"status" enum:"Pending,Success,Rejected"`
	Advertiser struct {
		Count int64   `json:"count"`
		Cost  Decimal `json:"cost"`
	} `json:"advertiser"`
	Publisher struct {
		Count   int64   `json:"count"`
		Revenue Decimal `json:"revenue"`
	} `json:"publisher"`
}

type reconciliationDifference struct {
	ConversionID uuid.UUID           `json:"conversionId"`
	What         []domain.Difference `json:"what" doc:"missing from the publisher's book; unknown to the advertiser's book; different status, reason, sequence, revenue or other values; advertiserHistory, publisherHistory, advertiserLedger, publisherLedger: the conversion does not match its own book's transitions or ledger."`
	Repaired     bool                `json:"repaired"`
}

func reconciliationOf(row *dbgen.Reconciliation) (reconciliationDocument, error) {
	d := reconciliationDocument{
		ID: row.ID, At: row.At, From: row.FromDay.Format(time.DateOnly), To: row.ToDay.Format(time.DateOnly), IsEqual: row.Found == 0,
		Days: []reconciledDay{}, Differences: []reconciliationDifference{}, Found: row.Found, Repaired: row.Repaired,
	}
	var days []domain.BookDay
	var differences []domain.BookDifference
	if err := errors.Join(json.Unmarshal(row.Days, &days), json.Unmarshal(row.Differences, &differences)); err != nil {
		return d, err
	}
	for _, day := range days {
		shown := reconciledDay{Day: day.Day, Status: day.Status}
		shown.Advertiser.Count, shown.Advertiser.Cost = day.Advertiser.Count, Decimal(day.Advertiser.Sum)
		shown.Publisher.Count, shown.Publisher.Revenue = day.Publisher.Count, Decimal(day.Publisher.Sum)
		d.Days = append(d.Days, shown)
	}
	for _, difference := range differences {
		d.Differences = append(d.Differences, reconciliationDifference(difference))
	}
	return d, nil
}

var reconciliationListing = listing[reconciliationDocument]{
	from:    "reconciliations r JOIN partnerships p ON p.id = r.partnership_id",
	columns: "r.partnership_id, r.id, r.at, r.from_day, r.to_day, r.days, r.differences, r.found, r.repaired",
	where:   "r.partnership_id = $1 AND $2::uuid IN (p.advertiser_tenant_id, p.publisher_tenant_id)",
	fields: map[string]listField{
		"id": {column: "r.id", kind: fieldUUID}, "at": {column: "r.at", kind: fieldTime}, "isEqual": {column: "(r.found = 0)", kind: fieldBool},
		"found": {column: "r.found", kind: fieldInt}, "repaired": {column: "r.repaired", kind: fieldInt},
	},
	order: "at", id: "r.id",
	scan: func(row pgx.CollectableRow) (reconciliationDocument, error) {
		r, err := pgx.RowToStructByPos[dbgen.Reconciliation](row)
		if err != nil {
			return reconciliationDocument{}, err
		}
		return reconciliationOf(&r)
	},
}

type listReconciliationsInput struct {
	ByID
	ListInput
}

// listReconciliations shows how the books of a partnership compared, the newest first. Whoever looks
// at what is not up to date sets another comparison going, and finds it in a moment; with a readonly token
// one only looks.
func (s *Server) listReconciliations(ctx context.Context, in *listReconciliationsInput) (*pageOutput[reconciliationDocument], error) {
	out := &pageOutput[reconciliationDocument]{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tenantID := principal(ctx).TenantID
		if _, err := dbgen.New().GetPartnership(ctx, tx, in.ID, tenantID); err != nil {
			return orNotFound(err)
		}
		var err error
		if out.Body, err = list(ctx, tx, s.now(), reconciliationListing, in.ListInput, in.ID, tenantID); err != nil {
			return err
		}
		if principal(ctx).readsOnly {
			return nil
		}
		isDue, err := dbgen.New().ReconciliationIsDue(ctx, tx, s.now().Add(-lookedAtEvery), tenantID, in.ID)
		if err != nil || !isDue || !s.looked.first(in.ID, s.now()) {
			return err
		}
		return queueReconciliation(ctx, tx, in.ID)
	})
	s.nudge()
	return out, err
}

// lookedAtEvery is how often looking at the history sets a comparison going, at most.
const lookedAtEvery = time.Minute

// looks remembers when partnerships' histories were looked at last.
type looks struct {
	mu sync.Mutex
	at lookup.LRU[uuid.UUID, time.Time]
}

// manyLooks are more than anybody has partnerships.
const manyLooks = 10_000

// first says whether it is the first look for a while.
func (l *looks) first(partnershipID uuid.UUID, at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, ok := l.at.Of(manyLooks).Get(partnershipID); ok && at.Sub(before) < lookedAtEvery {
		return false
	}
	l.at.Of(manyLooks).Add(partnershipID, at)
	return true
}

func queueReconciliation(ctx context.Context, tx pgx.Tx, partnershipID uuid.UUID) error {
	payload, err := json.Marshal(stream.ReconciliationEvent{PartnershipID: partnershipID})
	if err != nil {
		return err
	}
	return dbgen.New().InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{
		TenantID: principal(ctx).TenantID, ID: newID(), Subject: stream.SubjectReconciliation, Payload: payload,
	})
}

// reconcileNow has a worker compare both books, as it does each day.
func (s *Server) reconcileNow(ctx context.Context, in *ByID) (*struct{}, error) {
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := dbgen.New().GetPartnership(ctx, tx, in.ID, principal(ctx).TenantID); err != nil {
			return orNotFound(err)
		}
		if err := queueReconciliation(ctx, tx, in.ID); err != nil {
			return err
		}
		s.looked.first(in.ID, s.now()) // who looks for its result needs no other
		return s.audit(ctx, tx, "reconcile", "partnership", in.ID.String(), nil, nil)
	})
	s.nudge()
	return nil, err
}
