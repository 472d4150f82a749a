package attribution_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

func revshare(o *domain.Offer) { o.ConversionType = domain.ConversionTypeRevShare }

// Rule 58: the publisher's book has the conversion under the same id with the same values, status and
// reason, and by its own terms what its member and its partner get of it.
func TestRule58TheSameConversionInBothBooks(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{
		activitytest.Goal("success"), activitytest.Goal("pending", activitytest.PendingFor("7")), activitytest.Goal("review", activitytest.Approval), activitytest.Goal("capped", activitytest.Capped(1)),
		activitytest.Goal("ratio", func(e *domain.Event) { e.UseDefaultRatio = true }),
		activitytest.Goal("private", func(e *domain.Event) { e.IsPrivate = true }),
	})
	other := rig.Post(rig.Click(offer), "capped")
	rig.Sync(p, other.ConversionID)
	for event, want := range map[string]struct {
		status         domain.Status
		reason         domain.Reason
		payout, reward string
	}{
		"success": {domain.StatusSuccess, "", "1", "100"},
		"pending": {domain.StatusPending, "", "1", "100"},
		"review":  {domain.StatusPending, "", "1", "100"},
		"capped":  {domain.StatusRejected, domain.ReasonCapTotal, "1", "100"},
		"ratio":   {domain.StatusSuccess, "", "1", "50"}, // 2.50 by the publisher's ratio of 20, not the advertiser's of 10
		"private": {domain.StatusSuccess, "", "0", "100"},
	} {
		click := rig.Click(offer)
		id := rig.Post(click, event, func(b *domain.Postback) {
			b.Amount, b.Subs, b.ConversionID = "12.5", []string{"one", "two"}, "order-"+event
		}).ConversionID
		require.Equal(t, attribution.Synced{Sequence: 1, Copied: 1}, rig.Sync(p, id), event)
		is := rig.Publisher.Conversion(id)
		require.Equal(t, []any{want.status, want.reason, domain.SidePublisher}, []any{is.Status, is.RejectionReason, is.Side}, event)
		require.Equal(t, []domain.Micros{*activitytest.Decimal("2.5"), *activitytest.Decimal(want.payout), *activitytest.Decimal(want.reward)},
			[]domain.Micros{is.RevenueMicros, is.PayoutMicros, is.RewardMicros}, event)
		require.Equal(t, []any{click.PubMemberID, &rig.Publisher.Partner}, []any{is.PubMemberID, is.PartnerID}, event)
		require.False(t, is.IsCounted, "caps are the advertiser's")
		points := int64(0)
		if want.status == domain.StatusSuccess {
			points = int64(*activitytest.Decimal(want.reward))
		}
		require.Equal(t, points, rig.Publisher.Points(*click.PubMemberID), event)
	}
	rig.RequireEqual(t, offer)
	require.Equal(t, int64(1), activitytest.Value[int64](rig.Rig, `SELECT count(DISTINCT party) FROM ledger_entries WHERE account = 'advertiser_receivable' AND party = $1`,
		offer.AdvertiserID.String()), "the advertiser owes")
}

// Rules 23, 25 and 58: every later status comes too, in order, however many of them a sync finds.
func TestRule58EveryLaterStatusInOrder(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("7")), activitytest.Goal("B", activitytest.PendingFor("7"))})
	step := func(id *uuid.UUID, action domain.Action) {
		rig.Wait(time.Minute)
		require.Empty(t, rig.Review(id, action).Error)
	}
	byOne, atOnce := rig.Click(offer), rig.Click(offer)
	first, second := rig.Post(byOne, "A").ConversionID, rig.Post(atOnce, "B").ConversionID
	rig.Sync(p, first)
	for n, action := range []domain.Action{domain.ActionApprove, domain.ActionReverse, domain.ActionApprove} {
		step(first, action)
		step(second, action)
		require.Equal(t, attribution.Synced{Sequence: int64(n) + 2, Copied: 1}, rig.Sync(p, first))
	}
	require.Equal(t, attribution.Synced{Sequence: 4, Copied: 4}, rig.Sync(p, second))
	for _, id := range []*uuid.UUID{first, second} {
		var path []string
		for _, step := range rig.Publisher.Transitions(id) {
			path = append(path, step.ToStatus+" "+step.Reason+" "+step.Actor)
		}
		require.Equal(t, []string{"Pending  postback", "Success  advertiser", "Rejected reversed advertiser", "Success  advertiser"}, path)
	}
	for _, click := range []domain.Click{byOne, atOnce} {
		require.Equal(t, int64(*activitytest.Decimal("100")), rig.Publisher.Points(*click.PubMemberID), "rule 25: the reward once")
	}
	third := rig.Post(rig.Click(offer), "A").ConversionID
	rig.Wait(7 * 24 * time.Hour)
	rig.Review(third, domain.ActionRelease, activitytest.ByTimer)
	rig.Sync(p, third)
	require.Equal(t, attribution.ActorTimer, rig.Publisher.Transitions(third)[1].Actor)
	rig.RequireEqual(t, offer)
}

