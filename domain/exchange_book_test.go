package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRule58Follow(t *testing.T) {
	t.Parallel()
	at := func(minute int) time.Time { return time.Date(2026, 3, 4, 12, minute, 0, 0, time.UTC) }
	amount := Micros(7)
	was, adjusted := Figures{Revenue: 25}, Figures{Amount: &amount, Revenue: 20, Payout: 999, Reward: 999}
	own := Figures{Amount: &amount, Revenue: 999, Payout: 3, Reward: 50}
	steps := []Step{
		{Sequence: 1, To: StatusPending, At: at(1)},
		{Sequence: 2, From: StatusPending, To: StatusPending, At: at(2), Before: &was, After: &adjusted},
		{Sequence: 3, From: StatusPending, To: StatusSuccess, At: at(3)},
		{Sequence: 4, From: StatusSuccess, To: StatusSuccess, At: at(4), Before: &adjusted, After: &was},
		{Sequence: 5, From: StatusSuccess, To: StatusRejected, Reason: ReasonReversed, At: at(5)},
	}
	standings, err := ReplayHistory(steps, was, own, nil)
	require.NoError(t, err)
	first, second := Figures{Revenue: 25, Payout: 3, Reward: 50}, Figures{Amount: &amount, Revenue: 20, Payout: 3, Reward: 50}
	for i, want := range []struct {
		figures, posts Figures
		decided        time.Time
		review         bool
	}{
		{first, Figures{}, time.Time{}, true},
		{second, Figures{}, time.Time{}, true},
		{second, Figures{Revenue: 20, Payout: 3, Reward: 50}, at(3), false},
		{first, Figures{Revenue: 5}, at(3), false},
		{first, Figures{Revenue: -25, Payout: -3, Reward: -50}, at(5), false},
	} {
		is := standings[i]
		require.Equal(t, []any{want.figures, want.posts, want.review}, []any{is.Figures, is.Posts, is.NeedsReview}, "step %d", i+1)
		if want.decided.IsZero() {
			require.Nil(t, is.DecidedAt, "step %d", i+1)
		} else {
			require.Equal(t, want.decided, *is.DecidedAt, "step %d", i+1)
		}
	}
	releaseAt := at(60)
	standings, err = ReplayHistory(steps[:1], was, own, &releaseAt)
	require.NoError(t, err)
	require.False(t, standings[0].NeedsReview, "rule 22: the timer releases it")

	for _, broken := range [][]Step{steps[1:], {steps[0], steps[2]}, {steps[0], {Sequence: 2, From: StatusSuccess, To: StatusRejected}}, {{Sequence: 2, To: StatusPending}}} {
		_, err := ReplayHistory(broken, was, own, nil)
		require.Error(t, err)
	}
}

// Rule 42: what a life posts folds to what it is worth at the end, in each account.
func TestRule42FollowFoldsToTheLastFigures(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		money := rapid.Map(rapid.Int64Range(0, 1_000_000_000), func(n int64) Micros { return Micros(n) })
		is := Figures{Revenue: money.Draw(t, "revenue")}
		own := Figures{Payout: money.Draw(t, "payout"), Reward: money.Draw(t, "reward")}
		status, steps := Status(""), []Step(nil)
		for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
			step := Step{Sequence: int64(i) + 1, From: status, To: rapid.SampledFrom([]Status{StatusPending, StatusSuccess, StatusRejected}).Draw(t, "to")}
			if status != "" && rapid.Bool().Draw(t, "adjust") {
				before := is
				is.Revenue = money.Draw(t, "revenue")
				after := is
				step.To, step.Before, step.After = status, &before, &after
			}
			status, steps = step.To, append(steps, step)
		}
		standings, err := ReplayHistory(steps, is, own, nil)
		require.NoError(t, err)
		var booked Figures
		for _, standing := range standings {
			booked = Figures{Revenue: booked.Revenue + standing.Posts.Revenue, Payout: booked.Payout + standing.Posts.Payout, Reward: booked.Reward + standing.Posts.Reward}
		}
		worth := Figures{Revenue: is.Revenue, Payout: own.Payout, Reward: own.Reward}
		require.Equal(t, worth.Booked(status), booked)
	})
}

// Rules 36, 39, 57 and 66: of the advertiser's one figure the publisher gives what its own terms say.
func TestRule57PublishersOwnFigures(t *testing.T) {
	t.Parallel()
	micros := func(text string) *Micros {
		m, err := ParseMicros(text)
		require.NoError(t, err)
		return &m
	}
	partner, tier, event := uuid.New(), uuid.New(), uuid.New()
	for name, c := range map[string]struct {
		change         func(*Offer, *Event, *PublisherTerms)
		payout, reward string
		kind           AppliedKind
	}{
		"flat":          {func(*Offer, *Event, *PublisherTerms) {}, "1", "100", AppliedEvent},
		"its ratio":     {func(_ *Offer, e *Event, _ *PublisherTerms) { e.UseDefaultRatio = true }, "1", "50", AppliedEvent},
		"no ratio":      {func(_ *Offer, e *Event, p *PublisherTerms) { e.UseDefaultRatio, p.RewardRatio = true, nil }, "1", "100", AppliedEvent},
		"no reward":     {func(_ *Offer, e *Event, _ *PublisherTerms) { e.HasReward = false }, "1", "0", AppliedEvent},
		"share of sale": {func(o *Offer, _ *Event, _ *PublisherTerms) { o.ConversionType = ConversionTypeRevShare }, "0.10", "10", AppliedEvent},
		"its tier": {func(_ *Offer, e *Event, _ *PublisherTerms) {
			e.PayoutTiers = map[string]Micros{tier.String(): 7 * MicrosPerUnit}
		}, "7", "100", AppliedTier},
		"private":          {func(_ *Offer, e *Event, _ *PublisherTerms) { e.IsPrivate = true }, "0", "100", AppliedPrivate},
		"no partner":       {func(_ *Offer, _ *Event, p *PublisherTerms) { p.Click.PartnerID, p.Partner = nil, nil }, "0", "100", ""},
		"event is unknown": {func(_ *Offer, e *Event, _ *PublisherTerms) { e.ID = uuid.New() }, "0", "0", ""},
	} {
		offer := &Offer{ConversionType: ConversionTypeFlatRate, Events: []Event{{
			ID: event, HasRevenue: true, Revenue: micros("2.5"), HasReward: true, Reward: micros("100"), GoalSettings: GoalSettings{Payout: micros("1")},
		}}}
		terms := PublisherTerms{
			Offer: offer, Click: Click{PartnerID: &partner}, RewardRatio: micros("20"), Partner: &PartnerTerms{TierID: &tier, TierName: "Gold"},
		}
		c.change(offer, &offer.Events[0], &terms)
		own, err := terms.Figures(event, micros("10"), *micros("2.5"))
		require.NoError(t, err)
		require.Equal(t, []Micros{*micros(c.payout), *micros(c.reward)}, []Micros{own.Payout, own.Reward}, name)
		if c.kind == "" {
			require.Nil(t, own.PayoutRule, name)
			require.Nil(t, own.RevenueRule, name)
		} else {
			require.Equal(t, []AppliedKind{c.kind, AppliedEvent}, []AppliedKind{own.PayoutRule.Kind, own.RevenueRule.Kind}, name)
		}
	}
}
