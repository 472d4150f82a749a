package upkeep

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// reportRig is a decision rig whose reports are compared with raw rows.
type reportRig struct {
	*activitytest.Rig
	rollups *Rollups
	offers  []*domain.Offer

	mu     sync.Mutex
	clicks []domain.Click
	packed []json.RawMessage
}

func newReportRig(t *testing.T, maxConns int32) *reportRig {
	rig := activitytest.New(t, maxConns)
	r := &reportRig{Rig: rig, rollups: &Rollups{Store: rig.Store, Now: func() time.Time { return rig.Time().AddDate(1, 0, 0) }}}
	r.offers = []*domain.Offer{
		rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1")), activitytest.Goal("B", activitytest.Capped(30)), activitytest.Goal("C", activitytest.Repeats)}),
		rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.Approval), activitytest.Goal("B"), activitytest.Goal("C", activitytest.Approval, activitytest.Repeats)}, activitytest.Trusted),
	}
	return r
}

// insert stores some clicks of the last days, of few members, places and devices, refused and test
// ones among them.
func (r *reportRig) insert(ctx context.Context, random *rand.Rand) error {
	clicks := make([]domain.Click, 1+random.IntN(8))
	for i := range clicks {
		o := r.offers[random.IntN(len(r.offers))]
		at := r.Time().Add(-time.Duration(random.IntN(8*60*60)) * time.Second).Add(time.Duration(random.IntN(1e9)))
		c := domain.Click{
			ID: r.Keys.NewID(keyring.KindClick, at), TenantID: r.TenantID, ClickedAt: at, LinkID: uuid.New(), OfferID: o.ID, OfferVersion: 1, AdvertiserID: r.AdvertiserID,
			SessionEndsAt: o.SessionEnd(at), IP: fmt.Sprintf("192.0.2.%d", random.IntN(5)), UserAgent: "browser",
			Country: []string{"DE", "US", ""}[random.IntN(3)], PubGeoCountry: []string{"fr", "FRA", "250", "uk", "United Kingdom", "nowhere", ""}[random.IntN(7)], Device: []string{"IOS", "Android"}[random.IntN(2)],
			PubSubs: [][]string{nil, {"x"}, {"y", "z"}}[random.IntN(3)], IsTest: random.IntN(10) == 0,
		}
		if random.IntN(2) == 0 {
			c.PartnerID = &r.Partner
		}
		if member := fmt.Sprintf("m%d", random.IntN(20)); random.IntN(3) > 0 {
			c.PubMemberID = &member
		}
		if random.IntN(5) == 0 {
			c.RefusedReason = domain.ClickReasons[random.IntN(3)]
		}
		clicks[i] = c
	}
	packed, err := json.Marshal(clicks)
	if err != nil {
		return err
	}
	if err := (&attribution.Clicks{Store: r.Store}).Insert(ctx, packed); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clicks, r.packed = append(r.clicks, clicks...), append(r.packed, packed)
	return nil
}

// step does one of the things that change what reports show, or recomputes, or breaks off in it.
func (r *reportRig) step(ctx context.Context, random *rand.Rand) error {
	switch what := random.IntN(100); {
	case what < 15:
		return r.insert(ctx, random)
	case what < 20: // a message comes again
		r.mu.Lock()
		again := r.packed[random.IntN(len(r.packed))]
		r.mu.Unlock()
		return (&attribution.Clicks{Store: r.Store}).Insert(ctx, again)
	case what < 60:
		r.mu.Lock()
		click := r.clicks[random.IntN(len(r.clicks))]
		r.mu.Unlock()
		if click.RefusedReason != domain.ReasonNone {
			return nil
		}
		p := r.Postback(click, string(rune('A'+random.IntN(3))))
		p.ReceivedAt = p.ReceivedAt.Add(-time.Duration(random.IntN(6*60*60)) * time.Second)
		p.Status = []string{"", "", "", "pending", "rejected", "approved"}[random.IntN(6)]
		_, err := r.Decide(ctx, r.TenantID, p)
		return err
	case what < 85:
		return r.ReviewSome(ctx, random)
	case what < 90: // the worker is killed in the middle
		ctx, cancel := context.WithTimeout(ctx, time.Duration(random.IntN(20_000))*time.Microsecond)
		defer cancel()
		_, _ = r.rollups.RollUp(ctx)
		return nil
	default:
		_, err := r.rollups.RollUp(ctx)
		return err
	}
}

