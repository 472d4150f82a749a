package activities

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

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
	rig := newSharedRig(t, 4)
	events := []domain.Event{goal("A", numbered(1)), goal("B", numbered(2), pendingFor("1")), goal("R", repeats)}
	own := rig.offer(events[:2:2])
	shared, partnership := rig.sharedOffer([]domain.Event{goal("A", numbered(1)), goal("B", numbered(2), pendingFor("1")), goal("R", repeats)},
		func(o *domain.Offer) { o.Budget = *decimal("7.5") })
	for _, tenant := range []*decisionRig{rig.decisionRig, rig.publisher} {
		tenant.tenant(func(ctx context.Context, tx pgx.Tx) error {
			if err := queries.InsertCallbackEndpoint(ctx, tx, dbgen.InsertCallbackEndpointParams{
				TenantID: tenant.tenantID, ID: uuid.New(), Url: "https://receiver.example.com", Events: []string{"success", "pending", "rejected"},
				HeaderValueSealed: rig.Keys.Seal(nil), Signature: "v1", SecretSealed: rig.Keys.Seal([]byte(testSecret(1))), CreatedAt: rig.now(),
			}); err != nil {
				return err
			}
			_, err := queries.InsertPartnerPostback(ctx, tx, dbgen.InsertPartnerPostbackParams{
				TenantID: tenant.tenantID, ID: uuid.New(), PartnerID: tenant.partner, Url: "https://partner.example.com", Method: "GET",
				Events: []string{"success", "rejected"}, Status: endpointActive, CreatedAt: rig.now(), UpdatedAt: rig.now(),
			})
			return err
		})
	}
	ownClick, sharedClick := rig.decisionRig.click(own), rig.click(shared)
	postbacks := []domain.Postback{
		rig.postback(ownClick, "B"), rig.postback(ownClick, "A"), rig.postback(sharedClick, "A"), rig.postback(sharedClick, "B"),
		rig.postback(sharedClick, "R"), rig.postback(sharedClick, "R", func(p *domain.Postback) { p.ConversionID = "over the budget" }),
	}
	rig.Store.Close() // nobody may be connected to what is copied
	copied := copyOf(t, rig.url)
	var first []string
	for i, url := range []string{rig.url, copied} {
		store, err := db.Open(t.Context(), url, 4)
		require.NoError(t, err)
		rig.Store.Close()
		rig.Decisions, rig.publisher.Decisions = rig.restarted(store), rig.restarted(store)
		rig.wait(time.Duration(i) * time.Hour) // the replay comes later
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
func idsOf(rig *sharedRig, partnership domain.Partnership, postbacks []domain.Postback) []string {
	rig.t.Helper()
	ctx := rig.t.Context()
	var ids []string
	for _, p := range postbacks {
		rig.decide(p)
	}
	conversions := rig.ids("SELECT id FROM conversions")
	pending := rig.ids("SELECT id FROM conversions WHERE status = 'Pending'")
	require.NotEmpty(rig.t, pending)
	rig.wait(24 * time.Hour)
	for _, id := range pending {
		require.Empty(rig.t, rig.review(&id, domain.ActionRelease, byTimer).Error)
	}
	reversal := func(r *SettleRequest) { r.RequestID = "reversal" }
	require.Empty(rig.t, rig.review(&pending[0], domain.ActionReverse, reversal).Error)
	require.NoError(rig.t, rig.adjust(&pending[1], domain.Adjustment{Revenue: decimal("1")}, func(r *AdjustRequest) { r.RequestID = "adjustment" }))
	for _, id := range conversions {
		if rig.conversion(&id).OfferID == partnership.OfferID {
			rig.sync(partnership, &id)
		}
	}
	deliveries := NewDeliveries(rig.Store, rig.Keys, nil, nil)
	deliveries.later = func(context.Context, stream.DeliveryEvent, time.Time) error { return nil }
	deliveries.callbacks.first, deliveries.partners.first = maxFirstAttempts, maxFirstAttempts // nothing goes out
	rows, err := rig.Store.SystemPool().Query(ctx, "SELECT payload FROM outbox WHERE subject = $1 ORDER BY (payload->>'sequence')::bigint", stream.SubjectConversion)
	require.NoError(rig.t, err)
	payloads, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
	require.NoError(rig.t, err)
	for _, payload := range payloads {
		var event stream.ConversionEvent
		require.NoError(rig.t, json.Unmarshal(payload, &event))
		require.NoError(rig.t, deliveries.HandleConversion(ctx, event))
	}
	deliveries.Wait()
	for _, question := range []string{
		"SELECT 'conversion ' || tenant_id || id FROM conversions", "SELECT 'delivery ' || tenant_id || id FROM deliveries",
		"SELECT 'ledger ' || tenant_id || id FROM ledger_transactions", "SELECT 'outbox ' || subject || id FROM outbox",
		"SELECT 'transition ' || tenant_id || conversion_id || request_id FROM transitions",
	} {
		rows, err := rig.Store.SystemPool().Query(ctx, question+" ORDER BY 1")
		require.NoError(rig.t, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(rig.t, err)
		require.NotEmpty(rig.t, found, question)
		ids = append(ids, found...)
	}
	return ids
}
