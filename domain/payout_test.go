package domain

import (
	"math/big"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func revShare(o *Offer) { o.ConversionType = ConversionTypeRevShare }

func money(revenue, payout, reward *Micros) func(*Event) {
	return func(e *Event) { e.Revenue, e.Payout, e.Reward = revenue, payout, reward }
}

func TestMoney(t *testing.T) {
	ratio := func(e *Event) { e.UseDefaultRatio, e.Reward = true, nil }
	noRevenue := func(e *Event) { e.HasRevenue = false }
	noReward := func(e *Event) { e.HasReward = false }
	private := func(e *Event) { e.IsPrivate = true }
	nobody := func(p *play) { p.facts.Click.PartnerID = nil }
	tens := func(p *play) { p.facts.RewardRatio = decimal("10") }
	flat := money(decimal("2.5"), decimal("1.25"), decimal("100"))
	share := money(decimal("10"), decimal("7.5"), decimal("250"))
	for _, c := range []struct {
		name                    string
		offer                   *Offer
		set                     func(*play)
		amount                  string
		revenue, payout, reward string
	}{
		{"rule 35: flat figures", multiOffer(goal("A", flat)), nil, "", "2.50", "1.25", "100.00"},
		{"rule 35: FlatRate ignores the amount", multiOffer(goal("A", flat)), nil, "1000", "2.50", "1.25", "100.00"},
		{"rule 35: FlatRate ignores what is no amount", multiOffer(goal("A", flat)), nil, "ten", "2.50", "1.25", "100.00"},
		{"rule 35: percent of the sale", changedOffer(multiOffer(goal("A", share)), revShare), nil, "20", "2.00", "1.50", "50.00"},
		{"rule 35: a sale of nothing", changedOffer(multiOffer(goal("A", share)), revShare), nil, "0", "0.00", "0.00", "0.00"},
		{"rule 36: the tenant's ratio", multiOffer(goal("A", flat, ratio)), tens, "", "2.50", "1.25", "25.00"},
		{"rule 36: the ratio of a share", changedOffer(multiOffer(goal("A", share, ratio)), revShare), tens, "20", "2.00", "1.50", "20.00"},
		{"rule 36: the ratio of no revenue", multiOffer(goal("A", flat, ratio, noRevenue)), tens, "", "0.00", "1.25", "0.00"},
		{"rule 36: a value stands in for the ratio", multiOffer(goal("A", flat, func(e *Event) { e.UseDefaultRatio = true })), nil, "", "2.50", "1.25", "100.00"},
		{"rule 36: no ratio and no value", multiOffer(goal("A", flat, ratio)), nil, "", "2.50", "1.25", "0.00"},
		{"rule 36: hasRevenue false", multiOffer(goal("A", flat, noRevenue)), nil, "", "0.00", "1.25", "100.00"},
		{"rule 36: hasReward false", multiOffer(goal("A", flat, noReward)), tens, "", "2.50", "1.25", "0.00"},
		{"rule 36: hasReward false with the ratio", multiOffer(goal("A", flat, noReward, ratio)), tens, "", "2.50", "1.25", "0.00"},
		{"rule 37: half to even, down", changedOffer(multiOffer(goal("A", money(decimal("50"), nil, nil))), revShare), nil, "0.000001", "0.00", "0.00", "0.00"},
		{"rule 37: half to even, up", changedOffer(multiOffer(goal("A", money(decimal("50"), nil, nil))), revShare), nil, "0.000003", "0.000002", "0.00", "0.00"},
		{"rule 39: nobody to pay", multiOffer(goal("A", flat)), nobody, "", "2.50", "0.00", "100.00"},
		{"rule 39: private goals pay nothing", multiOffer(goal("A", flat, private)), nil, "", "2.50", "0.00", "100.00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(c.offer)
			if c.set != nil {
				c.set(p)
			}
			n := p.post(time.Hour, "A", amount(c.amount)).New
			require.Equal(t, []string{c.revenue, c.payout, c.reward}, []string{n.Revenue.String(), n.Payout.String(), n.Reward.String()})
		})
	}
}