// Invariant 9: in every snapshot, whatever goes on, the report equals what its raw rows add up to.
func TestInvariant9ReportsEqualTheirRawRowsAtAnyMoment(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 8)
	racing, err := db.Open(t.Context(), r.URL, 16)
	require.NoError(t, err)
	defer racing.Close()
	r.Store, r.Quiet, r.rollups.Store = racing, r.Store, racing
	defer func() { r.Store = r.Quiet }()
	random := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		require.NoError(t, r.insert(t.Context(), random))
	}
	const workers, steps = 8, 60
	activitytest.AtOnce(t, workers+1, func(w int) error {
		random := rand.New(rand.NewPCG(uint64(w), 9))
		for range steps {
			if w == workers { // reads while the others write
				if err := r.compare(t.Context(), random); err != nil {
					return err
				}
				continue
			}
			if err := r.step(t.Context(), random); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, r.compare(t.Context(), random))
	_, err = r.rollups.RollUp(t.Context())
	require.NoError(t, err)
	require.Zero(t, activitytest.Value[int64](r.Rig, "SELECT count(*) FROM rollup_marks"), "all is rolled up")
	require.Greater(t, activitytest.Value[int64](r.Rig, "SELECT count(*) FROM conversion_rollups WHERE success > 0"), int64(5))
	for range 20 {
		require.NoError(t, r.compare(t.Context(), random))
	}
}

// One after the other the same holds; and where nothing is read but rollups, it is those that are right.
func TestInvariant9LateRowsReversalsAndAdjustmentsReachTheirBucket(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 4)
	random := rand.New(rand.NewPCG(3, 4))
	check := func(what string) {
		t.Helper()
		require.NoError(t, r.compare(t.Context(), random), what)
		_, err := r.rollups.RollUp(t.Context())
		require.NoError(t, err)
		require.NoError(t, r.compare(t.Context(), random), what+", rolled up")
	}
	for range 20 {
		require.NoError(t, r.insert(t.Context(), random))
	}
	check("clicks")
	var last domain.Answer
	for _, c := range r.clicks {
		if c.RefusedReason == domain.ReasonNone && !c.IsTest && c.OfferID == r.offers[0].ID {
			last = r.Post(c, "C")
		}
	}
	check("conversions")
	require.NoError(t, r.insert(t.Context(), random))
	check("late clicks")
	require.Equal(t, domain.StatusRejected, r.Review(last.ConversionID, domain.ActionReverse).Status)
	check("a reversal")
	raised := *activitytest.Decimal("7.5")
	_, err := r.Adjust(t.Context(), attribution.AdjustRequest{TenantID: r.TenantID, ConversionID: r.someSuccess(), Figures: domain.Adjustment{Revenue: &raised},
		RequestID: uuid.NewString(), Actor: "person", Note: "agreed"})
	require.NoError(t, err)
	check("an adjustment")
}

// Rule 64: what the advertiser rejected before a person approved it was never in statistics (rule 77).
// What had been approved stays in them.
func TestRule64TheAdvertisersRejectionStaysOutOfStatistics(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 4)
	random := rand.New(rand.NewPCG(5, 6))
	o := r.offers[1]
	require.Equal(t, domain.ReasonAdvertiser, r.Post(r.Click(o), "A", activitytest.Says("rejected")).Reason, "at once")
	pending := r.Click(o)
	r.Post(pending, "A")
	require.Equal(t, domain.ReasonAdvertiser, r.Post(pending, "A", activitytest.Says("rejected")).Reason, "while it waited")
	approved := r.Click(o)
	r.Review(r.Post(approved, "A").ConversionID, domain.ActionApprove)
	require.Equal(t, domain.ReasonReversed, r.Post(approved, "A", activitytest.Says("rejected")).Reason)
	require.Equal(t, domain.ReasonAdvertiser, r.Post(r.Click(o), "B", activitytest.Says("rejected")).Reason, "a goal that needs no approval")
	_, err := r.rollups.RollUp(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(2), activitytest.Value[int64](r.Rig, "SELECT sum(rejected)::bigint FROM conversion_rollups"))
	require.NoError(t, r.compare(t.Context(), random))
}

func (r *reportRig) someSuccess() uuid.UUID {
	return activitytest.Value[uuid.UUID](r.Rig, "SELECT id FROM conversions WHERE status = 'Success' ORDER BY id LIMIT 1")
}

// Buckets that are not over are left to the reports: they would be recomputed again and again.
func TestRollUpLeavesOpenBuckets(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 4)
	r.rollups.Now = r.Time
	r.Click(r.offers[0])
	for _, c := range []struct {
		wait time.Duration
		want int
	}{{0, 0}, {15*time.Minute + 59*time.Second, 0}, {time.Second, 1}, {time.Hour, 0}} {
		r.Wait(c.wait)
		done, err := r.rollups.RollUp(t.Context())
		require.NoError(t, err)
		require.Equal(t, c.want, done, "%v later", c.wait)
	}
}

