package attribution_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

func ruleOf(t *testing.T, document json.RawMessage) (rule domain.AppliedRule) {
	t.Helper()
	require.NoError(t, json.Unmarshal(document, &rule))
	return rule
}

// rules 39, 40, 68: each step, from what is stored; what it paid is in the row, in the book, and
// stays there whatever is changed later (rule 24).
func TestRule39PayoutsFromTheDatabase(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	tier := rig.Tier("Gold")
	structure := rig.Structure(`{"rules":[{"name":"large","flat":2000000,"percent":5000000,"conditions":[
		{"parameter":"country","operator":"in","type":"text","values":["DE"]},{"parameter":"cnv_amount","operator":">=","type":"number","values":["100"]},
		{"parameter":"pub_sub_2","operator":"like","type":"text","values":["mail%"]},{"parameter":"custom.plan","operator":"=","type":"text","values":["annual"]}]}],
		"default":{"flat":500000}}`)
	tiered := func(e *domain.Event) {
		e.PayoutTiers, e.RevenueTiers = map[string]domain.Micros{tier.String(): *activitytest.Decimal("3")}, map[string]domain.Micros{tier.String(): *activitytest.Decimal("9")}
	}
	structured := func(e *domain.Event) { e.PayoutStructureID = &structure }
	o := rig.Offer([]domain.Event{
		activitytest.Goal("A", activitytest.Repeats, structured, tiered), activitytest.Goal("B", activitytest.Repeats, tiered), activitytest.Goal("C", activitytest.Repeats),
		activitytest.Goal("D", activitytest.Repeats, tiered, structured, func(e *domain.Event) { e.IsPrivate = true }),
	})
	click := rig.Click(o, func(c *domain.Click) { c.Country, c.PubSubs = "DE", []string{"", "mail-7"} })
	post := func(event, amount string) dbgen.Conversion {
		answer := rig.Post(click, event, func(p *domain.Postback) {
			p.Amount, p.ConversionID, p.Params = amount, uuid.NewString(), map[string]string{"plan": "annual"}
		})
		return rig.Conversion(answer.ConversionID)
	}
	check := func(row dbgen.Conversion, payout string, kind domain.AppliedKind, id uuid.UUID) dbgen.Conversion {
		t.Helper()
		rule := ruleOf(t, row.PayoutRule)
		require.Equal(t, []any{payout, kind, id}, []any{row.PayoutMicros.String(), rule.Kind, rule.ID})
		paid, err := rule.Of(row.AmountMicros)
		require.NoError(t, err)
		require.Equal(t, row.PayoutMicros, paid)
		revenue, err := ruleOf(t, row.RevenueRule).Of(row.AmountMicros)
		require.NoError(t, err)
		require.Equal(t, row.RevenueMicros, revenue)
		return row
	}
	first := check(post("A", "120.05"), "8.0025", domain.AppliedStructure, structure)
	require.Equal(t, []any{1, "large", "By basket", int64(4)}, func() []any {
		r := ruleOf(t, first.PayoutRule)
		return []any{r.Rule, r.RuleName, r.Name, r.Version}
	}())
	require.Equal(t, "9.00", first.RevenueMicros.String())
	require.Equal(t, "Gold", ruleOf(t, first.RevenueRule).Name)
	check(post("A", "99"), "0.50", domain.AppliedStructure, structure)
	check(post("B", ""), "3.00", domain.AppliedTier, tier)
	check(post("C", ""), "1.00", domain.AppliedEvent, o.Events[2].ID)
	require.Zero(t, check(post("D", "120.05"), "0.00", domain.AppliedPrivate, o.Events[3].ID).PayoutMicros)

	// rule 68: by receipt. What came before the start and is decided after it goes by what was.
	custom, start := uuid.New(), rig.Time().Add(time.Hour)
	rig.Custom(custom, 1, o, 0, start, "7")
	early := rig.Postback(click, "A", func(p *domain.Postback) { p.ConversionID = "early" })
	rig.Wait(time.Hour - time.Microsecond)
	check(post("A", "99"), "0.50", domain.AppliedStructure, structure)
	rig.Wait(time.Microsecond)
	check(post("A", "99"), "7.00", domain.AppliedCustom, custom)
	check(rig.Conversion(rig.MustDecide(early).Answer.ConversionID), "0.50", domain.AppliedStructure, structure)
	check(post("C", ""), "1.00", domain.AppliedEvent, o.Events[2].ID)
	rig.Custom(custom, 2, o, 0, rig.Time().Add(time.Hour), "8")
	require.Equal(t, int64(1), ruleOf(t, check(post("A", "99"), "7.00", domain.AppliedCustom, custom).PayoutRule).Version)

	// rule 24: nothing that is changed later touches the first, and its reversal is its negative.
	rig.Set("UPDATE payout_structures SET version = 5, document = '{\"rules\":[],\"default\":{\"flat\":0}}'")
	rig.Set("UPDATE partners SET tier_id = NULL")
	rig.Review(&first.ID, domain.ActionReverse, func(r *attribution.TransitionRequest) { r.Note = "wrong" })
	after := rig.Conversion(&first.ID)
	require.Equal(t, []any{first.RevenueMicros, first.PayoutMicros, first.RewardMicros}, []any{after.RevenueMicros, after.PayoutMicros, after.RewardMicros})
	require.JSONEq(t, string(first.PayoutRule), string(after.PayoutRule))
	require.JSONEq(t, string(first.RevenueRule), string(after.RevenueRule))
	require.Zero(t, activitytest.Value[int64](rig, `SELECT coalesce(sum(amount_micros), 0)::bigint FROM ledger_entries e
		JOIN ledger_transactions t ON t.tenant_id = e.tenant_id AND t.id = e.transaction_id WHERE conversion_id = $1 AND account = 'partner_payable'`, first.ID))
}

// A click without a partner is decided as before: nothing is kept, nobody is paid.
func TestNobodyToPay(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	structure := rig.Structure(`{"rules":[],"default":{"flat":500000}}`)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", func(e *domain.Event) { e.PayoutStructureID = &structure })})
	row := rig.Conversion(rig.Post(rig.Click(o, func(c *domain.Click) { c.PartnerID = nil }), "A").ConversionID)
	require.Nil(t, row.PayoutRule)
	require.Nil(t, row.RevenueRule)
	require.Zero(t, row.PayoutMicros)
}

// rules 20, 46: a partner that was blocked after the click is still paid for it; its clicks since then
// never got an id.
func TestRule20PartnerBlockedAfterTheClick(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(o)
	rig.Set("UPDATE partners SET status = 'blocked'")
	answer := rig.Post(click, "A")
	require.Equal(t, domain.StatusSuccess, answer.Status)
	require.Equal(t, "1.00", rig.Conversion(answer.ConversionID).PayoutMicros.String())
}
