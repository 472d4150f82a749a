package activitytest

import (
	"context"

	"github.com/stretchr/testify/require"
)

// books are questions about everything that is stored, each of which must find nothing. They hold
// after every test.
var books = []struct{ rule, wrong string }{
	{"rule 5: two live conversions of one event and click", `
		SELECT click_id::text FROM conversions WHERE status <> 'Rejected' AND unique_per <> 'none' GROUP BY tenant_id, click_id, event_id HAVING count(*) > 1`},
	{"rule 6: two live conversions of one event and member", `
		SELECT coalesce(member_key, pub_member_id) FROM conversions WHERE status <> 'Rejected' AND unique_per = 'member'
		GROUP BY tenant_id, coalesce(member_key, pub_member_id), event_id HAVING count(*) > 1`},
	{"rule 12 of the invariants: one transition per state change", `
		SELECT c.id::text FROM conversions c LEFT JOIN transitions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id
		GROUP BY c.tenant_id, c.id HAVING count(t.sequence) <> c.sequence OR min(t.sequence) <> 1 OR max(t.sequence) <> c.sequence`},
	{"the last transition is how the conversion stands", `
		SELECT c.id::text FROM conversions c JOIN transitions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id AND t.sequence = c.sequence
		WHERE (t.to_status, t.reason) <> (c.status, c.rejection_reason)`},
	{"exactly one news per transition, with its sequence", `
		SELECT coalesce(t.conversion_id::text, o.payload->>'conversionId') FROM transitions t
		FULL JOIN (SELECT payload FROM outbox WHERE subject = 'offerflow.events.conversion') o
			ON o.payload->>'tenantId' = t.tenant_id::text AND o.payload->>'conversionId' = t.conversion_id::text AND (o.payload->>'sequence')::bigint = t.sequence AND o.payload->>'status' = t.to_status
		GROUP BY 1, coalesce(t.tenant_id::text, o.payload->>'tenantId'), t.sequence, o.payload->>'sequence' HAVING count(*) <> 1 OR count(t.conversion_id) <> 1 OR count(o.payload) <> 1`},
	{"rule 41: a transaction that does not sum to zero", `
		SELECT transaction_id::text FROM ledger_entries GROUP BY transaction_id, currency HAVING sum(amount_micros) <> 0`},
	{"rule 42: a ledger transaction without its transition", `
		SELECT l.id::text FROM ledger_transactions l LEFT JOIN transitions t USING (tenant_id, conversion_id, sequence) WHERE t.conversion_id IS NULL`},
	{"rule 25: the net of a life is the reward of a success or nothing", `
		SELECT c.id::text FROM conversions c LEFT JOIN ledger_transactions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id LEFT JOIN ledger_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
		GROUP BY c.tenant_id, c.id HAVING coalesce(sum(e.amount_micros) FILTER (WHERE e.account = 'member_points'), 0)
			<> CASE WHEN c.status = 'Success' AND NOT c.is_test AND c.pub_member_id IS NOT NULL THEN c.reward_micros ELSE 0 END`},
	{"rule 41: revenue and payout of a success are posted, of nothing else", `
		SELECT c.id::text FROM conversions c LEFT JOIN ledger_transactions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id LEFT JOIN ledger_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
		GROUP BY c.tenant_id, c.id HAVING coalesce(sum(e.amount_micros) FILTER (WHERE e.account = 'advertiser_receivable'), 0)
				<> CASE WHEN c.status = 'Success' AND NOT c.is_test AND c.side <> 'advertiser' THEN c.revenue_micros ELSE 0 END
			OR coalesce(-sum(e.amount_micros) FILTER (WHERE e.account = 'partner_payable'), 0)
				<> CASE WHEN c.status = 'Success' AND NOT c.is_test AND c.partner_id IS NOT NULL THEN c.payout_micros ELSE 0 END`},
	{"rule 42: a balance that is not the fold of its entries", `
		SELECT coalesce(b.pub_member_id, e.party) FROM member_balances b FULL JOIN (SELECT tenant_id, party, sum(amount_micros) AS points
			FROM ledger_entries WHERE account = 'member_points' GROUP BY 1, 2) e ON e.tenant_id = b.tenant_id AND e.party = b.pub_member_id
		WHERE coalesce(b.points_micros, 0) <> coalesce(e.points, 0)`},
	{"rule 28: a counter that is not the recount of what is live", `
		SELECT k.scope || ' ' || k.period || ' ' || k.period_start || ': ' || k.value FROM cap_counters k WHERE k.value <> (
			SELECT CASE WHEN k.scope = 'budget' THEN coalesce(sum(c.revenue_micros), 0) ELSE count(*) END FROM conversions c
			WHERE c.tenant_id = k.tenant_id AND c.is_counted
				AND k.scope_id = CASE k.scope WHEN 'event' THEN c.event_id WHEN 'partner' THEN c.partner_id ELSE c.offer_id END
				AND CASE k.period WHEN 'day' THEN c.counted_day WHEN 'week' THEN c.counted_week WHEN 'month' THEN c.counted_month ELSE k.period_start END = k.period_start)`},
	{"rule 28: counted means live", `SELECT id::text FROM conversions WHERE is_counted AND status = 'Rejected'`},
	{"rule 14: held rows are those whose postback is held", `
		SELECT coalesce(h.postback_id, p.id)::text FROM held_postbacks h FULL JOIN (SELECT id FROM postbacks WHERE outcome = 'held') p ON p.id = h.postback_id
		WHERE h.postback_id IS NULL OR p.id IS NULL`},
	{"rule 70: what is counted as a click are the accepted postbacks without a conversion", `
		SELECT coalesce(g.postback_id, p.id)::text FROM goal_clicks g
		FULL JOIN (SELECT id FROM postbacks WHERE outcome = 'accepted' AND conversion_id IS NULL) p ON p.id = g.postback_id
		WHERE g.postback_id IS NULL OR p.id IS NULL`},
	{"every conversion is its postback's, which is in the book that decided it (rule 59)", `
		SELECT c.id::text FROM conversions c LEFT JOIN postbacks p ON p.tenant_id = c.tenant_id AND p.id = c.postback_id AND p.conversion_id = c.id
		WHERE (p.id IS NULL) <> (c.side = 'publisher')`},
	{"rule 58: the advertiser's cost is posted for a success, and nothing else of a shared offer in its book", `
		SELECT c.id::text FROM conversions c LEFT JOIN ledger_transactions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id LEFT JOIN ledger_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id
		GROUP BY c.tenant_id, c.id HAVING coalesce(sum(e.amount_micros) FILTER (WHERE e.account = 'advertising_expense'), 0)
				<> CASE WHEN c.status = 'Success' AND NOT c.is_test AND c.side = 'advertiser' THEN c.revenue_micros ELSE 0 END
			OR c.side = 'advertiser' AND count(*) FILTER (WHERE e.account NOT IN ('advertising_expense', 'publisher_payable')) > 0`},
	{"rule 57: an advertiser's row has no payout, no reward, and nothing of the publisher's members", `
		SELECT id::text FROM conversions WHERE side = 'advertiser' AND (payout_micros, reward_micros) <> (0, 0)
		UNION ALL SELECT id::text FROM conversions WHERE side = 'advertiser' AND (partner_id IS NOT NULL OR pub_member_id IS NOT NULL)
		UNION ALL SELECT id::text FROM clicks WHERE side = 'advertiser' AND (partner_id IS NOT NULL OR pub_member_id IS NOT NULL OR ip <> '' OR pub_subs <> '{}')`},
	{"rule 58: a publisher's row is nobody's to count or to hold", `
		SELECT id::text FROM conversions WHERE side = 'publisher' AND is_counted
		UNION ALL SELECT h.postback_id::text FROM held_postbacks h JOIN clicks c ON c.tenant_id = h.tenant_id AND c.id = h.click_id WHERE c.side = 'publisher'`},
	{"rule 58: a publisher's row is the copy of an advertiser's, no further on than it", `
		SELECT p.id::text FROM conversions p LEFT JOIN conversions a ON a.id = p.id AND a.side = 'advertiser'
		WHERE p.side = 'publisher' AND (a.id IS NULL OR p.sequence > a.sequence OR (p.sequence = a.sequence
			AND (p.status, p.rejection_reason, p.revenue_micros, p.event_id) <> (a.status, a.rejection_reason, a.revenue_micros, a.event_id)))`},
	{"rule 58: every transition in an advertiser's book is told to the publisher's, once", `
		SELECT t.conversion_id::text FROM transitions t JOIN conversions c ON c.tenant_id = t.tenant_id AND c.id = t.conversion_id AND c.side = 'advertiser'
		LEFT JOIN outbox o ON o.subject = 'offerflow.events.exchange' AND o.payload->>'conversionId' = t.conversion_id::text AND (o.payload->>'sequence')::bigint = t.sequence
		GROUP BY t.conversion_id, t.sequence HAVING count(o.payload) <> 1`},
}

// RequireBooks checks the invariants of everything that is stored.
func (rig *Rig) RequireBooks() {
	rig.T.Helper()
	ctx := context.WithoutCancel(rig.T.Context())
	for _, book := range books {
		rows, err := rig.Store.SystemPool().Query(ctx, book.wrong)
		require.NoError(rig.T, err, book.rule)
		var wrong []string
		for rows.Next() {
			var one string
			require.NoError(rig.T, rows.Scan(&one))
			wrong = append(wrong, one)
		}
		require.NoError(rig.T, rows.Err(), book.rule)
		require.Empty(rig.T, wrong, book.rule)
	}
}
