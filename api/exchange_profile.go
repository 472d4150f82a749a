package api

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// exchangeProfile is how a tenant shows itself to the others.
type exchangeProfile struct {
	Listed      bool   `json:"listed" doc:"Whether the directory lists this tenant, so that offers can be shared with it."`
	Description string `json:"description"`
	Contact     string `json:"contact" doc:"Email address for notices of the other side's edits; default: the tenant's own."`
	// AcceptSharesFirst and BlockedTenantIDs are rule 55's.
	AcceptSharesFirst bool        `json:"acceptSharesFirst" doc:"Whether new shares wait until this tenant accepts them."`
	BlockedTenantIDs  []uuid.UUID `json:"blockedTenantIds" doc:"Tenants that cannot share offers with this one or find it in the directory. Existing shares continue."`
	// PassMacros of a tenant that never set them are empty.
	PassMacros []string `json:"passMacros" doc:"Which parameters of this tenant's clicks are passed to advertisers' destinations: pub_click_id, pub_session_id, source, pub_sub_1 to pub_sub_15. gk_click_id is always passed."`
}

type exchangeProfileOutput struct{ Body exchangeProfile }

// exchangeProfileBody is a PUT's. What it leaves out stays as it is; null clears it.
type exchangeProfileBody struct {
	Listed      Optional[bool]     `json:"listed,omitempty"`
	Description Optional[string]   `json:"description,omitempty"`
	Contact     Optional[string]   `json:"contact,omitempty"`
	PassMacros  Optional[[]string] `json:"passMacros,omitempty"`

	AcceptSharesFirst Optional[bool]        `json:"acceptSharesFirst,omitempty"`
	BlockedTenantIDs  Optional[[]uuid.UUID] `json:"blockedTenantIds,omitempty"`
}

type updateExchangeProfileInput struct{ Body exchangeProfileBody }

func (s *Server) getExchangeProfile(ctx context.Context, _ *struct{}) (*exchangeProfileOutput, error) {
	out := &exchangeProfileOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		out.Body, err = exchangeProfileOf(ctx, tx)
		return err
	})
}

// exchangeProfileOf is the asking tenant's; one that was never set is listed nowhere.
func exchangeProfileOf(ctx context.Context, tx pgx.Tx) (exchangeProfile, error) {
	row, err := dbgen.New().GetExchangeProfile(ctx, tx, principal(ctx).TenantID)
	if errors.Is(err, pgx.ErrNoRows) {
		err = nil
	}
	profile := exchangeProfile{
		Listed: row.Listed, Description: row.Description, Contact: row.Contact, PassMacros: []string{},
		AcceptSharesFirst: row.AcceptSharesFirst, BlockedTenantIDs: []uuid.UUID{},
	}
	if row.BlockedTenantIds != nil {
		profile.BlockedTenantIDs = row.BlockedTenantIds
	}
	if err != nil {
		return profile, err
	}
	tenant, err := dbgen.New().GetTenant(ctx, tx, principal(ctx).TenantID)
	if tenant.PassMacros != nil {
		profile.PassMacros = tenant.PassMacros
	}
	return profile, err
}

func (s *Server) updateExchangeProfile(ctx context.Context, in *updateExchangeProfileInput) (*exchangeProfileOutput, error) {
	out := &exchangeProfileOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		before, err := exchangeProfileOf(ctx, tx)
		if err != nil {
			return err
		}
		if out.Body, err = changedProfile(before, in.Body, principal(ctx).TenantID); err != nil {
			return err
		}
		tenantID := principal(ctx).TenantID
		err = dbgen.New().PutExchangeProfile(ctx, tx, dbgen.PutExchangeProfileParams{
			TenantID: tenantID, Listed: out.Body.Listed, Description: out.Body.Description, Contact: out.Body.Contact,
			AcceptSharesFirst: out.Body.AcceptSharesFirst, BlockedTenantIds: out.Body.BlockedTenantIDs, UpdatedAt: s.now(),
		})
		if err != nil {
			return err
		}
		if in.Body.PassMacros.given {
			if err := dbgen.New().SetPassMacros(ctx, tx, out.Body.PassMacros, tenantID); err != nil {
				return err
			}
			if err := announceOffers(ctx, tx, nil); err != nil { // redirects keep them in memory
				return err
			}
		}
		return s.audit(ctx, tx, "update", "exchange profile", tenantID.String(), before, out.Body)
	})
	s.nudge()
	return out, err
}

