package domain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Rules 57, 58: in the advertiser's book a conversion has one figure, its cost, and its member is known
// by key.
func TestDecideInTheAdvertisersBook(t *testing.T) {
	p := newPlay(multiOffer(goal("buy", func(e *Event) { e.Payout = decimal("1") })))
	p.facts.Side, p.facts.Click.PubMemberID, p.facts.Click.PartnerID = SideAdvertiser, nil, nil
	p.facts.Click.MemberKey = MemberKeyPrefix + "key"
	n := p.post(0, "buy").New
	require.Equal(t, []Micros{2_500_000, 0, 0}, []Micros{n.Revenue, n.Payout, n.Reward})
	require.Equal(t, UniquePerMember, n.UniquePer, "rule 6 goes by the key")

	p.facts.Click.MemberKey = VisitorKeyPrefix + "key"
	p.facts.Session = nil
	require.Equal(t, UniquePerClick, p.post(0, "buy").New.UniquePer, "rule 6: only where the click carries a member")
}

// Rule 35: a person who states the advertiser's one figure needs no sale.
func TestUploadInTheAdvertisersBookNeedsNoSale(t *testing.T) {
	for side, want := range map[Side]bool{SideOwner: true, SideAdvertiser: false} {
		f := Facts{Side: side, Current: &Offer{ConversionType: ConversionTypeRevShare}, Postback: Postback{Upload: &Upload{Revenue: decimal("1")}}}
		require.Equal(t, want, f.needsAmount(), side)
	}
}

// Rules 57, 58: the advertiser adjusts its cost, the publisher nothing.
func TestAdjustBySide(t *testing.T) {
	figure := Micros(3)
	was := Figures{Revenue: 10}
	for _, c := range []struct {
		side Side
		by   Adjustment
		err  error
	}{
		{SideAdvertiser, Adjustment{Revenue: &figure}, nil},
		{SideAdvertiser, Adjustment{Amount: &figure}, nil},
		{SideAdvertiser, Adjustment{Revenue: &figure, Payout: &figure}, ErrPublishersPayout},
		{SideAdvertiser, Adjustment{Reward: &figure}, ErrPublishersReward},
		{SidePublisher, Adjustment{Revenue: &figure}, ErrDecidedByAdvertiser},
		{SidePublisher, Adjustment{Reward: &figure}, ErrDecidedByAdvertiser},
	} {
		is, err := Adjust(c.side, StatusSuccess, was, c.by)
		require.ErrorIs(t, err, c.err)
		if c.err != nil {
			require.Equal(t, was, is)
		}
	}
}
