package attribution_test

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// Rule 58: a shared offer's conversion is decided in the advertiser's book, where its revenue is the
// cost, and payout, reward and member are nobody's.
func TestRule58DecidedByTheAdvertiser(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, partnership := rig.SharedOffer([]domain.Event{activitytest.Goal("buy")})
	click := rig.Click(offer)

	found, ok, err := rig.ClickOf(t.Context(), &domain.Postback{ClickID: &click.ID})
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, rig.TenantID, found.TenantID, "the row that is decided is the advertiser's")

	answer := rig.Post(click, "buy")
	require.Equal(t, domain.OutcomeAccepted, answer.Outcome)
	row := rig.Conversion(answer.ConversionID)
	require.Equal(t, domain.SideAdvertiser, row.Side)
	require.Equal(t, []domain.Micros{2_500_000, 0, 0}, []domain.Micros{row.RevenueMicros, row.PayoutMicros, row.RewardMicros})
	require.Nil(t, row.PartnerID)
	require.Nil(t, row.PubMemberID)
	require.Nil(t, row.PayoutRule)
	require.Equal(t, click.MemberKey, *row.MemberKey)
	require.Zero(t, activitytest.Value[int](rig.Rig, "SELECT count(*) FROM conversions WHERE tenant_id = $1", rig.Publisher.TenantID))

	entries := activitytest.Value[json.RawMessage](rig.Rig, `SELECT jsonb_agg(jsonb_build_array(account, party, amount_micros) ORDER BY line)
		FROM ledger_entries WHERE tenant_id = $1`, rig.TenantID)
	require.JSONEq(t, `[["advertising_expense", "`+offer.AdvertiserID.String()+`", 2500000], ["publisher_payable", "`+
		partnership.PublisherTenantID.String()+`", -2500000]]`, string(entries))
	require.Zero(t, activitytest.Value[int](rig.Rig, "SELECT count(*) FROM member_balances"))
}

// Rule 57: of the publisher's members the advertiser's rows hold a key and nothing else.
func TestRule57TheAdvertisersRowsNameNobody(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy", activitytest.PendingFor("1"))})
	secrets := []string{"secret-member", "secret-click", "secret-session", "secret-sub", "secret-postcode", "192.0.2.99", "Secret Browser", "secret-view", "secret-referer"}
	click := rig.Click(offer, func(c *domain.Click) {
		c.PubMemberID, c.PubClickID, c.PubSessionID, c.PubSubs = &secrets[0], secrets[1], secrets[2], secrets[3:4]
		c.PubPostalCode, c.IP, c.UserAgent, c.ViewID, c.Referer = secrets[4], secrets[5], secrets[6], secrets[7], secrets[8]
	})
	answer := rig.Post(click, "buy")
	rig.Review(answer.ConversionID, domain.ActionApprove)
	written := activitytest.Value[string](rig.Rig, `SELECT coalesce(string_agg(x, ' '), '') FROM (
		SELECT to_jsonb(c)::text AS x FROM clicks c WHERE tenant_id = $1 UNION ALL SELECT to_jsonb(c)::text FROM conversions c WHERE tenant_id = $1
		UNION ALL SELECT to_jsonb(c)::text FROM transitions c WHERE tenant_id = $1 UNION ALL SELECT to_jsonb(c)::text FROM ledger_entries c WHERE tenant_id = $1
		UNION ALL SELECT to_jsonb(c)::text FROM postbacks c WHERE tenant_id = $1 UNION ALL SELECT payload::text FROM outbox WHERE tenant_id = $1) r`, rig.TenantID)
	require.Contains(t, written, answer.ConversionID.String())
	for _, secret := range secrets {
		require.NotContains(t, written, secret)
	}
	whole := activitytest.Value[string](rig.Rig, "SELECT pub_member_id FROM clicks WHERE tenant_id = $1 AND side = 'publisher'", rig.Publisher.TenantID)
	require.Equal(t, secrets[0], whole, "the publisher's row is whole")
}