// News that comes late, twice or in any order changes nothing that is there.
func TestRule58NewsOutOfOrderAndAgain(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(offer)
	id := rig.Post(click, "A").ConversionID
	early, err := rig.Exchange().ReadRecord(t.Context(), p, *id)
	require.NoError(t, err)
	rig.Review(id, domain.ActionReverse)
	require.Equal(t, attribution.Synced{Sequence: 2, Copied: 2}, rig.Sync(p, id))
	for range 3 {
		require.Equal(t, attribution.Synced{Sequence: 2}, rig.Sync(p, id))
	}
	// One that read the advertiser's book before the other did comes after it.
	_, err = rig.Exchange().SyncFrom(t.Context(), p, early)
	require.ErrorIs(t, err, attribution.ErrAdvertiserMoved)
	require.Equal(t, domain.StatusRejected, rig.Publisher.Conversion(id).Status)
	rig.RequireEqual(t, offer)
}

func TestRule58TwentySyncsAtOnce(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 24)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(offer)
	id := rig.Post(click, "A").ConversionID
	rig.Review(id, domain.ActionReverse)
	rig.Review(id, domain.ActionApprove)
	copied := make([]int, 20)
	activitytest.AtOnce(t, 20, func(i int) error {
		synced, err := rig.Exchange().SyncConversion(t.Context(), p, *id)
		copied[i] = synced.Copied
		return err
	})
	slices.Sort(copied)
	require.Equal(t, append(make([]int, 19), 3), copied, "one of them copies all")
	require.Equal(t, int64(*activitytest.Decimal("100")), rig.Publisher.Points(*click.PubMemberID))
	rig.RequireEqual(t, offer)
}

// Rules 24 and 42: an adjustment of the cost is one of the revenue; payout and reward are the
// publisher's own and stay as they were frozen, whatever it agrees with its partner later.
func TestRule24AdjustmentsAreCopied(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A", func(e *domain.Event) { e.UseDefaultRatio = true })})
	for _, between := range []func(id *uuid.UUID){func(id *uuid.UUID) { rig.Sync(p, id) }, func(*uuid.UUID) {}} {
		click := rig.Click(offer)
		id := rig.Post(click, "A").ConversionID
		between(id)
		rig.AdjustRevenue(id, "2")
		between(id)
		rig.Review(id, domain.ActionReverse)
		between(id)
		rig.Review(id, domain.ActionApprove)
		rig.AdjustRevenue(id, "3.75")
		rig.Sync(p, id)
		is := rig.Publisher.Conversion(id)
		require.Equal(t, []domain.Micros{*activitytest.Decimal("3.75"), *activitytest.Decimal("1"), *activitytest.Decimal("50")},
			[]domain.Micros{is.RevenueMicros, is.PayoutMicros, is.RewardMicros}, "by the revenue at the decision, 2.50")
		require.Equal(t, int64(*activitytest.Decimal("50")), rig.Publisher.Points(*click.PubMemberID))
		history := rig.Publisher.Transitions(id)
		require.Len(t, history, 5)
		require.JSONEq(t, `{"amount": null, "revenue": "2.50", "payout": "1.00", "reward": "50.00"}`, string(history[1].FiguresBefore))
		require.JSONEq(t, `{"amount": null, "revenue": "3.75", "payout": "1.00", "reward": "50.00"}`, string(history[4].FiguresAfter))
	}
	frozen := rig.Post(rig.Click(offer), "A").ConversionID
	rig.Sync(p, frozen)
	rig.Publisher.Custom(uuid.New(), 1, offer, 0, rig.Time(), "9")
	rig.Publisher.Set("UPDATE tenants SET reward_ratio_micros = 1")
	rig.Review(frozen, domain.ActionReverse)
	rig.Review(frozen, domain.ActionApprove)
	rig.Sync(p, frozen)
	is := rig.Publisher.Conversion(frozen)
	require.Equal(t, []domain.Micros{*activitytest.Decimal("1"), *activitytest.Decimal("50")}, []domain.Micros{is.PayoutMicros, is.RewardMicros})
	rig.RequireEqual(t, offer)
}

