package activities

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

func revshare(o *domain.Offer) { o.ConversionType = domain.ConversionTypeRevShare }

// Rule 58: the publisher's book has the conversion under the same id with the same values, status and
// reason, and by its own terms what its member and its partner get of it.
func TestRule58TheSameConversionInBothBooks(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{
		goal("success"), goal("pending", pendingFor("7")), goal("review", approval), goal("capped", capped(1)),
		goal("ratio", func(e *domain.Event) { e.UseDefaultRatio = true }),
		goal("private", func(e *domain.Event) { e.IsPrivate = true }),
	})
	other := rig.post(rig.click(offer), "capped")
	rig.sync(p, other.ConversionID)
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
		click := rig.click(offer)
		id := rig.post(click, event, func(b *domain.Postback) {
			b.Amount, b.Subs, b.ConversionID = "12.5", []string{"one", "two"}, "order-"+event
		}).ConversionID
		require.Equal(t, Synced{Sequence: 1, Copied: 1}, rig.sync(p, id), event)
		is := rig.publisher.conversion(id)
		require.Equal(t, []any{want.status, want.reason, domain.SidePublisher}, []any{is.Status, is.RejectionReason, is.Side}, event)
		require.Equal(t, []domain.Micros{*decimal("2.5"), *decimal(want.payout), *decimal(want.reward)},
			[]domain.Micros{is.RevenueMicros, is.PayoutMicros, is.RewardMicros}, event)
		require.Equal(t, []any{click.PubMemberID, &rig.publisher.partner}, []any{is.PubMemberID, is.PartnerID}, event)
		require.False(t, is.IsCounted, "caps are the advertiser's")
		points := int64(0)
		if want.status == domain.StatusSuccess {
			points = int64(*decimal(want.reward))
		}
		require.Equal(t, points, rig.publisher.points(*click.PubMemberID), event)
	}
	rig.requireEqual(t, offer)
	require.Equal(t, int64(1), value[int64](rig.decisionRig, `SELECT count(DISTINCT party) FROM ledger_entries WHERE account = 'advertiser_receivable' AND party = $1`,
		offer.AdvertiserID.String()), "the advertiser owes")
}

// Rules 23, 25 and 58: every later status comes too, in order, however many of them a sync finds.
func TestRule58EveryLaterStatusInOrder(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A", pendingFor("7")), goal("B", pendingFor("7"))})
	step := func(id *uuid.UUID, action domain.Action) {
		rig.wait(time.Minute)
		require.Empty(t, rig.review(id, action).Error)
	}
	byOne, atOnce := rig.click(offer), rig.click(offer)
	first, second := rig.post(byOne, "A").ConversionID, rig.post(atOnce, "B").ConversionID
	rig.sync(p, first)
	for n, action := range []domain.Action{domain.ActionApprove, domain.ActionReverse, domain.ActionApprove} {
		step(first, action)
		step(second, action)
		require.Equal(t, Synced{Sequence: int64(n) + 2, Copied: 1}, rig.sync(p, first))
	}
	require.Equal(t, Synced{Sequence: 4, Copied: 4}, rig.sync(p, second))
	for _, id := range []*uuid.UUID{first, second} {
		var path []string
		for _, step := range rig.publisher.transitions(id) {
			path = append(path, step.ToStatus+" "+step.Reason+" "+step.Actor)
		}
		require.Equal(t, []string{"Pending  postback", "Success  advertiser", "Rejected reversed advertiser", "Success  advertiser"}, path)
	}
	for _, click := range []domain.Click{byOne, atOnce} {
		require.Equal(t, int64(*decimal("100")), rig.publisher.points(*click.PubMemberID), "rule 25: the reward once")
	}
	third := rig.post(rig.click(offer), "A").ConversionID
	rig.wait(7 * 24 * time.Hour)
	rig.review(third, domain.ActionRelease, byTimer)
	rig.sync(p, third)
	require.Equal(t, ActorTimer, rig.publisher.transitions(third)[1].Actor)
	rig.requireEqual(t, offer)
}

