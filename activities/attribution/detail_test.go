package attribution_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

// What a sender is told in words is in the log too, and told again when it asks later.
func TestTheLogSaysWhy(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	share := rig.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B", activitytest.Numbered(2)), activitytest.Goal("F", activitytest.Numbered(1))}, func(o *domain.Offer) { o.ConversionType = domain.ConversionTypeRevShare })
	click := rig.Click(share)
	p := rig.Postback(click, "A", func(p *domain.Postback) {
		p.Amount, p.Said, p.Warnings = "1,99", map[string]string{"cnv_amount": "amount"}, domain.FieldErrors{{Field: "cnv_completed_at", Reason: "was left out"}}
	})
	want := `amount "1,99" is not an amount: it has a comma; use a decimal point, and do not group thousands.`
	for range 2 { // decided, then answered from the log
		answer := rig.MustDecide(p).Answer
		require.Equal(t, []any{domain.ReasonMissingAmount, want, p.Warnings}, []any{answer.Reason, answer.Detail, answer.Warnings})
	}
	later, _, ok, err := rig.Answered(t.Context(), p.ID)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, []any{want, p.Warnings}, []any{later.Detail, later.Warnings})
	require.JSONEq(t, `[{"field":"cnv_completed_at","reason":"was left out"}]`, string(activitytest.Value[json.RawMessage](rig, "SELECT warnings FROM postbacks WHERE id = $1", p.ID)))
	require.Nil(t, rig.Conversion(later.ConversionID).AmountMicros)
	require.Empty(t, rig.Conversion(later.ConversionID).CnvAmount, "what nobody can read is told to nobody")

	early := rig.Postback(click, "B", func(p *domain.Postback) { p.Amount = "1" })
	held := rig.MustDecide(early).Answer
	require.Equal(t, "Held until "+rig.Time().Add(time.Hour).UTC().Format(time.RFC3339)+": an event that must be completed first is missing.", held.Detail)
	hint := func(id uuid.UUID) string {
		return activitytest.Value[string](rig, "SELECT hint FROM postbacks WHERE id = $1", id)
	}
	require.Equal(t, `Missing: "F".`, hint(early.ID), "the tenant's log names it, a stranger's answer does not")
	rig.Post(click, "F", func(p *domain.Postback) { p.Amount = "1" })
	require.Empty(t, rig.MustDecide(early).Answer.Detail, "it has another end now")
	require.Empty(t, hint(early.ID))

	refused, err := rig.Refuse(t.Context(), rig.Postback(click, "A", func(p *domain.Postback) { p.Detail = "gk_click_id is required." }), domain.ReasonMalformed)
	require.NoError(t, err)
	require.Equal(t, "gk_click_id is required.", activitytest.Value[string](rig, "SELECT detail FROM postbacks WHERE id = $1", refused.PostbackID))
}

// Which cap was reached and when it is reset: the advertiser is told of its own, and of a partner nobody
// but the tenant.
func TestTheLogSaysWhichCap(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	rig.Set("UPDATE tenants SET timezone = 'Asia/Tokyo' WHERE tenant_id = $1", rig.TenantID)
	daily := func(e *domain.Event) { most := int64(1); e.Daily = &most }
	offer := rig.Offer([]domain.Event{activitytest.Goal("A", daily), activitytest.Goal("B")})
	rig.Post(rig.Click(offer), "A")
	answer := rig.MustDecide(rig.Postback(rig.Click(offer), "A")).Answer
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	require.NoError(t, err)
	anew := domain.NextDayStart(rig.Time(), tokyo).UTC().Format(time.RFC3339)
	require.Equal(t, domain.ReasonCapDaily, answer.Reason)
	require.Equal(t, "The daily cap is reached; the cap resets at "+anew+".", answer.Detail)
	require.Equal(t, `The cap is 1 for the event "A".`, activitytest.Value[string](rig, "SELECT hint FROM postbacks WHERE id = $1", answer.PostbackID))
}

// An old Update's result has no detail, and an old row no hint.
func TestAnswersOfBeforeHaveNoDetail(t *testing.T) {
	var answer domain.Answer
	require.NoError(t, json.Unmarshal([]byte(`{"postbackId":"00000000-0000-0000-0000-000000000001","outcome":"refused","reason":"unknown_event"}`), &answer))
	require.Equal(t, domain.ReasonUnknownEvent, answer.Reason)
	require.Empty(t, answer.Detail)
}
