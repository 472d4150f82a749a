package api

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// goalClick is one postback of a goal that is recorded as a click only (rule 70).
type goalClick struct {
	PostbackID uuid.UUID `json:"postbackId"`
	GoalID     uuid.UUID `json:"goalId"`
	GoalSlug   string    `json:"goalSlug" doc:"As it was at the click; empty for a goal added later."`
	Time       time.Time `json:"time" doc:"When the postback was received."`
}

// loadSession reads what a session holds beside conversions: whether it is its member's only one,
// and what was recorded as a click in it.
func (s *Server) loadSession(ctx context.Context, tx pgx.Tx, t *clickTrace, click *dbgen.Click) error {
	version, err := dbgen.New().GetOfferVersion(ctx, tx, click.OfferID, click.OfferVersion)
	if err != nil {
		return err
	}
	var offer domain.Offer
	if err := json.Unmarshal(version.Document, &offer); err != nil {
		return err
	}
	previous, err := previousClick(ctx, tx, click)
	if err != nil {
		return err
	}
	t.Click.IsUnique = offer.UniqueClick(click.ClickedAt, previous)
	rows, err := dbgen.New().GoalClicksOfClick(ctx, s.rowsOf(ctx, tx, offer.TenantID), offer.TenantID, click.ID)
	t.GoalClicks = make([]goalClick, len(rows))
	for i, row := range rows {
		t.GoalClicks[i] = goalClick{PostbackID: row.PostbackID, GoalID: row.EventID, Time: row.RecordedAt.UTC()}
		if goal := offer.EventByID(row.EventID); goal != nil {
			t.GoalClicks[i].GoalSlug = goal.Slug
		}
	}
	return err
}

// previousClick is when the member clicked on the same offer before; nil: never, or nobody knows.
func previousClick(ctx context.Context, tx pgx.Tx, click *dbgen.Click) (*time.Time, error) {
	var at time.Time
	var err error
	switch {
	case click.PubMemberID != nil:
		at, err = dbgen.New().PreviousClickOfMember(ctx, tx, dbgen.PreviousClickOfMemberParams{
			TenantID: click.TenantID, PubMemberID: click.PubMemberID, OfferID: click.OfferID, ID: click.ID,
		})
	case strings.HasPrefix(click.MemberKey, domain.MemberKeyPrefix):
		at, err = dbgen.New().PreviousClickOfMemberKey(ctx, tx, dbgen.PreviousClickOfMemberKeyParams{
			TenantID: click.TenantID, MemberKey: click.MemberKey, OfferID: click.OfferID, ID: click.ID,
		})
	default:
		return nil, nil
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &at, err
}
