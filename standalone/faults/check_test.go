package faults

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	enumsspb "go.temporal.io/server/api/enums/v1"

	"github.com/offerflow/offerflow/stream"
)

// rule is an invariant as a query for what breaks it: it must find nothing. $1 is the tenant.
type rule struct{ name, query string }

// always hold at every instant, also between a crash and its healing.
var always = []rule{
	{"2: one conversion per postback", `SELECT postback_id::text FROM conversions WHERE tenant_id = $1 GROUP BY 1 HAVING count(*) > 1`},
	{"3: net reward per click and event", `SELECT c.click_id || ' ' || c.event_id FROM conversions c JOIN ledger_transactions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id
		JOIN ledger_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id AND e.account = 'member_points'
		WHERE c.tenant_id = $1 GROUP BY c.click_id, c.event_id HAVING sum(e.amount_micros) NOT BETWEEN 0 AND max(c.reward_micros)`},
	{"3: net reward per member and event", `SELECT c.pub_member_id || ' ' || c.event_id FROM conversions c JOIN ledger_transactions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id
		JOIN ledger_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id AND e.account = 'member_points'
		WHERE c.tenant_id = $1 GROUP BY c.pub_member_id, c.event_id HAVING sum(e.amount_micros) NOT BETWEEN 0 AND max(c.reward_micros)`},
	{"3: a reward for each success and for nothing else", `SELECT c.id || ' ' || c.status FROM conversions c LEFT JOIN ledger_transactions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id
		LEFT JOIN ledger_entries e ON e.tenant_id = t.tenant_id AND e.transaction_id = t.id AND e.account = 'member_points' WHERE c.tenant_id = $1
		GROUP BY c.tenant_id, c.id HAVING coalesce(sum(e.amount_micros), 0) <> CASE WHEN c.status = 'Success' THEN c.reward_micros ELSE 0 END`},
	{"4: live conversions within the cap", `SELECT event_id || ' ' || count(*) FROM conversions c JOIN offers o ON o.id = c.offer_id
		WHERE c.tenant_id = $1 AND o.name = 'Capped' AND c.status <> 'Rejected' GROUP BY event_id HAVING count(*) > ` + strconv.Itoa(capOf)},
	{"4: what is live is counted", `SELECT id || ' ' || status FROM conversions WHERE tenant_id = $1 AND side <> 'publisher' AND is_counted <> (status <> 'Rejected')`},
	{"4: counters equal a recount", `SELECT k.scope || ' ' || k.scope_id || ' ' || k.period || ': ' || k.value || ' counted' FROM cap_counters k
		LEFT JOIN conversions c ON c.tenant_id = k.tenant_id AND c.is_counted
			AND k.scope_id = CASE k.scope WHEN 'event' THEN c.event_id WHEN 'partner' THEN c.partner_id ELSE c.offer_id END
			AND CASE k.period WHEN 'day' THEN c.counted_day = k.period_start WHEN 'week' THEN c.counted_week = k.period_start
				WHEN 'month' THEN c.counted_month = k.period_start ELSE true END
		WHERE k.tenant_id = $1 GROUP BY k.scope, k.scope_id, k.period, k.period_start, k.value
		HAVING k.value <> coalesce(sum(CASE k.scope WHEN 'budget' THEN c.revenue_micros ELSE 1 END) FILTER (WHERE c.id IS NOT NULL), 0)`},
	{"5: ledger transactions sum to zero", `SELECT transaction_id || ' ' || currency FROM ledger_entries WHERE tenant_id = $1
		GROUP BY transaction_id, currency HAVING sum(amount_micros) <> 0`},
	{"5: a balance is the fold of its entries", `SELECT coalesce(b.pub_member_id, e.party) FROM (SELECT * FROM member_balances WHERE tenant_id = $1) b
		FULL JOIN (SELECT party, sum(amount_micros) AS points FROM ledger_entries WHERE tenant_id = $1 AND account = 'member_points' GROUP BY 1) e
		ON e.party = b.pub_member_id WHERE coalesce(b.points_micros, 0) <> coalesce(e.points, 0)`},
	{"12: a conversion is where its history leads", `SELECT c.id::text FROM conversions c LEFT JOIN transitions t ON t.tenant_id = c.tenant_id AND t.conversion_id = c.id WHERE c.tenant_id = $1
		GROUP BY c.tenant_id, c.id HAVING count(t.*) <> c.sequence OR max(t.sequence) <> c.sequence
		OR c.status <> (array_agg(t.to_status ORDER BY t.sequence DESC))[1]`},
}

// healed hold once nothing is on its way any more.
var healed = []rule{
	{"6: every success and every reversal has its delivery, and it is not superseded", `SELECT t.conversion_id || ' ' || t.sequence FROM transitions t
		LEFT JOIN deliveries d ON d.conversion_id = t.conversion_id AND d.sequence = t.sequence AND d.kind = 'callback'
		WHERE t.tenant_id = $1 AND (t.to_status = 'Success' OR t.from_status = 'Success') AND (d.id IS NULL OR d.state = 'superseded')`},
	{"6: the newest news of every conversion is not superseded", `SELECT c.id || ' ' || c.sequence FROM conversions c
		LEFT JOIN deliveries d ON d.conversion_id = c.id AND d.sequence = c.sequence AND d.kind = 'callback'
		WHERE c.tenant_id = $1 AND (d.id IS NULL OR d.state = 'superseded')`},
	{"6: nothing failed at an endpoint that answers", `SELECT id || ' ' || last_error FROM deliveries WHERE tenant_id = $1 AND state = 'failed'`},
	{"7: an attempt for each count", `SELECT d.id::text FROM deliveries d LEFT JOIN delivery_attempts a ON a.delivery_id = d.id WHERE d.tenant_id = $1
		GROUP BY d.id HAVING count(a.*) <> d.attempts`},
}