const (
	maxDescription    = 2000
	maxBlockedTenants = 1000
)

func changedProfile(profile exchangeProfile, body exchangeProfileBody, tenantID uuid.UUID) (exchangeProfile, error) {
	var c checks
	profile.Listed = body.Listed.or(profile.Listed)
	profile.Description = strings.TrimSpace(body.Description.or(profile.Description))
	if utf8.RuneCountInString(profile.Description) > maxDescription {
		c.add("description", "must have at most %d characters", maxDescription)
	}
	profile.Contact = c.email("contact", body.Contact.or(profile.Contact))
	if body.PassMacros.given {
		profile.PassMacros = c.passMacros(body.PassMacros.or(nil))
	}
	profile.AcceptSharesFirst = body.AcceptSharesFirst.or(profile.AcceptSharesFirst)
	if body.BlockedTenantIDs.given {
		profile.BlockedTenantIDs = c.blockedTenants(body.BlockedTenantIDs.or(nil), tenantID)
	}
	return profile, c.err()
}

// blockedTenants reads who is blocked, each once and in order. Whether there is such a tenant is not looked
// up: it is nobody's to find out.
func (c *checks) blockedTenants(ids []uuid.UUID, own uuid.UUID) []uuid.UUID {
	if len(ids) > maxBlockedTenants {
		c.add("blockedTenantIds", "may be at most %d", maxBlockedTenants)
	}
	blocked := append([]uuid.UUID{}, ids...)
	if i := slices.Index(blocked, own); i >= 0 {
		c.add("blockedTenantIds["+strconv.Itoa(i)+"]", "is this tenant itself")
	}
	slices.SortFunc(blocked, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(blocked)
}

// passMacros reads what may be passed on, each once and in order (rule 59).
func (c *checks) passMacros(names []string) []string {
	macros := []string{}
	for i, name := range names {
		canonical, ok := domain.ParsePassMacro(name)
		if !ok {
			c.add("passMacros["+strconv.Itoa(i)+"]", "must be one of pub_click_id, pub_session_id, source, pub_sub_1 to pub_sub_15")
			continue
		}
		macros = append(macros, canonical)
	}
	slices.Sort(macros)
	return slices.Compact(macros)
}

// directoryEntry is a listed tenant as all others see it.
type directoryEntry struct {
	TenantID    uuid.UUID `json:"tenantId" doc:"The value for publisherTenantId of a share."`
	Name        string    `json:"name"`
	Product     string    `json:"product" enum:"publisher,aff-network,advertiser"`
	Description string    `json:"description"`
	Contact     string    `json:"contact"`
	Currency    string    `json:"currency" doc:"Offers can be shared only between tenants with the same currency."`
	UpdatedAt   time.Time `json:"updatedAt"`
}

// directoryListing reads across tenants, by the system role: what they list, and nothing else. $1 is who
// asks: those that block it are not there.
var directoryListing = listing[directoryEntry]{
	from:    "exchange_profiles p JOIN tenants t ON t.tenant_id = p.tenant_id",
	columns: "t.tenant_id, t.name, t.product, p.description, p.contact, t.currency, p.updated_at", where: "p.listed AND NOT $1::uuid = ANY(p.blocked_tenant_ids)",
	fields: map[string]listField{
		"tenantId": {column: "t.tenant_id", kind: fieldUUID}, "name": {column: "t.name", kind: fieldSearch}, "product": {column: "t.product"},
		"description": {column: "p.description", kind: fieldSearch}, "currency": {column: "t.currency"},
		"updatedAt": {column: "p.updated_at", kind: fieldTime},
	},
	order: "updatedAt", id: "p.tenant_id",
	scan: func(row pgx.CollectableRow) (e directoryEntry, err error) {
		err = row.Scan(&e.TenantID, &e.Name, &e.Product, &e.Description, &e.Contact, &e.Currency, &e.UpdatedAt)
		return e, err
	},
}

func (s *Server) listDirectory(ctx context.Context, in *ListInput) (*pageOutput[directoryEntry], error) {
	out := &pageOutput[directoryEntry]{}
	return out, s.system(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		out.Body, err = list(ctx, tx, s.now(), directoryListing, *in, principal(ctx).TenantID)
		return err
	})
}
