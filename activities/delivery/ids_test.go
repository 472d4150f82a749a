package delivery

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// A replay after a restore repeats the same news under the same ids: two copies of one database decide
// the same postbacks, one of them later, and every id that a callback's receiver, the other book or the
// ledger goes by is the same.
func TestTheSamePostbacksMakeTheSameIDs(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	events := []domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2), activitytest.PendingFor("1")), activitytest.Goal("R", activitytest.Repeats)}
	own := rig.Offer(events[:2:2])
	shared, partnership := rig.SharedOffer([]domain.Event{activitytest.Goal("A", activitytest.Numbered(1)), activitytest.Goal("B", activitytest.Numbered(2), activitytest.PendingFor("1")), activitytest.Goal("R", activitytest.Repeats)},
		func(o *domain.Offer) { o.Budget = *activitytest.Decimal("7.5") })
	for _, tenant := range []*activitytest.Rig{rig.Rig, rig.Publisher} {
		tenant.InTenant(func(ctx context.Context, tx pgx.Tx) error {
			if err := queries.InsertCallbackEndpoint(ctx, tx, dbgen.InsertCallbackEndpointParams{
				TenantID: tenant.TenantID, ID: uuid.New(), Url: "https://receiver.example.com", Events: []string{"success", "pending", "rejected"},
				HeaderValueSealed: rig.Keys.Seal(nil), Signature: "v1", SecretSealed: rig.Keys.Seal([]byte(testSecret(1))), CreatedAt: rig.Time(),
			}); err != nil {
				return err
			}
			_, err := queries.InsertPartnerPostback(ctx, tx, dbgen.InsertPartnerPostbackParams{
				TenantID: tenant.TenantID, ID: uuid.New(), PartnerID: tenant.Partner, Url: "https://partner.example.com", Method: "GET",
				Events: []string{"success", "rejected"}, Status: endpointActive, CreatedAt: rig.Time(), UpdatedAt: rig.Time(),
			})
			return err
		})
	}
	ownClick, sharedClick := rig.Rig.Click(own), rig.Click(shared)
	postbacks := []domain.Postback{
		rig.Postback(ownClick, "B"), rig.Postback(ownClick, "A"), rig.Postback(sharedClick, "A"), rig.Postback(sharedClick, "B"),
		rig.Postback(sharedClick, "R"), rig.Postback(sharedClick, "R", func(p *domain.Postback) { p.ConversionID = "over the budget" }),
	}
	rig.Store.Close() // nobody may be connected to what is copied
	copied := copyOf(t, rig.URL)
	var first []string
	for i, url := range []string{rig.URL, copied} {
		store, err := db.Open(t.Context(), url, 4)
		require.NoError(t, err)
		rig.Store.Close()
		rig.Decisions, rig.Publisher.Decisions = rig.Restarted(store), rig.Restarted(store)
		rig.Wait(time.Duration(i) * time.Hour) // the replay comes later
		ids := idsOf(rig, partnership, postbacks)
		if i == 0 {
			first = ids
			require.Greater(t, len(ids), 90)
			continue
		}
		require.Equal(t, first, ids)
	}
}

// copyOf makes another database of the same rows. It goes with the cluster.
func copyOf(t *testing.T, url string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dbtest.Cluster(t))
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	name := config.Database + "_copy"
	_, err = conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+config.Database)
	require.NoError(t, err)
	return strings.Replace(url, "/"+config.Database, "/"+name, 1)
}

// idsOf decides postbacks, releases and reverses what came of them, brings it into the publisher's book
// and to the endpoints, and returns every id that was made on the way.
func idsOf(rig *activitytest.SharedRig, partnership domain.Partnership, postbacks []domain.Postback) []string {
	rig.T.Helper()
	ctx := rig.T.Context()
	var ids []string
	for _, p := range postbacks {
		rig.MustDecide(p)
	}
	conversions := rig.IDs("SELECT id FROM conversions")
	pending := rig.IDs("SELECT id FROM conversions WHERE status = 'Pending'")
	require.NotEmpty(rig.T, pending)
	rig.Wait(24 * time.Hour)
	for _, id := range pending {
		require.Empty(rig.T, rig.Review(&id, domain.ActionRelease, activitytest.ByTimer).Error)
	}
	reversal := func(r *attribution.TransitionRequest) { r.RequestID = "reversal" }
	require.Empty(rig.T, rig.Review(&pending[0], domain.ActionReverse, reversal).Error)
	require.NoError(rig.T, rig.AdjustBy(&pending[1], domain.Adjustment{Revenue: activitytest.Decimal("1")}, func(r *attribution.AdjustRequest) { r.RequestID = "adjustment" }))
	for _, id := range conversions {
		if rig.Conversion(&id).OfferID == partnership.OfferID {
			rig.Sync(partnership, &id)
		}
	}
	deliveries := NewDeliveries(rig.Store, rig.Keys, nil, nil)
	deliveries.scheduleRetry = func(context.Context, stream.DeliveryEvent, time.Time) error { return nil }
	deliveries.callbacks.first, deliveries.partners.first = maxFirstAttempts, maxFirstAttempts // nothing goes out
	rows, err := rig.Store.SystemPool().Query(ctx, "SELECT payload FROM outbox WHERE subject = $1 ORDER BY (payload->>'sequence')::bigint", stream.SubjectConversion)
	require.NoError(rig.T, err)
	payloads, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	require.NoError(rig.T, err)
	for _, payload := range payloads {
		var event stream.ConversionEvent
		require.NoError(rig.T, json.Unmarshal(payload, &event))
		require.NoError(rig.T, deliveries.HandleConversion(ctx, event))
	}
	deliveries.Wait()
	for _, question := range []string{
		"SELECT 'conversion ' || tenant_id || id FROM conversions", "SELECT 'delivery ' || tenant_id || id FROM deliveries",
		"SELECT 'ledger ' || tenant_id || id FROM ledger_transactions", "SELECT 'outbox ' || subject || id FROM outbox",
		"SELECT 'transition ' || tenant_id || conversion_id || request_id FROM transitions",
	} {
		rows, err := rig.Store.SystemPool().Query(ctx, question+" ORDER BY 1")
		require.NoError(rig.T, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(rig.T, err)
		require.NotEmpty(rig.T, found, question)
		ids = append(ids, found...)
	}
	return ids
}
