package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// partnerOffer is an offer as a partner sees it that has a link to it.
type partnerOffer struct {
	ID                   uuid.UUID         `json:"id"`
	Name                 string            `json:"name"`
	Headline             string            `json:"headline"`
	ShortDescription     string            `json:"shortDescription"`
	KeyPoints            string            `json:"keyPoints"`
	OfferDetails         string            `json:"offerDetails"`
	TermsAndDisclaimers  string            `json:"termsAndDisclaimers"`
	Creatives            []domain.Creative `json:"creatives"`
	OfferType            domain.OfferType  `json:"offerType"`
	IsFeatured           bool              `json:"isFeatured"`
	Status               string            `json:"status" enum:"Active,Pending,Expired"`
	LaunchDate           time.Time         `json:"launchDate"`
	ExpirationDate       *time.Time        `json:"expirationDate"`
	MinAge               *int              `json:"minAge"`
	MaxAge               *int              `json:"maxAge"`
	CountryIDs           []string          `json:"countryIds"`
	StateIDs             []string          `json:"stateIds"`
	ZipCodes             []string          `json:"zipCodes"`
	GenderIDs            []string          `json:"genderIds"`
	ShowForUnknownGender bool              `json:"showForUnknownGender"`
	DeviceType           []string          `json:"deviceType"`
	Goals                []partnerGoal     `json:"goals" doc:"The goals that the partner is paid for."`
}

// partnerGoal is one goal of an offer that partners may see.
type partnerGoal struct {
	ID               uuid.UUID     `json:"id"`
	Name             string        `json:"name"`
	Slug             string        `json:"slug"`
	EventID          string        `json:"eventId"`
	DisplayOrder     int           `json:"displayOrder"`
	AllowRepetitions bool          `json:"allowRepetitions"`
	Payout           partnerFigure `json:"payout"`
}

// partnerFigure is what a goal pays now to who asks.
type partnerFigure struct {
	FigureBody
	Varies bool `json:"varies" doc:"Whether the payout depends on the conversion's parameters; the figures apply if no rule matches."`
}

type partnerOfferOutput struct{ Body partnerOffer }

// partnersOffer leaves the offers to which the partner $2 has a link.
const partnersOffer = "$1::timestamptz IS NOT NULL AND EXISTS (SELECT 1 FROM links k WHERE k.tenant_id = current_tenant() AND k.partner_id = $2 AND k.offer_id = o.id)"

func (s *Server) partnerOfferListing() listing[offerView] {
	l := s.offerListing()
	l.where = partnersOffer
	l.fields = map[string]listField{
		"id": {column: "x.offer_id", kind: fieldUUID}, "name": {column: "o.name", kind: fieldSearch}, "status": {column: offerStatus},
		"offerType": {column: "o.offer_type", oneOf: textsOf(domain.OfferTypes)}, "launchDate": {column: "o.launch_at", kind: fieldTime},
		"expirationDate": {column: "o.expires_at", kind: fieldTime},
	}
	l.order = "id"
	return l
}

func (s *Server) listOffersForPartner(ctx context.Context, in *listOffersInput) (*pageOutput[partnerOffer], error) {
	out := &pageOutput[partnerOffer]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		out.Body, err = s.partnerOffers(ctx, tx, in.Product, in.ListInput)
		return err
	})
}

func (s *Server) getOfferForPartner(ctx context.Context, in *offerInput) (*partnerOfferOutput, error) {
	out := &partnerOfferOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		found, err := s.partnerOffers(ctx, tx, in.Product, ListInput{PageSize: 1, filters: map[string][]string{"id": {in.ID.String()}}})
		if err == nil && len(found.Items) == 0 {
			err = problem.NotFound()
		}
		if err == nil {
			out.Body = found.Items[0]
		}
		return err
	})
}

func (s *Server) partnerOffers(ctx context.Context, tx pgx.Tx, product string, in ListInput) (page[partnerOffer], error) {
	tenant, err := ownProduct(ctx, tx, product)
	if err != nil {
		return page[partnerOffer]{}, err
	}
	at := s.now()
	found, err := list(ctx, tx, s.now(), s.partnerOfferListing(), in, at, *principal(ctx).PartnerID)
	if err != nil {
		return page[partnerOffer]{}, err
	}
	book, err := loadPayoutBook(ctx, tx, found.Items)
	return reduced(found, func(view *offerView) partnerOffer {
		offer := partnerOfferOf(view)
		for _, event := range goalsForPartners(view.offer, tenant.GoalsEnabled) {
			offer.Goals = append(offer.Goals, partnerGoal{
				ID: event.ID, Name: event.Name, Slug: event.Slug, EventID: event.EventID, DisplayOrder: event.DisplayOrder,
				AllowRepetitions: event.AllowRepetitions, Payout: book.figure(view.offer, event, at),
			})
		}
		return offer
	}), err
}

func partnerOfferOf(view *offerView) partnerOffer {
	d := &view.OfferDocument
	return partnerOffer{
		ID: d.ID, Name: d.Name, Headline: d.Headline, ShortDescription: d.ShortDescription, KeyPoints: d.KeyPoints,
		OfferDetails: d.OfferDetails, TermsAndDisclaimers: d.TermsAndDisclaimers, Creatives: d.Creatives, OfferType: d.OfferType,
		IsFeatured: d.IsFeatured, Status: view.Status, LaunchDate: d.LaunchDate, ExpirationDate: d.ExpirationDate,
		MinAge: view.offer.Targeting.MinAge, MaxAge: view.offer.Targeting.MaxAge, CountryIDs: d.CountryIDs, StateIDs: d.StateIDs,
		ZipCodes: d.ZipCodes, GenderIDs: d.GenderIDs, ShowForUnknownGender: d.ShowForUnknownGender, DeviceType: d.DeviceType,
		Goals: []partnerGoal{},
	}
}

