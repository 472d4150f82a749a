package api

import (
	"context"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"
)

// listedClick is a click in the list: what can be said of it without its session.
type listedClick struct {
	ClickView
	RefusedDetail string  `json:"refusedDetail" doc:"refusedReason in words; empty if the click can convert."`
	OfferName     string  `json:"offerName"`
	PartnerName   string  `json:"partnerName"`
	WorkflowID    *string `json:"workflowId" doc:"Id of the click's workflow; null if it has none (a refused click)."`
	WorkflowURL   *string `json:"workflowUrl" doc:"The workflow's page in the Temporal UI; null if OFFERFLOW_TEMPORAL_UI_URL is not set."`
}

const clickColumns = `c.id, c.clicked_at, c.link_id, c.offer_id, c.offer_version, c.advertiser_id, c.partner_id, c.placement_id, c.creative_order,
  c.pub_member_id, c.pub_click_id, c.pub_session_id, c.pub_gender, c.pub_age, c.pub_geo_country, c.pub_geo_state, c.pub_postal_code, c.pub_device,
  c.pub_subs, c.view_id, c.ip, c.user_agent, c.referer, c.country, c.device, c.os, c.browser, c.refused_reason, c.is_test, c.session_ends_at, c.source,
  coalesce((SELECT o.name FROM offers o WHERE o.id = c.offer_id), ''),
  coalesce((SELECT p.name FROM partners p WHERE p.tenant_id = c.tenant_id AND p.id = c.partner_id), '')`

func scanClick(row pgx.CollectableRow) (listed listedClick, err error) {
	var c dbgen.Click
	err = row.Scan(&c.ID, &c.ClickedAt, &c.LinkID, &c.OfferID, &c.OfferVersion, &c.AdvertiserID, &c.PartnerID, &c.PlacementID, &c.CreativeOrder,
		&c.PubMemberID, &c.PubClickID, &c.PubSessionID, &c.PubGender, &c.PubAge, &c.PubGeoCountry, &c.PubGeoState, &c.PubPostalCode, &c.PubDevice,
		&c.PubSubs, &c.ViewID, &c.Ip, &c.UserAgent, &c.Referer, &c.Country, &c.Device, &c.Os, &c.Browser, &c.RefusedReason, &c.IsTest, &c.SessionEndsAt, &c.Source,
		&listed.OfferName, &listed.PartnerName)
	listed.ClickView, listed.RefusedDetail = clickOf(&c), c.RefusedReason.Sentence()
	return listed, err
}

// clickFields are those that an index finds, newest first (db/migration_indexes.go).
func clickFields() map[string]listField {
	fields := map[string]listField{
		"id":          {column: "c.id", kind: fieldUUID},
		"pubMemberId": {column: "c.pub_member_id", kind: fieldMember, unordered: true},
		"offerId":     {column: "c.offer_id", kind: fieldUUID, unordered: true},
		"partnerId":   {column: "c.partner_id", kind: fieldUUID, unordered: true},
		// The second condition is that of the index of refused clicks.
		"refusedReason": {column: "c.refused_reason", unordered: true, oneOf: textsOf(domain.ClickReasons), among: "? AND c.refused_reason <> ''"},
		"from":          {column: "c.id", kind: fieldFrom, unordered: true, minted: true},
		"to":            {column: "c.id", kind: fieldTo, unordered: true, minted: true},
	}
	for n := 1; n <= tracking.PubSubs; n++ {
		number := strconv.Itoa(n)
		fields["pubSub"+number] = listField{column: "c.pub_subs[" + number + "]", kind: fieldMember, unordered: true}
	}
	return fields
}

var clickListing = listing[listedClick]{
	from: "clicks c", columns: clickColumns, where: "c.tenant_id = $1", fields: clickFields(),
	order: "id", id: "c.id", scan: scanClick, cursor: func(c *listedClick) uuid.UUID { return c.ID },
}

type clicksInput struct {
	ListInput
	From   string `query:"from" doc:"Start of the period by click time: a date (included) or an RFC 3339 time."`
	To     string `query:"to" doc:"End of the period by click time: a date (included) or an RFC 3339 time (excluded)."`
	Cursor string `query:"cursor" doc:"The next value of an earlier answer: continues after it, with the same filters and order. page is then ignored."`
}

// Resolve satisfies huma.Resolver.
func (in *clicksInput) Resolve(ctx huma.Context) []error {
	errs := in.ListInput.Resolve(ctx)
	errs = append(errs, in.bounds(in.From, in.To)...)
	if in.Cursor == "" {
		return errs
	}
	after, err := uuid.Parse(in.Cursor)
	if err != nil {
		return append(errs, &huma.ErrorDetail{Location: "cursor", Message: "must be the next value of an earlier answer"})
	}
	in.after = &after
	return errs
}

// listClicks lists clicks, refused ones too, newest first.
func (s *Server) listClicks(ctx context.Context, in *clicksInput) (*pageOutput[listedClick], error) {
	out, err := listIn(ctx, s, clickListing, in.ListInput, principal(ctx).TenantID)
	if err != nil {
		return nil, err
	}
	for i := range out.Body.Items {
		c := &out.Body.Items[i]
		if c.RefusedReason == domain.ReasonNone {
			c.WorkflowID, c.WorkflowURL = s.workflowLink(workflows.ClickWorkflowID(c.ID))
		}
	}
	return out, nil
}