// News that comes late, twice or in any order changes nothing that is there.
func TestRule58NewsOutOfOrderAndAgain(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	click := rig.click(offer)
	id := rig.post(click, "A").ConversionID
	early, err := rig.exchange().ReadRecord(t.Context(), p, *id)
	require.NoError(t, err)
	rig.review(id, domain.ActionReverse)
	require.Equal(t, Synced{Sequence: 2, Copied: 2}, rig.sync(p, id))
	for range 3 {
		require.Equal(t, Synced{Sequence: 2}, rig.sync(p, id))
	}
	// One that read the advertiser's book before the other did comes after it.
	_, err = rig.exchange().SyncFrom(t.Context(), p, early)
	require.ErrorIs(t, err, ErrAdvertiserMoved)
	require.Equal(t, domain.StatusRejected, rig.publisher.conversion(id).Status)
	rig.requireEqual(t, offer)
}

func TestRule58TwentySyncsAtOnce(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 24)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	click := rig.click(offer)
	id := rig.post(click, "A").ConversionID
	rig.review(id, domain.ActionReverse)
	rig.review(id, domain.ActionApprove)
	copied := make([]int, 20)
	atOnce(t, 20, func(i int) error {
		synced, err := rig.exchange().SyncConversion(t.Context(), p, *id)
		copied[i] = synced.Copied
		return err
	})
	slices.Sort(copied)
	require.Equal(t, append(make([]int, 19), 3), copied, "one of them copies all")
	require.Equal(t, int64(*decimal("100")), rig.publisher.points(*click.PubMemberID))
	rig.requireEqual(t, offer)
}

// Rules 24 and 42: an adjustment of the cost is one of the revenue; payout and reward are the
// publisher's own and stay as they were frozen, whatever it agrees with its partner later.
func TestRule24AdjustmentsAreCopied(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A", func(e *domain.Event) { e.UseDefaultRatio = true })})
	for _, between := range []func(id *uuid.UUID){func(id *uuid.UUID) { rig.sync(p, id) }, func(*uuid.UUID) {}} {
		click := rig.click(offer)
		id := rig.post(click, "A").ConversionID
		between(id)
		rig.adjustRevenue(id, "2")
		between(id)
		rig.review(id, domain.ActionReverse)
		between(id)
		rig.review(id, domain.ActionApprove)
		rig.adjustRevenue(id, "3.75")
		rig.sync(p, id)
		is := rig.publisher.conversion(id)
		require.Equal(t, []domain.Micros{*decimal("3.75"), *decimal("1"), *decimal("50")},
			[]domain.Micros{is.RevenueMicros, is.PayoutMicros, is.RewardMicros}, "by the revenue at the decision, 2.50")
		require.Equal(t, int64(*decimal("50")), rig.publisher.points(*click.PubMemberID))
		history := rig.publisher.transitions(id)
		require.Len(t, history, 5)
		require.JSONEq(t, `{"amount": null, "revenue": "2.50", "payout": "1.00", "reward": "50.00"}`, string(history[1].FiguresBefore))
		require.JSONEq(t, `{"amount": null, "revenue": "3.75", "payout": "1.00", "reward": "50.00"}`, string(history[4].FiguresAfter))
	}
	frozen := rig.post(rig.click(offer), "A").ConversionID
	rig.sync(p, frozen)
	rig.publisher.custom(uuid.New(), 1, offer, 0, rig.now(), "9")
	rig.publisher.set("UPDATE tenants SET reward_ratio_micros = 1")
	rig.review(frozen, domain.ActionReverse)
	rig.review(frozen, domain.ActionApprove)
	rig.sync(p, frozen)
	is := rig.publisher.conversion(frozen)
	require.Equal(t, []domain.Micros{*decimal("1"), *decimal("50")}, []domain.Micros{is.PayoutMicros, is.RewardMicros})
	rig.requireEqual(t, offer)
}

// Rule 24: the version that decided counts, however late the sync comes.
func TestRule24TheVersionThatDecided(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A", pendingFor("1"))})
	id := rig.post(rig.click(offer), "A").ConversionID
	rig.edit(offer, func(o *domain.Offer) { o.Events[0].Payout, o.Events[0].Reward = decimal("9"), decimal("900") })
	rig.sync(p, id)
	is := rig.publisher.conversion(id)
	require.Equal(t, []domain.Micros{*decimal("1"), *decimal("100")}, []domain.Micros{is.PayoutMicros, is.RewardMicros})
	rig.requireEqual(t, offer)
}

