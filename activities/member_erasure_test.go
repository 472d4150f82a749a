package activities

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// The ids of the member of these tests begin and end like this, and so does all that is said of it.
const mark = "erasemark"

// eraser erases members of a rig as the API's jobs do.
type eraser struct {
	*decisionRig
	jobs *Jobs
}

func (rig *decisionRig) eraser() *eraser {
	return &eraser{rig, &Jobs{Decisions: rig.Decisions}}
}

// ask stores what DELETE /api/v1/members/{pub_member_id} stores.
func (e *eraser) ask(member string, clicks int64) (jobID uuid.UUID, pseudonym string) {
	e.t.Helper()
	jobID, at := uuid.Must(uuid.NewV7()), e.now()
	pseudonym = domain.ErasedMember(hex.EncodeToString(jobID[:]))
	lines := ErasureItems(clicks)
	numbers := make([]int64, len(lines))
	for i := range numbers {
		numbers[i] = int64(i) + 1
	}
	e.tenant(func(ctx context.Context, tx pgx.Tx) error {
		_, err := queries.InsertJob(ctx, tx, dbgen.InsertJobParams{
			TenantID: e.tenantID, ID: jobID, Action: string(JobErase), State: JobRunning, Actor: "person", Columns: []string{}, Total: int64(len(lines)), CreatedAt: at,
		})
		return errors.Join(err,
			queries.InsertJobLines(ctx, tx, dbgen.InsertJobLinesParams{TenantID: e.tenantID, JobID: jobID, Numbers: numbers, Lines: lines}),
			queries.InsertErasure(ctx, tx, dbgen.InsertErasureParams{
				TenantID: e.tenantID, JobID: jobID, Pseudonym: pseudonym, ErasedBefore: at,
				MemberHash: ErasureMemberHash(e.Keys, e.tenantID, member), MemberSealed: e.Keys.Seal([]byte(member)),
			}))
	})
	return jobID, pseudonym
}

// run runs a job to its end; no item of it fails.
func (e *eraser) run(jobID uuid.UUID) {
	e.t.Helper()
	var last JobBatch
	for !last.Done {
		batch, err := e.jobs.RunJob(e.t.Context(), e.tenantID, jobID, last.Through)
		require.NoError(e.t, err)
		last = batch
	}
	require.Empty(e.t, value[[]string](e.decisionRig, `SELECT array_remove(array_agg(CASE WHEN state NOT IN ('changed', 'unchanged') THEN line || ' ' || error END), NULL) FROM job_items WHERE job_id = $1`, jobID))
}

func (e *eraser) erase(member string) (pseudonym string) {
	e.t.Helper()
	e.wait(time.Millisecond) // ids of clicks have milliseconds
	jobID, pseudonym := e.ask(member, 1)
	e.run(jobID)
	return pseudonym
}

// holding are the places of the whole database that hold a text, as table.column: text, arrays, JSON, bytes. What
// the database says of itself and the partitions' own names are left out.
func (rig *decisionRig) holding(text string) (places []string) {
	rig.t.Helper()
	conn, err := pgx.Connect(rig.t.Context(), rig.url)
	require.NoError(rig.t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(rig.t.Context())) }()
	rows, err := conn.Query(rig.t.Context(), columnsOfText)
	require.NoError(rig.t, err)
	columns, err := pgx.CollectRows(rows, pgx.RowToStructByPos[textColumn])
	require.NoError(rig.t, err)
	require.Greater(rig.t, len(columns), 200, "the schema is looked through")
	for _, c := range columns {
		column := pgx.Identifier{c.Column}.Sanitize() + "::text"
		if c.Type == "bytea" {
			column = "encode(" + pgx.Identifier{c.Column}.Sanitize() + ", 'escape')"
		}
		var found bool
		require.NoError(rig.t, conn.QueryRow(rig.t.Context(), fmt.Sprintf("SELECT EXISTS (SELECT 1 FROM %s WHERE strpos(%s, $1) > 0)", pgx.Identifier{c.Table}.Sanitize(), column), text).Scan(&found))
		if found {
			places = append(places, c.Table+"."+c.Column)
		}
	}
	return places
}

