package api

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// partnerPostbackDocument is a URL that a partner is called at (rule 54).
type partnerPostbackDocument struct {
	ID             uuid.UUID       `json:"id"`
	PartnerID      uuid.UUID       `json:"partnerId"`
	EventID        *uuid.UUID      `json:"eventId" doc:"Our id of the event; null means every event of every offer. If both kinds match, both are called."`
	URL            string          `json:"url"`
	Method         string          `json:"method" enum:"GET,POST"`
	Events         []string        `json:"events" doc:"The transitions that are sent to the partner."`
	Status         string          `json:"status" enum:"active,paused"`
	DisabledAt     *time.Time      `json:"disabledAt" doc:"Set when the URL answered 410; a PUT enables it again."`
	DisabledReason string          `json:"disabledReason"`
	CreatedAt      time.Time       `json:"createdAt"`
	UpdatedAt      time.Time       `json:"updatedAt"`
	Warnings       []string        `json:"warnings" doc:"Probable mistakes in the URL."`
	Health         *endpointHealth `json:"health" doc:"Its health; null if it has never failed."`
}

type partnerPostbackOutput struct{ Body partnerPostbackDocument }

// partnerPostbackBody is a POST's and a PUT's. What a PUT leaves out stays as it is; null sets the
// default.
type partnerPostbackBody struct {
	PartnerID Optional[uuid.UUID] `json:"partnerId,omitempty" doc:"Required on creation; cannot be changed."`
	EventID   Optional[uuid.UUID] `json:"eventId,omitempty" doc:"Our id of an event (offerEvents[].id); without it the URL is called for all events."`
	URL       Optional[string]    `json:"url,omitempty" doc:"https on port 443 or 8443, at a public address; macros only after the host. Required on creation."`
	Method    Optional[string]    `json:"method,omitempty" doc:"GET (the default), or POST, which carries the query as a form."`
	Events    Optional[[]string]  `json:"events,omitempty" doc:"Any of success (the default), pending, rejected, reversed."`
	Status    Optional[string]    `json:"status,omitempty" doc:"active (the default) or paused."`

	ShownOnly
	DisabledAt     any `json:"disabledAt,omitempty" readOnly:"true"`
	DisabledReason any `json:"disabledReason,omitempty" readOnly:"true"`
	UpdatedAt      any `json:"updatedAt,omitempty" readOnly:"true"`
	Warnings       any `json:"warnings,omitempty" readOnly:"true"`
	Health         any `json:"health,omitempty" readOnly:"true"`
}

type createPartnerPostbackInput struct{ Body partnerPostbackBody }

type updatePartnerPostbackInput struct {
	ByID
	Body partnerPostbackBody
}

func (s *Server) createPartnerPostback(ctx context.Context, in *createPartnerPostbackInput) (*partnerPostbackOutput, error) {
	at := s.now()
	row := dbgen.PartnerPostback{TenantID: principal(ctx).TenantID, ID: effectID(ctx), PartnerID: in.Body.PartnerID.or(uuid.Nil), CreatedAt: at, UpdatedAt: at}
	out := &partnerPostbackOutput{}
	if err := s.changePartnerPostback(ctx, &row, in.Body); err != nil {
		return nil, err
	}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := checkPartnerPostback(ctx, tx, &row); err != nil {
			return err
		}
		made, err := dbgen.New().InsertPartnerPostback(ctx, tx, dbgen.InsertPartnerPostbackParams(row))
		if err != nil {
			return err
		}
		if made == 0 { // by the same request, before its answer was kept
			row, err = dbgen.New().GetPartnerPostback(ctx, tx, row.TenantID, row.ID)
			out.Body = partnerPostbackOf(row)
			return err
		}
		out.Body = partnerPostbackOf(row)
		return s.audit(ctx, tx, "create", "partner-postback", row.ID.String(), nil, out.Body)
	})
}

func (s *Server) getPartnerPostback(ctx context.Context, in *ByID) (*partnerPostbackOutput, error) {
	out := &partnerPostbackOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetPartnerPostback(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		health, err := healthOf(ctx, tx, row.ID)
		out.Body = partnerPostbackOf(row)
		out.Body.Health = health[row.ID]
		return err
	})
}

// updatePartnerPostback changes it, and enables it again.
func (s *Server) updatePartnerPostback(ctx context.Context, in *updatePartnerPostbackInput) (*partnerPostbackOutput, error) {
	out := &partnerPostbackOutput{}
	// The look-up of the name happens while no row is locked: here, and again only if it has changed.
	current, err := s.getPartnerPostback(ctx, &in.ByID)
	if err != nil {
		return nil, err
	}
	vetted := in.Body.URL.or(current.Body.URL)
	if err := s.vetPartnerURL(ctx, vetted); err != nil {
		return nil, err
	}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().LockPartnerPostback(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		before := partnerPostbackOf(row)
		if err := applyPartnerPostback(&row, in.Body); err != nil {
			return err
		}
		if row.Url != vetted {
			return problem.Conflict("Another request has just changed the URL. Send your request again.")
		}
		if err := checkPartnerPostback(ctx, tx, &row); err != nil {
			return err
		}
		row.DisabledAt, row.DisabledReason, row.UpdatedAt = nil, "", s.now()
		err = dbgen.New().UpdatePartnerPostback(ctx, tx, dbgen.UpdatePartnerPostbackParams{
			TenantID: row.TenantID, ID: row.ID, EventID: row.EventID, Url: row.Url, Method: row.Method, Events: row.Events,
			Status: row.Status, UpdatedAt: row.UpdatedAt,
		})
		if err != nil {
			return err
		}
		if err := dbgen.New().EndpointChanged(ctx, tx, row.TenantID, row.ID); err != nil {
			return err
		}
		health, err := healthOf(ctx, tx, row.ID)
		if err != nil {
			return err
		}
		out.Body = partnerPostbackOf(row)
		out.Body.Health = health[row.ID]
		return s.audit(ctx, tx, "update", "partner-postback", row.ID.String(), before, partnerPostbackOf(row))
	})
}

