package api

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// passedOn are the parameters of a click that a request for a link may give, which the link then has.
var passedOn = func() []string {
	names := append([]string{"pub_click_id", "pub_session_id"}, tracking.AudienceParams...)
	for n := range tracking.PubSubs {
		names = append(names, "pub_sub_"+strconv.Itoa(n+1))
	}
	return names
}()

// ClickTerms are what a link says of the click to come.
type ClickTerms struct {
	ClickID    string `query:"pub_click_id" doc:"This and the other pub_ parameters of a click, including pub_sub_1 to pub_sub_15, are added to the URL unchanged. Omitted targeting fields (gender, age, location, device) default to those of the offer-details request."`
	SessionID  string `query:"pub_session_id"`
	Gender     string `query:"pub_gender"`
	Age        string `query:"pub_age"`
	Country    string `query:"pub_geo_country"`
	State      string `query:"pub_geo_state"`
	PostalCode string `query:"pub_postal_code"`
	Device     string `query:"pub_device"`

	given url.Values
}

// Resolve satisfies huma.Resolver. What a click would refuse or leave out as too long is refused here.
func (in *ClickTerms) Resolve(ctx huma.Context) []error {
	address := ctx.URL()
	params, tooLong := tracking.ReadClickParams(address.RawQuery)
	if tooLong = cmp.Or(tooLong, params.LeftOut); tooLong != "" {
		return []error{&huma.ErrorDetail{Location: "query." + tooLong, Message: "is too long"}}
	}
	query := address.Query()
	in.given = url.Values{}
	for _, name := range passedOn {
		if value := query.Get(name); value != "" {
			in.given.Set(name, value)
		}
	}
	return nil
}

type wallLinkInput struct {
	ViewID   uuid.UUID `query:"viewId" required:"true" format:"uuid" doc:"From the answer of offer-details."`
	OfferID  uuid.UUID `query:"offerId" format:"uuid" doc:"Optional; must match the view."`
	Member   string    `query:"pub_member_id" doc:"Optional; must match the view."`
	Creative string    `query:"creativeOrder" doc:"The order of the creative that the member clicks; default: the view's."`
	ClickTerms
}

type wallLinkOutput struct {
	Body struct {
		URL string `json:"url" doc:"URL for the member to open. Opening it records the click, so do not prefetch it."`
	}
}

// wallLink is the tracking link for the member of a view. Where the member saw the offer on a placement
// it is the placement's, so that the offer's targeting finds it again at the click (rule 45).
func (s *Server) wallLink(ctx context.Context, in *wallLinkInput) (*wallLinkOutput, error) {
	out := &wallLinkOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		view, err := dbgen.New().GetOfferView(ctx, tx, principal(ctx).TenantID, in.ViewID)
		if errors.Is(err, pgx.ErrNoRows) {
			return problem.BadField("viewId", "no view has this id")
		}
		if err != nil {
			return err
		}
		if err := in.check(&view); err != nil {
			return err
		}
		offer, err := currentOffer(ctx, tx, view.OfferID)
		if err != nil {
			return err
		}
		creative, err := seenCreative(offer, in.Creative, view.CreativeOrder)
		if err != nil {
			return err
		}
		if creative != nil {
			in.given.Set("creativeOrder", strconv.Itoa(int(*creative)))
		}
		link := createLinkInput{ID: view.OfferID}
		link.Body.PlacementID = view.PlacementID
		id, err := s.ensureLink(ctx, tx, &link)
		out.Body.URL = s.linkURL(id) + "?" + in.query(&view)
		return err
	})
}

// check refuses what contradicts the view.
func (in *wallLinkInput) check(view *dbgen.OfferView) error {
	var bad domain.FieldErrors
	if in.OfferID != uuid.Nil && in.OfferID != view.OfferID {
		bad = append(bad, domain.FieldError{Field: "offerId", Reason: "is not the offer of this view"})
	}
	if in.Member != "" && domain.StoredText(in.Member) != view.PubMemberID {
		bad = append(bad, domain.FieldError{Field: "pub_member_id", Reason: "is not the member of this view"})
	}
	return bad.Err()
}

// query is what the link says: what is not given of the member, as the details had it.
func (in *wallLinkInput) query(view *dbgen.OfferView) string {
	seen, _ := url.ParseQuery(view.Params) // our own
	for name := range seen {
		if !in.given.Has(name) {
			in.given.Set(name, seen.Get(name))
		}
	}
	in.given.Set("pub_member_id", domain.SentText(view.PubMemberID))
	in.given.Set("viewId", view.ID.String())
	return in.given.Encode()
}