type textColumn struct{ Table, Column, Type string }

const columnsOfText = `SELECT c.table_name::text, c.column_name::text, c.udt_name::text FROM information_schema.columns c
	JOIN pg_class t ON t.relname = c.table_name AND t.relnamespace = 'public'::regnamespace
	WHERE c.table_schema = 'public' AND NOT t.relispartition AND c.udt_name IN ('text', '_text', 'varchar', 'json', 'jsonb', 'bytea') ORDER BY 1, 2`

// marked is a click that says of its member all that a click can say.
func marked(member string) func(c *domain.Click) {
	return func(c *domain.Click) {
		c.PubMemberID = &member
		c.PubClickID, c.PubSessionID, c.PubGender, c.PubAge = mark+"-click", mark+"-session", mark+"-gender", mark+"-age"
		c.PubGeoCountry, c.PubGeoState, c.PubPostalCode, c.PubDevice = "FR", mark+"-state", mark+"-postal", mark+"-device"
		c.PubSubs, c.ViewID, c.Source = []string{mark + "-sub1", "", mark + "-sub3"}, mark+"-view", mark+"-source"
		c.IP, c.UserAgent, c.Referer = "203.0.113.77", mark+"-agent", "https://"+mark+".example/"
	}
}

// telling is a postback that says of its member what advertisers say.
func telling(p *domain.Postback) {
	p.Subs, p.SourceIP, p.ConversionID = []string{mark + "-theirs"}, "203.0.113.77", "order-1"
	p.Params = map[string]string{
		"gk_click_id": p.ClickID.String(), "CNV_EVENT_ID": p.EventID, "cnv_email": mark + "@example.com", "cnv_user_id": mark + "-user", "cnv_sub_1": mark + "-theirs",
		"cnv_conversion_ip_address": "203.0.113.77", "anything": mark,
	}
	p.Warnings = domain.FieldErrors{{Field: "cnv_email", Reason: mark}}
}

// erasureStory is a member of whom there is something in every place.
type erasureStory struct {
	*partnerRig
	eraser  *eraser
	member  string
	clicks  []domain.Click
	pending domain.Answer
}

func newErasureStory(t *testing.T) *erasureStory {
	t.Helper()
	rig := newPartnerRig(t)
	s := &erasureStory{partnerRig: rig, eraser: rig.eraser(), member: mark + "-member/é \"1\""}
	rig.answers("/hook", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("thanks " + mark))
	})
	rig.partnerURL("/p/{pub_sub_1}?m={pub_member_id}&c={pub_click_id}&s={source}&a={aff_sub}", told("success", "pending", "reversed"))
	first, second := 1, 2
	o := rig.offer([]domain.Event{
		goal("A"), goal("B", pendingFor("1")), goal("C", func(e *domain.Event) { e.SequenceNumber = &second }), goal("D", func(e *domain.Event) { e.SequenceNumber = &first }), goal("E", approval),
	})
	s.clicks = rig.clicks(o, 3, func(_ int, c *domain.Click) { marked(s.member)(c) })
	done := rig.post(s.clicks[0], "A", telling)
	rig.post(s.clicks[0], "A", telling) // a duplicate
	s.pending = rig.post(s.clicks[1], "B", telling)
	require.Equal(t, domain.OutcomeHeld, rig.post(s.clicks[1], "C", telling).Outcome)
	waits := rig.post(s.clicks[2], "E", telling)
	rig.news(1)
	rig.review(waits.ConversionID, domain.ActionApprove, func(r *SettleRequest) { r.Note = "as " + s.member + " asked" })
	rig.answers("/hook", status(http.StatusServiceUnavailable)) // this news waits
	rig.review(done.ConversionID, domain.ActionReverse)
	rig.tenant(func(ctx context.Context, tx pgx.Tx) error {
		filter, err := json.Marshal(map[string][]string{"pubMemberId": {s.member}})
		if err != nil {
			return err
		}
		if _, err := queries.InsertJob(ctx, tx, dbgen.InsertJobParams{TenantID: rig.tenantID, ID: uuid.New(), Action: "approve", State: JobDone, Actor: "person", Note: "for " + s.member,
			Filter: filter, Columns: []string{}, CreatedAt: rig.now()}); err != nil {
			return err
		}
		return queries.InsertOfferView(ctx, tx, dbgen.InsertOfferViewParams{TenantID: rig.tenantID, ID: uuid.New(), OfferID: o.ID, PubMemberID: s.member, Params: "pub_sub_1=" + mark, CreatedAt: rig.now()})
	})
	events := rig.events()
	for i := range events {
		require.NoError(t, rig.out.HandleConversion(t.Context(), events[i]))
		rig.out.Wait()
	}
	s.write(o)
	return s
}