// changePartnerPostback applies a body to a new row and vets its URL (rule 53).
func (s *Server) changePartnerPostback(ctx context.Context, row *dbgen.PartnerPostback, body partnerPostbackBody) error {
	if err := applyPartnerPostback(row, body); err != nil {
		return err
	}
	return s.vetPartnerURL(ctx, row.Url)
}

// vetPartnerURL looks its name up, which no transaction may wait for.
func (s *Server) vetPartnerURL(ctx context.Context, template string) error {
	err := domain.CheckPartnerURL(template)
	if err == nil {
		plain := domain.NewPartnerRequest("GET", template, nil).URL
		return s.vetURL(ctx, "url", plain)
	}
	return problem.BadField("url", err.Error())
}

func applyPartnerPostback(row *dbgen.PartnerPostback, body partnerPostbackBody) error {
	var c checks
	if id := body.PartnerID.or(row.PartnerID); id == uuid.Nil {
		c.add("partnerId", "is required")
	} else if id != row.PartnerID {
		c.add("partnerId", "cannot be changed: create another partner postback")
	}
	row.EventID = body.EventID.orPointer(row.EventID)
	if row.Url = body.URL.or(row.Url); len(row.Url) > maxURLLength {
		c.add("url", "must have at most %d characters", maxURLLength)
	}
	row.Method = c.oneOf("method", body.Method.or(row.Method), domain.PartnerMethods)
	row.Status = c.oneOf("status", body.Status.or(row.Status), []string{"active", "paused"})
	if row.Events = slices.Clone(body.Events.or(row.Events)); len(row.Events) == 0 {
		row.Events = []string{"success"}
	}
	for _, event := range row.Events {
		if !slices.Contains(domain.PartnerEvents, event) {
			c.add("events", "must be any of success, pending, rejected, reversed")
			break
		}
	}
	slices.Sort(row.Events)
	row.Events = slices.Compact(row.Events)
	return c.err()
}

// oneOf is a word of a list; none is its first.
func (c *checks) oneOf(field, value string, words []string) string {
	if value == "" {
		return words[0]
	}
	if !slices.Contains(words, value) {
		c.add(field, "must be one of %v", words)
	}
	return value
}

// checkPartnerPostback looks for the partner and the event.
func checkPartnerPostback(ctx context.Context, tx pgx.Tx, row *dbgen.PartnerPostback) error {
	var c checks
	if _, err := dbgen.New().GetPartner(ctx, tx, row.TenantID, row.PartnerID); errors.Is(err, pgx.ErrNoRows) {
		c.add("partnerId", "no partner has this id")
	} else if err != nil {
		return err
	}
	if row.EventID != nil {
		if _, err := dbgen.New().OfferOfEvent(ctx, tx, row.TenantID, *row.EventID); errors.Is(err, pgx.ErrNoRows) {
			c.add("eventId", "the offer has no such event")
		} else if err != nil {
			return err
		}
	}
	return c.err()
}

func partnerPostbackOf(row dbgen.PartnerPostback) partnerPostbackDocument {
	return partnerPostbackDocument{
		ID: row.ID, PartnerID: row.PartnerID, EventID: row.EventID, URL: row.Url, Method: row.Method, Events: row.Events, Status: row.Status,
		DisabledAt: row.DisabledAt, DisabledReason: row.DisabledReason, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
		Warnings: domain.LintPartnerURL(row.Url, row.Events),
	}
}

var partnerPostbackListing = listing[partnerPostbackDocument]{
	from:    "partner_postbacks",
	columns: "tenant_id, id, partner_id, event_id, url, method, events, status, disabled_at, disabled_reason, created_at, updated_at",
	where:   ownRows,
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "partnerId": {column: "partner_id", kind: fieldUUID}, "eventId": {column: "event_id", kind: fieldUUID},
		"url": {column: "url", kind: fieldSearch}, "method": {column: "method"}, "status": {column: "status"},
		"createdAt": {column: "created_at", kind: fieldTime},
	},
	order: "id", id: "id",
	scan: func(row pgx.CollectableRow) (partnerPostbackDocument, error) {
		p, err := pgx.RowToStructByPos[dbgen.PartnerPostback](row)
		return partnerPostbackOf(p), err
	},
}

