package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// offerDocument is the body of a request, byte for byte: domain.ParseOffer reads it, since names of
// any case and unknown fields are taken, and every refusal names its field.
type offerDocument json.RawMessage

// UnmarshalJSON keeps what was sent.
func (d *offerDocument) UnmarshalJSON(data []byte) error {
	*d = append((*d)[:0], data...)
	return nil
}

// Schema satisfies huma.SchemaProvider.
func (offerDocument) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true,
		Description: "The offer document, as returned by GET. Field names are not case-sensitive; unknown fields are listed in the warnings.",
	}
}

type createOfferInput struct {
	Product string `path:"product" doc:"The tenant's own product."`
	Body    offerDocument
}

type createOfferOutput struct {
	Body struct {
		ID       uuid.UUID `json:"Id"`
		Warnings []string  `json:"warnings"`
		// What a client would ask for next.
		RedirectLink string `json:"redirectLink"`
		Version      int64  `json:"version"`
	}
}

// createOffer makes an offer with its first version and its own link.
func (s *Server) createOffer(ctx context.Context, in *createOfferInput) (*createOfferOutput, error) {
	out := &createOfferOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tenant, err := ownProduct(ctx, tx, in.Product)
		if err != nil {
			return err
		}
		offer, warnings, err := s.parseOffer(ctx, tx, tenant, in.Body, nil)
		if err != nil {
			return err
		}
		offer.ID, offer.TenantID, offer.Version = newID(), tenant.TenantID, 1
		linkID, err := s.insertOffer(ctx, tx, &offer)
		out.Body.ID, out.Body.Warnings, out.Body.Version = offer.ID, warnings, offer.Version
		out.Body.RedirectLink = s.linkURL(linkID)
		return err
	})
	s.nudge()
	return out, err
}

// insertOffer writes a new offer: the row, the owner's key to it, the version, the link, the audit
// entry and the news. It is for every way in which offers are made.
func (s *Server) insertOffer(ctx context.Context, tx pgx.Tx, offer *domain.Offer) (linkID uuid.UUID, err error) {
	at := s.now()
	linkID = s.Keys.NewID(keyring.KindLink, at)
	queries := dbgen.New()
	err = queries.InsertOffer(ctx, tx, dbgen.InsertOfferParams{
		TenantID: offer.TenantID, ID: offer.ID, AdvertiserID: offer.AdvertiserID, Version: offer.Version, Name: offer.Name,
		OfferType: string(offer.OfferType), IsPaused: offer.IsPaused, LaunchAt: offer.LaunchAt, ExpiresAt: offer.ExpiresAt,
		CreatedAt: at, UpdatedAt: at,
	})
	if err == nil {
		err = queries.InsertOfferAccess(ctx, tx, dbgen.InsertOfferAccessParams{
			TenantID: offer.TenantID, OfferID: offer.ID, Side: "owner", CreatedAt: at,
		})
	}
	if err == nil {
		err = s.insertOfferVersion(ctx, tx, offer)
	}
	if err == nil {
		err = queries.InsertLink(ctx, tx, dbgen.InsertLinkParams{
			TenantID: offer.TenantID, ID: linkID, OfferID: offer.ID, IsDefault: true, CreatedAt: at,
		})
	}
	if err == nil {
		err = s.offerChanged(ctx, tx, "create", nil, offer)
	}
	return linkID, err
}

func (s *Server) insertOfferVersion(ctx context.Context, tx pgx.Tx, offer *domain.Offer) error {
	if err := claimEvents(ctx, tx, offer); err != nil {
		return err
	}
	document, err := json.Marshal(offer)
	if err != nil {
		return err
	}
	return dbgen.New().InsertOfferVersion(ctx, tx, dbgen.InsertOfferVersionParams{
		TenantID: offer.TenantID, OfferID: offer.ID, Version: offer.Version, Document: document,
		CreatedAt: s.now(), CreatedBy: principal(ctx).Actor,
	})
}

// claimEvents makes the events the offer's own: an id that another offer uses is refused, because
// their conversions and caps would be counted together.
func claimEvents(ctx context.Context, tx pgx.Tx, offer *domain.Offer) error {
	ids := make([]uuid.UUID, len(offer.Events))
	for i := range offer.Events {
		ids[i] = offer.Events[i].ID
	}
	queries := dbgen.New()
	if err := queries.ClaimOfferEvents(ctx, tx, offer.ID, ids, offer.TenantID); err != nil {
		return err
	}
	foreign, err := queries.ForeignOfferEvents(ctx, tx, offer.TenantID, ids, offer.ID)
	if err != nil {
		return err
	}
	var c checks
	for i, id := range ids {
		if slices.Contains(foreign, id) {
			c.add(fmt.Sprintf("offerEvents[%d].id", i), "%s belongs to another offer", id)
		}
	}
	return c.err()
}