// goalsForPartners are the goals that are active and not private (rules 66, 69).
func goalsForPartners(offer *domain.Offer, goalsEnabled bool) (goals []*domain.Event) {
	for i := range offer.Events {
		event := &offer.Events[i]
		if !domain.HiddenFromPartners(false, offer, event.ID, goalsEnabled) && offer.Open(event, goalsEnabled) {
			goals = append(goals, event)
		}
	}
	return goals
}

// payoutBook is what was agreed with the asking partner about some offers.
type payoutBook struct {
	tierID     *uuid.UUID
	custom     map[uuid.UUID][]domain.CustomPayout // by offer
	structures map[uuid.UUID]*domain.PayoutStructure
}

func loadPayoutBook(ctx context.Context, tx pgx.Tx, views []offerView) (payoutBook, error) {
	p, queries := principal(ctx), dbgen.New()
	book := payoutBook{custom: map[uuid.UUID][]domain.CustomPayout{}, structures: map[uuid.UUID]*domain.PayoutStructure{}}
	partner, err := queries.GetPartner(ctx, tx, p.TenantID, *p.PartnerID)
	if err != nil {
		return book, err
	}
	book.tierID = partner.TierID
	var offers, structures []uuid.UUID
	for _, view := range views {
		offers = append(offers, view.ID)
		for i := range view.offer.Events {
			if id := view.offer.Events[i].PayoutStructureID; id != nil {
				structures = append(structures, *id)
			}
		}
	}
	custom, err := queries.PartnerPayoutsOfPartner(ctx, tx, p.TenantID, *p.PartnerID, offers)
	if err != nil {
		return book, err
	}
	for _, row := range custom {
		book.custom[row.OfferID] = append(book.custom[row.OfferID], domain.CustomPayout{
			ID: row.ID, EventID: row.EventID, Version: row.Version, StartsAt: row.StartsAt, Deleted: row.IsDeleted,
			Figure: domain.Figure{Flat: row.FlatMicros, Percent: row.PercentMicros},
		})
	}
	rows, err := queries.PayoutStructuresByIDs(ctx, tx, p.TenantID, structures)
	for _, row := range rows {
		structure, broken := structureFacts(row)
		if broken != nil {
			return book, broken
		}
		book.structures[row.ID] = &structure
	}
	return book, err
}

// figure is what a goal pays now, by the same rules as a decision.
func (b payoutBook) figure(offer *domain.Offer, event *domain.Event, at time.Time) partnerFigure {
	terms := domain.PartnerTerms{TierID: b.tierID, Custom: b.custom[offer.ID]}
	if event.PayoutStructureID != nil {
		terms.Structure = b.structures[*event.PayoutStructureID]
	}
	applied := terms.Payout(offer, event, at, func(string) string { return "" })
	return partnerFigure{
		FigureBody: figureBodyOf(applied.Figure),
		Varies:     applied.Kind == domain.AppliedStructure && len(terms.Structure.Rules) > 0,
	}
}

// partnersPayout is a custom payout as its partner sees it.
type partnersPayout struct {
	ID      uuid.UUID `json:"id"`
	OfferID uuid.UUID `json:"offerId"`
	EventID uuid.UUID `json:"eventId" doc:"Our id of the event."`
	PayoutTerms
}

type partnersPayoutOutput struct{ Body partnersPayout }

// partnersPayoutListing shows the asking partner's; those of goals that are hidden from partners are left out.
var partnersPayoutListing = listing[PartnerPayoutDocument]{
	from: partnerPayoutListing.from, columns: partnerPayoutListing.columns,
	where: newestPayout + ` AND p.partner_id = $1 AND p.event_id <> ALL(ARRAY(SELECT goals_hidden_from_partners(current_tenant())))`,
	fields: map[string]listField{
		"id": {column: "p.id", kind: fieldUUID}, "offerId": {column: "p.offer_id", kind: fieldUUID},
		fieldEventID: {column: "p.event_id", kind: fieldUUID}, "startsAt": {column: "p.starts_at", kind: fieldTime},
		"status": partnerPayoutListing.fields["status"],
	},
	order: "id", id: "p.id", scan: partnerPayoutListing.scan,
}

func (s *Server) listPartnerPayoutsForPartner(ctx context.Context, in *ListInput) (*pageOutput[partnersPayout], error) {
	found, err := listIn(ctx, s, partnersPayoutListing, *in, *principal(ctx).PartnerID)
	if err != nil {
		return nil, err
	}
	return &pageOutput[partnersPayout]{Body: reduced(found.Body, partnersPayoutOf)}, nil
}

func (s *Server) getPartnerPayoutForPartner(ctx context.Context, in *ByID) (*partnersPayoutOutput, error) {
	only := ListInput{PageSize: 1, filters: map[string][]string{"id": {in.ID.String()}}}
	found, err := listIn(ctx, s, partnersPayoutListing, only, *principal(ctx).PartnerID)
	if err != nil {
		return nil, err
	}
	if len(found.Body.Items) == 0 {
		return nil, problem.NotFound()
	}
	return &partnersPayoutOutput{Body: partnersPayoutOf(&found.Body.Items[0])}, nil
}

func partnersPayoutOf(d *PartnerPayoutDocument) partnersPayout {
	return partnersPayout{ID: d.ID, OfferID: d.OfferID, EventID: d.EventID, PayoutTerms: d.PayoutTerms}
}
