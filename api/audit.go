package api

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// auditEntry is one state change: who did what, with before and after.
type auditEntry struct {
	ID     uuid.UUID       `json:"id"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor" doc:"operator, or token and its id."`
	Action string          `json:"action"`
	Noun   string          `json:"noun"`
	NounID string          `json:"nounId"`
	Before json.RawMessage `json:"before" doc:"null for a creation."`
	After  json.RawMessage `json:"after" doc:"null for a removal."`
	// ActorName is for people, Actor for programs.
	ActorName string `json:"actorName" doc:"The same, with the token's name instead of its id."`
}

var auditListing = listing[auditEntry]{
	from: "audit_log", columns: "id, at, actor, action, noun, noun_id, before, after", where: ownRows,
	fields: map[string]listField{
		"id": {column: "id", kind: fieldUUID}, "at": {column: "at", kind: fieldTime}, "from": {column: "at", kind: fieldFrom, unordered: true},
		"to": {column: "at", kind: fieldTo, unordered: true}, "actor": {column: "actor"}, "action": {column: "action"},
		"noun": {column: "noun"}, "nounId": {column: "noun_id"},
	},
	order: "id", id: "id",
	scan: func(row pgx.CollectableRow) (e auditEntry, err error) {
		err = row.Scan(&e.ID, &e.At, &e.Actor, &e.Action, &e.Noun, &e.NounID, &e.Before, &e.After)
		if e.Noun == "advertiser" {
			e.Before, e.After = withoutPostbackURL(e.Before), withoutPostbackURL(e.After)
		}
		return e, err
	},
}

// withoutPostbackURL leaves an advertiser's key out of an entry from when it was no secret (rule 78).
func withoutPostbackURL(document json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(document, &fields) != nil || fields["postbackUrl"] == nil {
		return document
	}
	fields["postbackUrl"] = json.RawMessage(`""`)
	shown, err := json.Marshal(fields)
	if err != nil { // what was read can be written
		return nil
	}
	return shown
}

func (s *Server) listAudit(ctx context.Context, in *ListInput) (*pageOutput[auditEntry], error) {
	out := &pageOutput[auditEntry]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if out.Body, err = list(ctx, tx, s.now(), auditListing, *in); err != nil {
			return err
		}
		return nameActors(ctx, tx, out.Body.Items, func(e *auditEntry) *string { return &e.Actor }, func(e *auditEntry) *string { return &e.ActorName })
	})
}