// What retention lets go of was counted before: reports of whole buckets stay as they were.
func TestReportsOutliveTheirClicks(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 4)
	owner, err := pgx.Connect(t.Context(), r.URL)
	require.NoError(t, err)
	defer owner.Close(context.WithoutCancel(t.Context()))
	_, err = owner.Exec(t.Context(), "CREATE TABLE clicks_2026_03 PARTITION OF clicks FOR VALUES FROM ('"+monthStart("2026-03")+"') TO ('"+monthStart("2026-04")+"')")
	require.NoError(t, err)
	r.Click(r.offers[0])
	r.Post(r.Click(r.offers[0]), "B")
	_, err = r.rollups.RollUp(t.Context())
	require.NoError(t, err)
	retention := Retention{Store: r.Store, After: 90 * 24 * time.Hour, Now: func() time.Time { return r.Time().AddDate(0, 6, 0) }}
	_, err = retention.DropExpired(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(1), activitytest.Value[int64](r.Rig, "SELECT count(*) FROM clicks"), "the one that converted is kept")
	day := r.Time().Truncate(24 * time.Hour)
	rows, err := queries.Performance(t.Context(), r.Store.Read(r.TenantID), dbgen.PerformanceParams{
		TenantID: r.TenantID, Since: day, Until: day.AddDate(0, 0, 1), GroupBy: []string{}, Subs: []int32{}, Currency: "USD", AtMost: 10,
		Starts: []time.Time{}, Offers: []uuid.UUID{}, Partners: []uuid.UUID{}, Advertisers: []uuid.UUID{}, Countries: []string{},
	})
	require.NoError(t, err)
	require.Equal(t, []int64{2, 2, 1}, []int64{rows[0].Clicks, rows[0].UniqueClicks, rows[0].Success})
}

// monthStart is the first id of a month.
func monthStart(month string) string {
	at, err := time.Parse("2006-01", month)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%08x-%04x-7000-8000-000000000000", at.UnixMilli()>>16, at.UnixMilli()&0xffff)
}

// Two decisions of one offer at one instant do not wait for each other's mark.
func TestMarksDoNotWait(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 4)
	insert := func(tx pgx.Tx) {
		c := domain.Click{ID: r.Keys.NewID(keyring.KindClick, r.Time()), TenantID: r.TenantID, ClickedAt: r.Time(), LinkID: uuid.New(), OfferID: r.offers[0].ID, OfferVersion: 1,
			AdvertiserID: r.AdvertiserID, SessionEndsAt: r.Time()}
		packed, err := json.Marshal([]domain.Click{c})
		require.NoError(t, err)
		require.NoError(t, queries.InsertClicks(t.Context(), tx, packed))
	}
	require.NoError(t, r.Store.System(t.Context(), func(ctx context.Context, first pgx.Tx) error {
		insert(first)
		return r.Store.System(t.Context(), func(ctx context.Context, second pgx.Tx) error {
			_, err := second.Exec(t.Context(), "SET LOCAL lock_timeout = '1s'")
			insert(second)
			return err
		})
	}))
	require.Equal(t, int64(2), activitytest.Value[int64](r.Rig, "SELECT count(*) FROM rollup_marks"))
}

// compare reads some reports and their raw rows in one snapshot.
func (r *reportRig) compare(ctx context.Context, random *rand.Rand) error {
	zone, err := time.LoadLocation([]string{"UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham"}[random.IntN(4)])
	if err != nil {
		return err
	}
	since := r.Time().Add(-time.Duration(1+random.IntN(10)) * time.Hour).Add(time.Duration(random.IntN(3_600_000)) * time.Millisecond)
	until := since.Add(time.Duration(random.IntN(12*3_600_000)+1) * time.Millisecond)
	store := r.Store
	if r.Quiet != nil {
		store = r.Quiet
	}
	tx, err := store.SystemPool().BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	raw, err := readRaw(ctx, tx, r.TenantID, since, until)
	if err != nil {
		return err
	}
	for _, dimensions := range [][]string{{}, {"period"}, {"period", "offer", "event"}, {"partner", "country", "device"}, {"advertiser", "placement", "creative"}, {"offer", "sub"}} {
		params := dbgen.PerformanceParams{
			TenantID: r.TenantID, Since: since, Until: until, GroupBy: dimensions, Subs: []int32{}, Currency: "USD", AtMost: 100_000,
			Offers: []uuid.UUID{}, Partners: []uuid.UUID{}, Advertisers: []uuid.UUID{}, Countries: []string{},
		}
		periods := domain.ReportPeriods(since, until, domain.ReportDay, zone)
		for _, period := range periods {
			params.Starts = append(params.Starts, period.Start)
		}
		if dimensions = params.GroupBy; len(dimensions) == 2 && dimensions[1] == "sub" {
			params.Subs = []int32{1, 2}
		}
		rows, err := queries.Performance(ctx, tx, params)
		if err != nil {
			return err
		}
		if err := raw.equal(rows, dimensions, zone, periods); err != nil {
			return fmt.Errorf("%v from %v to %v in %v: %w", dimensions, since, until, zone, err)
		}
	}
	return nil
}