// Rule 24: the version that decided counts, however late the sync comes.
func TestRule24TheVersionThatDecided(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"))})
	id := rig.Post(rig.Click(offer), "A").ConversionID
	rig.Edit(offer, func(o *domain.Offer) {
		o.Events[0].Payout, o.Events[0].Reward = activitytest.Decimal("9"), activitytest.Decimal("900")
	})
	rig.Sync(p, id)
	is := rig.Publisher.Conversion(id)
	require.Equal(t, []domain.Micros{*activitytest.Decimal("1"), *activitytest.Decimal("100")}, []domain.Micros{is.PayoutMicros, is.RewardMicros})
	rig.RequireEqual(t, offer)
}

// Rules 39, 40 and 57: the partner is the publisher's, and so is what it gets: custom, by the structure
// over all that the conversion came with, by its tier.
func TestRule39PayoutsArePublishers(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	tier := rig.Publisher.Tier("Gold")
	structure := rig.Publisher.Structure(`{"rules":[{"name":"large","flat":2000000,"percent":5000000,"conditions":[
		{"parameter":"country","operator":"in","type":"text","values":["DE"]},{"parameter":"cnv_amount","operator":">=","type":"number","values":["100"]},
		{"parameter":"pub_sub_2","operator":"like","type":"text","values":["mail%"]},{"parameter":"cnv_sub_1","operator":"=","type":"text","values":["s1"]},
		{"parameter":"custom.plan","operator":"=","type":"text","values":["annual"]}]}], "default":{"flat":500000}}`)
	tiered := func(e *domain.Event) {
		e.PayoutTiers = map[string]domain.Micros{tier.String(): *activitytest.Decimal("3")}
	}
	structured := func(e *domain.Event) { e.PayoutStructureID = &structure }
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A", activitytest.Repeats, structured, tiered), activitytest.Goal("B", activitytest.Repeats, tiered), activitytest.Goal("C", activitytest.Repeats)})
	rig.Publisher.Custom(uuid.New(), 1, offer, 2, rig.Time(), "7")
	click := rig.Click(offer, func(c *domain.Click) { c.Country, c.PubSubs = "DE", []string{"", "mail-7"} })
	for _, c := range []struct {
		event, amount, plan, payout string
		kind                        domain.AppliedKind
	}{
		{"A", "100", "annual", "7", domain.AppliedStructure},
		{"A", "99.99", "annual", "0.5", domain.AppliedStructure},
		{"A", "100", "monthly", "0.5", domain.AppliedStructure},
		{"B", "100", "annual", "3", domain.AppliedTier},
		{"C", "100", "annual", "7", domain.AppliedCustom},
	} {
		id := rig.Post(click, c.event, func(b *domain.Postback) {
			b.Amount, b.ConversionID, b.Params, b.Subs = c.amount, uuid.NewString(), map[string]string{"plan": c.plan}, []string{"s1"}
		}).ConversionID
		rig.Sync(p, id)
		is := rig.Publisher.Conversion(id)
		require.Equal(t, *activitytest.Decimal(c.payout), is.PayoutMicros, "%+v", c)
		require.Equal(t, c.kind, ruleOf(t, is.PayoutRule).Kind, "%+v", c)
		require.Equal(t, int64(*activitytest.Decimal(c.payout)), activitytest.Value[int64](rig.Rig, `SELECT coalesce(-sum(e.amount_micros), 0)::bigint FROM ledger_entries e
			JOIN ledger_transactions t ON t.tenant_id = e.tenant_id AND t.id = e.transaction_id WHERE e.account = 'partner_payable' AND t.conversion_id = $1`, id), "%+v", c)
		require.Zero(t, rig.Conversion(id).PayoutMicros, "none of the advertiser's")
	}
	rig.RequireEqual(t, offer)
}

