package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/api/markup"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

type sharedOfferOutput struct {
	ETag string `header:"ETag"`
	Body offerView
}

// getSharedOffer shows a shared offer to either side, the same document to both (rule 57).
func (s *Server) getSharedOffer(ctx context.Context, in *ByID) (*sharedOfferOutput, error) {
	out := &sharedOfferOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		err := checkShared(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		out.Body, err = s.viewShared(ctx, tx, in.ID)
		out.ETag = etag(out.Body.Version)
		return err
	})
}

// checkShared is 404 for every other offer, the tenant's own unshared ones too.
func checkShared(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	share, err := activities.ShareOf(ctx, tx, principal(ctx).TenantID, id)
	if err == nil && share == nil {
		err = problem.NotFound()
	}
	return err
}

// viewShared is an offer with all its events, whether or not the tenant's goals are switched off.
func (s *Server) viewShared(ctx context.Context, tx pgx.Tx, id uuid.UUID) (offerView, error) {
	view, err := s.viewOffer(ctx, tx, id)
	if err != nil {
		return view, err
	}
	version := view.Version
	view.offer, err = currentOffer(ctx, tx, id)
	if err != nil {
		return view, err
	}
	view.OfferDocument = markup.CleanDocument(view.offer.Document())
	view.OfferDocument.Version = version
	return view, nil
}

type editSharedOfferInput struct {
	ByID
	IfMatch string `header:"If-Match" doc:"The version that the edit was made from, as returned by GET."`
	Propose bool   `query:"propose" doc:"Do not change the offer; propose the edit to the other side: 202 with the proposal's id."`
	Body    offerDocument
}

// editSharedOfferOutput is 200 with the offer as it is now, or 202 with a proposal.
type editSharedOfferOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   editedOffer
}

// editedOffer is an offer after an edit, or of a proposal its id alone.
type editedOffer struct {
	OfferView
	Warnings   []string   `json:"warnings"`
	ProposalID *uuid.UUID `json:"proposalId,omitempty" doc:"Only with 202, besides warnings: GET …/proposals lists the proposal."`
}

// MarshalJSON leaves the offer out of the answer to a proposal.
func (e editedOffer) MarshalJSON() ([]byte, error) {
	if e.ProposalID != nil {
		return json.Marshal(struct {
			ProposalID *uuid.UUID `json:"proposalId"`
			Warnings   []string   `json:"warnings"`
		}{e.ProposalID, e.Warnings})
	}
	type whole editedOffer
	return json.Marshal(whole(e))
}

// editSharedOffer changes fields of a shared offer (rules 55 to 57). The version is looked at before
// anything else; what changes nothing makes no version.
func (s *Server) editSharedOffer(ctx context.Context, in *editSharedOfferInput) (*editSharedOfferOutput, error) {
	out := &editSharedOfferOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		before, err := s.matchingShared(ctx, tx, in.ID, in.IfMatch)
		if err != nil {
			return err
		}
		if in.Propose || domain.Proposes(in.Body) {
			id, warnings, err := s.propose(ctx, tx, before, in.Body)
			out.Status, out.Body.ProposalID, out.Body.Warnings = http.StatusAccepted, &id, warnings
			return err
		}
		out.Status = http.StatusOK
		if out.Body.Warnings, err = s.patchShared(ctx, tx, before, in.Body); err != nil {
			return err
		}
		out.Body.OfferView, err = s.viewShared(ctx, tx, in.ID)
		out.ETag = etag(out.Body.Version)
		return err
	})
	s.nudge()
	return out, err
}

// matchingShared locks a shared offer that has the version which a client changes.
func (s *Server) matchingShared(ctx context.Context, tx pgx.Tx, id uuid.UUID, ifMatch string) (*domain.Offer, error) {
	offer, err := lockOffer(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if err := checkShared(ctx, tx, id); err != nil {
		return nil, err
	}
	return offer, checkIfMatch(ifMatch, offer.Version, func() (any, error) { return s.viewShared(ctx, tx, id) })
}

// sharedOfferMatches is editSharedOffer's precondition.
func (s *Server) sharedOfferMatches(request huma.Context) error {
	return s.offerPrecondition(request, func(ctx context.Context, tx pgx.Tx, id uuid.UUID, ifMatch string) error {
		_, err := s.matchingShared(ctx, tx, id, ifMatch)
		return err
	})
}

func (s *Server) patchShared(ctx context.Context, tx pgx.Tx, before *domain.Offer, patch []byte) ([]string, error) {
	tenant, err := dbgen.New().GetTenant(ctx, tx, principal(ctx).TenantID)
	if err != nil {
		return nil, err
	}
	share, err := activities.ShareOf(ctx, tx, tenant.TenantID, before.ID)
	if err != nil {
		return nil, err
	}
	if foreign := domain.IgnoredForeign(share.Side, patch, before); len(foreign) > 0 && share.Closed() == nil {
		return nil, otherSides(foreign)
	}
	tenant.GoalsEnabled = true // a patch is of the whole document, as this side sees it here
	after, warnings, err := s.parseEdit(ctx, tx, tenant, before, patch, domain.PatchOffer)
	if err != nil {
		return nil, err
	}
	return warnings, asGiven(s.saveOffer(ctx, tx, "update", before, &after), patch, before, &after)
}

// offerChange is one entry of a shared offer's change log: the same for both sides.
type offerChange struct {
	Version int64           `json:"version" doc:"The version that the edit created."`
	At      time.Time       `json:"at"`
	By      string          `json:"by" doc:"The tenant and the actor: a token's name, the operator, or a schedule."`
	Side    domain.Side     `json:"side" enum:"advertiser,publisher"`
	Field   string          `json:"field" doc:"The field's name in the document; for an event offerEvents[<id>].<name>."`
	Old     json.RawMessage `json:"old" doc:"null if there was no value."`
	New     json.RawMessage `json:"new" doc:"null if the value was removed."`
}

var offerChangeListing = listing[offerChange]{
	from:    "offer_changes c JOIN offer_access x ON x.offer_id = c.offer_id",
	columns: "c.version, c.at, c.by, c.side, c.field, c.old, c.new",
	where:   "x.tenant_id = current_tenant() AND c.offer_id = $1",
	fields: map[string]listField{
		"version": {column: "c.version", kind: fieldInt}, "at": {column: "c.at", kind: fieldTime},
		"from": {column: "c.at", kind: fieldFrom, unordered: true}, "to": {column: "c.at", kind: fieldTo, unordered: true},
		"by": {column: "c.by"}, "side": {column: "c.side"}, "field": {column: "c.field"},
	},
	order: "version", id: "c.field",
	scan: func(row pgx.CollectableRow) (c offerChange, err error) {
		err = row.Scan(&c.Version, &c.At, &c.By, &c.Side, &c.Field, &c.Old, &c.New)
		return c, err
	},
}

type listOfferChangesInput struct {
	ByID
	ListInput
}

// listOfferChanges shows who changed what of a shared offer, newest first, after its end too.
func (s *Server) listOfferChanges(ctx context.Context, in *listOfferChangesInput) (*pageOutput[offerChange], error) {
	out := &pageOutput[offerChange]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		err := checkShared(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		out.Body, err = list(ctx, tx, s.now(), offerChangeListing, in.ListInput, in.ID)
		return err
	})
}
