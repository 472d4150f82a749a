package api

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// WallOffer is an offer as the wall shows it to a member. Nothing in it says what the offer earns or
// costs, or where it leads.
type WallOffer struct {
	ID                  uuid.UUID      `json:"id"`
	Name                string         `json:"name"`
	Headline            string         `json:"headline"`
	ShortDescription    string         `json:"shortDescription"`
	KeyPoints           string         `json:"keyPoints" doc:"HTML."`
	OfferDetails        string         `json:"offerDetails" doc:"HTML."`
	TermsAndDisclaimers string         `json:"termsAndDisclaimers"`
	CreativeFileURL     string         `json:"creativeFileUrl" doc:"The first creative's address."`
	Creatives           []wallCreative `json:"creatives" doc:"All creatives in their order. Send creativeOrder to record which one the member saw; default: the first."`
	OfferType           string         `json:"offerType" enum:"SingleEvent,MultiEvent"`
	ConversionType      string         `json:"conversionType" enum:"FlatRate,RevShare"`
	AllowRepetitions    bool           `json:"allowRepetitions" doc:"Whether any of the events may be repeated."`
	Reward              *Decimal       `json:"reward" doc:"In points, for completing all events once; null if it is a percentage of a sale."`
	PendingTime         *json.Number   `json:"pendingTime" doc:"In days, the longest pending period of the events; null if there is none."`
	IsFeatured          bool           `json:"isFeatured"`
	Categories          []wallCategory `json:"categories"`
	LaunchDate          time.Time      `json:"launchDate"`
	ExpirationDate      *time.Time     `json:"expirationDate"`
	Events              []wallEvent    `json:"events" doc:"In display order; a SingleEvent offer has one."`
}

type wallCreative struct {
	Order    int     `json:"order"`
	URL      string  `json:"url"`
	Metadata *string `json:"metadata"`
}

type wallCategory struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
}

// wallEvent is an event with how far the member is.
type wallEvent struct {
	OfferEventID             uuid.UUID    `json:"offerEventId"`
	EventID                  string       `json:"eventId"`
	Name                     string       `json:"name"`
	DisplayOrder             int          `json:"displayOrder"`
	SequenceNumber           *int         `json:"sequenceNumber" doc:"Events with smaller numbers must be completed first; null: independent of the others."`
	MinTimeFromPreviousEvent *json.Number `json:"minTimeFromPreviousEvent" doc:"In hours."`
	DeadlineDays             *json.Number `json:"deadlineDays" doc:"In days from the click."`
	PendingTime              *json.Number `json:"pendingTime" doc:"In days from completion to credit."`
	AllowRepetitions         bool         `json:"allowRepetitions"`
	Reward                   *Decimal     `json:"reward" doc:"In points; null if it is a percentage of the sale."`
	WallProgress
}

// WallProgress is how far the member is with an event or, in details, with the offer.
type WallProgress struct {
	IsUserCompleted bool       `json:"isUserCompleted"`
	UserCompletedAt *time.Time `json:"userCompletedAt"`
	RewardStatus    *string    `json:"rewardStatus" enum:"Pending,Completed,Rejected" doc:"null if nothing is completed; for an offer the status of the events completed so far."`
}

func wallProgressOf(p domain.WallProgress) WallProgress {
	out := WallProgress{IsUserCompleted: p.CompletedAt != nil, UserCompletedAt: inUTC(p.CompletedAt)}
	if p.Reward != domain.RewardStatusNone {
		status := string(p.Reward)
		out.RewardStatus = &status
	}
	return out
}

// WallMember is for whom the tenant's own server asks. The pub_ parameters are those that it will put
// into the click, so that both are judged alike (rule 45).
type WallMember struct {
	Member     string `query:"pub_member_id" required:"true" minLength:"1" doc:"The publisher's id of the member."`
	Gender     string `query:"pub_gender" doc:"Used for targeting, like the following fields."`
	Age        string `query:"pub_age" doc:"In years."`
	Country    string `query:"pub_geo_country" doc:"ISO 3166-1."`
	State      string `query:"pub_geo_state" doc:"ISO 3166-2, or its last part."`
	PostalCode string `query:"pub_postal_code"`
	Device     string `query:"pub_device" doc:"IOS, Android, MacOS or Browser."`

	params tracking.ClickParams
}

// Resolve satisfies huma.Resolver. What a click would refuse or leave out as too long is refused here.
func (in *WallMember) Resolve(ctx huma.Context) []error {
	address, tooLong := ctx.URL(), ""
	if in.params, tooLong = tracking.ReadClickParams(address.RawQuery); cmp.Or(tooLong, in.params.LeftOut) != "" {
		tooLong = cmp.Or(tooLong, in.params.LeftOut)
		return []error{&huma.ErrorDetail{Location: "query." + tooLong, Message: "is too long"}}
	}
	in.Member = in.params.MemberID
	return nil
}