func (s *Server) listPartnerPostbacks(ctx context.Context, in *ListInput) (*pageOutput[partnerPostbackDocument], error) {
	out := &pageOutput[partnerPostbackDocument]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if out.Body, err = list(ctx, tx, s.now(), partnerPostbackListing, *in); err != nil {
			return err
		}
		ids := make([]uuid.UUID, len(out.Body.Items))
		for i := range out.Body.Items {
			ids[i] = out.Body.Items[i].ID
		}
		health, err := healthOf(ctx, tx, ids...)
		for i := range out.Body.Items {
			out.Body.Items[i].Health = health[ids[i]]
		}
		return err
	})
}

type previewPartnerPostbackInput struct {
	Body struct {
		PartnerPostbackID *uuid.UUID `json:"partnerPostbackId,omitempty" doc:"A saved partner postback; or send url, method and partnerId of an unsaved one."`
		PartnerID         *uuid.UUID `json:"partnerId,omitempty"`
		URL               string     `json:"url,omitempty"`
		Method            string     `json:"method,omitempty" enum:"GET,POST"`
		ConversionID      uuid.UUID  `json:"conversionId"`
	}
}

type previewPartnerPostbackOutput struct {
	Body struct {
		Method      string `json:"method"`
		URL         string `json:"url"`
		ContentType string `json:"contentType" doc:"Empty if there is no body."`
		Body        string `json:"body"`
		WouldFire   bool   `json:"wouldFire" doc:"Whether the conversion's current state would be sent."`
		Why         string `json:"why" doc:"Why it would not be sent; otherwise empty."`
	}
}

// previewPartnerPostback shows the request that the news of a conversion makes. Nothing is sent.
func (s *Server) previewPartnerPostback(ctx context.Context, in *previewPartnerPostbackInput) (*previewPartnerPostbackOutput, error) {
	out := &previewPartnerPostbackOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		postback, err := previewed(ctx, tx, in)
		if err != nil {
			return err
		}
		conversion, err := dbgen.New().GetConversion(ctx, tx, principal(ctx).TenantID, in.Body.ConversionID)
		if errors.Is(err, pgx.ErrNoRows) {
			return problem.BadField("conversionId", "no conversion has this id")
		}
		if err != nil {
			return err
		}
		values, mayHear, err := delivery.PartnerMacros(ctx, tx, principal(ctx).TenantID, conversion.ID, conversion.Status)
		if err != nil {
			return err
		}
		body := &out.Body
		body.Why = whyUntold(&postback, &conversion, mayHear)
		body.WouldFire = body.Why == ""
		if mayHear && *conversion.PartnerID == postback.PartnerID {
			request := domain.NewPartnerRequest(postback.Method, postback.Url, values)
			body.Method, body.URL, body.ContentType, body.Body = request.Method, request.URL, request.ContentType(), request.Body
		}
		return nil
	})
}

// previewed is the postback that is saved, or the one that the request describes.
func previewed(ctx context.Context, tx pgx.Tx, in *previewPartnerPostbackInput) (dbgen.PartnerPostback, error) {
	tenantID, body := principal(ctx).TenantID, in.Body
	if id := body.PartnerPostbackID; id != nil {
		row, err := dbgen.New().GetPartnerPostback(ctx, tx, tenantID, *id)
		if errors.Is(err, pgx.ErrNoRows) {
			err = problem.BadField("partnerPostbackId", "no partner postback has this id")
		}
		return row, err
	}
	row := dbgen.PartnerPostback{
		TenantID: tenantID, PartnerID: orZero(body.PartnerID), Url: body.URL, Method: body.Method, Events: domain.PartnerEvents, Status: "active",
	}
	var c checks
	if body.PartnerID == nil {
		c.add("partnerId", "is required without partnerPostbackId")
	}
	row.Method = c.oneOf("method", row.Method, domain.PartnerMethods)
	if row.Url == "" {
		c.add("url", "is required without partnerPostbackId")
	} else if err := domain.CheckPartnerURL(row.Url); err != nil {
		c.add("url", "%s", err)
	}
	if err := c.err(); err != nil {
		return row, err
	}
	return row, checkPartnerPostback(ctx, tx, &row)
}

// whyUntold says why a partner does not hear of a conversion as it stands.
func whyUntold(postback *dbgen.PartnerPostback, c *dbgen.Conversion, mayHear bool) string {
	reversed := c.RejectionReason == domain.ReasonReversed
	switch {
	case c.PartnerID == nil || *c.PartnerID != postback.PartnerID:
		return "the conversion belongs to another partner"
	case !mayHear:
		return "its goal is private (rule 66)"
	case postback.EventID != nil && *postback.EventID != c.EventID:
		return "the conversion has another event"
	case !domain.PartnerWantsEvent(postback.Events, domain.StatusEvent{Status: c.Status, RewardWasSent: reversed}):
		return "this status is not in the postback's events"
	case postback.Status != "active":
		return "the postback is paused"
	case postback.DisabledAt != nil:
		return "the postback is disabled"
	case c.IsTest:
		return "it is a test conversion: partners are called only if the test requests it"
	default:
		return ""
	}
}