// offerChanged writes the audit entry of a change, and the news for every redirect's memory.
func (s *Server) offerChanged(ctx context.Context, tx pgx.Tx, action string, before, after *domain.Offer) error {
	var was any
	if before != nil {
		was = before.Document()
	}
	if err := s.audit(ctx, tx, action, "offer", after.ID.String(), was, after.Document()); err != nil {
		return err
	}
	return announceOffers(ctx, tx, &after.ID)
}

type updateOfferInput struct {
	Product string    `path:"product"`
	ID      uuid.UUID `path:"id" format:"uuid"`
	IfMatch string    `header:"If-Match" doc:"The version that the document was made from, as returned by GET."`
	Body    offerDocument
}

type updateOfferOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		OfferView
		Warnings []string `json:"warnings"`
		// Shares is left out of an offer that has none, or when nothing of the edit is for them.
		Shares *offerShares `json:"shares,omitempty" doc:"Present if the offer is shared: the edit can be applied to its shares in one step."`
	}
}

// updateOffer replaces the whole document with a new version. The version is looked at before
// anything else; a document that changes nothing makes no version.
func (s *Server) updateOffer(ctx context.Context, in *updateOfferInput) (*updateOfferOutput, error) {
	out := &updateOfferOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		tenant, err := ownProduct(ctx, tx, in.Product)
		if err != nil {
			return err
		}
		before, err := s.matchingOffer(ctx, tx, in.ID, in.IfMatch)
		if err != nil {
			return err
		}
		after, warnings, err := s.parseEdit(ctx, tx, tenant, before, in.Body, domain.ParseOffer)
		if err != nil {
			return err
		}
		if err := s.saveOffer(ctx, tx, "update", before, &after); err != nil {
			return asGiven(err, in.Body, before, &after)
		}
		out.Body.Warnings = warnings
		if out.Body.Shares, err = sharesOf(ctx, tx, before, &after); err != nil {
			return err
		}
		out.Body.OfferView, err = s.viewOffer(ctx, tx, in.ID)
		out.ETag = etag(out.Body.Version)
		return err
	})
	s.nudge()
	return out, err
}

// lockOffer reads the current version of an offer, which stays current until the commit.
func lockOffer(ctx context.Context, tx pgx.Tx, id uuid.UUID) (*domain.Offer, error) {
	row, err := dbgen.New().LockOffer(ctx, tx, id)
	if err != nil {
		return nil, orNotFound(err)
	}
	version, err := dbgen.New().GetOfferVersion(ctx, tx, id, row.Version)
	if err != nil {
		return nil, err
	}
	offer := &domain.Offer{}
	if err := json.Unmarshal(version.Document, offer); err != nil {
		return nil, err
	}
	offer.Version = row.Version
	return offer, nil
}

// saveOffer writes the next version of a locked offer, unless nothing has changed. It is for every way
// in which offers are changed: of a shared one each side changes what is its own, and both hear of it.
func (s *Server) saveOffer(ctx context.Context, tx pgx.Tx, action string, before, after *domain.Offer) error {
	after.ID, after.TenantID, after.Version = before.ID, before.TenantID, before.Version
	edit, err := beginEdit(ctx, tx, before, after)
	if err != nil {
		return err
	}
	return s.saveEdit(ctx, tx, action, before, after, edit)
}

// saveEdit is saveOffer for an edit that both sides have agreed to, or whose side may make it.
func (s *Server) saveEdit(ctx context.Context, tx pgx.Tx, action string, before, after *domain.Offer, edit offerEdit) error {
	same, err := sameOffer(before, after)
	if err != nil || same && after.IsRequested == before.IsRequested {
		return err
	}
	after.Version++
	if err := s.endCustomPayouts(ctx, tx, before, after, edit.share); err != nil {
		return err
	}
	if err := s.writeOffer(ctx, tx, action, before, after); err != nil {
		return err
	}
	return edit.finish(ctx, tx, before, after, s.now())
}