// Rule 58: every transition is told to the publisher's book and to the advertiser's live stream, in the
// transaction that makes it.
func TestRule58EveryTransitionIsTold(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, partnership := rig.SharedOffer([]domain.Event{activitytest.Goal("buy", activitytest.PendingFor("1"))})
	answer := rig.Post(rig.Click(offer), "buy")
	rig.Wait(25 * time.Hour)
	require.Empty(t, rig.Review(answer.ConversionID, domain.ActionRelease, activitytest.ByTimer).Error)
	revenue := domain.Micros(4_000_000)
	_, err := rig.Adjust(t.Context(), attribution.AdjustRequest{
		TenantID: rig.TenantID, ConversionID: *answer.ConversionID, Figures: domain.Adjustment{Revenue: &revenue}, RequestID: "adjust", Actor: "person", Note: "more",
	})
	require.NoError(t, err)
	require.Empty(t, rig.Review(answer.ConversionID, domain.ActionReverse).Error)
	require.Equal(t, domain.OutcomeRejected, rig.Post(rig.Click(offer), "buy", func(p *domain.Postback) { p.Currency = "EUR" }).Outcome)

	var sequences []int64
	rig.Payloads(stream.SubjectExchange, func(payload []byte) {
		var event stream.ExchangeEvent
		require.NoError(t, json.Unmarshal(payload, &event))
		require.Equal(t, partnership, event.Partnership)
		require.NotEqual(t, event.ID, event.Partnership.ID)
		if *event.ConversionID == *answer.ConversionID {
			sequences = append(sequences, event.Sequence)
		} else {
			require.Equal(t, int64(1), event.Sequence, "a rejection is told too")
		}
	})
	require.Equal(t, []int64{1, 2, 3, 4}, sequences)

	var told []any
	rig.Payloads(stream.SubjectLive+rig.TenantID.String(), func(payload []byte) {
		var event stream.LiveEvent
		require.NoError(t, json.Unmarshal(payload, &event))
		var data stream.LiveConversionData
		require.NoError(t, json.Unmarshal(event.Data, &data))
		require.Equal(t, []any{stream.LiveConversion, partnership.ID, ""}, []any{event.Kind, data.PartnershipID, data.Revenue})
		told = append(told, data.Status, data.Cost)
	})
	require.Equal(t, []any{
		domain.StatusPending, "2.50", domain.StatusSuccess, "2.50", domain.StatusSuccess, "4.00", domain.StatusRejected, "4.00",
		domain.StatusRejected, "2.50",
	}, told)
	require.Equal(t, 0, activitytest.Value[int](rig.Rig, "SELECT count(*) FROM outbox WHERE subject = $1", stream.SubjectLive+rig.Publisher.TenantID.String()),
		"the publisher hears of its own book")
}

// Rule 58: the callback document of the advertiser's book names its cost; another tenant's own offer
// tells nobody.
func TestRule58NewsByItsSide(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy")})
	rig.Post(rig.Click(offer), "buy")
	own := rig.Offer([]domain.Event{activitytest.Goal("own")})
	rig.Post(rig.Rig.Click(own), "own")
	news := map[string]map[string]any{}
	rig.Payloads(stream.SubjectConversion, func(payload []byte) {
		var event stream.ConversionEvent
		require.NoError(t, json.Unmarshal(payload, &event))
		var document map[string]any
		require.NoError(t, json.Unmarshal(event.Conversion, &document))
		news[document["eventId"].(string)] = document
	})
	require.Equal(t, "2.50", news["buy"]["cost"])
	require.NotContains(t, news["buy"], "revenue")
	require.Nil(t, news["buy"]["pubMemberId"])
	require.Equal(t, "2.50", news["own"]["revenue"])
	require.NotContains(t, news["own"], "cost")
	require.Equal(t, 1, activitytest.Value[int](rig.Rig, "SELECT count(*) FROM outbox WHERE subject = $1", stream.SubjectExchange))
}

// Rule 6 by the key that stands for a member: of one publisher, and not where none is named.
func TestRule6ByTheMembersKey(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, activitytest.RaceConns)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy")})
	member := "member-1"
	clicks := rig.Clicks(offer, 8, func(_ int, c *domain.Click) { c.PubMemberID = &member })
	var accepted, duplicates atomic.Int64
	activitytest.AtOnce(t, len(clicks), func(i int) error {
		result, err := rig.Decide(t.Context(), rig.TenantID, rig.Postback(clicks[i], "buy"))
		switch result.Answer.Outcome {
		case domain.OutcomeAccepted:
			accepted.Add(1)
		case domain.OutcomeDuplicate:
			duplicates.Add(1)
		}
		return err
	})
	require.Equal(t, []int64{1, 7}, []int64{accepted.Load(), duplicates.Load()})

	require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(offer), "buy").Outcome, "another member")
	for range 2 { // nobody knows whether a visitor is a member
		visitor := rig.Click(offer, func(c *domain.Click) { c.PubMemberID = nil })
		require.Equal(t, domain.OutcomeAccepted, rig.Post(visitor, "buy").Outcome)
	}
}

