package upkeep

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// Rule 1: a pack of refusals is logged by one statement, each in the log that its key or code tells, and
// a pack that comes again changes nothing.
func TestRule1RefusalsAreLoggedTogether(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	click := uuid.New()
	pack := []domain.Postback{
		rig.RefusedAt(rig.Time(), nil),
		rig.RefusedAt(rig.Time(), func(p *domain.Postback) { p.AdvertiserKey = rig.AdvertiserID.String() }),
		rig.RefusedAt(rig.Time(), func(p *domain.Postback) {
			p.Address, p.ClickID, p.Refused = &domain.Address{OfferID: &o.ID, Opaque: true}, &click, domain.ReasonUnknownClick
			p.Warnings = domain.FieldErrors{{Field: "cnv_sub_1", Reason: "is too long and was ignored"}}
		}),
		rig.RefusedAt(rig.Time(), func(p *domain.Postback) { p.AdvertiserKey, p.Params = "nobody's", nil }),
	}
	pack = append(pack, pack[0]) // never sent so, and no reason to keep the others out
	packed, err := json.Marshal(pack)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, rig.LogRefused(t.Context(), packed))
	}
	require.Equal(t, int64(4), activitytest.Value[int64](rig, "SELECT count(*) FROM postbacks"))
	for i, want := range []*uuid.UUID{nil, &rig.TenantID, &rig.TenantID, nil} {
		require.Equal(t, want, activitytest.Value[*uuid.UUID](rig, "SELECT tenant_id FROM postbacks WHERE id = $1", pack[i].ID), i)
		answer, clickID, ok, err := rig.Answered(t.Context(), pack[i].ID)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, pack[i].ClickID, clickID)
		require.Equal(t, []any{domain.OutcomeRefused, pack[i].Refused, pack[i].Detail, len(pack[i].Warnings)},
			[]any{answer.Outcome, answer.Reason, answer.Detail, len(answer.Warnings)})
	}
	require.Equal(t, rig.AdvertiserID, *activitytest.Value[*uuid.UUID](rig, "SELECT advertiser_id FROM postbacks WHERE id = $1", pack[2].ID))
}

// A refused postback of the earlier release waits among the others, whole. Its row is cut all the same,
// and so is that of one which a decision refuses, or finds to be a duplicate.
func TestParametersOfWhatMadeNothingAreCut(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B")})
	click := rig.Click(o)
	large := func(p *domain.Postback) { p.Params = map[string]string{"a": strings.Repeat("x", 60<<10)} }
	size := func(id uuid.UUID) int {
		return activitytest.Value[int](rig, "SELECT length(params::text) FROM postbacks WHERE id = $1", id)
	}
	old := rig.RefusedAt(rig.Time(), nil)
	large(&old)
	_, err := rig.Refuse(t.Context(), old, domain.ReasonMalformed)
	require.NoError(t, err)
	require.Less(t, size(old.ID), 3<<10)

	for _, c := range []struct {
		event string
		want  domain.Outcome
		cut   bool
	}{{"nothing", domain.OutcomeRefused, true}, {"A", domain.OutcomeAccepted, false}, {"A", domain.OutcomeDuplicate, true}} {
		p := rig.Postback(click, c.event, large)
		require.Equal(t, c.want, rig.MustDecide(p).Answer.Outcome)
		require.Equal(t, c.cut, size(p.ID) < 3<<10, c.want)
	}
}

// The operator's log goes by age and number, each tenant's refused postbacks by number, the oldest
// first. What was decided stays.
func TestTheLogOfRefusedPostbacksHasASize(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	rig.Keys, _ = keyring.Parse(rig.SecretKeys)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	result := rig.Postback(rig.Click(o), "A")
	require.Equal(t, domain.OutcomeAccepted, rig.MustDecide(result).Answer.Outcome)
	keyed := func(p *domain.Postback) { p.AdvertiserKey = rig.AdvertiserID.String() }
	ofOperator, ofTenant := []uuid.UUID{}, []uuid.UUID{}
	for day := range 20 {
		at := rig.Time().Add(-time.Duration(20-day) * 24 * time.Hour)
		pack := []domain.Postback{rig.RefusedAt(at, nil), rig.RefusedAt(at, keyed)}
		ofOperator, ofTenant = append(ofOperator, pack[0].ID), append(ofTenant, pack[1].ID)
		packed, err := json.Marshal(pack)
		require.NoError(t, err)
		require.NoError(t, rig.LogRefused(t.Context(), packed))
	}
	left := func(ids []uuid.UUID) int64 {
		return activitytest.Value[int64](rig, "SELECT count(*) FROM postbacks WHERE id = ANY($1)", ids)
	}
	now := func() time.Time { return rig.Time().Add(time.Hour) }
	for _, step := range []struct {
		log                RefusedLog
		operators, tenants int64
	}{
		{RefusedLog{}, 20, 20},
		{RefusedLog{After: 14 * 24 * time.Hour}, 13, 20},
		{RefusedLog{Rows: 5}, 5, 5},
		{RefusedLog{Rows: 5, After: 2 * 24 * time.Hour}, 1, 5},
	} {
		step.log.Store, step.log.Now = rig.Store, now
		_, err := step.log.Trim(t.Context())
		require.NoError(t, err)
		require.Equal(t, []int64{step.operators, step.tenants}, []int64{left(ofOperator), left(ofTenant)}, "%+v", step)
	}
	require.Equal(t, int64(1), left(ofOperator[19:]), "the oldest go first")
	require.Equal(t, int64(1), left([]uuid.UUID{result.ID}))
	tag, err := rig.Store.SystemPool().Exec(t.Context(), "DELETE FROM postbacks")
	require.NoError(t, err)
	require.Equal(t, int64(6), tag.RowsAffected(), "the database itself deletes nothing but refused ones")
}
