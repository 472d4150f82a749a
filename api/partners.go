package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// The statuses of a partner. Clicks of one that is not active take the fallback chain (rule 46).
const partnerActive = "active"

type partnerDocument struct {
	ID          uuid.UUID  `json:"id"`
	Name        string     `json:"name"`
	Email       string     `json:"email"`
	Status      string     `json:"status" enum:"active,paused,blocked"`
	Caps        capsBody   `json:"caps"`
	FallbackURL string     `json:"fallbackUrl"`
	TierID      *uuid.UUID `json:"tierId"`
	CreatedAt   time.Time  `json:"createdAt"`
}

// capsBody holds a partner's four caps over all offers (rule 29); null is none.
type capsBody struct {
	DailyCap   *int64 `json:"dailyCap" required:"false"`
	WeeklyCap  *int64 `json:"weeklyCap" required:"false"`
	MonthlyCap *int64 `json:"monthlyCap" required:"false"`
	AllTimeCap *int64 `json:"allTimeCap" required:"false"`
}

type partnerOutput struct{ Body partnerDocument }

// partnerBody is a POST's and a PUT's. What a PUT leaves out stays as it is; null clears it.
type partnerBody struct {
	Name        Optional[string]    `json:"name,omitempty" doc:"Required on creation."`
	Email       Optional[string]    `json:"email,omitempty"`
	Status      Optional[string]    `json:"status,omitempty" enum:"active,paused,blocked"`
	Caps        Optional[capsBody]  `json:"caps,omitempty" doc:"Replaces all caps: an omitted cap is removed."`
	FallbackURL Optional[string]    `json:"fallbackUrl,omitempty" doc:"Destination of this partner's clicks that cannot convert."`
	TierID      Optional[uuid.UUID] `json:"tierId,omitempty"`

	ShownOnly
}

type createPartnerInput struct{ Body partnerBody }

type updatePartnerInput struct {
	ByID
	Body partnerBody
}

func (s *Server) createPartner(ctx context.Context, in *createPartnerInput) (*partnerOutput, error) {
	row := dbgen.Partner{TenantID: principal(ctx).TenantID, ID: newID(), Status: partnerActive, CreatedAt: s.now()}
	out := &partnerOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		schemes, err := ownSchemes(ctx, tx)
		if err != nil {
			return err
		}
		if err := changePartner(&row, in.Body, schemes); err != nil {
			return err
		}
		out.Body = partnerOf(row)
		if err := checkTier(ctx, tx, row); err != nil {
			return err
		}
		if err := dbgen.New().InsertPartner(ctx, tx, dbgen.InsertPartnerParams(row)); err != nil {
			return err
		}
		return s.changedForRedirect(ctx, tx, "create", "partner", row.ID, nil, out.Body)
	})
	s.nudge()
	return out, err
}

func (s *Server) getPartner(ctx context.Context, in *ByID) (*partnerOutput, error) {
	out := &partnerOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPartner(ctx, tx, principal(ctx).TenantID, in.ID)
		out.Body = partnerOf(row)
		return orNotFound(err)
	})
}

func (s *Server) updatePartner(ctx context.Context, in *updatePartnerInput) (*partnerOutput, error) {
	out := &partnerOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPartnerForUpdate(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		before := row
		schemes, err := ownSchemes(ctx, tx)
		if err != nil {
			return err
		}
		if err := changePartner(&row, in.Body, schemes); err != nil {
			return err
		}
		if err := checkTier(ctx, tx, row); err != nil {
			return err
		}
		if err := updatePartnerRow(ctx, tx, row); err != nil {
			return err
		}
		if err := s.seedPartnerCaps(ctx, tx, before, row); err != nil {
			return err
		}
		out.Body = partnerOf(row)
		return s.changedForRedirect(ctx, tx, "update", "partner", row.ID, partnerOf(before), out.Body)
	})
	s.nudge()
	return out, err
}

func updatePartnerRow(ctx context.Context, tx pgx.Tx, row dbgen.Partner) error {
	return dbgen.New().UpdatePartner(ctx, tx, dbgen.UpdatePartnerParams{
		Name: row.Name, Email: row.Email, Status: row.Status, DailyCap: row.DailyCap, WeeklyCap: row.WeeklyCap,
		MonthlyCap: row.MonthlyCap, AllTimeCap: row.AllTimeCap, FallbackUrl: row.FallbackUrl, TierID: row.TierID,
		TenantID: row.TenantID, ID: row.ID,
	})
}

// changePartner applies a body to a row.
func changePartner(row *dbgen.Partner, body partnerBody, schemes []string) error {
	var c checks
	row.Name = c.name("name", body.Name.or(row.Name))
	row.Email = c.email("email", body.Email.or(row.Email))
	row.FallbackUrl = c.destination("fallbackUrl", body.FallbackURL.or(row.FallbackUrl), row.FallbackUrl, schemes)
	if row.Status = body.Status.or(row.Status); row.Status == "" {
		row.Status = partnerActive
	}
	if body.Caps.given {
		caps := body.Caps.or(capsBody{})
		row.DailyCap, row.WeeklyCap = c.limit("caps.dailyCap", caps.DailyCap), c.limit("caps.weeklyCap", caps.WeeklyCap)
		row.MonthlyCap, row.AllTimeCap = c.limit("caps.monthlyCap", caps.MonthlyCap), c.limit("caps.allTimeCap", caps.AllTimeCap)
	}
	row.TierID = body.TierID.orPointer(row.TierID)
	return c.err()
}