// write writes what comes of other parts: audit entries, answers that are kept, messages that failed.
func (s *erasureStory) write(o *domain.Offer) {
	t := s.t
	t.Helper()
	said, err := json.Marshal(map[string]any{"filter": map[string]any{"pubMemberId": s.member}, "reason": "told by " + s.member})
	require.NoError(t, err)
	tested, err := json.Marshal(map[string]any{"offerId": o.ID, "pub_member_id": s.member, "params": map[string]string{"pub_sub_1": mark}})
	require.NoError(t, err)
	packed, err := json.Marshal(s.clicks[:1])
	require.NoError(t, err)
	failed := s.postback(s.clicks[0], "A", telling)
	failed.Warnings = nil
	message, err := json.Marshal(&failed)
	require.NoError(t, err)
	for _, row := range []struct {
		action, noun, nounID string
		after                []byte
	}{{"resend", "delivery", "bulk", said}, {"test", "conversion", s.clicks[0].ID.String(), tested}, {"look", "member", s.member, []byte("null")}} {
		s.tenant(func(ctx context.Context, tx pgx.Tx) error {
			return queries.InsertAudit(ctx, tx, dbgen.InsertAuditParams{TenantID: s.tenantID, ID: uuid.Must(uuid.NewV7()), At: s.now(), Actor: "person",
				Action: row.action, Noun: row.noun, NounID: row.nounID, After: row.after})
		})
	}
	s.set(`INSERT INTO idempotency_keys (tenant_id, key, route, request_hash, status_code, answer, created_at) VALUES ($1, 'k', 'r', '\x00', 200, $2, now())`,
		s.tenantID, string(said))
	for i, payload := range [][]byte{packed, message} {
		_, err = s.Store.SystemPool().Exec(t.Context(), `INSERT INTO failed_messages (tenant_id, id, source, subject, payload, error, first_failed_at, failed_at) VALUES ($1, $2, 'clicks', 's', $3, 'e', now(), now())`,
			[]*uuid.UUID{nil, &s.tenantID}[i], uuid.New(), payload)
		require.NoError(t, err)
	}
}

// figures are what an erasure must not change: sums of money, points, counts, statuses, visitors, by what reports
// and books are asked by.
func (rig *decisionRig) figures() map[string]string {
	rig.t.Helper()
	figures := map[string]string{}
	for name, sql := range map[string]string{
		"ledger":      "SELECT string_agg(concat_ws(' ', account, n, s), ', ' ORDER BY account) FROM (SELECT account, count(*) n, sum(amount_micros) s FROM ledger_entries GROUP BY 1) x",
		"balances":    "SELECT string_agg(points_micros::text, ' ' ORDER BY points_micros) FROM member_balances",
		"conversions": "SELECT string_agg(concat_ws(' ', id, status, rejection_reason, sequence, revenue_micros, payout_micros, reward_micros, release_at, cnv_conversion_id), ', ' ORDER BY id) FROM conversions",
		"transitions": "SELECT string_agg(concat_ws(' ', conversion_id, sequence, to_status), ', ' ORDER BY conversion_id, sequence) FROM transitions",
		"postbacks":   "SELECT string_agg(concat_ws(' ', id, outcome, reason, conversion_id), ', ' ORDER BY id) FROM postbacks",
		"clicks":      "SELECT string_agg(concat_ws(' ', id, offer_id, partner_id, coalesce(country_code(country), country_code(pub_geo_country)), device, refused_reason), ', ' ORDER BY id) FROM clicks",
		"visitors":    "SELECT string_agg(concat_ws(' ', offer_id, bucket, clicks, cardinality(visitors)), ', ' ORDER BY offer_id, bucket) FROM click_rollups",
		"unique":      "SELECT count(DISTINCT v)::text FROM click_rollups, unnest(visitors) v",
		"rollups":     "SELECT string_agg(concat_ws(' ', offer_id, bucket, success, pending, rejected, revenue_micros), ', ' ORDER BY offer_id, bucket, event_id) FROM conversion_rollups",
		"deliveries":  "SELECT string_agg(concat_ws(' ', id, state, attempts), ', ' ORDER BY id) FROM deliveries",
		"caps":        "SELECT string_agg(concat_ws(' ', scope, scope_id, period, value), ', ' ORDER BY scope, scope_id, period) FROM cap_counters",
	} {
		figures[name] = orNone(value[*string](rig, sql))
	}
	return figures
}

