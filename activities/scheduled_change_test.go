package activities

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

func TestScheduledChangeIsMadeOnceAndRewritesNothing(t *testing.T) { // rule 24
	t.Parallel()
	rig := newDecisionRig(t, 4)
	changes := &ScheduledChanges{Store: rig.Store, Nudge: func() {}, Now: rig.now}
	offer := rig.offer([]domain.Event{goal("a"), goal("b", func(e *domain.Event) { e.HasRevenue = false })})
	at := rig.now().Add(time.Hour)
	rise := rig.scheduled(offer, 0, domain.ScheduledRevenue, "7", at)
	refused := rig.scheduled(offer, 1, domain.ScheduledRevenue, "7", at)

	_, err := changes.ApplyScheduledChange(t.Context(), rig.tenantID, rise)
	require.ErrorContains(t, err, "is due at", "made before its time")
	rig.wait(time.Hour)
	for _, want := range []struct {
		id    uuid.UUID
		state string
	}{{rise, "applied"}, {rise, "applied"}, {refused, "failed"}, {uuid.New(), "unknown"}} {
		state, err := changes.ApplyScheduledChange(t.Context(), rig.tenantID, want.id)
		require.NoError(t, err)
		require.Equal(t, want.state, state)
	}
	require.Equal(t, int64(2), value[int64](rig, `SELECT version FROM offers WHERE id = $1`, offer.ID))
	require.Equal(t, "schedule", value[string](rig, `SELECT created_by FROM offer_versions WHERE offer_id = $1 AND version = 2`, offer.ID))
	require.Equal(t, "7.00", value[string](rig, `SELECT after->'offerEvents'->0->>'revenue' FROM audit_log WHERE noun_id = $1`, offer.ID.String()))
	require.True(t, strings.Contains(value[string](rig, `SELECT error FROM scheduled_changes WHERE id = $1`, refused), "has no revenue"))
	require.Equal(t, int64(1), value[int64](rig, `SELECT count(*) FROM outbox WHERE subject = 'offerflow.events.offer'`))
}

func TestSweepMakesForgottenChanges(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	changes := &ScheduledChanges{Store: rig.Store, Nudge: func() {}, Now: rig.now}
	offer := rig.offer([]domain.Event{goal("a")})
	rig.scheduled(offer, 0, domain.ScheduledReward, "5", rig.now().Add(time.Hour))
	rig.scheduled(offer, 0, domain.ScheduledReward, "6", rig.now().Add(30*time.Hour))
	rig.wait(2 * time.Hour)
	n, err := changes.SweepScheduledChanges(t.Context(), rig.now())
	require.NoError(t, err)
	require.Equal(t, 1, n.Found)
	require.Equal(t, "applied pending", value[string](rig, `SELECT string_agg(state, ' ' ORDER BY at) FROM scheduled_changes WHERE offer_id = $1`, offer.ID))
}

// Rules 56 and 57: a scheduled change of a shared offer is an edit of the side that planned it. What
// was planned and is not that side's, or comes after the end, fails.
func TestRule57ScheduledChangeIsAnEdit(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	changes := &ScheduledChanges{Store: rig.Store, Nudge: func() {}, Now: rig.now}
	offer, partnership := rig.sharedOffer([]domain.Event{goal("a")})
	at := rig.now().Add(time.Hour)
	apply := func(of *decisionRig, id uuid.UUID) string {
		state, err := changes.ApplyScheduledChange(t.Context(), of.tenantID, id)
		require.NoError(t, err)
		return state
	}
	dearer, foreign := rig.scheduled(offer, 0, domain.ScheduledRevenue, "7", at), rig.scheduled(offer, 0, domain.ScheduledReward, "7", at)
	kinder, same := rig.publisher.scheduled(offer, 0, domain.ScheduledReward, "9", at), rig.publisher.scheduled(offer, 0, domain.ScheduledReward, "9", at)
	late := rig.scheduled(offer, 0, domain.ScheduledRevenue, "8", at)
	rig.wait(time.Hour)
	require.Equal(t, changeApplied, apply(rig.decisionRig, dearer))
	require.Equal(t, changeFailed, apply(rig.decisionRig, foreign))
	require.Contains(t, value[string](rig.decisionRig, `SELECT error FROM scheduled_changes WHERE id = $1`, foreign), "only the publisher edits this")
	require.Equal(t, changeApplied, apply(rig.publisher, kinder))
	require.Equal(t, changeApplied, apply(rig.publisher, same))
	require.Equal(t, int64(3), value[int64](rig.decisionRig, `SELECT version FROM offers WHERE id = $1`, offer.ID), "what changes nothing makes no version")

	field := "offerEvents[" + offer.Events[0].ID.String() + "]."
	for version, want := range map[int64][]string{2: {"advertiser", field + "revenue", `"7.00"`, "A (schedule)"}, 3: {"publisher", field + "reward", `"9.00"`, "P (schedule)"}} {
		require.Equal(t, want, value[[]string](rig.decisionRig, `SELECT ARRAY[side, field, new::text, by] FROM offer_changes WHERE offer_id = $1 AND version = $2`, offer.ID, version))
	}
	for _, editor := range []uuid.UUID{rig.tenantID, rig.publisher.tenantID} {
		require.Equal(t, int64(1), value[int64](rig.decisionRig, `SELECT count(*) FROM audit_log WHERE noun_id = $1 AND tenant_id = $2`, offer.ID.String(), editor))
		for _, subject := range []string{"events.exchange", "events.offer", "live." + rig.tenantID.String(), "live." + rig.publisher.tenantID.String()} {
			require.Equal(t, int64(1), value[int64](rig.decisionRig, `SELECT count(*) FROM outbox WHERE subject = $1 AND tenant_id = $2`,
				"offerflow."+subject, editor), subject)
		}
	}

	rig.system(`UPDATE partnerships SET ended_at = now(), ended_side = 'publisher' WHERE id = $1`, partnership.ID)
	require.Equal(t, changeFailed, apply(rig.decisionRig, late))
	require.Equal(t, int64(3), value[int64](rig.decisionRig, `SELECT version FROM offers WHERE id = $1`, offer.ID))
}