// rawRows are what reports are about, read without a word of their SQL.
type rawRows struct {
	clicks      []dbgen.Click
	byID        map[uuid.UUID]dbgen.Click
	conversions []dbgen.Conversion
	versions    map[string]domain.Offer
}

func readRaw(ctx context.Context, tx pgx.Tx, tenantID uuid.UUID, since, until time.Time) (*rawRows, error) {
	raw := &rawRows{byID: map[uuid.UUID]dbgen.Click{}, versions: map[string]domain.Offer{}}
	clicks, err := collect[dbgen.Click](ctx, tx, "SELECT * FROM clicks WHERE tenant_id = $1", tenantID)
	if err != nil {
		return nil, err
	}
	for _, c := range clicks {
		raw.byID[c.ID] = c
		if at := c.ClickedAt.Truncate(time.Millisecond); !at.Before(since) && at.Before(until) && !c.IsTest {
			raw.clicks = append(raw.clicks, c)
		}
	}
	conversions, err := collect[dbgen.Conversion](ctx, tx, "SELECT * FROM conversions WHERE tenant_id = $1", tenantID)
	for _, c := range conversions {
		if !c.ReceivedAt.Before(since) && c.ReceivedAt.Before(until) && !c.IsTest {
			raw.conversions = append(raw.conversions, c)
		}
	}
	if err != nil {
		return nil, err
	}
	versions, err := collect[dbgen.OfferVersion](ctx, tx, "SELECT * FROM offer_versions WHERE tenant_id = $1", tenantID)
	for _, v := range versions {
		var o domain.Offer
		err = errors.Join(err, json.Unmarshal(v.Document, &o))
		raw.versions[fmt.Sprint(v.OfferID, v.Version)] = o
	}
	return raw, err
}