// Rules 5, 6 and 25: a conversion whose forerunner is still live in the publisher's book waits for the
// forerunner's rejection, and two that were live in turns do not wait for each other.
func TestRule58AnotherWasLiveBefore(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A", func(e *domain.Event) { e.MinTimeFromPreviousEvent = activitytest.Decimal("1") })})
	click := rig.Click(offer)
	early := rig.Post(click, "A").ConversionID // too soon
	rig.Review(early, domain.ActionApprove)
	rig.Sync(p, early)
	rig.Review(early, domain.ActionReverse)
	require.Equal(t, domain.StatusRejected, rig.Conversion(early).Status)
	sameMember := rig.Click(offer, func(c *domain.Click) { c.PubMemberID = click.PubMemberID })
	rig.Wait(2 * time.Hour)
	later := rig.Post(sameMember, "A").ConversionID
	require.Equal(t, domain.StatusSuccess, rig.Conversion(later).Status)
	_, err := rig.Exchange().SyncConversion(t.Context(), p, *later)
	require.Equal(t, "conversions_live_member", db.UniqueViolation(err), "%v", err)
	require.Equal(t, domain.StatusSuccess, rig.Publisher.Conversion(early).Status, "rule 6 holds in the publisher's book too")

	rig.Review(later, domain.ActionReverse)
	require.Empty(t, rig.Review(early, domain.ActionApprove).Error)
	for _, id := range []*uuid.UUID{early, later} { // early's own history goes over a time when later was live
		rig.Sync(p, id)
	}
	rig.RequireEqual(t, offer)
}

