package attribution_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
)

func TestRule61EqualBooks(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	rig.Synced(offer, p)
	rig.Wait(24 * time.Hour)
	test := rig.Click(offer, func(c *domain.Click) { c.IsTest = true })
	id := rig.Post(test, "A", func(b *domain.Postback) { b.IsTest = true }).ConversionID
	rig.Sync(p, id)
	rig.Sync(p, rig.Post(rig.Click(offer), "A").ConversionID)
	c, done := rig.Reconcile(p)
	require.Equal(t, attribution.Reconciled{}, done)
	require.Empty(t, c.Differences)
	unit := domain.Micros(domain.MicrosPerUnit)
	same := func(day string, status domain.Status, count int64, sum domain.Micros) domain.BookDay {
		return domain.BookDay{Day: day, Status: status, Advertiser: domain.BookSum{Count: count, Sum: sum}, Publisher: domain.BookSum{Count: count, Sum: sum}}
	}
	require.Equal(t, []domain.BookDay{
		same("2026-03-04", domain.StatusPending, 1, 5*unit/2), same("2026-03-04", domain.StatusRejected, 2, 9*unit/2),
		same("2026-03-04", domain.StatusSuccess, 2, 5*unit), same("2026-03-05", domain.StatusSuccess, 1, 5*unit/2),
	}, c.Days, "the test conversion counts in neither book")
	require.Empty(t, rig.Written(p))
	require.EqualValues(t, 1, activitytest.Value[int64](rig.Rig, `SELECT count(*) FROM reconciliations
		WHERE partnership_id = $1 AND (found, repaired) = (0, 0) AND (from_day, to_day) = ('2026-01-30', '2026-03-05')`, p.ID))
	_, err := rig.Reconciliations().Reconcile(t.Context(), c) // the activity again, after a crash
	require.NoError(t, err)
	require.EqualValues(t, 1, activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM reconciliations"))
}

// Rule 61: the day is the advertiser's.
func TestRule61DaysOfTheAdvertiser(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	rig.Set("UPDATE tenants SET timezone = 'Pacific/Auckland' WHERE tenant_id = $1", rig.TenantID) // 13 hours ahead
	rig.Sync(p, rig.Post(rig.Click(offer), "A").ConversionID)
	c, _ := rig.Reconcile(p)
	require.Len(t, c.Days, 1)
	require.Equal(t, "2026-03-05", c.Days[0].Day)
	require.Equal(t, "2026-03-05", c.To.Format(time.DateOnly))
}

// Rule 61: a first day without a midnight begins where clocks are set forward, and not an hour early.
func TestRule61TheFirstDayHasNoMidnight(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	rig.Set("UPDATE tenants SET timezone = 'America/Havana' WHERE tenant_id = $1", rig.TenantID) // 2026-03-08 begins at 01:00, 05:00 UTC
	for _, at := range []time.Time{time.Date(2026, 3, 8, 4, 30, 0, 0, time.UTC), time.Date(2026, 3, 8, 5, 0, 0, 0, time.UTC)} {
		rig.Wait(at.Sub(rig.Time()))
		rig.Sync(p, rig.Post(rig.Click(offer), "A").ConversionID)
	}
	rig.Wait((attribution.ComparedDays - 1) * 24 * time.Hour)
	c, _ := rig.Reconcile(p)
	require.Equal(t, "2026-03-08", c.From.Format(time.DateOnly))
	require.Len(t, c.Days, 1)
	require.Equal(t, "2026-03-08", c.Days[0].Day)
	require.EqualValues(t, 1, c.Days[0].Advertiser.Count)
}

// Rule 61: whatever is damaged in the publisher's book is found, named by its id, and mended by
// replaying the sync; the metric is raised.
func TestRule61DamageInThePublishersBook(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	for _, c := range []struct {
		name, damage string
		what         []domain.Difference
	}{
		{"a row that is gone", `WITH history AS (DELETE FROM transitions WHERE tenant_id = $1 AND conversion_id = $2) DELETE FROM conversions WHERE tenant_id = $1 AND id = $2`,
			[]domain.Difference{domain.DifferenceMissing}},
		{"a status that flipped", `UPDATE conversions SET status = 'Rejected', rejection_reason = 'manual' WHERE tenant_id = $1 AND id = $2`,
			[]domain.Difference{domain.DifferenceStatus, domain.DifferenceReason, domain.DifferencePublisherHistory, domain.DifferencePublisherLedger}},
		{"a revenue that changed", `UPDATE conversions SET revenue_micros = revenue_micros + 1 WHERE tenant_id = $1 AND id = $2`,
			[]domain.Difference{domain.DifferenceRevenue, domain.DifferencePublisherLedger}},
		{"a sequence that ran ahead", `UPDATE conversions SET sequence = 7 WHERE tenant_id = $1 AND id = $2`,
			[]domain.Difference{domain.DifferenceSequence, domain.DifferencePublisherHistory}},
		{"another day", `UPDATE conversions SET received_at = received_at - interval '2 days' WHERE tenant_id = $1 AND id = $2`,
			[]domain.Difference{domain.DifferenceValues}},
		{"a reward that changed", `UPDATE conversions SET reward_micros = 1 WHERE tenant_id = $1 AND id = $2`,
			[]domain.Difference{domain.DifferencePublisherLedger}},
		{"a ledger transaction that is gone", `WITH gone AS (DELETE FROM ledger_transactions WHERE tenant_id = $1 AND conversion_id = $2 RETURNING id)
			DELETE FROM ledger_entries WHERE tenant_id = $1 AND transaction_id IN (SELECT id FROM gone)`, []domain.Difference{domain.DifferencePublisherLedger}},
		{"a transition that is gone", `DELETE FROM transitions WHERE tenant_id = $1 AND conversion_id = $2`, []domain.Difference{domain.DifferencePublisherHistory}},
	} {
		offer, p := rig.ReconciledOffer()
		id := rig.Synced(offer, p)[0]
		was := rig.Publisher.Conversion(id)
		rig.Damage(c.damage, rig.Publisher.TenantID, id)
		before := testutil.ToFloat64(attribution.ExchangeDifferences.WithLabelValues(string(c.what[0])))
		compared, done := rig.Reconcile(p)
		require.Equal(t, attribution.Reconciled{Found: 1, Repaired: 1}, done, c.name)
		require.Equal(t, []domain.BookDifference{{ConversionID: *id, What: c.what, Repaired: true}}, rig.Written(p), c.name)
		require.GreaterOrEqual(t, testutil.ToFloat64(attribution.ExchangeDifferences.WithLabelValues(string(c.what[0]))), before+1, c.name)
		require.NotEmpty(t, compared.Days)
		is := rig.Publisher.Conversion(id)
		require.Equal(t, attribution.CopiedColumns(&was), attribution.CopiedColumns(&is), c.name)
		_, done = rig.Reconcile(p)
		require.Equal(t, attribution.Reconciled{}, done, "%s: mended for good", c.name)
		rig.ForgetNewsTwice(id)
		rig.RequireEqual(t, offer)
	}
}

// Rule 61: an advertiser's row that its own history or ledger contradicts is found, and not spread: the
// publisher's book stays as it is, until a person has seen to it.
func TestRule61DamageInTheAdvertisersBook(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	id := rig.Synced(offer, p)[0]
	was := rig.Publisher.Conversion(id)
	for _, c := range []struct {
		damage, undo string
		what         []domain.Difference
	}{
		{`UPDATE conversions SET status = 'Pending' WHERE tenant_id = $1 AND id = $2`, `UPDATE conversions SET status = 'Success' WHERE tenant_id = $1 AND id = $2`,
			[]domain.Difference{domain.DifferenceStatus, domain.DifferenceAdvertiserHistory, domain.DifferenceAdvertiserLedger}},
		{`UPDATE conversions SET revenue_micros = 1 WHERE tenant_id = $1 AND id = $2`, `UPDATE conversions SET revenue_micros = 2500000 WHERE tenant_id = $1 AND id = $2`,
			[]domain.Difference{domain.DifferenceRevenue, domain.DifferenceAdvertiserLedger}},
	} {
		rig.Damage(c.damage, rig.TenantID, id)
		_, done := rig.Reconcile(p)
		require.Equal(t, attribution.Reconciled{Found: 1}, done)
		require.Equal(t, []domain.BookDifference{{ConversionID: *id, What: c.what}}, rig.Written(p))
		require.Equal(t, was, rig.Publisher.Conversion(id))
		require.NoError(t, rig.Reconciliations().ObserveState(t.Context()))
		require.EqualValues(t, 1, activitytest.Value[int64](rig.Rig, "SELECT found - repaired FROM reconciliations ORDER BY id DESC LIMIT 1"))
		rig.Damage(c.undo, rig.TenantID, id)
	}
	_, done := rig.Reconcile(p)
	require.Equal(t, attribution.Reconciled{}, done)
}

// A row that only the publisher's book has cannot be replayed.
func TestRule61ARowThatTheAdvertiserDoesNotHave(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	id := rig.Synced(offer, p)[0]
	stray := uuid.Must(uuid.NewV7())
	rig.Damage(`INSERT INTO conversions SELECT (jsonb_populate_record(c, jsonb_build_object('id', $2::uuid, 'status', 'Rejected', 'rejection_reason', 'manual'))).*
		FROM conversions c WHERE tenant_id = $1 AND id = $3`, rig.Publisher.TenantID, stray, id)
	c, done := rig.Reconcile(p)
	require.Equal(t, attribution.Reconciled{Found: 1}, done)
	require.Equal(t, stray, c.Differences[0].ConversionID)
	require.Contains(t, c.Differences[0].What, domain.DifferenceUnknown)
	rig.Damage(`DELETE FROM conversions WHERE tenant_id = $1 AND id = $2`, rig.Publisher.TenantID, stray)
}

// What is on its way raises nothing and counts in neither book; what has not come within a minute does.
func TestRule61AConversionOnItsWay(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	ids := rig.Synced(offer, p)
	rig.Wait(time.Hour)
	fresh := rig.Post(rig.Click(offer), "A").ConversionID
	rig.Review(ids[0], domain.ActionReverse)
	c := rig.Compare(p)
	require.Empty(t, c.Differences)
	require.EqualValues(t, 2, c.Moving)
	for _, day := range c.Days {
		require.Equal(t, day.Advertiser, day.Publisher)
	}
	rig.Sync(p, fresh)
	// Not behind, and yet not the same: that is no sync on its way, however young it is.
	rig.Damage("UPDATE conversions SET revenue_micros = 1 WHERE tenant_id = $1 AND id = $2", rig.Publisher.TenantID, fresh)
	c = rig.Compare(p)
	require.EqualValues(t, 1, c.Moving)
	require.Len(t, c.Differences, 1)
	require.Equal(t, *fresh, c.Differences[0].ConversionID)
	c, done := rig.Reconcile(p)
	require.Zero(t, c.Moving)
	require.Equal(t, attribution.Reconciled{Found: 2, Repaired: 2}, done)
	rig.RequireEqual(t, offer)
}

// What is older than the days that are summed up is looked at where it was decided since, or differs.
func TestRule61OlderConversions(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	ids := rig.Synced(offer, p)
	rig.Reconcile(p)
	rig.Wait(50 * 24 * time.Hour)
	rig.Reconcile(p)
	rig.Wait(24 * time.Hour)
	rig.Review(ids[0], domain.ActionReverse)
	rig.Sync(p, ids[0])
	rig.Damage(`WITH gone AS (DELETE FROM ledger_transactions WHERE tenant_id = $1 AND conversion_id = $2 AND sequence = 2 RETURNING id)
		DELETE FROM ledger_entries WHERE tenant_id = $1 AND transaction_id IN (SELECT id FROM gone)`, rig.Publisher.TenantID, ids[0])
	rig.Damage("UPDATE conversions SET revenue_micros = 1 WHERE tenant_id = $1 AND id = $2", rig.Publisher.TenantID, ids[1])
	c, done := rig.Reconcile(p)
	require.Empty(t, c.Days, "nothing was received in these days")
	require.Equal(t, attribution.Reconciled{Found: 2, Repaired: 2}, done)
	var found []uuid.UUID
	for _, difference := range rig.Written(p) {
		found = append(found, difference.ConversionID)
	}
	require.ElementsMatch(t, []uuid.UUID{*ids[0], *ids[1]}, found)
	rig.RequireEqual(t, offer)
}

// One conversion that cannot be replayed does not keep the others, and is counted until it is mended.
func TestRule61AReplayThatFails(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	ids := rig.Synced(offer, p)
	rig.Damage("UPDATE conversions SET revenue_micros = 1 WHERE tenant_id = $1", rig.Publisher.TenantID)
	rig.Wait(attribution.ComparedSettled + time.Second)
	c := rig.Compare(p)
	require.Len(t, c.Differences, len(ids))
	r := rig.Reconciliations()
	replay := r.Replay
	r.Replay = func(ctx context.Context, p domain.Partnership, id uuid.UUID) (attribution.Synced, error) {
		if id == *ids[1] {
			return attribution.Synced{}, errors.New("no")
		}
		return replay(ctx, p, id)
	}
	done, err := r.Reconcile(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, attribution.Reconciled{Found: len(ids), Repaired: len(ids) - 1}, done)
	left := slices.DeleteFunc(rig.Written(p), func(d domain.BookDifference) bool { return d.Repaired })
	require.Len(t, left, 1)
	require.Equal(t, *ids[1], left[0].ConversionID)
	state, err := queries.SystemReconciliationState(t.Context(), rig.Store.SystemPool(), rig.Time().Add(-time.Hour), rig.Time())
	require.NoError(t, err)
	require.EqualValues(t, 1, state.Unrepaired)
	_, done = rig.Reconcile(p)
	require.Equal(t, attribution.Reconciled{Found: 1, Repaired: 1}, done)
	require.NoError(t, r.ObserveState(t.Context()))
	state, err = queries.SystemReconciliationState(t.Context(), rig.Store.SystemPool(), rig.Time().Add(time.Hour), rig.Time())
	require.NoError(t, err)
	require.Zero(t, state.Unrepaired)
	require.EqualValues(t, 1, state.Overdue, "not since an hour from now")
	rig.RequireEqual(t, offer)
}

// Rule 61: a conversion that moved since the comparison is repaired only where the books agree about it,
// however young its last transition is.
func TestRule61NotRepairedWhileItMoves(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	rig.Synced(offer, p)
	id := rig.Post(rig.Click(offer), "A").ConversionID
	rig.Wait(attribution.ComparedSettled + time.Second)
	c := rig.Compare(p)
	require.Equal(t, []domain.BookDifference{{ConversionID: *id, What: []domain.Difference{domain.DifferenceMissing}}}, c.Differences)
	r := rig.Reconciliations()
	r.Replay = func(context.Context, domain.Partnership, uuid.UUID) (attribution.Synced, error) {
		return attribution.Synced{}, errors.New("no")
	}
	rig.AdjustRevenue(id, "2")
	done, err := r.Reconcile(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, attribution.Reconciled{Found: 1}, done)
	require.False(t, rig.Written(p)[0].Repaired)
	_, done = rig.Reconcile(p)
	require.Equal(t, attribution.Reconciled{Found: 1, Repaired: 1}, done)
	rig.RequireEqual(t, offer)
}

// Rule 61: an old conversion whose row was mended and whose ledger was not is looked at again, though
// nothing but the ledger would have it looked at.
func TestRule61NotRepairedByHalf(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	id := rig.Synced(offer, p)[0]
	rig.Reconcile(p)
	rig.Wait(50 * 24 * time.Hour)
	rig.Reconcile(p)
	rig.Wait(24 * time.Hour)
	const mend = "UPDATE conversions SET revenue_micros = 2500000 WHERE tenant_id = $1 AND id = $2"
	rig.Damage("UPDATE conversions SET revenue_micros = 1 WHERE tenant_id = $1 AND id = $2", rig.Publisher.TenantID, id)
	rig.Damage(`WITH gone AS (DELETE FROM ledger_transactions WHERE tenant_id = $1 AND conversion_id = $2 RETURNING id)
		DELETE FROM ledger_entries WHERE tenant_id = $1 AND transaction_id IN (SELECT id FROM gone)`, rig.Publisher.TenantID, id)
	c := rig.Compare(p)
	require.Len(t, c.Differences, 1)
	r := rig.Reconciliations()
	r.Replay = func(context.Context, domain.Partnership, uuid.UUID) (attribution.Synced, error) {
		rig.Damage(mend, rig.Publisher.TenantID, id)
		return attribution.Synced{}, nil
	}
	done, err := r.Reconcile(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, attribution.Reconciled{Found: 1}, done)
	rig.Damage("UPDATE conversions SET revenue_micros = 1 WHERE tenant_id = $1 AND id = $2", rig.Publisher.TenantID, id)
	_, done = rig.Reconcile(p)
	require.Equal(t, attribution.Reconciled{Found: 1, Repaired: 1}, done)
	rig.RequireEqual(t, offer)
}

// Rule 60: two partnerships of one advertiser, and another's with the same publisher, are compared each
// by itself.
func TestRule61OnePartnershipAtATime(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.ReconciledOffer()
	other, q := rig.ReconciledOffer()
	rig.Synced(offer, p)
	ids := rig.Synced(other, q)
	rig.Damage("UPDATE conversions SET revenue_micros = 1 WHERE tenant_id = $1 AND id = $2", rig.Publisher.TenantID, ids[0])
	_, done := rig.Reconcile(p)
	require.Equal(t, attribution.Reconciled{}, done)
	_, done = rig.Reconcile(q)
	require.Equal(t, attribution.Reconciled{Found: 1, Repaired: 1}, done)
}

// The walk has every partnership once, in pages: the ended ones too while their conversions may move.
func TestRule61TheWalk(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	const all = 1000
	rig.Damage(`INSERT INTO partnerships (id, offer_id, source_offer_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id, publisher_name, created_at, created_by,
			ended_at, ended_side)
		SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), $1, 'A', $2, 'P', $3::timestamptz - interval '3 years', 'test', ended_at,
			CASE WHEN ended_at IS NULL THEN '' ELSE 'publisher' END
		FROM generate_series(1, 1010) i, LATERAL (SELECT CASE WHEN i <= 10 THEN $3::timestamptz - interval '2 years' WHEN i <= 20 THEN $3::timestamptz - interval '1 month' END) e (ended_at)`,
		rig.TenantID, rig.Publisher.TenantID, rig.Time())
	seen, after := map[uuid.UUID]bool{}, uuid.Nil
	for isLast := false; !isLast; {
		page, err := rig.Reconciliations().PartnershipsAfter(t.Context(), after)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Books), attribution.PartnershipsAtATime)
		for _, books := range page.Books {
			require.False(t, seen[books.PartnershipID])
			seen[books.PartnershipID], after = true, books.PartnershipID
			c, err := rig.Reconciliations().CompareBooks(t.Context(), books.PartnershipID, uuid.Nil, time.Time{}, time.Time{})
			require.NoError(t, err)
			_, err = rig.Reconciliations().Reconcile(t.Context(), c)
			require.NoError(t, err)
		}
		isLast = page.IsLast
	}
	require.Len(t, seen, all)
	require.EqualValues(t, all, activitytest.Value[int64](rig.Rig, "SELECT count(DISTINCT partnership_id) FROM reconciliations"))
	_, err := rig.Reconciliations().CompareBooks(t.Context(), uuid.New(), uuid.Nil, time.Time{}, time.Time{})
	require.ErrorIs(t, err, attribution.ErrNoPartnership)
}