// overdue is what must be empty after the last fault healed (invariant 11), over all tenants.
var overdue = []rule{
	{"outbox", `SELECT id::text FROM outbox`},
	{"owed starts", `SELECT id || ' ' || cardinality(clicks) || ' clicks' FROM owed_starts`},
	{"owed waits", `SELECT postback_id::text FROM owed_waits`},
	{"held", `SELECT postback_id || ' by ' || decide_by FROM held_postbacks`},
	{"pending", `SELECT id || ' release ' || release_at FROM conversions WHERE status = 'Pending' AND release_at IS NOT NULL AND NOT needs_review`},
	// Its next attempt may be minutes ahead by its backoff; a lease is half a minute at most.
	{"deliveries", `SELECT id || ' next ' || coalesce(next_attempt_at::text, 'never') FROM deliveries
		WHERE state = 'waiting' AND (next_attempt_at IS NULL OR next_attempt_at < now() + interval '1 minute')`},
}

// inspector looks into everything that a running system keeps.
type inspector struct {
	db       *pgx.Conn
	temporal *pgx.Conn
	js       jetstream.JetStream
}

func inspect(t *testing.T, at ready) *inspector {
	t.Helper()
	ctx := t.Context()
	i := &inspector{}
	var err error
	if i.db, err = pgx.Connect(ctx, at.DatabaseURL); err != nil {
		t.Fatal(err)
	}
	engine, err := url.Parse(at.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	engine.Path = "/temporal"
	if i.temporal, err = pgx.Connect(ctx, engine.String()); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(at.NATSURL)
	if err != nil {
		t.Fatal(err)
	}
	if i.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = i.db.Close(context.Background())
		_ = i.temporal.Close(context.Background())
		nc.Close()
	})
	return i
}

// broken are the first rows that each rule found.
func (i *inspector) broken(ctx context.Context, rules []rule, args ...any) (found []string, err error) {
	for _, r := range rules {
		rows, err := texts(ctx, i.db, r.query, args...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
		if len(rows) > 0 {
			found = append(found, fmt.Sprintf("%s: %d such as %s", r.name, len(rows), strings.Join(rows[:min(3, len(rows))], "; ")))
		}
	}
	return found, nil
}

func texts(ctx context.Context, db *pgx.Conn, query string, args ...any) ([]string, error) {
	rows, err := db.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// unfinished is what is still on its way.
func (i *inspector) unfinished(ctx context.Context) ([]string, error) {
	found, err := i.broken(ctx, overdue)
	if err != nil {
		return nil, err
	}
	for _, one := range [][2]string{
		{stream.Clicks, "clicks"}, {stream.Starts, "starts"}, {stream.Postbacks, "postbacks"}, {stream.Refused, "refused"}, {stream.Events, "callbacks"}, {stream.Events, "deliveries"},
		{stream.Events, "jobs"}, {stream.Events, "exchange"}, {stream.Events, "reconciliations"},
	} {
		consumer, err := i.js.Consumer(ctx, one[0], one[1])
		if err != nil {
			return nil, err
		}
		if info := consumer.CachedInfo(); info.NumPending > 0 || info.NumAckPending > 0 {
			found = append(found, fmt.Sprintf("consumer %s: %d to come, %d in work", one[1], info.NumPending, info.NumAckPending))
		}
	}
	// A notice is made by its workflow, after its news was settled.
	notices, err := texts(ctx, i.temporal, `SELECT workflow_id FROM current_executions WHERE state <> $1 AND workflow_id LIKE 'exchange/%/edit-%'`,
		int32(enumsspb.WORKFLOW_EXECUTION_STATE_COMPLETED))
	if err != nil {
		return nil, err
	}
	for _, id := range notices {
		found = append(found, "notice: workflow "+id)
	}
	return found, nil
}

// lostClicks are clicks whose 302 was received without exactly one row and one workflow (invariant 1).
func (i *inspector) lostClicks(ctx context.Context, tenant string, j *journal) (found []string, err error) {
	given := slices.Collect(maps.Keys(j.clicks))
	rows, err := texts(ctx, i.db, `SELECT id::text FROM clicks WHERE tenant_id = $1 AND id = ANY($2::uuid[])`, tenant, given)
	if err != nil {
		return nil, err
	}
	workflows, err := texts(ctx, i.temporal, `SELECT substr(workflow_id, 7) FROM executions WHERE workflow_id = ANY($1)`, prefixed("click/", given))
	if err != nil {
		return nil, err
	}
	for _, id := range given {
		if r, w := count(rows, id), count(workflows, id); r != 1 || w != 1 {
			found = append(found, fmt.Sprintf("1: click %s has %d rows and %d workflows", id, r, w))
		}
	}
	return found, nil
}

func prefixed(prefix string, ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = prefix + id
	}
	return out
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}
