package upkeep

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

func TestScheduledChangeIsMadeOnceAndRewritesNothing(t *testing.T) { // rule 24
	t.Parallel()
	rig := activitytest.New(t, 4)
	changes := &ScheduledChanges{Store: rig.Store, Nudge: func() {}, Now: rig.Time}
	offer := rig.Offer([]domain.Event{activitytest.Goal("a"), activitytest.Goal("b", func(e *domain.Event) { e.HasRevenue = false })})
	at := rig.Time().Add(time.Hour)
	rise := rig.Scheduled(offer, 0, domain.ScheduledRevenue, "7", at)
	refused := rig.Scheduled(offer, 1, domain.ScheduledRevenue, "7", at)

	_, err := changes.ApplyScheduledChange(t.Context(), rig.TenantID, rise)
	require.ErrorContains(t, err, "is due at", "made before its time")
	rig.Wait(time.Hour)
	for _, want := range []struct {
		id    uuid.UUID
		state string
	}{{rise, "applied"}, {rise, "applied"}, {refused, "failed"}, {uuid.New(), "unknown"}} {
		state, err := changes.ApplyScheduledChange(t.Context(), rig.TenantID, want.id)
		require.NoError(t, err)
		require.Equal(t, want.state, state)
	}
	require.Equal(t, int64(2), activitytest.Value[int64](rig, `SELECT version FROM offers WHERE id = $1`, offer.ID))
	require.Equal(t, "schedule", activitytest.Value[string](rig, `SELECT created_by FROM offer_versions WHERE offer_id = $1 AND version = 2`, offer.ID))
	require.Equal(t, "7.00", activitytest.Value[string](rig, `SELECT after->'offerEvents'->0->>'revenue' FROM audit_log WHERE noun_id = $1`, offer.ID.String()))
	require.True(t, strings.Contains(activitytest.Value[string](rig, `SELECT error FROM scheduled_changes WHERE id = $1`, refused), "has no revenue"))
	require.Equal(t, int64(1), activitytest.Value[int64](rig, `SELECT count(*) FROM outbox WHERE subject = 'offerflow.events.offer'`))
}

func TestSweepMakesForgottenChanges(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	changes := &ScheduledChanges{Store: rig.Store, Nudge: func() {}, Now: rig.Time}
	offer := rig.Offer([]domain.Event{activitytest.Goal("a")})
	rig.Scheduled(offer, 0, domain.ScheduledReward, "5", rig.Time().Add(time.Hour))
	rig.Scheduled(offer, 0, domain.ScheduledReward, "6", rig.Time().Add(30*time.Hour))
	rig.Wait(2 * time.Hour)
	n, err := changes.SweepScheduledChanges(t.Context(), rig.Time())
	require.NoError(t, err)
	require.Equal(t, 1, n.Found)
	require.Equal(t, "applied pending", activitytest.Value[string](rig, `SELECT string_agg(state, ' ' ORDER BY at) FROM scheduled_changes WHERE offer_id = $1`, offer.ID))
}

// Rules 56 and 57: a scheduled change of a shared offer is an edit of the side that planned it. What
// was planned and is not that side's, or comes after the end, fails.
func TestRule57ScheduledChangeIsAnEdit(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	changes := &ScheduledChanges{Store: rig.Store, Nudge: func() {}, Now: rig.Time}
	offer, partnership := rig.SharedOffer([]domain.Event{activitytest.Goal("a")})
	at := rig.Time().Add(time.Hour)
	apply := func(of *activitytest.Rig, id uuid.UUID) string {
		state, err := changes.ApplyScheduledChange(t.Context(), of.TenantID, id)
		require.NoError(t, err)
		return state
	}
	dearer, foreign := rig.Scheduled(offer, 0, domain.ScheduledRevenue, "7", at), rig.Scheduled(offer, 0, domain.ScheduledReward, "7", at)
	kinder, same := rig.Publisher.Scheduled(offer, 0, domain.ScheduledReward, "9", at), rig.Publisher.Scheduled(offer, 0, domain.ScheduledReward, "9", at)
	late := rig.Scheduled(offer, 0, domain.ScheduledRevenue, "8", at)
	rig.Wait(time.Hour)
	require.Equal(t, changeApplied, apply(rig.Rig, dearer))
	require.Equal(t, changeFailed, apply(rig.Rig, foreign))
	require.Contains(t, activitytest.Value[string](rig.Rig, `SELECT error FROM scheduled_changes WHERE id = $1`, foreign), "only the publisher edits this")
	require.Equal(t, changeApplied, apply(rig.Publisher, kinder))
	require.Equal(t, changeApplied, apply(rig.Publisher, same))
	require.Equal(t, int64(3), activitytest.Value[int64](rig.Rig, `SELECT version FROM offers WHERE id = $1`, offer.ID), "what changes nothing makes no version")

	field := "offerEvents[" + offer.Events[0].ID.String() + "]."
	for version, want := range map[int64][]string{2: {"advertiser", field + "revenue", `"7.00"`, "A (schedule)"}, 3: {"publisher", field + "reward", `"9.00"`, "P (schedule)"}} {
		require.Equal(t, want, activitytest.Value[[]string](rig.Rig, `SELECT ARRAY[side, field, new::text, by] FROM offer_changes WHERE offer_id = $1 AND version = $2`, offer.ID, version))
	}
	for _, editor := range []uuid.UUID{rig.TenantID, rig.Publisher.TenantID} {
		require.Equal(t, int64(1), activitytest.Value[int64](rig.Rig, `SELECT count(*) FROM audit_log WHERE noun_id = $1 AND tenant_id = $2`, offer.ID.String(), editor))
		for _, subject := range []string{"events.exchange", "events.offer", "live." + rig.TenantID.String(), "live." + rig.Publisher.TenantID.String()} {
			require.Equal(t, int64(1), activitytest.Value[int64](rig.Rig, `SELECT count(*) FROM outbox WHERE subject = $1 AND tenant_id = $2`,
				"offerflow."+subject, editor), subject)
		}
	}

	rig.System(`UPDATE partnerships SET ended_at = now(), ended_side = 'publisher' WHERE id = $1`, partnership.ID)
	require.Equal(t, changeFailed, apply(rig.Rig, late))
	require.Equal(t, int64(3), activitytest.Value[int64](rig.Rig, `SELECT version FROM offers WHERE id = $1`, offer.ID))
}