func (s *Server) writeOffer(ctx context.Context, tx pgx.Tx, action string, before, after *domain.Offer) error {
	if err := asOwner(ctx, tx, after, func() error { return s.seedOfferCaps(ctx, tx, before, after) }); err != nil {
		return err
	}
	if err := s.insertOfferVersion(ctx, tx, after); err != nil {
		return err
	}
	changed, err := dbgen.New().UpdateOffer(ctx, tx, dbgen.UpdateOfferParams{
		AdvertiserID: after.AdvertiserID, Version: after.Version, Name: after.Name, OfferType: string(after.OfferType),
		IsPaused: after.IsPaused, LaunchAt: after.LaunchAt, ExpiresAt: after.ExpiresAt, IsRequested: after.IsRequested, UpdatedAt: s.now(),
		ID: after.ID, WasVersion: before.Version,
	})
	if err != nil {
		return err
	}
	if changed != 1 {
		return errors.New("a locked offer was changed by somebody else")
	}
	return s.offerChanged(ctx, tx, action, before, after)
}

func sameOffer(before, after *domain.Offer) (bool, error) {
	was, err := json.Marshal(before.Document())
	if err != nil {
		return false, err
	}
	is, err := json.Marshal(after.Document())
	return bytes.Equal(was, is), err
}

// pauseOffer and resumeOffer may be sent any number of times.
func (s *Server) pauseOffer(ctx context.Context, in *ByID) (*struct{}, error) {
	return s.setPaused(ctx, in.ID, "pause", true)
}

func (s *Server) resumeOffer(ctx context.Context, in *ByID) (*struct{}, error) {
	return s.setPaused(ctx, in.ID, "resume", false)
}

func (s *Server) setPaused(ctx context.Context, id uuid.UUID, action string, paused bool) (*struct{}, error) {
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		before, err := lockOffer(ctx, tx, id)
		if err != nil {
			return err
		}
		after := *before
		after.IsPaused = paused
		return s.saveOffer(ctx, tx, action, before, &after)
	})
	s.nudge()
	return nil, err
}

// ownProduct refuses a product in the path that is not the tenant's own.
func ownProduct(ctx context.Context, tx pgx.Tx, product string) (dbgen.Tenant, error) {
	tenant, err := dbgen.New().GetTenant(ctx, tx, principal(ctx).TenantID)
	if err == nil && !strings.EqualFold(product, tenant.Product) {
		err = problem.Forbidden("This tenant's product is " + tenant.Product + ".")
	}
	return tenant, err
}

// matchingOffer locks an offer that has the version which a client changes.
func (s *Server) matchingOffer(ctx context.Context, tx pgx.Tx, id uuid.UUID, ifMatch string) (*domain.Offer, error) {
	offer, err := lockOffer(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	return offer, checkIfMatch(ifMatch, offer.Version, func() (any, error) { return s.viewOffer(ctx, tx, id) })
}

// offerMatches is updateOffer's precondition.
func (s *Server) offerMatches(request huma.Context) error {
	return s.offerPrecondition(request, func(ctx context.Context, tx pgx.Tx, id uuid.UUID, ifMatch string) error {
		if _, err := ownProduct(ctx, tx, request.Param("product")); err != nil {
			return err
		}
		_, err := s.matchingOffer(ctx, tx, id, ifMatch)
		return err
	})
}

// offerPrecondition checks a request that cannot be read but for its id and version.
func (s *Server) offerPrecondition(request huma.Context, check func(ctx context.Context, tx pgx.Tx, id uuid.UUID, ifMatch string) error) error {
	id, err := uuid.Parse(request.Param("id"))
	if err != nil {
		return nil // the refusal says so
	}
	ctx := request.Context()
	return s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error { return check(ctx, tx, id, request.Header("If-Match")) })
}

// etag is a version as a header shows it.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// checkIfMatch compares the version that a client changes with the current one, which a refusal shows
// (rule 55). No version, or any, is no comparison.
func checkIfMatch(header string, current int64, show func() (any, error)) error {
	header = strings.TrimSpace(header)
	if header == "" || header == "*" {
		p := problem.New(http.StatusPreconditionRequired, "Send If-Match with the version that you edited.")
		reason := "is required"
		if header == "*" {
			reason = "must be a version: * would overwrite later changes by others"
		}
		p.Errors = []domain.FieldError{{Field: "If-Match", Reason: reason}}
		return p
	}
	version, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(header, "W/"), `"`), 10, 64)
	if err != nil {
		return problem.BadField("If-Match", "must be the number of a version")
	}
	if version == current {
		return nil
	}
	shown, err := show()
	if err != nil {
		return err
	}
	return problem.PreconditionFailed("The offer has changed since: its version is "+strconv.FormatInt(current, 10)+" now.", etag(current), shown)
}
