package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

func decimal(text string) *domain.Micros {
	m, err := domain.ParseMicros(text)
	if err != nil {
		panic(err)
	}
	return &m
}

func limit(n int64) *int64 { return &n }

// goal is an independent event that pays 2.50, 1.00 to a partner, and 100 points.
func goal(name string, changes ...func(*domain.Event)) domain.Event {
	e := domain.Event{
		ID: uuid.New(), Name: name, EventID: name, HasRevenue: true, Revenue: decimal("2.5"), HasReward: true, Reward: decimal("100"),
		GoalSettings: domain.GoalSettings{
			Slug: name, Payout: decimal("1"), Status: domain.GoalStatusActive, RecordAs: domain.RecordAsConversion, DedupeSeconds: *decimal("10"),
		},
	}
	for _, change := range changes {
		change(&e)
	}
	return e
}

func numbered(n int) func(*domain.Event) { return func(e *domain.Event) { e.SequenceNumber = &n } }
func pendingFor(days string) func(*domain.Event) {
	return func(e *domain.Event) { e.PendingTime = decimal(days) }
}
func capped(total int64) func(*domain.Event) {
	return func(e *domain.Event) { e.AllTime = &total }
}
func approval(e *domain.Event) { e.RequiresApproval = true }
func repeats(e *domain.Event)  { e.AllowRepetitions = true }

// offer stores a MultiEvent offer; changes may make it anything else.
func (rig *decisionRig) offer(events []domain.Event, changes ...func(*domain.Offer)) *domain.Offer {
	rig.t.Helper()
	o := &domain.Offer{
		ID: uuid.New(), TenantID: rig.tenantID, Version: 1, AdvertiserID: rig.advertiserID, Name: "O", OfferType: domain.OfferTypeMultiEvent,
		ConversionType: domain.ConversionTypeFlatRate, RewardType: domain.RewardTypeAutomatic, Events: events, BudgetType: domain.BudgetTypeTotal,
		Budget: *decimal("1000000"), LaunchAt: rig.now(), SessionDays: *decimal("30"), OutOfOrderGraceMinutes: *decimal("60"),
		OverCapPolicy: domain.OverCapPolicyReject,
	}
	for _, change := range changes {
		change(o)
	}
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.InsertOffer(ctx, tx, dbgen.InsertOfferParams{
			TenantID: rig.tenantID, ID: o.ID, AdvertiserID: rig.advertiserID, Version: 1, Name: o.Name, OfferType: string(o.OfferType),
			LaunchAt: o.LaunchAt, CreatedAt: rig.now(), UpdatedAt: rig.now(),
		}); err != nil {
			return err
		}
		access := dbgen.InsertOfferAccessParams{TenantID: rig.tenantID, OfferID: o.ID, Side: "owner", CreatedAt: rig.now()}
		if err := queries.InsertOfferAccess(ctx, tx, access); err != nil {
			return err
		}
		return rig.insertVersion(ctx, tx, o)
	})
	return o
}

func (rig *decisionRig) insertVersion(ctx context.Context, tx pgx.Tx, o *domain.Offer) error {
	document, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return queries.InsertOfferVersion(ctx, tx, dbgen.InsertOfferVersionParams{
		TenantID: rig.tenantID, OfferID: o.ID, Version: o.Version, Document: document, CreatedAt: rig.now(), CreatedBy: "test",
	})
}

// edit stores the next version of an offer. The events are copied, so that the earlier version
// stays as it was.
func (rig *decisionRig) edit(o *domain.Offer, change func(*domain.Offer)) *domain.Offer {
	rig.t.Helper()
	next := *o
	next.Events = append([]domain.Event(nil), o.Events...)
	next.Version++
	change(&next)
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		if err := rig.insertVersion(ctx, tx, &next); err != nil {
			return err
		}
		changed, err := queries.UpdateOffer(ctx, tx, dbgen.UpdateOfferParams{
			AdvertiserID: rig.advertiserID, Version: next.Version, Name: next.Name, OfferType: string(next.OfferType), IsPaused: next.IsPaused,
			LaunchAt: next.LaunchAt, UpdatedAt: rig.now(), ID: o.ID, WasVersion: o.Version,
		})
		if err == nil && changed != 1 {
			err = fmt.Errorf("%d offers changed", changed)
		}
		return err
	})
	return &next
}

// custom writes one version of the rig's partner's custom payout for an event.
func (rig *decisionRig) custom(id uuid.UUID, version int64, o *domain.Offer, event int, startsAt time.Time, flat string) {
	rig.t.Helper()
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertPartnerPayout(ctx, tx, dbgen.InsertPartnerPayoutParams{
			TenantID: rig.tenantID, ID: id, Version: version, PartnerID: rig.partner, OfferID: o.ID, EventID: o.Events[event].ID,
			FlatMicros: decimal(flat), StartsAt: startsAt, CreatedAt: rig.now(), CreatedBy: "test",
		})
	})
}

// tier puts the rig's partner into a tier.
func (rig *decisionRig) tier(name string) uuid.UUID {
	rig.t.Helper()
	id := uuid.New()
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.InsertPartnerTier(ctx, tx, dbgen.InsertPartnerTierParams{TenantID: rig.tenantID, ID: id, Name: name, CreatedAt: rig.now()}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE partners SET tier_id = $1 WHERE id = $2", id, rig.partner)
		return err
	})
	return id
}

func (rig *decisionRig) structure(document string) uuid.UUID {
	rig.t.Helper()
	id := uuid.New()
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertPayoutStructure(ctx, tx, dbgen.InsertPayoutStructureParams{
			TenantID: rig.tenantID, ID: id, Version: 4, Name: "By basket", Document: json.RawMessage(document), CreatedAt: rig.now(), UpdatedAt: rig.now(),
		})
	})
	return id
}

// scheduled keeps a change of an event's figure.
func (rig *decisionRig) scheduled(offer *domain.Offer, event int, field domain.ScheduledField, value string, at time.Time) uuid.UUID {
	rig.t.Helper()
	id := uuid.New()
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		_, err := queries.InsertScheduledChange(ctx, tx, dbgen.InsertScheduledChangeParams{
			TenantID: rig.tenantID, ID: id, OfferID: offer.ID, EventID: offer.Events[event].ID, Field: string(field),
			ValueMicros: int64(*decimal(value)), At: at, CreatedAt: rig.now(), CreatedBy: "test",
		})
		return err
	})
	return id
}

func repeatedly(e *domain.Event) {
	e.AllowRepetitions, e.HasRevenue, e.Reward = true, false, decimal("1000")
}

func revShare(o *domain.Offer) { o.ConversionType = domain.ConversionTypeRevShare }

// trusted is an offer whose verdicts count from whoever posts.
func trusted(o *domain.Offer) { o.TrustAdvertiserStatus = true }