// Rules 39, 40 and 57: the partner is the publisher's, and so is what it gets: custom, by the structure
// over all that the conversion came with, by its tier.
func TestRule39PayoutsArePublishers(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	tier := rig.publisher.tier("Gold")
	structure := rig.publisher.structure(`{"rules":[{"name":"large","flat":2000000,"percent":5000000,"conditions":[
		{"parameter":"country","operator":"in","type":"text","values":["DE"]},{"parameter":"cnv_amount","operator":">=","type":"number","values":["100"]},
		{"parameter":"pub_sub_2","operator":"like","type":"text","values":["mail%"]},{"parameter":"cnv_sub_1","operator":"=","type":"text","values":["s1"]},
		{"parameter":"custom.plan","operator":"=","type":"text","values":["annual"]}]}], "default":{"flat":500000}}`)
	tiered := func(e *domain.Event) { e.PayoutTiers = map[string]domain.Micros{tier.String(): *decimal("3")} }
	structured := func(e *domain.Event) { e.PayoutStructureID = &structure }
	offer, p := rig.sharedOffer([]domain.Event{goal("A", repeats, structured, tiered), goal("B", repeats, tiered), goal("C", repeats)})
	rig.publisher.custom(uuid.New(), 1, offer, 2, rig.now(), "7")
	click := rig.click(offer, func(c *domain.Click) { c.Country, c.PubSubs = "DE", []string{"", "mail-7"} })
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
		id := rig.post(click, c.event, func(b *domain.Postback) {
			b.Amount, b.ConversionID, b.Params, b.Subs = c.amount, uuid.NewString(), map[string]string{"plan": c.plan}, []string{"s1"}
		}).ConversionID
		rig.sync(p, id)
		is := rig.publisher.conversion(id)
		require.Equal(t, *decimal(c.payout), is.PayoutMicros, "%+v", c)
		require.Equal(t, c.kind, ruleOf(t, is.PayoutRule).Kind, "%+v", c)
		require.Equal(t, int64(*decimal(c.payout)), value[int64](rig.decisionRig, `SELECT coalesce(-sum(e.amount_micros), 0)::bigint FROM ledger_entries e
			JOIN ledger_transactions t ON t.tenant_id = e.tenant_id AND t.id = e.transaction_id WHERE e.account = 'partner_payable' AND t.conversion_id = $1`, id), "%+v", c)
		require.Zero(t, rig.conversion(id).PayoutMicros, "none of the advertiser's")
	}
	rig.requireEqual(t, offer)
}

// Rules 5, 6 and 25: a conversion whose forerunner is still live in the publisher's book waits for the
// forerunner's rejection, and two that were live in turns do not wait for each other.
func TestRule58AnotherWasLiveBefore(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A", func(e *domain.Event) { e.MinTimeFromPreviousEvent = decimal("1") })})
	click := rig.click(offer)
	early := rig.post(click, "A").ConversionID // too soon
	rig.review(early, domain.ActionApprove)
	rig.sync(p, early)
	rig.review(early, domain.ActionReverse)
	require.Equal(t, domain.StatusRejected, rig.conversion(early).Status)
	sameMember := rig.click(offer, func(c *domain.Click) { c.PubMemberID = click.PubMemberID })
	rig.wait(2 * time.Hour)
	later := rig.post(sameMember, "A").ConversionID
	require.Equal(t, domain.StatusSuccess, rig.conversion(later).Status)
	_, err := rig.exchange().SyncConversion(t.Context(), p, *later)
	require.Equal(t, "conversions_live_member", db.UniqueViolation(err), "%v", err)
	require.Equal(t, domain.StatusSuccess, rig.publisher.conversion(early).Status, "rule 6 holds in the publisher's book too")

	rig.review(later, domain.ActionReverse)
	require.Empty(t, rig.review(early, domain.ActionApprove).Error)
	for _, id := range []*uuid.UUID{early, later} { // early's own history goes over a time when later was live
		rig.sync(p, id)
	}
	rig.requireEqual(t, offer)
}