func TestAmountsAndCurrencies(t *testing.T) {
	share, flat := changedOffer(multiOffer(goal("A")), revShare), multiOffer(goal("A"))
	post := func(with ...func(*Postback)) func(*play) Decision {
		return func(p *play) Decision { return p.post(time.Hour, "A", with...) }
	}
	runRules(t, []ruleCase{
		{"rule 35: none", share, post(), OutcomeRejected, ReasonMissingAmount},
		{"rule 35: negative", share, post(amount("-1")), OutcomeRejected, ReasonMissingAmount},
		{"rule 35: an exponent", share, post(amount("1e3")), OutcomeAccepted, ReasonNone},
		{"rule 35: thirteen digits", share, post(amount("1000000000000")), OutcomeRejected, ReasonMissingAmount},
		{"rule 35: seven places", share, post(amount("1.0000000")), OutcomeAccepted, ReasonNone},
		{"rule 35: a comma", share, post(amount("1,50")), OutcomeRejected, ReasonMissingAmount},
		{"rule 35: zero is allowed", share, post(amount("0")), OutcomeAccepted, ReasonNone},
		{"rule 35: as large as it may be", share, post(amount("999999999999.999999")), OutcomeAccepted, ReasonNone},
		{"rule 35: FlatRate does without", flat, post(), OutcomeAccepted, ReasonNone},
		{"rule 38: the tenant's own", flat, post(currency("USD")), OutcomeAccepted, ReasonNone},
		{"rule 38: none is the tenant's own", flat, post(currency("")), OutcomeAccepted, ReasonNone},
		{"rule 38: another", flat, post(currency("EUR")), OutcomeRejected, ReasonCurrencyMismatch},
		{"rule 38: also of FlatRate with no amount", flat, post(currency("PTS")), OutcomeRejected, ReasonCurrencyMismatch},
	})
	require.Equal(t, decimal("7"), newPlay(flat).post(0, "A", amount("7")).New.Amount, "rule 35: FlatRate stores a well-formed amount")
	require.Nil(t, newPlay(flat).post(0, "A", amount("7,0")).New.Amount)
}

// rules 35, 37: a share of the sale is the exact product, rounded once, whatever the figures.
func TestSharesAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sale := Micros(rapid.Int64Range(0, 999_999_999_999_999_999).Draw(t, "sale"))
		percent := Micros(rapid.Int64Range(0, 100*MicrosPerUnit).Draw(t, "percent"))
		p := newPlay(changedOffer(multiOffer(goal("A", money(&percent, &percent, &percent))), revShare))
		n := p.post(0, "A", amount(shortDecimal(sale))).New
		require.Equal(t, []Micros{n.Revenue, n.Revenue}, []Micros{n.Payout, n.Reward})
		exact := new(big.Int).Mul(big.NewInt(int64(sale)), big.NewInt(int64(percent)))
		off := exact.Sub(exact, new(big.Int).Mul(big.NewInt(int64(n.Revenue)), big.NewInt(100*MicrosPerUnit)))
		require.LessOrEqual(t, off.Abs(off).Int64(), int64(50*MicrosPerUnit))
	})
}

// rule 37: a figure that no book can hold is nothing rather than something wrong.
func TestFiguresThatOverflow(t *testing.T) {
	huge := money(decimal("100"), nil, decimal("999999999999"))
	p := newPlay(changedOffer(multiOffer(goal("A", huge)), revShare))
	n := p.post(0, "A", amount("999999999999")).New
	require.Equal(t, "999999999999.00", n.Revenue.String())
	require.Zero(t, n.Reward)
}

func posting() Posting {
	partner, member := uuid.New(), "member-1"
	return Posting{Currency: "USD", Revenue: 5, Payout: 3, Reward: 100, AdvertiserID: uuid.New(), PartnerID: &partner, MemberID: &member}
}
