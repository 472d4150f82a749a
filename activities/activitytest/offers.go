package activitytest

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

// Decimal reads an amount.
func Decimal(text string) *domain.Micros {
	m, err := domain.ParseMicros(text)
	if err != nil {
		panic(err)
	}
	return &m
}

// Limit is a cap.
func Limit(n int64) *int64 { return &n }

// Goal is an independent event that pays 2.50, 1.00 to a partner, and 100 points.
func Goal(name string, changes ...func(*domain.Event)) domain.Event {
	e := domain.Event{
		ID: uuid.New(), Name: name, EventID: name, HasRevenue: true, Revenue: Decimal("2.5"), HasReward: true, Reward: Decimal("100"),
		GoalSettings: domain.GoalSettings{
			Slug: name, Payout: Decimal("1"), Status: domain.GoalStatusActive, RecordAs: domain.RecordAsConversion, DedupeSeconds: *Decimal("10"),
		},
	}
	for _, change := range changes {
		change(&e)
	}
	return e
}

// Numbered gives an event its place in the sequence.
func Numbered(n int) func(*domain.Event) { return func(e *domain.Event) { e.SequenceNumber = &n } }

// PendingFor has an event's conversions wait for some days.
func PendingFor(days string) func(*domain.Event) {
	return func(e *domain.Event) { e.PendingTime = Decimal(days) }
}

// Capped limits an event's conversions in all.
func Capped(total int64) func(*domain.Event) {
	return func(e *domain.Event) { e.AllTime = &total }
}

// Approval has a person decide an event's conversions.
func Approval(e *domain.Event) { e.RequiresApproval = true }

// Repeats lets an event happen again.
func Repeats(e *domain.Event) { e.AllowRepetitions = true }

// Offer stores a MultiEvent offer; changes may make it anything else.
func (rig *Rig) Offer(events []domain.Event, changes ...func(*domain.Offer)) *domain.Offer {
	rig.T.Helper()
	o := &domain.Offer{
		ID: uuid.New(), TenantID: rig.TenantID, Version: 1, AdvertiserID: rig.AdvertiserID, Name: "O", OfferType: domain.OfferTypeMultiEvent,
		ConversionType: domain.ConversionTypeFlatRate, RewardType: domain.RewardTypeAutomatic, Events: events, BudgetType: domain.BudgetTypeTotal,
		Budget: *Decimal("1000000"), LaunchAt: rig.Time(), SessionDays: *Decimal("30"), OutOfOrderGraceMinutes: *Decimal("60"),
		OverCapPolicy: domain.OverCapPolicyReject,
	}
	for _, change := range changes {
		change(o)
	}
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.InsertOffer(ctx, tx, dbgen.InsertOfferParams{
			TenantID: rig.TenantID, ID: o.ID, AdvertiserID: rig.AdvertiserID, Version: 1, Name: o.Name, OfferType: string(o.OfferType),
			LaunchAt: o.LaunchAt, CreatedAt: rig.Time(), UpdatedAt: rig.Time(),
		}); err != nil {
			return err
		}
		access := dbgen.InsertOfferAccessParams{TenantID: rig.TenantID, OfferID: o.ID, Side: "owner", CreatedAt: rig.Time()}
		if err := queries.InsertOfferAccess(ctx, tx, access); err != nil {
			return err
		}
		return rig.InsertVersion(ctx, tx, o)
	})
	return o
}

// InsertVersion stores a version of an offer.
func (rig *Rig) InsertVersion(ctx context.Context, tx pgx.Tx, o *domain.Offer) error {
	document, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return queries.InsertOfferVersion(ctx, tx, dbgen.InsertOfferVersionParams{
		TenantID: rig.TenantID, OfferID: o.ID, Version: o.Version, Document: document, CreatedAt: rig.Time(), CreatedBy: "test",
	})
}

// Edit stores the next version of an offer. The events are copied, so that the earlier version
// stays as it was.
func (rig *Rig) Edit(o *domain.Offer, change func(*domain.Offer)) *domain.Offer {
	rig.T.Helper()
	next := *o
	next.Events = append([]domain.Event(nil), o.Events...)
	next.Version++
	change(&next)
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		if err := rig.InsertVersion(ctx, tx, &next); err != nil {
			return err
		}
		changed, err := queries.UpdateOffer(ctx, tx, dbgen.UpdateOfferParams{
			AdvertiserID: rig.AdvertiserID, Version: next.Version, Name: next.Name, OfferType: string(next.OfferType), IsPaused: next.IsPaused,
			LaunchAt: next.LaunchAt, UpdatedAt: rig.Time(), ID: o.ID, WasVersion: o.Version,
		})
		if err == nil && changed != 1 {
			err = fmt.Errorf("%d offers changed", changed)
		}
		return err
	})
	return &next
}

// Custom writes one version of the rig's partner's custom payout for an event.
func (rig *Rig) Custom(id uuid.UUID, version int64, o *domain.Offer, event int, startsAt time.Time, flat string) {
	rig.T.Helper()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertPartnerPayout(ctx, tx, dbgen.InsertPartnerPayoutParams{
			TenantID: rig.TenantID, ID: id, Version: version, PartnerID: rig.Partner, OfferID: o.ID, EventID: o.Events[event].ID,
			FlatMicros: Decimal(flat), StartsAt: startsAt, CreatedAt: rig.Time(), CreatedBy: "test",
		})
	})
}

// Tier puts the rig's partner into a tier.
func (rig *Rig) Tier(name string) uuid.UUID {
	rig.T.Helper()
	id := uuid.New()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		if err := queries.InsertPartnerTier(ctx, tx, dbgen.InsertPartnerTierParams{TenantID: rig.TenantID, ID: id, Name: name, CreatedAt: rig.Time()}); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE partners SET tier_id = $1 WHERE id = $2", id, rig.Partner)
		return err
	})
	return id
}

// Structure stores a payout structure.
func (rig *Rig) Structure(document string) uuid.UUID {
	rig.T.Helper()
	id := uuid.New()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertPayoutStructure(ctx, tx, dbgen.InsertPayoutStructureParams{
			TenantID: rig.TenantID, ID: id, Version: 4, Name: "By basket", Document: json.RawMessage(document), CreatedAt: rig.Time(), UpdatedAt: rig.Time(),
		})
	})
	return id
}

// Scheduled keeps a change of an event's figure.
func (rig *Rig) Scheduled(offer *domain.Offer, event int, field domain.ScheduledField, value string, at time.Time) uuid.UUID {
	rig.T.Helper()
	id := uuid.New()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		_, err := queries.InsertScheduledChange(ctx, tx, dbgen.InsertScheduledChangeParams{
			TenantID: rig.TenantID, ID: id, OfferID: offer.ID, EventID: offer.Events[event].ID, Field: string(field),
			ValueMicros: int64(*Decimal(value)), At: at, CreatedAt: rig.Time(), CreatedBy: "test",
		})
		return err
	})
	return id
}

// Repeatedly is an event that happens again, whose revenue comes with the postback.
func Repeatedly(e *domain.Event) {
	e.AllowRepetitions, e.HasRevenue, e.Reward = true, false, Decimal("1000")
}

// RevShare makes an offer's revenue a share of the amount.
func RevShare(o *domain.Offer) { o.ConversionType = domain.ConversionTypeRevShare }

// Trusted is an offer whose verdicts count from whoever posts.
func Trusted(o *domain.Offer) { o.TrustAdvertiserStatus = true }