// Rule 6: the same member id of two publishers is two members, and no key can be made from it without
// the secret.
func TestRule6KeysAreThePublishersOwn(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	event := activitytest.Goal("buy")
	offer, _ := rig.SharedOffer([]domain.Event{event})
	member := "member-1"
	other := rig.NewPublisher()
	first := rig.Clicks(offer, 1, func(_ int, c *domain.Click) { c.PubMemberID = &member })[0]
	second := rig.ClicksAt(other, offer, 1, func(_ int, c *domain.Click) { c.PubMemberID = &member })[0]
	require.NotEqual(t, first.MemberKey, second.MemberKey)
	require.NotContains(t, first.MemberKey, member)
}

// Rule 25: what another live conversion of the member blocks is known before it is tried.
func TestRule25BlockedByTheMembersKey(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy")})
	member := "member-1"
	clicks := rig.Clicks(offer, 2, func(_ int, c *domain.Click) { c.PubMemberID = &member })
	rejected := rig.Post(clicks[0], "buy", func(p *domain.Postback) { p.Currency = "EUR" })
	require.Equal(t, domain.StatusRejected, rejected.Status)
	require.Equal(t, domain.OutcomeAccepted, rig.Post(clicks[1], "buy").Outcome)
	blocked, err := queries.BlockedByLive(t.Context(), rig.Store.Read(rig.TenantID), rig.TenantID, []uuid.UUID{*rejected.ConversionID})
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{*rejected.ConversionID}, blocked)
	require.NotEmpty(t, rig.Review(rejected.ConversionID, domain.ActionApprove).Error, "the unique index agrees")
}

// Rule 58: caps, budget and calendar are the advertiser's, exactly, whatever the publisher's are.
func TestRule58CapsBudgetAndZoneOfTheAdvertiser(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, activitytest.RaceConns)
	rig.Set("UPDATE tenants SET timezone = 'Asia/Tokyo' WHERE tenant_id = $1", rig.TenantID)
	rig.Wait(6 * time.Hour) // 18:00 UTC is the next day in Tokyo
	daily := int64(3)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy", func(e *domain.Event) { e.Daily = &daily })})
	clicks := rig.Clicks(offer, 12, nil)
	var live atomic.Int64
	activitytest.AtOnce(t, len(clicks), func(i int) error {
		result, err := rig.Decide(t.Context(), rig.TenantID, rig.Postback(clicks[i], "buy"))
		if result.Answer.Status.Live() {
			live.Add(1)
		} else if result.Answer.Reason != domain.ReasonCapDaily {
			t.Errorf("reason %s", result.Answer.Reason)
		}
		return err
	})
	require.Equal(t, daily, live.Load())
	require.Equal(t, "2026-03-05 3", activitytest.Value[string](rig.Rig, `SELECT period_start::text || ' ' || value FROM cap_counters
		WHERE tenant_id = $1 AND scope = 'event' AND period = 'day'`, rig.TenantID))
	require.Zero(t, activitytest.Value[int](rig.Rig, "SELECT count(*) FROM cap_counters WHERE tenant_id <> $1", rig.TenantID))

	small, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("sale")}, func(o *domain.Offer) { o.Budget = *activitytest.Decimal("5") })
	for _, want := range []domain.Reason{"", "", domain.ReasonBudgetExhausted} {
		require.Equal(t, want, rig.Post(rig.Click(small), "sale").Reason)
	}
}

// Rule 58: a partner's caps at the publisher's have no part in it.
func TestRule58NoCapsOfThePublishersPartners(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	rig.Publisher.Set("UPDATE partners SET all_time_cap = 1 WHERE tenant_id = $1", rig.Publisher.TenantID)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy")})
	for range 2 {
		require.Equal(t, domain.OutcomeAccepted, rig.Post(rig.Click(offer), "buy").Outcome)
	}
}