func orNone(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// The whole of it: of a member of whom there is something in every place, nothing is found afterwards in any
// column of any table, and no figure is another one.
func TestErasureLeavesNothingOfTheMemberAndEveryFigure(t *testing.T) {
	t.Parallel()
	s := newErasureStory(t)
	rollups := &Rollups{Store: s.Store, Now: func() time.Time { return s.now().AddDate(1, 0, 0) }}
	_, err := rollups.RollUp(t.Context())
	require.NoError(t, err)
	places := s.holding(mark)
	for _, place := range []string{
		"audit_log.after", "audit_log.noun_id", "clicks.pub_member_id", "clicks.pub_subs", "clicks.referer", "clicks.user_agent", "conversions.cnv_subs", "conversions.pub_member_id",
		"deliveries.body", "delivery_attempts.answer", "delivery_attempts.url", "failed_messages.payload", "held_postbacks.message", "idempotency_keys.answer", "jobs.filter", "jobs.note",
		"ledger_entries.party", "member_balances.pub_member_id", "offer_views.params", "offer_views.pub_member_id", "outbox.payload", "postbacks.params", "postbacks.warnings", "transitions.note",
	} {
		require.Contains(t, places, place, "the control: it is there before")
	}
	require.Contains(t, s.holding("203.0.113.77"), "clicks.ip")
	before := s.figures()

	pseudonym := s.eraser.erase(s.member)
	require.Empty(t, s.holding(mark))
	require.ElementsMatch(t, []string{"held_postbacks.message", "failed_messages.payload"}, s.holding("203.0.113.77"),
		"what is not decided keeps its sender's address: it may prove the sender")
	require.Equal(t, before, s.figures())
	require.Contains(t, s.holding(pseudonym), "ledger_entries.party")
	_, err = rollups.RollUp(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, s.figures(), "recomputed from the erased rows")

	// What is due is still delivered, under the pseudonym; a partner that has not heard yet is told what it gave.
	s.wait(time.Hour)
	s.answers("/hook", status(http.StatusOK))
	_, err = s.out.SweepDeliveries(t.Context())
	require.NoError(t, err)
	s.out.Wait()
	bodies := s.at("/hook")
	last := bodies[len(bodies)-1]
	require.Contains(t, last, pseudonym)
	require.NotContains(t, last, mark)

	// The pending one is released, its points are the pseudonym's. The held one is decided, and its log row says no
	// more than what happened.
	s.wait(48 * time.Hour)
	require.Equal(t, domain.StatusSuccess, s.review(s.pending.ConversionID, domain.ActionRelease, byTimer).Status)
	require.Equal(t, pseudonym, *s.conversion(s.pending.ConversionID).PubMemberID)
	_, err = s.DecideHeld(t.Context(), s.tenantID, s.clicks[1].ID)
	require.NoError(t, err)
	require.Empty(t, s.holding(mark))
	require.Equal(t, []string{"failed_messages.payload"}, s.holding("203.0.113.77"))
}