// checkTier refuses a tier that the tenant does not have.
func checkTier(ctx context.Context, tx pgx.Tx, row dbgen.Partner) error {
	if row.TierID == nil {
		return nil
	}
	known, err := dbgen.New().PartnerTierExists(ctx, tx, row.TenantID, *row.TierID)
	if err == nil && !known {
		err = problem.BadField("tierId", "no tier has this id")
	}
	return err
}

// limit is one cap (rule 34).
func (c *checks) limit(field string, value *int64) *int64 {
	if value != nil && *value < 1 {
		c.add(field, "must be at least 1, or null for none")
	}
	return value
}

func partnerOf(row dbgen.Partner) partnerDocument {
	return partnerDocument{
		ID: row.ID, Name: row.Name, Email: row.Email, Status: row.Status, FallbackURL: row.FallbackUrl, TierID: row.TierID,
		Caps:      capsBody{DailyCap: row.DailyCap, WeeklyCap: row.WeeklyCap, MonthlyCap: row.MonthlyCap, AllTimeCap: row.AllTimeCap},
		CreatedAt: row.CreatedAt,
	}
}

var partnerListing = listing[partnerDocument]{
	from: "partners", columns: "id, name, email, status, daily_cap, weekly_cap, monthly_cap, all_time_cap, fallback_url, tier_id, created_at",
	where: ownRows,
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "name": {column: "name", kind: fieldSearch}, "email": {column: "email"},
		"status": {column: "status"}, "tierId": {column: "tier_id", kind: fieldUUID},
		"createdAt": {column: "created_at", kind: fieldTime},
	},
	order: "id", id: "id",
	scan: func(row pgx.CollectableRow) (p partnerDocument, err error) {
		err = row.Scan(&p.ID, &p.Name, &p.Email, &p.Status, &p.Caps.DailyCap, &p.Caps.WeeklyCap, &p.Caps.MonthlyCap,
			&p.Caps.AllTimeCap, &p.FallbackURL, &p.TierID, &p.CreatedAt)
		return p, err
	},
}

func (s *Server) listPartners(ctx context.Context, in *ListInput) (*pageOutput[partnerDocument], error) {
	return listIn(ctx, s, partnerListing, *in)
}

// changedForRedirect writes the audit entry of a change, and the news for every redirect's memory.
func (s *Server) changedForRedirect(ctx context.Context, tx pgx.Tx, action, noun string, id uuid.UUID, before, after any) error {
	if err := s.audit(ctx, tx, action, noun, id.String(), before, after); err != nil {
		return err
	}
	return announceOffers(ctx, tx, nil)
}

// seedPartnerCaps counts what is live already for every cap that is newly set, under the partner's
// lock: decisions share it, so that none is under way between the count and the commit.
func (s *Server) seedPartnerCaps(ctx context.Context, tx pgx.Tx, before, after dbgen.Partner) error {
	added, gone := newlySet(db.CapsOf(before), db.CapsOf(after)), newlySet(db.CapsOf(after), db.CapsOf(before))
	if len(added)+len(gone) == 0 {
		return nil
	}
	if err := dbgen.New().OwnCapLock(ctx, tx, "partner "+after.ID.String()); err != nil {
		return err
	}
	periods, err := s.tenantPeriods(ctx, tx, after.TenantID)
	if err != nil {
		return err
	}
	for _, period := range append(gone, added...) { // those of earlier periods too
		if err := dbgen.New().DropCounters(ctx, tx, dbgen.DropCountersParams{
			TenantID: after.TenantID, Scope: string(domain.CapScopePartner), ScopeID: after.ID, Period: string(period),
		}); err != nil {
			return err
		}
	}
	for _, period := range added {
		if err := seedPartnerCap(ctx, tx, after, periods, period); err != nil {
			return err
		}
	}
	return nil
}

// newlySet are the periods that have a cap after a change and had none before.
func newlySet(before, after domain.Caps) []domain.Period {
	had := map[domain.Period]bool{}
	for _, limit := range before.Set() {
		had[limit.Period] = true
	}
	var added []domain.Period
	for _, limit := range after.Set() {
		if !had[limit.Period] {
			added = append(added, limit.Period)
		}
	}
	return added
}

func seedPartnerCap(ctx context.Context, tx pgx.Tx, partner dbgen.Partner, periods domain.Periods, period domain.Period) error {
	start := periods.Start(period)
	end, ok := periods.End(period)
	if !ok {
		end = farFuture
	}
	live, err := dbgen.New().CountLiveOfPartner(ctx, tx, dbgen.CountLiveOfPartnerParams{
		TenantID: partner.TenantID, PartnerID: partner.ID, FromDay: start, ToDay: end,
	})
	if err != nil {
		return err
	}
	return dbgen.New().SeedCounter(ctx, tx, dbgen.SeedCounterParams{
		TenantID: partner.TenantID, Scope: string(domain.CapScopePartner), ScopeID: partner.ID,
		Period: string(period), PeriodStart: start, Value: live,
	})
}

// farFuture ends the period that never ends.
var farFuture = domain.Date(9999, 1, 1)

// tenantPeriods are the periods of now in the tenant's calendar.
func (s *Server) tenantPeriods(ctx context.Context, from dbgen.DBTX, tenantID uuid.UUID) (domain.Periods, error) {
	tenant, err := dbgen.New().GetTenant(ctx, from, tenantID)
	if err != nil {
		return domain.Periods{}, err
	}
	zone, err := db.ZoneOf(tenant)
	at := s.now()
	return domain.PeriodsAt(at, zone.At(at)), err
}