// Rule 58: review is the advertiser's. A publisher's row is not moved by a person, a job, the timer or
// the sweep, and has no figures to adjust.
func TestRule58ThePublishersRowsAreNotDecided(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy", activitytest.PendingFor("1"))})
	answer := rig.Post(rig.Click(offer), "buy")
	rig.CopyRow(answer.ConversionID)
	for _, action := range []domain.Action{domain.ActionApprove, domain.ActionReject, domain.ActionReverse} {
		result := rig.Publisher.Review(answer.ConversionID, action)
		require.Equal(t, domain.ErrDecidedByAdvertiser.Error(), result.Error)
	}
	rig.Wait(48 * time.Hour)
	require.Equal(t, domain.ErrDecidedByAdvertiser.Error(), rig.Publisher.Review(answer.ConversionID, domain.ActionRelease, activitytest.ByTimer).Error)
	revenue := domain.Micros(1)
	_, err := rig.Adjust(t.Context(), attribution.AdjustRequest{
		TenantID: rig.Publisher.TenantID, ConversionID: *answer.ConversionID, Figures: domain.Adjustment{Revenue: &revenue}, RequestID: "a", Actor: "p", Note: "n",
	})
	require.ErrorIs(t, err, domain.ErrDecidedByAdvertiser)

	before := rig.Time()
	overdue, err := queries.SystemOverduePending(t.Context(), rig.Store.SystemPool(), dbgen.SystemOverduePendingParams{Before: &before, AtMost: 10})
	require.NoError(t, err)
	require.Len(t, overdue, 1, "the sweep takes up the advertiser's alone")
	require.Equal(t, rig.TenantID, overdue[0].TenantID)
	require.Equal(t, domain.StatusPending, rig.Publisher.Conversion(answer.ConversionID).Status)
}

// Rule 57: the advertiser adjusts its cost; payout and reward are named as the publisher's.
func TestRule57TheAdvertiserAdjustsItsCost(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy")})
	answer := rig.Post(rig.Click(offer), "buy")
	adjust := func(by domain.Adjustment) error {
		_, err := rig.Adjust(t.Context(), attribution.AdjustRequest{
			TenantID: rig.TenantID, ConversionID: *answer.ConversionID, Figures: by, RequestID: uuid.NewString(), Actor: "person", Note: "n",
		})
		return err
	}
	figure := domain.Micros(3_000_000)
	require.ErrorIs(t, adjust(domain.Adjustment{Payout: &figure}), domain.ErrPublishersPayout)
	require.ErrorIs(t, adjust(domain.Adjustment{Revenue: &figure, Reward: &figure}), domain.ErrPublishersReward)
	require.NoError(t, adjust(domain.Adjustment{Revenue: &figure}))
	require.Equal(t, int64(figure), activitytest.Value[int64](rig.Rig, "SELECT sum(amount_micros) FROM ledger_entries WHERE account = 'advertising_expense'"))
	require.Equal(t, -int64(figure), activitytest.Value[int64](rig.Rig, "SELECT sum(amount_micros) FROM ledger_entries WHERE account = 'publisher_payable' AND party = $1",
		rig.Publisher.TenantID.String()))
}

// Rule 58 in bulk: a publisher's job is told, item by item, who decides; an advertiser's sums its cost
// apart from revenue, and uploads no reward.
func TestRule58Jobs(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, activitytest.RaceConns)
	at := func(side *activitytest.Rig) *jobRig {
		jobs := &jobRig{Rig: side}
		nothing := func(context.Context, uuid.UUID, string) error { return nil }
		jobs.jobs = &attribution.Jobs{Decisions: rig.Decisions, Start: func(context.Context, attribution.ConversionStart) error { return nil }, End: nothing}
		return jobs
	}
	mine, theirs := at(rig.Rig), at(rig.Publisher)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy", activitytest.Approval)})
	shared := rig.Post(rig.Click(offer), "buy").ConversionID
	rig.CopyRow(shared)
	own := rig.Offer([]domain.Event{activitytest.Goal("own", activitytest.Approval)})
	owned := rig.Post(rig.Rig.Click(own), "own").ConversionID
	rig.Wait(attribution.WaitStarted)

	refused := theirs.job(domain.ActionApprove, []uuid.UUID{*shared})
	require.True(t, theirs.run(refused).Done)
	require.Equal(t, []string{"1 failed " + domain.ErrDecidedByAdvertiser.Error()}, theirs.ends(refused))
	done := mine.job(domain.ActionApprove, []uuid.UUID{*shared, *owned})
	require.True(t, mine.run(done).Done)
	require.Equal(t, []string{"1 changed", "2 changed"}, mine.ends(done))
	job := mine.stands(done)
	require.Equal(t, []domain.Micros{2_500_000, 2_500_000, 1_000_000, 100_000_000},
		[]domain.Micros{job.CostMicros, job.RevenueMicros, job.PayoutMicros, job.RewardMicros})

	clicks := rig.Clicks(offer, 2, nil)
	lines := []string{clicks[0].ID.String() + ",buy,,3,", clicks[1].ID.String() + ",buy,,3,7", uuid.NewString() + ",buy,,3,"}
	refused = theirs.job(attribution.JobUpload, nil, lines...)
	require.True(t, theirs.run(refused).Done)
	byAdvertiser := " failed ClickId " + domain.ErrDecidedByAdvertiser.Error()
	require.Equal(t, []string{"2" + byAdvertiser, "3" + byAdvertiser, "4 failed ClickId unknown_click"}, theirs.ends(refused))
	done = mine.job(attribution.JobUpload, nil, lines...)
	require.True(t, mine.run(done).Done)
	require.Equal(t, []string{"2 changed", "3 failed Reward " + domain.ErrPublishersReward.Error(), "4 failed ClickId unknown_click"}, mine.ends(done))
	job = mine.stands(done)
	require.Equal(t, []domain.Micros{3_000_000, 0}, []domain.Micros{job.CostMicros, job.RevenueMicros})
}

