package domain

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLedgerLines(t *testing.T) {
	p := posting()
	lines := p.Lines(false)
	want := []LedgerLine{
		{1, AccountAdvertiserReceivable, p.AdvertiserID.String(), "USD", 5},
		{2, AccountPublisherRevenue, "", "USD", -5},
		{3, AccountPayoutExpense, "", "USD", 3},
		{4, AccountPartnerPayable, p.PartnerID.String(), "USD", -3},
		{5, AccountMemberPoints, "member-1", CurrencyPoints, 100},
		{6, AccountRewardIssued, "", CurrencyPoints, -100},
	}
	require.Equal(t, want, lines, "rule 41: receivable, revenue, payout and reward in one transaction")

	for i, line := range p.Lines(true) {
		want[i].Amount = -want[i].Amount
		require.Equal(t, want[i], line, "rule 23: a reversal posts the negative")
	}
	nobody := p
	nobody.PartnerID, nobody.MemberID = nil, nil
	require.Len(t, nobody.Lines(false), 2, "rule 41: nobody to pay, nobody to credit")
	require.Empty(t, Posting{Currency: "USD", AdvertiserID: uuid.New()}.Lines(false), "a figure of zero has no line")
}

// rule 58: the advertiser's book has its cost alone, against what it owes the publisher.
func TestLedgerLinesOfAnAdvertiser(t *testing.T) {
	p := posting()
	publisher := uuid.New()
	p.Side, p.PublisherTenantID = SideAdvertiser, &publisher
	require.Equal(t, []LedgerLine{
		{1, AccountAdvertisingExpense, p.AdvertiserID.String(), "USD", 5},
		{2, AccountPublisherPayable, publisher.String(), "USD", -5},
	}, p.Lines(false))
	require.Equal(t, Micros(-5), p.Lines(true)[0].Amount)
	p.Side = SidePublisher
	require.Len(t, p.Lines(false), 6, "the publisher's is like an owner's")
}

// rule 41: whatever the figures, each currency sums to zero, and a reversal takes back every line.
func TestLedgerLinesBalance(t *testing.T) {
	figure := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 999_999_999_999_999_999))
	rapid.Check(t, func(t *rapid.T) {
		p := posting()
		p.Revenue, p.Payout, p.Reward = Micros(figure.Draw(t, "revenue")), Micros(figure.Draw(t, "payout")), Micros(figure.Draw(t, "reward"))
		if rapid.Bool().Draw(t, "no partner") {
			p.PartnerID = nil
		}
		if rapid.Bool().Draw(t, "no member") {
			p.MemberID = nil
		}
		type account struct {
			name            Account
			party, currency string
		}
		sums, books := map[string]Micros{}, map[account]Micros{}
		for _, negative := range []bool{false, true} {
			for i, line := range p.Lines(negative) {
				require.Equal(t, i+1, line.Line)
				require.NotZero(t, line.Amount)
				sums[line.Currency] += line.Amount
				books[account{line.Account, line.Party, line.Currency}] += line.Amount
			}
			for currency, sum := range sums {
				require.Zero(t, sum, currency)
			}
		}
		for account, balance := range books {
			require.Zero(t, balance, "after the reversal: %v", account)
		}
	})
}
