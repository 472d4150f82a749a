package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// clickView is one redirect as it was recorded.
type clickView struct {
	ID            uuid.UUID     `json:"id"`
	ClickedAt     time.Time     `json:"clickedAt"`
	LinkID        *uuid.UUID    `json:"linkId" doc:"null for the advertiser of a shared offer, since the publisher's link would reveal its partner."`
	OfferID       uuid.UUID     `json:"offerId"`
	OfferVersion  int64         `json:"offerVersion" doc:"The offer's version that determines order and timing."`
	AdvertiserID  uuid.UUID     `json:"advertiserId"`
	PartnerID     *uuid.UUID    `json:"partnerId"`
	PlacementID   *uuid.UUID    `json:"placementId"`
	CreativeOrder *int32        `json:"creativeOrder"`
	PubMemberID   *string       `json:"pubMemberId"`
	PubClickID    string        `json:"pubClickId"`
	PubSessionID  string        `json:"pubSessionId"`
	PubGender     string        `json:"pubGender"`
	PubAge        string        `json:"pubAge"`
	PubGeoCountry string        `json:"pubGeoCountry"`
	PubGeoState   string        `json:"pubGeoState"`
	PubPostalCode string        `json:"pubPostalCode"`
	PubDevice     string        `json:"pubDevice"`
	PubSubs       []string      `json:"pubSubs" doc:"pub_sub_1, pub_sub_2 and so on."`
	Source        string        `json:"source" doc:"The traffic source, as sent with the link."`
	ViewID        string        `json:"viewId"`
	IP            string        `json:"ip"`
	UserAgent     string        `json:"userAgent"`
	Referer       string        `json:"referer"`
	Country       string        `json:"country"`
	Device        string        `json:"device"`
	OS            string        `json:"os"`
	Browser       string        `json:"browser"`
	RefusedReason domain.Reason `json:"refusedReason" doc:"Why the click cannot convert; empty if it can."`
	IsTest        bool          `json:"isTest"`
	SessionEndsAt time.Time     `json:"sessionEndsAt" doc:"When the click can no longer convert."`
}

// clickInTrace is a click with what its member did before.
type clickInTrace struct {
	ClickView
	IsUnique bool `json:"isUnique" doc:"Whether it is the member's only click on the offer in the session window before it; true without a member."`
}

func clickOf(c *dbgen.Click) clickView {
	var linkID *uuid.UUID
	if c.LinkID != uuid.Nil {
		linkID = &c.LinkID
	}
	return clickView{
		ID: c.ID, ClickedAt: c.ClickedAt.UTC(), LinkID: linkID, OfferID: c.OfferID, OfferVersion: c.OfferVersion,
		AdvertiserID: c.AdvertiserID, PartnerID: c.PartnerID, PlacementID: c.PlacementID, CreativeOrder: c.CreativeOrder,
		PubMemberID: c.PubMemberID, PubClickID: c.PubClickID, PubSessionID: c.PubSessionID, PubGender: c.PubGender,
		PubAge: c.PubAge, PubGeoCountry: c.PubGeoCountry, PubGeoState: c.PubGeoState, PubPostalCode: c.PubPostalCode,
		PubDevice: c.PubDevice, PubSubs: append([]string{}, c.PubSubs...), Source: c.Source, ViewID: c.ViewID, IP: c.Ip, UserAgent: c.UserAgent,
		Referer: c.Referer, Country: c.Country, Device: c.Device, OS: c.Os, Browser: c.Browser, RefusedReason: c.RefusedReason,
		IsTest: c.IsTest, SessionEndsAt: c.SessionEndsAt.UTC(),
	}
}

// clickOrigin is the view that a click came from.
type clickOrigin struct {
	ID uuid.UUID `json:"id"`
	At time.Time `json:"at"`
}

// originOf finds a click's view. What a sender calls a view may be none, or that of another offer or
// member; an old one is gone (retention).
func originOf(ctx context.Context, tx pgx.Tx, click *dbgen.Click) (*clickOrigin, error) {
	id, err := uuid.Parse(click.ViewID)
	if err != nil {
		return nil, nil
	}
	view, err := dbgen.New().GetOfferView(ctx, tx, click.TenantID, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil || view.OfferID != click.OfferID || orZero(click.PubMemberID) != view.PubMemberID {
		return nil, err
	}
	return &clickOrigin{ID: view.ID, At: view.CreatedAt.UTC()}, nil
}