// Rule 58: a postback that names offer and partner in place of a click means the publisher's click, and
// is decided by the advertiser.
func TestRule58ClickOfAVisitor(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy")})
	click := rig.Click(offer)
	rig.Wait(time.Minute)
	postback := rig.Postback(click, "buy", func(p *domain.Postback) {
		p.ClickID, p.SourceIP = nil, click.IP
		p.Visitor = &domain.Visitor{OfferID: offer.ID, PartnerID: rig.Publisher.Partner, UserAgent: click.UserAgent}
	})
	id, ok, err := rig.ClickOfVisitor(t.Context(), &postback)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, click.ID, id)
	postback.ClickID = &id
	found, ok, err := rig.ClickOf(t.Context(), &postback)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, rig.TenantID, found.TenantID)

	postback.Visitor.PartnerID = rig.Partner // the advertiser's own partner has no part in it
	_, ok, err = rig.ClickOfVisitor(t.Context(), &postback)
	require.NoError(t, err)
	require.False(t, ok)
}

// Rule 59: the postback is under the advertiser's security; the publisher's entry of it asks for nothing.
func TestRule59TheAdvertisersSecurity(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("buy")})
	rig.Set("UPDATE advertisers SET security_token_hash = $1 WHERE id = $2", rig.Keys.Hash("token"), rig.AdvertiserID)
	click := rig.Click(offer)
	require.Equal(t, domain.ReasonBadSignature, rig.Post(click, "buy").Reason)
	answer := rig.Post(click, "buy", func(p *domain.Postback) { p.TokenHashes = rig.Keys.Hashes("token") })
	require.Equal(t, domain.OutcomeAccepted, answer.Outcome)

	rig.Publisher.Set("UPDATE advertisers SET security_token_hash = $1 WHERE id = $2", rig.Keys.Hash("theirs"), rig.AdvertiserID)
	require.Equal(t, domain.ReasonBadSignature, rig.Post(rig.Click(offer), "buy", func(p *domain.Postback) { p.TokenHashes = rig.Keys.Hashes("theirs") }).Reason)
}

// Rule 14 in the advertiser's book: what comes early is held there, and decided when its predecessor lands.
func TestRule58HeldByTheAdvertiser(t *testing.T) {
	t.Parallel()
	rig := activitytest.NewShared(t, 4)
	offer, _ := rig.SharedOffer([]domain.Event{activitytest.Goal("first", activitytest.Numbered(1)), activitytest.Goal("second", activitytest.Numbered(2))})
	click := rig.Click(offer)
	require.Equal(t, domain.OutcomeHeld, rig.Post(click, "second").Outcome)
	require.Equal(t, rig.TenantID, activitytest.Value[uuid.UUID](rig.Rig, "SELECT tenant_id FROM held_postbacks"))
	require.Equal(t, domain.OutcomeAccepted, rig.Post(click, "first").Outcome)
	require.Equal(t, 2, activitytest.Value[int](rig.Rig, "SELECT count(*) FROM conversions WHERE side = 'advertiser' AND status = 'Success'"))
	require.Zero(t, activitytest.Value[int](rig.Rig, "SELECT count(*) FROM held_postbacks"))
}