// Rule 60: a sync goes by its own partnership; what another names is not there.
func TestRule60ASyncKnowsItsPartnership(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	_, other := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	own := rig.Offer([]domain.Event{activitytest.Goal("A")})
	id := rig.Post(rig.Click(offer), "A").ConversionID
	unshared := rig.Post(rig.Rig.Click(own), "A").ConversionID
	third := rig.NewPublisher()
	for name, wrong := range map[string]struct {
		p  domain.Partnership
		id uuid.UUID
	}{
		"another offer's":        {other, *id},
		"a stranger's":           {p, uuid.New()},
		"one that is not shared": {domain.Partnership{ID: p.ID, OfferID: own.ID, AdvertiserTenantID: p.AdvertiserTenantID, PublisherTenantID: p.PublisherTenantID}, *unshared},
		"the sides changed":      {domain.Partnership{ID: p.ID, OfferID: p.OfferID, AdvertiserTenantID: p.PublisherTenantID, PublisherTenantID: p.AdvertiserTenantID}, *id},
		"a third tenant's book":  {domain.Partnership{ID: p.ID, OfferID: p.OfferID, AdvertiserTenantID: p.AdvertiserTenantID, PublisherTenantID: third.TenantID}, *id},
	} {
		_, err := rig.Exchange().SyncConversion(t.Context(), wrong.p, wrong.id)
		require.Error(t, err, name)
	}
	require.Zero(t, activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM conversions WHERE side = 'publisher'"))
	rig.Sync(p, id)
	rig.RequireEqual(t, offer)
}

// Rule 61: a replay of the sync mends a row, transitions and a ledger that disagree with the history.
func TestRule61AReplayMends(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	damages := map[string]string{
		"status and revenue":         `UPDATE conversions SET status = 'Pending', revenue_micros = 7, needs_review = true WHERE tenant_id = $1 AND id = $2`,
		"payout and reward":          `UPDATE conversions SET payout_micros = 7, reward_micros = 7 WHERE tenant_id = $1 AND id = $2`,
		"sequence":                   `UPDATE conversions SET sequence = 9 WHERE tenant_id = $1 AND id = $2`,
		"time of receipt":            `UPDATE conversions SET received_at = received_at + interval '2 days' WHERE tenant_id = $1 AND id = $2`,
		"member":                     `UPDATE conversions SET pub_member_id = 'somebody' WHERE tenant_id = $1 AND id = $2`,
		"no row":                     `DELETE FROM conversions WHERE tenant_id = $1 AND id = $2`,
		"no last transition":         `DELETE FROM transitions WHERE tenant_id = $1 AND conversion_id = $2 AND sequence = 4`,
		"no transition in between":   `DELETE FROM transitions WHERE tenant_id = $1 AND conversion_id = $2 AND sequence = 2`,
		"no transitions":             `DELETE FROM transitions WHERE tenant_id = $1 AND conversion_id = $2`,
		"no ledger transaction":      `WITH gone AS (DELETE FROM ledger_transactions WHERE tenant_id = $1 AND conversion_id = $2 AND sequence = 4 RETURNING id) DELETE FROM ledger_entries WHERE transaction_id IN (SELECT id FROM gone)`,
		"no entries":                 `DELETE FROM ledger_entries WHERE tenant_id = $1 AND transaction_id IN (SELECT id FROM ledger_transactions WHERE tenant_id = $1 AND conversion_id = $2 AND sequence = 3)`,
		"no ledger":                  `WITH gone AS (DELETE FROM ledger_transactions WHERE tenant_id = $1 AND conversion_id = $2 RETURNING id) DELETE FROM ledger_entries WHERE transaction_id IN (SELECT id FROM gone)`,
		"neither row nor its ledger": `WITH gone AS (DELETE FROM ledger_transactions WHERE tenant_id = $1 AND conversion_id = $2 RETURNING id), row AS (DELETE FROM conversions WHERE tenant_id = $1 AND id = $2) DELETE FROM ledger_entries WHERE transaction_id IN (SELECT id FROM gone)`,
	}
	lives := map[string]*uuid.UUID{}
	for name := range damages {
		id := rig.Post(rig.Click(offer), "A").ConversionID
		rig.AdjustRevenue(id, "2")
		rig.Review(id, domain.ActionReverse)
		rig.Review(id, domain.ActionApprove)
		rig.Sync(p, id)
		lives[name] = id
	}
	rig.Publisher.Custom(uuid.New(), 1, offer, 0, rig.Time(), "9") // rule 24: history tells what was frozen
	publisher := rig.Publisher.TenantID
	for name, damage := range damages {
		id := lives[name]
		was := rig.Publisher.Conversion(id)
		points := rig.Publisher.Points(*was.PubMemberID)
		rig.Damage(damage, publisher, id)
		replayed, err := rig.Exchange().Replay(t.Context(), p, *id)
		require.NoError(t, err, name)
		require.True(t, replayed.Mended || replayed.Copied > 0, name)
		is := rig.Publisher.Conversion(id)
		require.Equal(t, attribution.CopiedColumns(&was), attribution.CopiedColumns(&is), name)
		require.Equal(t, points, rig.Publisher.Points(*was.PubMemberID), name)
		again, err := rig.Exchange().Replay(t.Context(), p, *id)
		require.NoError(t, err, name)
		require.Equal(t, attribution.Synced{Sequence: 4}, again, name)
		rig.Damage(`DELETE FROM outbox a USING outbox b WHERE a.tenant_id = $1 AND b.tenant_id = a.tenant_id AND a.id > b.id AND a.subject = b.subject
			AND coalesce(a.payload->>'conversionId', a.payload->'data'->>'conversionId') = $2::text AND (a.payload->>'conversionId', a.payload->>'sequence', a.payload->'data'->>'conversionId', a.payload->'data'->>'sequence')
				IS NOT DISTINCT FROM (b.payload->>'conversionId', b.payload->>'sequence', b.payload->'data'->>'conversionId', b.payload->'data'->>'sequence') OR a.id = $3`,
			publisher, id, rig.Marker())
	}
	rig.RequireEqual(t, offer)
}

// What contradicts the advertiser's history is told, and not overwritten.
func TestRule61AReplayRewritesNoHistory(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	id := rig.Post(rig.Click(offer), "A").ConversionID
	rig.Sync(p, id)
	for _, c := range []struct{ damage, undo, said string }{
		{`UPDATE transitions SET note = 'other' WHERE tenant_id = $1 AND conversion_id = $2`, `UPDATE transitions SET note = '' WHERE tenant_id = $1 AND conversion_id = $2`, "transition 1 of the publisher's book contradicts"},
		{`UPDATE ledger_entries SET amount_micros = amount_micros * 2 WHERE tenant_id = $1 AND transaction_id IN (SELECT id FROM ledger_transactions WHERE conversion_id = $2)`,
			`UPDATE ledger_entries SET amount_micros = amount_micros / 2 WHERE tenant_id = $1 AND transaction_id IN (SELECT id FROM ledger_transactions WHERE conversion_id = $2)`, "ledger of transition 1 contradicts"},
	} {
		rig.Damage(c.damage, rig.Publisher.TenantID, id)
		_, err := rig.Exchange().Replay(t.Context(), p, *id)
		require.ErrorContains(t, err, c.said)
		rig.Damage(c.undo, rig.Publisher.TenantID, id)
	}
	rig.RequireEqual(t, offer)
}

// Rule 57: the advertiser may move the shared offer to another of its advertisers, whom the publisher
// then knows too.
func TestRule57AnAdvertiserThatIsNewToThePublisher(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	moved := uuid.New()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertAdvertiser(ctx, tx, dbgen.InsertAdvertiserParams{
			TenantID: rig.TenantID, ID: moved, Key: uuid.NewString(), Name: "Other studio", IpAllowlist: []string{}, CreatedAt: rig.Time(),
		})
	})
	id := rig.Post(rig.Click(offer, func(c *domain.Click) { c.AdvertiserID = moved }), "A").ConversionID
	rig.Sync(p, id)
	require.Equal(t, "Other studio", activitytest.Value[string](rig.Rig, "SELECT name FROM advertisers WHERE tenant_id = $1 AND id = $2 AND exchange_tenant_id = $3",
		rig.Publisher.TenantID, moved, rig.TenantID))
	rig.RequireEqual(t, offer)
}

