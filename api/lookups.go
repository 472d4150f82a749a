package api

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

type lookupInput struct {
	Kind string `path:"kind" doc:"ages, categories, countries, states, genders, trackingSystems or macros."`
}

// lookupOutput is whole, not paged: forms and importers want all of it.
type lookupOutput struct {
	Body struct {
		Items []domain.LookupItem `json:"items"`
	}
}

type lookupItemOutput struct{ Body domain.LookupItem }

// getLookup is the built-in list, with what the tenant added after it.
func (s *Server) getLookup(ctx context.Context, in *lookupInput) (*lookupOutput, error) {
	builtIn, ok := domain.Lookup(in.Kind)
	if !ok {
		return nil, problem.NotFound()
	}
	out := &lookupOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		added, err := addedLookups(ctx, tx, in.Kind)
		out.Body.Items = slices.Concat(builtIn, added)
		return err
	})
}

// addedLookups are the tenant's own items of a kind.
func addedLookups(ctx context.Context, tx pgx.Tx, kind string) ([]domain.LookupItem, error) {
	items := []domain.LookupItem{}
	switch tenantID := principal(ctx).TenantID; kind {
	case "ages":
		rows, err := dbgen.New().AgesOfTenant(ctx, tx, tenantID)
		for _, row := range rows {
			items = append(items, domain.LookupItem{ID: row.ID, Name: row.Name, MinAge: intOf(row.MinAge), MaxAge: intOf(row.MaxAge)})
		}
		return items, err
	case "categories":
		rows, err := dbgen.New().CategoriesOfTenant(ctx, tx, tenantID)
		for _, row := range rows {
			items = append(items, domain.LookupItem{ID: row.ID, Name: row.Name})
		}
		return items, err
	}
	return items, nil
}

type createAgeInput struct {
	Body struct {
		Name   string `json:"name"`
		MinAge *int32 `json:"minAge,omitempty" doc:"Inclusive; omit for no bound."`
		MaxAge *int32 `json:"maxAge,omitempty" doc:"Inclusive; omit for no bound."`
	}
}

const maxAge = 150

func (s *Server) createAge(ctx context.Context, in *createAgeInput) (*lookupItemOutput, error) {
	var c checks
	name := c.name("name", in.Body.Name)
	c.age("minAge", in.Body.MinAge)
	c.age("maxAge", in.Body.MaxAge)
	if in.Body.MinAge != nil && in.Body.MaxAge != nil && *in.Body.MinAge > *in.Body.MaxAge {
		c.add("maxAge", "must not be less than minAge")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	item := domain.LookupItem{ID: newID(), Name: name, MinAge: intOf(in.Body.MinAge), MaxAge: intOf(in.Body.MaxAge)}
	return s.addLookup(ctx, "ages", item, func(ctx context.Context, tx pgx.Tx) error {
		return dbgen.New().InsertAge(ctx, tx, dbgen.InsertAgeParams{
			TenantID: principal(ctx).TenantID, ID: item.ID, Name: name, MinAge: in.Body.MinAge, MaxAge: in.Body.MaxAge,
		})
	})
}

func (c *checks) age(field string, value *int32) {
	if value != nil && (*value < 0 || *value > maxAge) {
		c.add(field, "must be from 0 to %d", maxAge)
	}
}

type createCategoryInput struct {
	Body struct {
		Name string `json:"name"`
	}
}

func (s *Server) createCategory(ctx context.Context, in *createCategoryInput) (*lookupItemOutput, error) {
	var c checks
	item := domain.LookupItem{ID: newID(), Name: c.name("name", in.Body.Name)}
	if err := c.err(); err != nil {
		return nil, err
	}
	return s.addLookup(ctx, "categories", item, func(ctx context.Context, tx pgx.Tx) error {
		return dbgen.New().InsertCategory(ctx, tx, principal(ctx).TenantID, item.ID, item.Name)
	})
}

// addLookup refuses a name that the list has already.
func (s *Server) addLookup(
	ctx context.Context, kind string, item domain.LookupItem, insert func(ctx context.Context, tx pgx.Tx) error,
) (*lookupItemOutput, error) {
	return &lookupItemOutput{Body: item}, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := dbgen.New().LockLookups(ctx, tx, principal(ctx).TenantID.String()); err != nil {
			return err
		}
		builtIn, _ := domain.Lookup(kind)
		added, err := addedLookups(ctx, tx, kind)
		if err != nil {
			return err
		}
		sameName := func(other domain.LookupItem) bool { return strings.EqualFold(other.Name, item.Name) }
		if slices.ContainsFunc(slices.Concat(builtIn, added), sameName) {
			return problem.Conflict("This name already exists.")
		}
		if err := insert(ctx, tx); err != nil {
			return err
		}
		return s.audit(ctx, tx, "create", kind, item.ID.String(), nil, item)
	})
}

func intOf(value *int32) *int {
	if value == nil {
		return nil
	}
	n := int(*value)
	return &n
}
