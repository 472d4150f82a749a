package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// settleWithin bounds the wait for the last thing on its way: an acknowledgement that a crash took
// is waited for a minute, and what only the sweep finds may take three.
const settleWithin = 5 * time.Minute

// settle waits until nothing is on its way (invariant 11) and says how long that took, and for what.
func (i *inspector) settle(t *testing.T) {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), settleWithin)
	defer cancel()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var last []string
	for {
		left, err := i.unfinished(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			t.Fatal(err)
		case err == nil && len(left) == 0:
			t.Logf("nothing on its way any more after %.1f s; the last was %v", time.Since(begin).Seconds(), last)
			return
		case err == nil:
			last = left
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("11: overdue after %v: %s", settleWithin, strings.Join(last, "\n"))
			return
		}
	}
}

// disagreements are what the clients were told and is not so.
func (i *inspector) disagreements(ctx context.Context, c *cast, j *journal) (found []string, err error) {
	for _, check := range []func(context.Context, *cast, *journal) ([]string, error){i.postbacks, i.reviews, i.callbacks, i.shown} {
		more, err := check(ctx, c, j)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

type decidedRow struct{ Outcome, Conversion string }

// postbacks compares answers with the log: each postback is there once, in an end state, and as it
// was answered (invariant 2).
func (i *inspector) postbacks(ctx context.Context, c *cast, j *journal) (found []string, err error) {
	rows, err := i.db.Query(ctx, `SELECT id::text, outcome, coalesce(conversion_id::text, '') FROM postbacks WHERE tenant_id = $1`, c.tenant.TenantID)
	if err != nil {
		return nil, err
	}
	logged := map[string]decidedRow{}
	var id string
	var row decidedRow
	if _, err := pgx.ForEachRow(rows, []any{&id, &row.Outcome, &row.Conversion}, func() error {
		logged[id] = row
		return nil
	}); err != nil {
		return nil, err
	}
	for id, answer := range j.answers {
		row, there := logged[id]
		final := answer.Outcome != "held" && answer.Outcome != "queued"
		switch {
		case !there:
			found = append(found, fmt.Sprintf("2: postback %s was answered %s and is gone", id, answer.Outcome))
		case row.Outcome == "held", row.Outcome == "refused":
			found = append(found, fmt.Sprintf("2: postback %s, answered %s, ended as %s", id, answer.Outcome, row.Outcome))
		case final && (row.Outcome != answer.Outcome || row.Conversion != answer.ConversionID):
			found = append(found, fmt.Sprintf("2: postback %s was answered %s %s, the log says %v", id, answer.Outcome, answer.ConversionID, row))
		}
	}
	return found, nil
}

// reviews: what a person was told was done is in the conversion's history.
func (i *inspector) reviews(ctx context.Context, c *cast, j *journal) (found []string, err error) {
	moves, err := texts(ctx, i.db, `SELECT conversion_id || ' ' || to_status FROM transitions WHERE tenant_id = $1`, c.tenant.TenantID)
	if err != nil {
		return nil, err
	}
	made := map[string]bool{}
	for _, move := range moves {
		made[move] = true
	}
	for _, r := range j.reviews {
		if !made[r.conversion+" "+r.status] {
			found = append(found, fmt.Sprintf("%s of %s was answered %s and is not in its history", r.action, r.conversion, r.status))
		}
	}
	return found, nil
}

// callbacks compares the app's view with the book: each message once, none that the book does not
// know, and of every conversion the newest news, unless its next attempt lies ahead (invariants 6, 7).
func (i *inspector) callbacks(ctx context.Context, c *cast, _ *journal) (found []string, err error) {
	box := c.inbox
	box.mu.Lock()
	defer box.mu.Unlock()
	for id, n := range box.effects {
		if n != 1 {
			found = append(found, fmt.Sprintf("7: message %s had %d effects", id, n))
		}
	}
	ids, err := texts(ctx, i.db, `SELECT id::text FROM deliveries WHERE tenant_id = $1`, c.tenant.TenantID)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, id := range ids {
		known[id] = true
	}
	for id := range box.bodies {
		if !known[id] {
			found = append(found, "7: message "+id+" is in no book")
		}
	}
	rows, err := i.db.Query(ctx, `SELECT c.id::text, c.status, c.sequence FROM conversions c WHERE c.tenant_id = $1 AND NOT EXISTS
		(SELECT 1 FROM deliveries d WHERE d.conversion_id = c.id AND d.state = 'waiting')`, c.tenant.TenantID)
	if err != nil {
		return nil, err
	}
	var id, status string
	var sequence int64
	_, err = pgx.ForEachRow(rows, []any{&id, &status, &sequence}, func() error {
		if heard := box.newest[id]; heard.Sequence != sequence || heard.Conversion.Status != status {
			found = append(found, fmt.Sprintf("6: conversion %s is %s (%d), the app heard %q (%d)", id, status, sequence, heard.Conversion.Status, heard.Sequence))
		}
		return nil
	})
	return append(found, box.wrong...), err
}

// shownOf bounds how many answers and balances are asked for again.
const shownOf = 5

// shown asks the API again: it says what the book says.
func (i *inspector) shown(ctx context.Context, c *cast, j *journal) (found []string, err error) {
	for _, id := range slices.Sorted(maps.Keys(j.answers))[:min(shownOf, len(j.answers))] {
		var outcome string
		err := i.db.QueryRow(ctx, `SELECT outcome FROM postbacks WHERE id = $1`, id).Scan(&outcome)
		if errors.Is(err, pgx.ErrNoRows) {
			continue // lost, and said to be
		}
		if err != nil {
			return nil, err
		}
		if answer, err := c.tenant.Postback(ctx, "/track/"+id, nil); err != nil || answer.Outcome != outcome {
			found = append(found, fmt.Sprintf("postback %s is %s, the API says %v %v", id, outcome, answer.Outcome, err))
		}
	}
	rows, err := i.db.Query(ctx, `SELECT pub_member_id, points_micros FROM member_balances WHERE tenant_id = $1 ORDER BY 1 LIMIT $2`, c.tenant.TenantID, shownOf)
	if err != nil {
		return nil, err
	}
	var member string
	var micros int64
	_, err = pgx.ForEachRow(rows, []any{&member, &micros}, func() error {
		balance, err := c.tenant.Balance(ctx, member)
		if points, bad := strconv.ParseFloat(balance.Points, 64); err != nil || bad != nil || int64(points*1e6) != micros {
			found = append(found, fmt.Sprintf("%s has %d micro-points, the API says %q %v", member, micros, balance.Points, err))
		}
		return nil
	})
	return found, err
}
