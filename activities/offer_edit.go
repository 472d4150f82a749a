package activities

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/stream/outbox"
)

// Share is a shared offer's partnership as one of its sides edits the offer (rules 55 to 57). Every
// way in which an offer changes goes through Check and Record, under the lock on the offer's row.
type Share struct {
	domain.Partnership
	// Side is the editor's, Name its tenant's.
	Side    domain.Side
	Name    string
	EndedAt *time.Time
	// IsRequested says that the publisher has yet to accept it.
	IsRequested bool
	// OnBehalf says whose proposal the editor makes, where it does.
	OnBehalf string
}

// ErrPartnershipEnded refuses an edit of what both sides only read from then on.
var ErrPartnershipEnded = errors.New("the partnership has ended: its offer can no longer be edited")

// ErrNotAccepted refuses an edit of what the publisher has yet to accept (rule 55).
var ErrNotAccepted = errors.New("the publisher has not accepted the share: its offer can be edited after that")

// Closed says why neither side edits the offer now; nil where both do.
func (s *Share) Closed() error {
	switch {
	case s.EndedAt != nil:
		return ErrPartnershipEnded
	case s.IsRequested:
		return ErrNotAccepted
	}
	return nil
}

// ForeignFields refuses an edit whole, for the fields that are not the editor's (rule 57).
type ForeignFields struct{ Fields domain.FieldErrors }

// Error satisfies error.
func (f *ForeignFields) Error() string { return f.Fields.Error() }

// ShareOf is the share that an offer is to a tenant; nil when it is not shared.
func ShareOf(ctx context.Context, tx dbgen.DBTX, tenantID, offerID uuid.UUID) (*Share, error) {
	row, err := dbgen.New().ShareOfOffer(ctx, tx, tenantID, offerID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	share := &Share{
		Partnership: domain.Partnership{
			ID: row.ID, OfferID: row.OfferID, AdvertiserTenantID: row.AdvertiserTenantID, PublisherTenantID: row.PublisherTenantID,
		},
		Side: row.Side, Name: row.PublisherName, EndedAt: row.EndedAt, IsRequested: row.IsRequested,
	}
	if row.Side == domain.SideAdvertiser {
		share.Name = row.AdvertiserName
	}
	return share, nil
}

// RewardRatio is the publisher's: the points of a shared offer are its members'. own is the editor's
// ratio; the advertiser sees no other tenant's row, so that system reads it.
func (s *Share) RewardRatio(ctx context.Context, system dbgen.DBTX, own *domain.Micros) (*domain.Micros, error) {
	if s.Side == domain.SidePublisher {
		return own, nil
	}
	publisher, err := dbgen.New().SystemShareTarget(ctx, system, s.AdvertiserTenantID, s.PublisherTenantID)
	if err != nil {
		return nil, err
	}
	if publisher.RewardRatioMicros == nil {
		return new(domain.Micros), nil // what the publisher has yet to set is not held against the advertiser's edit
	}
	return publisher.RewardRatioMicros, nil
}

// Check says what an edit changes; those of Closed and ForeignFields are its refusals.
func (s *Share) Check(before, after *domain.Offer) ([]domain.OfferChange, error) {
	if err := s.Closed(); err != nil {
		return nil, err
	}
	changes, foreign, err := domain.CheckEdit(s.Side, before, after)
	if err == nil && len(foreign) > 0 {
		err = &ForeignFields{foreign}
	}
	return changes, err
}

// CheckFigure is Check for a change of an event's figure, before there is one.
func (s *Share) CheckFigure(field domain.ScheduledField) error {
	if err := s.Closed(); err != nil {
		return err
	}
	if owner := domain.OwnerOf(string(field)); owner == domain.FieldOwner(s.Side.Other()) {
		return &ForeignFields{domain.FieldErrors{{Field: string(field), Reason: "only the " + string(owner) + " edits this"}}}
	}
	return nil
}

// By is an editor as both sides read it: the tenant, and who of it.
func (s *Share) By(actor string) string { return s.Name + " (" + actor + ")" + s.OnBehalf }

// Record writes the change log of an edit that made a version, one entry per field, and the event of
// it: the mail to the other side and both sides' live streams (rule 56).
func (s *Share) Record(ctx context.Context, tx dbgen.DBTX, actor string, version int64, changes []domain.OfferChange, at time.Time) error {
	entries, err := json.Marshal(changes)
	if err != nil {
		return err
	}
	by := s.By(actor)
	err = dbgen.New().InsertOfferChanges(ctx, tx, dbgen.InsertOfferChangesParams{
		OfferID: s.OfferID, Version: version, At: at, By: by, Side: s.Side, Changes: entries,
	})
	if err != nil {
		return err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	editor := s.Tenant(s.Side)
	err = outbox.Add(ctx, tx, editor, id, stream.SubjectExchange,
		stream.ExchangeEvent{ID: id, Partnership: s.Partnership, Version: version, Side: s.Side, At: at})
	if err != nil {
		return err
	}
	live := stream.LiveChangeData{OfferID: s.OfferID, PartnershipID: s.ID, Version: version, By: by, Side: s.Side}
	for _, change := range changes {
		live.Changes = append(live.Changes, stream.LiveFieldChange(change))
	}
	err = outbox.AddLive(ctx, tx, editor, stream.LiveChange, live, at, s.AdvertiserTenantID, s.PublisherTenantID)
	if err != nil {
		return err
	}
	return s.recordPause(ctx, tx, changes, at)
}

// recordPause tells both live streams besides that the offer was paused or resumed.
func (s *Share) recordPause(ctx context.Context, tx dbgen.DBTX, changes []domain.OfferChange, at time.Time) error {
	for _, change := range changes {
		if change.Field != "isPaused" {
			continue
		}
		var isPaused bool
		if err := json.Unmarshal(change.New, &isPaused); err != nil {
			return err
		}
		return outbox.AddLive(ctx, tx, s.Tenant(s.Side), stream.LiveStatus, stream.LivePartnershipData{
			PartnershipID: s.ID, OfferID: s.OfferID, State: stream.PartnershipActive, IsPaused: &isPaused, Side: s.Side,
		}, at, s.AdvertiserTenantID, s.PublisherTenantID)
	}
	return nil
}
