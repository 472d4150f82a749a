package domain

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestAdjust(t *testing.T) {
	was := Figures{Amount: figureOfText("50"), Revenue: 10, Payout: 4, Reward: 100}
	with := func(change func(*Figures)) Figures {
		is := was
		change(&is)
		return is
	}
	less := Micros(3)
	nothing, below := Micros(0), Micros(-1)
	for _, c := range []struct {
		name   string
		status Status
		by     Adjustment
		is     Figures
		err    error
	}{
		{"rule 24: a person sets a figure, the others stay", StatusSuccess, Adjustment{Revenue: &less}, with(func(f *Figures) { f.Revenue = 3 }), nil},
		{"all of them", StatusSuccess, Adjustment{figureOfText("7"), &less, &less, &less}, Figures{figureOfText("7"), 3, 3, 3}, nil},
		{"the amount alone moves no money", StatusSuccess, Adjustment{Amount: figureOfText("7")}, with(func(f *Figures) { f.Amount = figureOfText("7") }), nil},
		{"down to nothing", StatusSuccess, Adjustment{Reward: &nothing}, with(func(f *Figures) { f.Reward = 0 }), nil},
		{"while Pending too", StatusPending, Adjustment{Payout: &less}, with(func(f *Figures) { f.Payout = 3 }), nil},
		{"rule 25: never below nothing", StatusSuccess, Adjustment{Reward: &below}, was, ErrNegativeFigure},
		{"nor a negative sale", StatusSuccess, Adjustment{Amount: &below}, was, ErrNegativeFigure},
		{"a rejected one is worth nothing", StatusRejected, Adjustment{Revenue: &less}, was, ErrAdjustRejected},
		{"nothing given", StatusSuccess, Adjustment{}, was, ErrNothingAdjusted},
		{"the same again", StatusSuccess, Adjustment{Amount: figureOfText("50"), Reward: &was.Reward}, was, ErrNothingAdjusted},
	} {
		t.Run(c.name, func(t *testing.T) {
			is, err := Adjust(SideOwner, c.status, was, c.by)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.is, is)
		})
	}
}

// rules 25, 41, 42: over any life of approvals, adjustments, rejections and reversals, every
// transaction balances and their fold is what the conversion is worth now: its figures as a Success,
// nothing else.
func TestTheLedgerFoldsToTheCurrentFigures(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		partner, member := uuid.New(), "member"
		micros := rapid.Int64Range(0, 1_000_000_000)
		draw := func(name string) *Micros {
			if rapid.Bool().Draw(t, name+" given") {
				m := Micros(micros.Draw(t, name))
				return &m
			}
			return nil
		}
		c := Conversion{Status: rapid.SampledFrom([]Status{StatusPending, StatusSuccess, StatusRejected}).Draw(t, "status"), NeedsReview: true}
		if c.Status == StatusRejected {
			c.Reason = ReasonTooSoon
		}
		worth := Figures{Revenue: Micros(micros.Draw(t, "revenue")), Payout: Micros(micros.Draw(t, "payout")), Reward: Micros(micros.Draw(t, "reward"))}
		balance := map[Account]Micros{}
		post := func(before, after Figures) {
			d := after.Less(before)
			sum := map[string]Micros{}
			lines := Posting{Currency: "USD", Revenue: d.Revenue, Payout: d.Payout, Reward: d.Reward, PartnerID: &partner, MemberID: &member}.Lines(false)
			for _, line := range lines {
				balance[line.Account] += line.Amount
				sum[line.Currency] += line.Amount
			}
			for currency, total := range sum {
				if total != 0 {
					t.Fatalf("a transaction of %s sums to %s", currency, total)
				}
			}
		}
		post(Figures{}, worth.Booked(c.Status))
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			before := worth.Booked(c.Status)
			if rapid.Bool().Draw(t, "adjust") {
				is, err := Adjust(SideOwner, c.Status, worth, Adjustment{Revenue: draw("revenue"), Payout: draw("payout"), Reward: draw("reward")})
				if err != nil {
					continue
				}
				worth = is
			} else {
				action := rapid.SampledFrom([]Action{ActionApprove, ActionReject, ActionReverse}).Draw(t, "action")
				status, reason, err := Move(c, action, clickedAt)
				if err != nil {
					continue
				}
				c.Status, c.Reason = status, reason
			}
			post(before, worth.Booked(c.Status))
		}
		want := worth.Booked(c.Status)
		if balance[AccountAdvertiserReceivable] != want.Revenue || balance[AccountPayoutExpense] != want.Payout || balance[AccountMemberPoints] != want.Reward {
			t.Fatalf("%s worth %+v, booked %v", c.Status, want, balance)
		}
		if balance[AccountMemberPoints] < 0 {
			t.Fatalf("rule 25: a net reward of %s", balance[AccountMemberPoints])
		}
	})
}
