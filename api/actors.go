package api

import (
	"context"
	"regexp"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
)

// A log keeps which token did something by the token's id, "token <id>", which no renaming or second token of
// the same name blurs. People read names: answers say both, and what the other side of a partnership reads says
// the name, since it cannot look up ours.

var tokenActor = regexp.MustCompile(`\btoken ([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})`)

// actorNames words actors for people: each with the names of its tokens in place of their ids. Tokens that are
// not the tenant's stay as they are.
func actorNames(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, actors ...string) ([]string, error) {
	seen := map[uuid.UUID]bool{}
	var ids []uuid.UUID
	for _, actor := range actors {
		for _, found := range tokenActor.FindAllStringSubmatch(actor, -1) {
			if id, err := uuid.Parse(found[1]); err == nil && !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
		}
	}
	if len(ids) == 0 {
		return actors, nil
	}
	rows, err := dbgen.New().TokenNames(ctx, tx, tenantID, ids)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(rows))
	for _, row := range rows {
		names[row.ID.String()] = "token " + row.Name
	}
	worded := make([]string, len(actors))
	for i, actor := range actors {
		worded[i] = tokenActor.ReplaceAllStringFunc(actor, func(found string) string {
			if name := names[found[len("token "):]]; name != "" {
				return name
			}
			return found
		})
	}
	return worded, nil
}

// nameActors fills in the names of who did what, in items of a list.
func nameActors[T any](ctx context.Context, tx pgx.Tx, items []T, actor, name func(*T) *string) error {
	actors := make([]string, len(items))
	for i := range items {
		actors[i] = *actor(&items[i])
	}
	worded, err := actorNames(ctx, tx, principal(ctx).TenantID, actors...)
	for i := range worded {
		*name(&items[i]) = worded[i]
	}
	return err
}

// actorInWords is who asks, as the other side of a partnership reads it.
func actorInWords(ctx context.Context, tx pgx.Tx) (string, error) {
	p := principal(ctx)
	worded, err := actorNames(ctx, tx, p.TenantID, p.Actor)
	if err != nil {
		return "", err
	}
	return worded[0], nil
}