// A test conversion is copied too, and counts for nothing in either book.
func TestRule58ATestConversion(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	click := rig.Click(offer, func(c *domain.Click) { c.IsTest = true })
	id := rig.Post(click, "A", func(b *domain.Postback) { b.IsTest = true }).ConversionID
	rig.Sync(p, id)
	require.True(t, rig.Publisher.Conversion(id).IsTest)
	require.Zero(t, activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM ledger_entries"))
	rig.RequireEqual(t, offer)
}

// Rule 59: the reports of both sides are marked to be read anew.
func TestRule59ReportsHearOfTheSync(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A")})
	id := rig.Post(rig.Click(offer), "A").ConversionID
	rig.Sync(p, id)
	require.Positive(t, activitytest.Value[int64](rig.Rig, "SELECT count(*) FROM rollup_marks WHERE tenant_id = $1 AND offer_id = $2 AND NOT clicks", rig.Publisher.TenantID, offer.ID))
}

// Many hands at once: decisions, reviews and adjustments at the advertiser's while everything is being
// synced. Both books are equal when the last news has come.
func TestRule58SyncsWhileTheAdvertiserWorks(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, activitytest.RaceConns)
	offer, p := rig.SharedOffer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B", activitytest.PendingFor("1"))})
	ids := make([]*uuid.UUID, 6)
	for i := range ids {
		ids[i] = rig.Post(rig.Click(offer), []string{"A", "B"}[i%2]).ConversionID
	}
	exchange := rig.Exchange()
	activitytest.AtOnce(t, 16, func(i int) error {
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		for range 10 {
			id := ids[rng.IntN(len(ids))]
			switch rng.IntN(4) {
			case 0:
				action := []domain.Action{domain.ActionApprove, domain.ActionReverse}[rng.IntN(2)]
				if _, err := rig.ApplyTransition(t.Context(), attribution.TransitionRequest{TenantID: rig.TenantID, ConversionID: *id, Action: action, RequestID: uuid.NewString(), Actor: "person"}); err != nil {
					return err
				}
			case 1:
				figure := domain.Micros(rng.Int64N(5_000_000))
				_, _ = rig.Adjust(t.Context(), attribution.AdjustRequest{ // refused where it is rejected or the same
					TenantID: rig.TenantID, ConversionID: *id, RequestID: uuid.NewString(), Actor: "person", Note: "n", Figures: domain.Adjustment{Revenue: &figure},
				})
			default:
				if _, err := exchange.SyncConversion(t.Context(), p, *id); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, id := range ids {
		rig.Sync(p, id)
	}
	rig.RequireEqual(t, offer)
}
