package api_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
)

const payoutsPath = "/api/v1/partner-payouts"

type payoutAudit struct {
	Actor, Action string
	Before, After struct{ Status, CreatedBy string }
}

func (c *caller) payoutAudit(id string) []payoutAudit {
	c.t.Helper()
	var list page[payoutAudit]
	c.get("/api/v1/audit?filter.noun=partner%20payout&filter.nounId="+id).into(http.StatusOK, &list)
	return list.Items
}

// rule 39: making a goal of a shared offer private zeroes its payout whoever does it, the publisher's
// custom payouts with it; opening it again brings none of them back. What is not the goal's stays.
func TestRule39EitherSideEndsTheCustomPayouts(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	for _, side := range []string{"publisher", "advertiser"} {
		id := x.share(x.offer(multiEvent()), x.publisher).SharedOfferID
		editor := x.other(map[string]string{"publisher": "advertiser", "advertiser": "publisher"}[side])
		document, _ := x.publisher.sharedOffer(id)
		event := func(i int) string { return document["offerEvents"].([]any)[i].(map[string]any)["id"].(string) }
		made := func(i int, more map[string]any) string {
			body := map[string]any{"partnerId": x.publisher.partner, "offerId": id, "eventId": event(i), "flat": "2.5"}
			for name, value := range more {
				body[name] = value
			}
			return payoutsPath + "/" + x.publisher.made(payoutsPath, body)
		}
		other := x.publisher.made("/api/v1/partners", map[string]any{"name": "Later " + side})
		payout, later := made(1, nil), made(1, map[string]any{"partnerId": other, "startsAt": clocktest.Now().Add(time.Hour)})
		another := x.publisher.made("/api/v1/partners", map[string]any{"name": "Another " + side})
		ending := made(1, map[string]any{"partnerId": another}) // its end is planned, and comes now
		x.publisher.put(ending, map[string]any{"status": "deleted", "startsAt": clocktest.Now().Add(time.Hour)}).into(http.StatusOK, nil)
		stays := made(0, nil)
		private := func(is bool) {
			editor.edit(id, map[string]any{"offerEvents": []any{map[string]any{"id": event(1), "isPrivate": is}}}).into(http.StatusOK, nil)
		}
		private(true)
		before := clocktest.Now()
		private(false)
		for _, at := range []string{payout, later} {
			var shown partnerPayout
			x.publisher.get(at).into(http.StatusOK, &shown)
			require.Equal(t, "deleted", shown.Status, side)
			require.Len(t, shown.Versions, 2, "versions are kept")
			require.Equal(t, "2.50", *shown.Versions[1].Flat)
			require.WithinDuration(t, before, shown.StartsAt, time.Minute)
			entries := x.publisher.payoutAudit(shown.ID)
			require.Len(t, entries, 2, "made and ended")
			require.Equal(t, "active", entries[0].Before.Status)
			require.Equal(t, "deleted", entries[0].After.Status)
			require.Equal(t, entries[0].Actor, entries[0].After.CreatedBy)
			if side == "advertiser" {
				require.Contains(t, entries[0].Actor, "Games Inc", "who of which tenant, as in the change log")
			}
			x.advertiser.get(at).refused(http.StatusNotFound)
			require.Empty(t, x.advertiser.payoutAudit(shown.ID), "the publisher's partners are its own")
		}
		var shown partnerPayout
		x.publisher.get(ending).into(http.StatusOK, &shown)
		require.Len(t, shown.Versions, 3)
		require.WithinDuration(t, before, shown.StartsAt, time.Minute)
		x.publisher.get(stays).into(http.StatusOK, &shown)
		require.Equal(t, "active", shown.Status, "another goal's")
		x.publisher.put(payout, `{"status":"active"}`).into(http.StatusOK, &shown)
		require.Equal(t, int64(3), shown.Version, "it may be made anew")
	}
}

// rule 39: a custom payout that is made while its goal becomes private waits for that edit, and is
// refused by it.
func TestRule39CustomPayoutWaitsForTheEdit(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var made madeOffer
	s.mine.post(offersPath, s.document(s.mine, map[string]any{"payout": 1})).into(http.StatusCreated, &made)
	body := map[string]any{"partnerId": s.mine.partner, "offerId": made.ID, "flat": "2.5"}
	payout := payoutsPath + "/" + s.mine.made(payoutsPath, body)
	other := s.mine.made("/api/v1/partners", map[string]any{"name": "Q"})

	conn, err := pgx.Connect(t.Context(), s.database)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	watch, err := pgx.Connect(t.Context(), s.database) // inside of the edit the picture of who waits would stand still
	require.NoError(t, err)
	defer watch.Close(context.WithoutCancel(t.Context()))
	edit, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = edit.Exec(t.Context(), "SELECT 1 FROM offers WHERE id = $1 FOR UPDATE", made.ID)
	require.NoError(t, err)
	_, err = edit.Exec(t.Context(), "UPDATE offer_versions SET document = jsonb_set(document, '{events,0,isPrivate}', 'true') WHERE offer_id = $1", made.ID)
	require.NoError(t, err)
	answers := make(chan *answer, 2)
	go func() {
		answers <- s.mine.post(payoutsPath, map[string]any{"partnerId": other, "offerId": made.ID, "flat": 1})
	}()
	go func() { answers <- s.mine.put(payout, map[string]any{"flat": 3}) }()
	require.Eventually(t, func() bool {
		var waiting int
		err := watch.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		return err == nil && waiting == 2
	}, time.Minute, 5*time.Millisecond, "both wait for the edit")
	require.NoError(t, edit.Commit(t.Context()))
	for range 2 {
		(<-answers).refused(http.StatusBadRequest, "eventId")
	}
}
