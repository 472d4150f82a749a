package api

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// destination is an address where members are sent to, or "" (rule 73).
func (c *checks) destination(field, value, before string, schemes []string) string {
	value = strings.TrimSpace(value)
	if value == "" || value == before {
		return value
	}
	if len(value) > maxURLLength {
		c.add(field, "must have at most %d characters", maxURLLength)
	} else if err := domain.CheckDestination(value, schemes); err != nil {
		c.add(field, "%s", err)
	}
	return value
}

// ownSchemes are those that the caller's tenant lists.
func ownSchemes(ctx context.Context, tx pgx.Tx) ([]string, error) {
	tenant, err := dbgen.New().GetTenant(ctx, tx, principal(ctx).TenantID)
	return tenant.DestinationSchemes, err
}

// maxSchemes bounds the list of a tenant's own schemes.
const maxSchemes = 50

// schemes are a tenant's own, in lower case and once each.
func (c *checks) schemes(field string, given []string) []string {
	schemes := []string{}
	seen := map[string]bool{}
	for _, scheme := range given {
		scheme = strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(scheme), "://"), ":"))
		if err := domain.CheckScheme(scheme); err != nil {
			c.add(field, "%s", err)
			return nil
		}
		if !seen[scheme] {
			seen[scheme] = true
			schemes = append(schemes, scheme)
		}
	}
	if len(schemes) > maxSchemes {
		c.add(field, "must list at most %d schemes", maxSchemes)
	}
	return schemes
}