// Rule 60: a sync goes by its own partnership; what another names is not there.
func TestRule60ASyncKnowsItsPartnership(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	_, other := rig.sharedOffer([]domain.Event{goal("A")})
	own := rig.offer([]domain.Event{goal("A")})
	id := rig.post(rig.click(offer), "A").ConversionID
	unshared := rig.post(rig.decisionRig.click(own), "A").ConversionID
	third := rig.newPublisher()
	for name, wrong := range map[string]struct {
		p  domain.Partnership
		id uuid.UUID
	}{
		"another offer's":        {other, *id},
		"a stranger's":           {p, uuid.New()},
		"one that is not shared": {domain.Partnership{ID: p.ID, OfferID: own.ID, AdvertiserTenantID: p.AdvertiserTenantID, PublisherTenantID: p.PublisherTenantID}, *unshared},
		"the sides changed":      {domain.Partnership{ID: p.ID, OfferID: p.OfferID, AdvertiserTenantID: p.PublisherTenantID, PublisherTenantID: p.AdvertiserTenantID}, *id},
		"a third tenant's book":  {domain.Partnership{ID: p.ID, OfferID: p.OfferID, AdvertiserTenantID: p.AdvertiserTenantID, PublisherTenantID: third.tenantID}, *id},
	} {
		_, err := rig.exchange().SyncConversion(t.Context(), wrong.p, wrong.id)
		require.Error(t, err, name)
	}
	require.Zero(t, value[int64](rig.decisionRig, "SELECT count(*) FROM conversions WHERE side = 'publisher'"))
	rig.sync(p, id)
	rig.requireEqual(t, offer)
}

// Rule 61: a replay of the sync mends a row, transitions and a ledger that disagree with the history.
func TestRule61AReplayMends(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
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
		id := rig.post(rig.click(offer), "A").ConversionID
		rig.adjustRevenue(id, "2")
		rig.review(id, domain.ActionReverse)
		rig.review(id, domain.ActionApprove)
		rig.sync(p, id)
		lives[name] = id
	}
	rig.publisher.custom(uuid.New(), 1, offer, 0, rig.now(), "9") // rule 24: history tells what was frozen
	publisher := rig.publisher.tenantID
	for name, damage := range damages {
		id := lives[name]
		was := rig.publisher.conversion(id)
		points := rig.publisher.points(*was.PubMemberID)
		rig.damage(damage, publisher, id)
		replayed, err := rig.exchange().Replay(t.Context(), p, *id)
		require.NoError(t, err, name)
		require.True(t, replayed.Mended || replayed.Copied > 0, name)
		is := rig.publisher.conversion(id)
		require.Equal(t, Followed(&was), Followed(&is), name)
		require.Equal(t, points, rig.publisher.points(*was.PubMemberID), name)
		again, err := rig.exchange().Replay(t.Context(), p, *id)
		require.NoError(t, err, name)
		require.Equal(t, Synced{Sequence: 4}, again, name)
		rig.damage(`DELETE FROM outbox a USING outbox b WHERE a.tenant_id = $1 AND b.tenant_id = a.tenant_id AND a.id > b.id AND a.subject = b.subject
			AND coalesce(a.payload->>'conversionId', a.payload->'data'->>'conversionId') = $2::text AND (a.payload->>'conversionId', a.payload->>'sequence', a.payload->'data'->>'conversionId', a.payload->'data'->>'sequence')
				IS NOT DISTINCT FROM (b.payload->>'conversionId', b.payload->>'sequence', b.payload->'data'->>'conversionId', b.payload->'data'->>'sequence') OR a.id = $3`,
			publisher, id, rig.marker())
	}
	rig.requireEqual(t, offer)
}