func collect[T any](ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// equal compares a report with the raw rows, added up here.
func (raw *rawRows) equal(rows []dbgen.PerformanceRow, dimensions []string, zone *time.Location, periods []domain.ReportPeriod) error {
	want := map[string]domain.Tally{}
	refused := map[string]map[domain.Reason]int64{}
	visitors := map[string]map[string]bool{}
	add := func(key string, change func(t *domain.Tally)) {
		for _, k := range []string{key, "total"} {
			t := want[k]
			change(&t)
			want[k] = t
		}
	}
	for _, c := range raw.clicks {
		key := rawKey(dimensions, c, c.ClickedAt, "", zone, periods)
		add(key, func(t *domain.Tally) {
			if c.RefusedReason != domain.ReasonNone {
				t.RefusedClicks++
				return
			}
			t.Clicks++
		})
		for _, k := range []string{key, "total"} {
			if refused[k] == nil {
				refused[k] = map[domain.Reason]int64{}
			}
			if c.RefusedReason != domain.ReasonNone {
				refused[k][c.RefusedReason]++
			}
		}
		if c.RefusedReason == domain.ReasonNone {
			who := c.OfferID.String() + c.Ip + c.UserAgent
			if c.PubMemberID != nil {
				who = c.OfferID.String() + " member " + *c.PubMemberID
			}
			for _, k := range []string{key, "total"} {
				if visitors[k] == nil {
					visitors[k] = map[string]bool{}
				}
				visitors[k][who] = true
			}
		}
	}
	for _, c := range raw.conversions {
		offer := raw.versions[fmt.Sprint(c.OfferID, c.OfferVersion)]
		if offer.EventByID(c.EventID).RequiresApproval && (c.Status == domain.StatusPending || c.RejectionReason == domain.ReasonManual || c.RejectionReason == domain.ReasonAdvertiser) {
			continue // rule 64
		}
		add(rawKey(dimensions, raw.byID[c.ClickID], c.ReceivedAt, c.EventID.String(), zone, periods), func(t *domain.Tally) {
			switch c.Status {
			case domain.StatusPending:
				t.Pending++
				t.PendingRevenue, t.PendingPayout, t.PendingReward = t.PendingRevenue+c.RevenueMicros, t.PendingPayout+c.PayoutMicros, t.PendingReward+c.RewardMicros
			case domain.StatusSuccess:
				t.Success++
				t.Revenue, t.Payout, t.Reward = t.Revenue+c.RevenueMicros, t.Payout+c.PayoutMicros, t.Reward+c.RewardMicros
			default:
				t.Rejected++
			}
		})
	}
	for key, t := range want {
		t.UniqueClicks = int64(len(visitors[key]))
		want[key] = t
	}
	if len(want) != len(rows) {
		return fmt.Errorf("%d rows, want %d", len(rows), len(want))
	}
	for _, row := range rows {
		key := strings.Join(row.Keys, "|")
		if row.IsTotal {
			key = "total"
		}
		got := domain.Tally{
			Clicks: row.Clicks, UniqueClicks: row.UniqueClicks, RefusedClicks: row.Refused, Pending: row.Pending, Success: row.Success, Rejected: row.Rejected,
			Revenue: domain.Micros(row.RevenueMicros), Payout: domain.Micros(row.PayoutMicros), Reward: domain.Micros(row.RewardMicros),
			PendingRevenue: domain.Micros(row.PendingRevenueMicros), PendingPayout: domain.Micros(row.PendingPayoutMicros), PendingReward: domain.Micros(row.PendingRewardMicros),
		}
		if got != want[key] {
			return fmt.Errorf("%s: %+v, want %+v", key, got, want[key])
		}
		var byReason map[domain.Reason]int64
		if err := json.Unmarshal(row.RefusedByReason, &byReason); err != nil || !maps.Equal(byReason, refused[key]) {
			return fmt.Errorf("%s: refused %v, want %v: %w", key, byReason, refused[key], err)
		}
	}
	return nil
}

// rawKey is what a report calls a row's group: one place for each dimension that rollups know, then
// the subs.
func rawKey(dimensions []string, c dbgen.Click, at time.Time, event string, zone *time.Location, periods []domain.ReportPeriod) string {
	country := c.Country
	if country == "" { // as rows from before are read
		country = map[string]string{"fr": "FR", "FRA": "FR", "250": "FR", "uk": "GB", "United Kingdom": "GB"}[c.PubGeoCountry]
	}
	all := map[string]string{"offer": c.OfferID.String(), "advertiser": c.AdvertiserID.String(), "country": country, "device": c.Device, "event": event}
	if c.PartnerID != nil {
		all["partner"] = c.PartnerID.String()
	}
	for i, period := range periods {
		if period.Name == at.In(zone).Format(time.DateOnly) {
			all["period"] = fmt.Sprint(i + 1)
		}
	}
	var keys []string
	wanted := strings.Join(dimensions, " ")
	for _, dimension := range []string{"period", "offer", "advertiser", "partner", "placement", "creative", "country", "device", "event"} {
		if !strings.Contains(wanted, dimension) {
			keys = append(keys, "")
			continue
		}
		keys = append(keys, all[dimension])
	}
	if strings.Contains(wanted, "sub") {
		keys = append(keys, append(c.PubSubs, "", "")[:2]...)
	}
	return strings.Join(keys, "|")
}

// Rule 45: the database reads a country of a row from before as what comes in is read.
func TestRule45TheDatabaseKnowsTheSameCountries(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 2)
	countries, _ := domain.Lookup("countries")
	require.Greater(t, len(countries), 200)
	said := map[string]string{"UK": "GB", " uk ": "GB", "": "", "XX": "", "Narnia": "", "T1": ""}
	for _, c := range countries {
		for _, text := range []string{c.Code, strings.ToLower(c.Alpha3), c.Numeric, strings.TrimLeft(c.Numeric, "0"), " " + c.Code} {
			said[text] = c.Code
		}
		// Its list has no names beyond ASCII: they are read as they come in, and stand in no row but old ones.
		if !strings.ContainsFunc(c.Name, func(r rune) bool { return r > unicode.MaxASCII }) {
			said[strings.ToLower(c.Name)] = c.Code
		}
	}
	names, err := os.ReadFile("../../domain/testdata/country_names.tsv")
	require.NoError(t, err)
	for line := range strings.Lines(string(names)) {
		name, code, _ := strings.Cut(strings.TrimSpace(line), "\t")
		said[name], said[strings.ToLower(name)] = code, code
	}
	for text, code := range said {
		require.Equal(t, code, domain.CountryCode(text), text)
		require.Equal(t, code, activitytest.Value[string](rig, "SELECT coalesce(country_code($1), '')", text), text)
	}
}
