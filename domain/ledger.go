package domain

import "github.com/google/uuid"

// Account is a line's place in a tenant's book (rule 41).
type Account string

// The accounts. Money: what the advertiser owes against the publisher's revenue, and the payout's
// expense against what is owed to the partner. Points: what was issued against the member's. In an
// advertiser's own book, of a shared offer, its cost is an expense against what it owes the publisher.
const (
	AccountAdvertiserReceivable Account = "advertiser_receivable"
	AccountPublisherRevenue     Account = "publisher_revenue"
	AccountPayoutExpense        Account = "payout_expense"
	AccountPartnerPayable       Account = "partner_payable"
	AccountRewardIssued         Account = "reward_issued"
	AccountMemberPoints         Account = "member_points"
	AccountAdvertisingExpense   Account = "advertising_expense"
	AccountPublisherPayable     Account = "publisher_payable"
)

// CurrencyPoints is the ledger's currency of rewards; the others are ISO 4217.
const CurrencyPoints = "PTS"

// LedgerLine is one entry of a ledger transaction; its JSON form is what the database reads.
type LedgerLine struct {
	Line     int     `json:"line"`
	Account  Account `json:"account"`
	Party    string  `json:"party"`
	Currency string  `json:"currency"`
	Amount   Micros  `json:"amountMicros"`
}

// Posting is what a success posts.
type Posting struct {
	// Side is whose book it is; the zero Side is an owner's.
	Side                    Side
	Currency                string
	Revenue, Payout, Reward Micros
	AdvertiserID            uuid.UUID
	PartnerID               *uuid.UUID
	// MemberID is nil if no member can be credited.
	MemberID *string
	// PublisherTenantID is whom an advertiser owes.
	PublisherTenantID *uuid.UUID
}

// Lines are the balanced lines of a success; a figure of zero has none. A reversal posts the same
// with negative set (rules 23, 41).
func (p Posting) Lines(negative bool) []LedgerLine {
	var lines []LedgerLine
	pair := func(amount Micros, currency string, debit Account, debitParty string, credit Account, creditParty string) {
		if amount == 0 {
			return
		}
		if negative {
			amount = -amount
		}
		lines = append(lines,
			LedgerLine{len(lines) + 1, debit, debitParty, currency, amount},
			LedgerLine{len(lines) + 2, credit, creditParty, currency, -amount})
	}
	if p.Side == SideAdvertiser { // rule 58: payout and reward are in the publisher's book
		publisher := ""
		if p.PublisherTenantID != nil {
			publisher = p.PublisherTenantID.String()
		}
		pair(p.Revenue, p.Currency, AccountAdvertisingExpense, p.AdvertiserID.String(), AccountPublisherPayable, publisher)
		return lines
	}
	pair(p.Revenue, p.Currency, AccountAdvertiserReceivable, p.AdvertiserID.String(), AccountPublisherRevenue, "")
	if p.PartnerID != nil {
		pair(p.Payout, p.Currency, AccountPayoutExpense, "", AccountPartnerPayable, p.PartnerID.String())
	}
	if p.MemberID != nil {
		pair(p.Reward, CurrencyPoints, AccountMemberPoints, *p.MemberID, AccountRewardIssued, "")
	}
	return lines
}