// What contradicts the advertiser's history is told, and not overwritten.
func TestRule61AReplayRewritesNoHistory(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	id := rig.post(rig.click(offer), "A").ConversionID
	rig.sync(p, id)
	for _, c := range []struct{ damage, undo, said string }{
		{`UPDATE transitions SET note = 'other' WHERE tenant_id = $1 AND conversion_id = $2`, `UPDATE transitions SET note = '' WHERE tenant_id = $1 AND conversion_id = $2`, "transition 1 of the publisher's book contradicts"},
		{`UPDATE ledger_entries SET amount_micros = amount_micros * 2 WHERE tenant_id = $1 AND transaction_id IN (SELECT id FROM ledger_transactions WHERE conversion_id = $2)`,
			`UPDATE ledger_entries SET amount_micros = amount_micros / 2 WHERE tenant_id = $1 AND transaction_id IN (SELECT id FROM ledger_transactions WHERE conversion_id = $2)`, "ledger of transition 1 contradicts"},
	} {
		rig.damage(c.damage, rig.publisher.tenantID, id)
		_, err := rig.exchange().Replay(t.Context(), p, *id)
		require.ErrorContains(t, err, c.said)
		rig.damage(c.undo, rig.publisher.tenantID, id)
	}
	rig.requireEqual(t, offer)
}

// Rule 57: the advertiser may move the shared offer to another of its advertisers, whom the publisher
// then knows too.
func TestRule57AnAdvertiserThatIsNewToThePublisher(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	moved := uuid.New()
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertAdvertiser(ctx, tx, dbgen.InsertAdvertiserParams{
			TenantID: rig.tenantID, ID: moved, Key: uuid.NewString(), Name: "Other studio", IpAllowlist: []string{}, CreatedAt: rig.now(),
		})
	})
	id := rig.post(rig.click(offer, func(c *domain.Click) { c.AdvertiserID = moved }), "A").ConversionID
	rig.sync(p, id)
	require.Equal(t, "Other studio", value[string](rig.decisionRig, "SELECT name FROM advertisers WHERE tenant_id = $1 AND id = $2 AND exchange_tenant_id = $3",
		rig.publisher.tenantID, moved, rig.tenantID))
	rig.requireEqual(t, offer)
}

// A test conversion is copied too, and counts for nothing in either book.
func TestRule58ATestConversion(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	click := rig.click(offer, func(c *domain.Click) { c.IsTest = true })
	id := rig.post(click, "A", func(b *domain.Postback) { b.IsTest = true }).ConversionID
	rig.sync(p, id)
	require.True(t, rig.publisher.conversion(id).IsTest)
	require.Zero(t, value[int64](rig.decisionRig, "SELECT count(*) FROM ledger_entries"))
	rig.requireEqual(t, offer)
}

// Rule 59: the reports of both sides are marked to be read anew.
func TestRule59ReportsHearOfTheSync(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 4)
	offer, p := rig.sharedOffer([]domain.Event{goal("A")})
	id := rig.post(rig.click(offer), "A").ConversionID
	rig.sync(p, id)
	require.Positive(t, value[int64](rig.decisionRig, "SELECT count(*) FROM rollup_marks WHERE tenant_id = $1 AND offer_id = $2 AND NOT clicks", rig.publisher.tenantID, offer.ID))
}

// Many hands at once: decisions, reviews and adjustments at the advertiser's while everything is being
// synced. Both books are equal when the last news has come.
func TestRule58SyncsWhileTheAdvertiserWorks(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, raceConns)
	offer, p := rig.sharedOffer([]domain.Event{goal("A"), goal("B", pendingFor("1"))})
	ids := make([]*uuid.UUID, 6)
	for i := range ids {
		ids[i] = rig.post(rig.click(offer), []string{"A", "B"}[i%2]).ConversionID
	}
	exchange := rig.exchange()
	atOnce(t, 16, func(i int) error {
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		for range 10 {
			id := ids[rng.IntN(len(ids))]
			switch rng.IntN(4) {
			case 0:
				action := []domain.Action{domain.ActionApprove, domain.ActionReverse}[rng.IntN(2)]
				if _, err := rig.Settle(t.Context(), SettleRequest{TenantID: rig.tenantID, ConversionID: *id, Action: action, RequestID: uuid.NewString(), Actor: "person"}); err != nil {
					return err
				}
			case 1:
				figure := domain.Micros(rng.Int64N(5_000_000))
				_, _ = rig.Adjust(t.Context(), AdjustRequest{ // refused where it is rejected or the same
					TenantID: rig.tenantID, ConversionID: *id, RequestID: uuid.NewString(), Actor: "person", Note: "n", Figures: domain.Adjustment{Revenue: &figure},
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
		rig.sync(p, id)
	}
	rig.requireEqual(t, offer)
}