// audience is the member as a click on the offer will be judged, as far as the tenant knows it. What is
// not known of a member does not match a list that is set.
func (in *WallMember) audience(to offercache.Target, placementID *uuid.UUID) domain.Audience {
	device := ""
	if in.params.Device != "" {
		device = tracking.DeviceOr(in.params.Device)
	}
	a := tracking.Audience(to, &in.params, tracking.Place{}, device)
	a.PlacementID = placementID
	return a
}

// wallTerms are the tenant's, by which an offer is shown.
type wallTerms struct {
	goalsEnabled bool
	rewardRatio  *domain.Micros
	// categories are the names of those that the tenant added.
	categories map[uuid.UUID]string
	offers     *offercache.Cache
}

func (s *Server) loadWallTerms(ctx context.Context, tx pgx.Tx) (*wallTerms, error) {
	if s.Tracking == nil {
		return nil, problem.Unavailable()
	}
	tenantID := principal(ctx).TenantID
	tenant, err := dbgen.New().GetTenant(ctx, tx, tenantID)
	if err != nil {
		return nil, err
	}
	rows, err := dbgen.New().CategoriesOfTenant(ctx, tx, tenantID)
	terms := &wallTerms{
		goalsEnabled: tenant.GoalsEnabled, rewardRatio: tenant.RewardRatioMicros, categories: map[uuid.UUID]string{}, offers: s.Tracking.Offers(),
	}
	for _, row := range rows {
		terms.categories[row.ID] = row.Name
	}
	return terms, err
}

// events are those of an offer that members are shown. The advertiser of a shared one decides its
// conversions, so that the goals that it has switched off are none either.
func (t *wallTerms) events(o *domain.Offer) []*domain.Event { return o.WallEvents(t.goalsOf(o)) }

// goalsOf says whether the offer's goals are switched on, by everybody who may switch them off.
func (t *wallTerms) goalsOf(o *domain.Offer) bool {
	return t.goalsEnabled && t.offers.HasGoals(o.TenantID)
}

// categoryName is "" for one that is not the tenant's.
func (t *wallTerms) categoryName(id uuid.UUID) string {
	if item, ok := domain.CategoryByID(id); ok {
		return item.Name
	}
	return t.categories[id]
}

// offer shows an offer with the member's progress in it; only what the wall shows of it counts.
func (t *wallTerms) offer(o *domain.Offer, member *memberHistory) (WallOffer, WallProgress) {
	events := t.events(o)
	out := WallOffer{
		ID: o.ID, Name: o.Name, Headline: o.Headline, ShortDescription: o.ShortDescription, KeyPoints: o.KeyPoints,
		OfferDetails: o.OfferDetails, TermsAndDisclaimers: o.TermsAndDisclaimers, OfferType: string(o.OfferType),
		ConversionType: string(o.ConversionType), Reward: decimalOf(o.PromisedTotal(events, t.rewardRatio)),
		PendingTime: domain.LongestPending(events).OptionalNumber(), IsFeatured: o.IsFeatured, Categories: []wallCategory{},
		LaunchDate: o.LaunchAt.UTC(), ExpirationDate: inUTC(o.ExpiresAt), Events: []wallEvent{},
		Creatives: []wallCreative{},
	}
	for _, creative := range o.Creatives {
		out.Creatives = append(out.Creatives, wallCreative(creative))
	}
	if len(o.Creatives) > 0 { // in their order
		out.CreativeFileURL = o.Creatives[0].URL
	}
	for _, id := range o.Targeting.CategoryIDs {
		if name := t.categoryName(id); name != "" {
			out.Categories = append(out.Categories, wallCategory{id, name})
		}
	}
	progress := make([]domain.WallProgress, len(events))
	for i, event := range events {
		progress[i] = member.progress(o.ID, event.ID)
		out.AllowRepetitions = out.AllowRepetitions || event.AllowRepetitions
		out.Events = append(out.Events, t.event(o, event, progress[i]))
	}
	return out, wallProgressOf(domain.OfferProgress(progress))
}

func (t *wallTerms) event(o *domain.Offer, e *domain.Event, progress domain.WallProgress) wallEvent {
	return wallEvent{
		OfferEventID: e.ID, EventID: e.EventID, Name: e.Name, DisplayOrder: e.DisplayOrder, SequenceNumber: e.SequenceNumber,
		MinTimeFromPreviousEvent: e.MinTimeFromPreviousEvent.OptionalNumber(), DeadlineDays: e.DeadlineDays.OptionalNumber(),
		PendingTime: e.PendingTime.OptionalNumber(), AllowRepetitions: e.AllowRepetitions, Reward: decimalOf(o.Promised(e, t.rewardRatio)),
		WallProgress: wallProgressOf(progress),
	}
}

// progress is the member's with one event.
func (h *memberHistory) progress(offerID, eventID uuid.UUID) domain.WallProgress {
	stands := h.standing(eventOfOffer{offerID, eventID})
	if stands == nil {
		return domain.WallProgress{}
	}
	return domain.EventProgress(stands.Status, stands.UserCompletedAt)
}
