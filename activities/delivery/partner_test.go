package delivery

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

// partnerRig has real conversions decided and their news delivered: to the tenant at /hook, to its
// partner wherever a test says.
type partnerRig struct {
	*activitytest.Rig
	out      *Deliveries
	receiver *httptest.Server

	mu     sync.Mutex
	got    []partnerCall
	handed []stream.DeliveryEvent
	answer map[string]http.HandlerFunc
	seen   map[uuid.UUID]bool
}

// partnerCall is one request as it was received.
type partnerCall struct {
	method, path, query, body, contentType, id string
}

func newPartnerRig(t *testing.T) *partnerRig {
	t.Helper()
	return newPartnerRigOf(activitytest.New(t, 8))
}

// newPartnerRigOf delivers the news of any tenant's book.
func newPartnerRigOf(of *activitytest.Rig) *partnerRig {
	t := of.T
	t.Helper()
	rig := &partnerRig{Rig: of, answer: map[string]http.HandlerFunc{}, seen: map[uuid.UUID]bool{}}
	rig.receiver = httptest.NewServer(http.HandlerFunc(rig.receive))
	t.Cleanup(rig.receiver.Close)
	rig.out = NewDeliveries(rig.Store, rig.Keys, outbound.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil), nil)
	t.Cleanup(rig.out.Wait)
	rig.out.now = rig.Time
	rig.out.jitter = func(time.Duration) time.Duration { return 0 }
	rig.out.scheduleRetry = func(_ context.Context, ref stream.DeliveryEvent, _ time.Time) error {
		rig.mu.Lock()
		defer rig.mu.Unlock()
		rig.handed = append(rig.handed, ref)
		return nil
	}
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertCallbackEndpoint(ctx, tx, dbgen.InsertCallbackEndpointParams{
			TenantID: rig.TenantID, ID: uuid.New(), Url: rig.receiver.URL + "/hook", Events: []string{"success", "pending", "rejected"}, Signature: "v1",
			SecretSealed: rig.Keys.Seal([]byte(testSecret(1))), CreatedAt: rig.Time(),
		})
	})
	return rig
}

func (rig *partnerRig) receive(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	rig.mu.Lock()
	rig.got = append(rig.got, partnerCall{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body), r.Header.Get("Content-Type"), r.Header.Get("Webhook-Id")})
	answer := rig.answer[r.URL.Path]
	rig.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
}

func (rig *partnerRig) answers(path string, answer http.HandlerFunc) {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	rig.answer[path] = answer
}

// at are the queries, or the bodies, that a path received.
func (rig *partnerRig) at(path string) (all []string) {
	rig.mu.Lock()
	defer rig.mu.Unlock()
	for _, call := range rig.got {
		if call.path == path {
			all = append(all, call.query+call.body)
		}
	}
	return all
}

// partnerURL saves a partner postback of a path, and returns its id.
func (rig *partnerRig) partnerURL(path string, change ...func(*dbgen.PartnerPostback)) uuid.UUID {
	rig.T.Helper()
	row := dbgen.PartnerPostback{
		TenantID: rig.TenantID, ID: uuid.New(), PartnerID: rig.Partner, Url: rig.receiver.URL + path, Method: "GET", Events: []string{"success"},
		Status: "active", CreatedAt: rig.Time(), UpdatedAt: rig.Time(),
	}
	for _, one := range change {
		one(&row)
	}
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		_, err := queries.InsertPartnerPostback(ctx, tx, dbgen.InsertPartnerPostbackParams(row))
		return err
	})
	return row.ID
}

func told(events ...string) func(*dbgen.PartnerPostback) {
	return func(p *dbgen.PartnerPostback) { p.Events = events }
}

// events are the outbox's news of conversions since the last call, in order.
func (rig *partnerRig) events() (events []stream.ConversionEvent) {
	rig.T.Helper()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT payload FROM outbox WHERE subject = $1", stream.SubjectConversion)
		if err != nil {
			return err
		}
		payloads, err := pgx.CollectRows(rows, pgx.RowTo[json.RawMessage])
		for _, payload := range payloads {
			var event stream.ConversionEvent
			require.NoError(rig.T, json.Unmarshal(payload, &event))
			if !rig.seen[event.ID] {
				rig.seen[event.ID], events = true, append(events, event)
			}
		}
		return err
	})
	slices.SortFunc(events, func(a, b stream.ConversionEvent) int { return int(a.Sequence - b.Sequence) })
	return events
}

// news hands them to the deliveries, so many times each.
func (rig *partnerRig) news(times int) {
	rig.T.Helper()
	for _, event := range rig.events() {
		for range times {
			require.NoError(rig.T, rig.out.HandleConversion(rig.T.Context(), event))
			rig.out.Wait()
		}
	}
}

func (rig *partnerRig) deliveries(kind string) (rows []dbgen.Delivery) {
	rig.T.Helper()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		ids, err := tx.Query(ctx, "SELECT id FROM deliveries WHERE kind = $1 ORDER BY sequence, created_at, id", kind)
		if err != nil {
			return err
		}
		all, err := pgx.CollectRows(ids, pgx.RowTo[uuid.UUID])
		for _, id := range all {
			row, err := queries.GetDelivery(ctx, tx, rig.TenantID, id)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return err
	})
	return rows
}

func TestRule54EventLevelAndGlobalURLsBothFire(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B")})
	rig.partnerURL("/global?click={aff_sub}&e={cnv_event_id}&p={payout}&cur={currency}&s={status}&src={source}&rev={revenue}")
	rig.partnerURL("/a?c={gk_conversion_id}&g={goal_id}&n={goal_name}&x=1", func(p *dbgen.PartnerPostback) { p.EventID, p.Method = &o.Events[0].ID, "POST" })
	rig.partnerURL("/b", func(p *dbgen.PartnerPostback) { p.EventID = &o.Events[1].ID })
	rig.partnerURL("/paused", func(p *dbgen.PartnerPostback) { p.Status = "paused" })
	other := uuid.New()
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		return queries.InsertPartner(ctx, tx, dbgen.InsertPartnerParams{TenantID: rig.TenantID, ID: other, Name: "Q", Status: "active", CreatedAt: rig.Time()})
	})
	rig.partnerURL("/other", func(p *dbgen.PartnerPostback) { p.PartnerID = other })

	click := rig.Click(o, func(c *domain.Click) { c.PubSubs, c.Source = []string{"a&b c"}, "fb" })
	answer := rig.Post(click, "A")
	rig.news(3) // news that comes again makes one delivery per endpoint, conversion and sequence
	require.Len(t, rig.at("/hook"), 1)
	require.Equal(t, []string{"click=a%26b+c&e=A&p=1.00&cur=USD&s=Success&src=fb&rev="}, rig.at("/global"))
	require.Equal(t, []string{"c=" + answer.ConversionID.String() + "&g=" + o.Events[0].ID.String() + "&n=A&x=1"}, rig.at("/a"))
	require.Empty(t, slices.Concat(rig.at("/b"), rig.at("/paused"), rig.at("/other")))
	for _, call := range rig.got {
		if call.path == "/a" {
			require.Equal(t, []string{"POST", "application/x-www-form-urlencoded", ""}, []string{call.method, call.contentType, call.query})
		}
	}
	rows := rig.deliveries(kindPartner)
	require.Len(t, rows, 2)
	for _, row := range rows {
		require.Equal(t, stateDelivered, row.State)
		require.NotContains(t, row.Body, `"2.50"`, "rule 66: the revenue")
		require.NotContains(t, row.Body, `"100.00"`, "rule 66: the reward")
	}
}

func TestRule54NoPartnerAndNoPostback(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.partnerURL("/p")
	rig.Post(rig.Click(o, func(c *domain.Click) { c.PartnerID = nil }), "A")
	rig.Post(rig.Click(o, func(c *domain.Click) { c.IsTest = true }), "A")
	rig.news(1)
	require.Empty(t, rig.at("/p"), "the news of a test stays with the tenant")
	require.Len(t, rig.at("/hook"), 2)
	tests := 0
	for _, row := range rig.deliveries(kindCallback) {
		if row.IsTest {
			tests++
		}
	}
	require.Equal(t, 1, tests)
}

func TestRule66PrivateGoalsNeverFire(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	private := func(e *domain.Event) { e.IsPrivate, e.Payout = true, activitytest.Decimal("0") }
	o := rig.Offer([]domain.Event{activitytest.Goal("A", private), activitytest.Goal("B", activitytest.PendingFor("1")), activitytest.Goal("C")})
	rig.partnerURL("/p", told("success", "pending", "rejected", "reversed"))
	rig.partnerURL("/e", func(p *dbgen.PartnerPostback) { p.EventID = &o.Events[0].ID })
	rig.Post(rig.Click(o), "A")
	rig.news(1)
	require.Empty(t, slices.Concat(rig.at("/p"), rig.at("/e")))
	// One that became private after the decision, and one that is no longer.
	later := rig.Post(rig.Click(o), "B")
	rig.news(1)
	require.Len(t, rig.at("/p"), 1, "Pending, while it was public")
	rig.Edit(o, func(o *domain.Offer) { o.Events[0].IsPrivate, o.Events[1].IsPrivate = false, true })
	rig.Wait(24 * time.Hour)
	rig.Review(later.ConversionID, domain.ActionRelease, activitytest.ByTimer)
	rig.news(1)
	require.Len(t, rig.at("/p"), 1)
	require.Len(t, rig.at("/hook"), 3, "the tenant hears of all")
	// What the partner has not heard of is not waited for when it is taken back.
	rig.Review(later.ConversionID, domain.ActionReverse)
	rig.news(1)
	require.Len(t, rig.at("/hook"), 4)
	require.Len(t, rig.at("/p"), 1)
}

// Rule 66: whoever was told of a Success is told of its reversal, however the goal was hidden meanwhile;
// whoever was not hears nothing, and nobody hears of another Success.
func TestRule66WhoWasToldOfASuccessHearsOfItsReversal(t *testing.T) {
	t.Parallel()
	for name, hide := range map[string]func(rig *partnerRig, o *domain.Offer){
		"private now": func(rig *partnerRig, o *domain.Offer) {
			rig.Edit(o, func(o *domain.Offer) { o.Events[1].IsPrivate = true })
		},
		"goals switched off": func(rig *partnerRig, _ *domain.Offer) { rig.Set("UPDATE tenants SET goals_enabled = false") },
		"left, goals off": func(rig *partnerRig, o *domain.Offer) {
			rig.Edit(o, func(o *domain.Offer) { o.Events = o.Events[:1] })
			rig.Set("UPDATE tenants SET goals_enabled = false")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rig := newPartnerRig(t)
			o := rig.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B", activitytest.PendingFor("1"))}, func(o *domain.Offer) { o.Events[0].DisplayOrder, o.Events[1].DisplayOrder = 1, 2 })
			rig.partnerURL("/all?s={status}", told("success", "pending", "rejected", "reversed"))
			rig.partnerURL("/never?s={status}", told("pending", "rejected", "reversed"))
			answer := rig.Post(rig.Click(o), "B")
			rig.Wait(24 * time.Hour)
			rig.Review(answer.ConversionID, domain.ActionRelease, activitytest.ByTimer)
			rig.news(1)
			hide(rig, o)
			rig.Review(answer.ConversionID, domain.ActionReverse)
			rig.news(2)
			require.Equal(t, []string{"s=Pending", "s=Success", "s=Rejected"}, rig.at("/all"))
			if name == "private now" {
				rig.Review(answer.ConversionID, domain.ActionApprove)
				rig.news(1)
			}
			require.Len(t, rig.at("/all"), 3)
			require.Equal(t, []string{"s=Pending"}, rig.at("/never"))
		})
	}
}

func TestRule69HiddenGoalsAreHiddenFromPartners(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B", activitytest.PendingFor("1"))}, func(o *domain.Offer) { o.Events[0].DisplayOrder, o.Events[1].DisplayOrder = 1, 2 })
	rig.partnerURL("/p")
	later := rig.Post(rig.Click(o), "B")
	rig.Set("UPDATE tenants SET goals_enabled = false")
	rig.Wait(24 * time.Hour)
	rig.Review(later.ConversionID, domain.ActionRelease, activitytest.ByTimer)
	rig.news(1)
	require.Empty(t, rig.at("/p"))
}

// What is told is what was asked for, and a Success that the partner has in its books already is not
// told twice.
func TestRule54StatusesOfAPartner(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"))})
	rig.partnerURL("/default?s={status}")
	rig.partnerURL("/all?s={status}", told("success", "pending", "rejected", "reversed"))
	rig.partnerURL("/reversed?s={status}", told("reversed"))
	answer := rig.Post(rig.Click(o), "A")
	rig.Wait(24 * time.Hour)
	for _, action := range []domain.Action{domain.ActionApprove, domain.ActionReverse, domain.ActionApprove} {
		rig.Review(answer.ConversionID, action)
		rig.news(2)
	}
	require.Equal(t, []string{"s=Success"}, rig.at("/default"))
	require.Equal(t, []string{"s=Pending", "s=Success", "s=Rejected", "s=Success"}, rig.at("/all"))
	require.Equal(t, []string{"s=Rejected"}, rig.at("/reversed"))
}

// Figures that a person corrects are no further conversion: only the tenant hears of them.
func TestRule54AnAdjustmentIsNotTold(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	rig.partnerURL("/all?s={status}", told("success", "pending", "rejected", "reversed"))
	answer := rig.Post(rig.Click(rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("1"))})), "A")
	require.NoError(t, rig.AdjustBy(answer.ConversionID, domain.Adjustment{Payout: activitytest.Decimal("2")}))
	rig.Review(answer.ConversionID, domain.ActionApprove)
	require.NoError(t, rig.AdjustBy(answer.ConversionID, domain.Adjustment{Payout: activitytest.Decimal("3")}))
	rig.news(4)
	require.Equal(t, []string{"s=Pending", "s=Success"}, rig.at("/all"))
}

// Whatever order the stream's parallel hands take a reversal and the approval after it in, the
// partner hears of them in theirs.
func TestRule49APartnerHearsOfAReversalBeforeTheNextSuccess(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.partnerURL("/all?s={status}", told("success", "reversed"))
	answer := rig.Post(rig.Click(o), "A")
	rig.news(1)
	rig.Review(answer.ConversionID, domain.ActionReverse)
	rig.Review(answer.ConversionID, domain.ActionApprove)
	events := rig.events()
	require.ErrorIs(t, rig.out.HandleConversion(t.Context(), events[1]), stream.ErrNotYet)
	rig.out.Wait()
	require.Len(t, rig.at("/hook"), 2, "the tenant's callback does not wait for it")
	for _, event := range events {
		require.NoError(t, rig.out.HandleConversion(t.Context(), event))
		rig.out.Wait()
	}
	require.Equal(t, []string{"s=Success", "s=Rejected", "s=Success"}, rig.at("/all"))
	require.Equal(t, 3, len(rig.at("/hook")))
}

func TestRule51PartnersAreRetriedByTheSameSchedule(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	id := rig.partnerURL("/wrong?s={status}&c={aff_sub}")
	rig.answers("/wrong", status(503))
	rig.Post(rig.Click(o, func(c *domain.Click) { c.PubSubs = []string{"z"} }), "A")
	rig.news(1)
	row := rig.deliveries(kindPartner)[0]
	require.Equal(t, []any{stateWaiting, int32(1), rig.Time().Add(5 * time.Second)}, []any{row.State, row.Attempts, row.NextAttemptAt.UTC()})
	require.Len(t, rig.handed, 1)
	rig.Wait(5 * time.Second)
	rig.answers("/wrong", status(400))
	require.NoError(t, rig.out.DeliverLater(t.Context(), rig.handed[0]))
	require.Equal(t, stateFailed, rig.deliveries(kindPartner)[0].State)

	// Sent again by a person, it takes the template as it is now: the same message, the same values.
	rig.Set("UPDATE partner_postbacks SET url = $2, method = 'POST' WHERE id = $1", id, rig.receiver.URL+"/right?c={aff_sub}")
	rig.Wait(time.Minute)
	rig.Set("UPDATE deliveries SET state = 'waiting' WHERE id = $1", row.ID)
	require.NoError(t, rig.out.HandleDelivery(t.Context(), stream.DeliveryEvent{TenantID: rig.TenantID, DeliveryID: row.ID}))
	rig.out.Wait()
	require.Equal(t, []string{"s=Success&c=z", "s=Success&c=z"}, rig.at("/wrong"))
	require.Equal(t, []string{"c=z"}, rig.at("/right"))
	for _, call := range rig.got {
		if call.path != "/hook" {
			require.Equal(t, row.ID.String(), call.id, "rule 49: one message id")
		}
	}
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		attempts, err := queries.AttemptsOfDeliveries(ctx, tx, 100, rig.TenantID, []uuid.UUID{row.ID})
		require.Equal(t, []string{rig.receiver.URL + "/wrong?s=Success&c=z", rig.receiver.URL + "/right"}, []string{attempts[0].Url, attempts[2].Url})
		return err
	})
}

func TestRule51A410DisablesThePartnersURLOnly(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	id := rig.partnerURL("/gone")
	rig.answers("/gone", status(410))
	for range 2 {
		rig.Wait(time.Second) // they are told apart by when they were made
		rig.Post(rig.Click(o), "A")
		rig.news(1)
	}
	require.Len(t, rig.at("/gone"), 1)
	require.Len(t, rig.at("/hook"), 2)
	rows := rig.deliveries(kindPartner)
	require.Equal(t, []string{stateFailed, stateFailed, errorDisabled}, []string{rows[0].State, rows[1].State, rows[1].LastError})
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		postback, err := queries.GetPartnerPostback(ctx, tx, rig.TenantID, id)
		require.NotNil(t, postback.DisabledAt)
		return err
	})
	// Paused by a person: what waits is not sent either.
	rig.Set("UPDATE partner_postbacks SET disabled_at = NULL, status = 'paused' WHERE id = $1", id)
	rig.Set("UPDATE deliveries SET state = 'waiting' WHERE id = $1", rows[0].ID)
	require.NoError(t, rig.out.HandleDelivery(t.Context(), stream.DeliveryEvent{TenantID: rig.TenantID, DeliveryID: rows[0].ID}))
	require.Equal(t, errorPaused, rig.deliveries(kindPartner)[0].LastError)
}

// Rule 52: partners whose servers hang, however many, take no room from callbacks.
func TestRule52DeadPartnersDelayNoCallback(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	release := make(chan struct{})
	var once sync.Once
	free := func() { once.Do(func() { close(release) }) }
	t.Cleanup(free)
	for n := range 3 {
		path := "/dead" + string(rune('a'+n))
		rig.partnerURL(path)
		rig.answers(path, func(http.ResponseWriter, *http.Request) { <-release })
	}
	rig.out.partners.first = maxFirstAttempts - 2 // as if hundreds more hung already
	for range 5 {
		rig.Post(rig.Click(o), "A")
	}
	for _, event := range rig.events() {
		require.NoError(t, rig.out.HandleConversion(t.Context(), event))
	}
	rig.mu.Lock()
	handed := len(rig.handed)
	rig.mu.Unlock()
	require.Equal(t, 13, handed, "all but two of fifteen went to the durable retry")
	require.Eventually(t, func() bool { return len(rig.at("/hook")) == 5 }, outbound.Timeout-time.Second, 5*time.Millisecond,
		"sooner than the attempts at the dead ones give up")
	free()
	rig.out.Wait()
	require.Equal(t, maxFirstAttempts-2, rig.out.partners.first, "slots are given back")
	require.Zero(t, rig.out.callbacks.first)
}

// A tenant without partner postbacks pays for none: the same statements as ever for a callback.
func TestRule54CostsNothingWithoutPostbacks(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	count := func(partner *uuid.UUID) (statements []string) {
		rig.Post(rig.Click(o, func(c *domain.Click) { c.PartnerID = partner }), "A")
		event := rig.events()[0]
		rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
			spy := &spyTx{Tx: tx}
			endpoints, err := endpointsOf(ctx, spy, &event)
			require.NoError(t, err)
			require.Len(t, endpoints, 1)
			queued := conversionEvent{ConversionEvent: &event}
			move, err := rig.out.enqueue(ctx, spy, &endpoints[0], &queued)
			rig.out.breakerOf(move.attempt).release(rig.TenantID, endpoints[0].ID, true)
			statements = spy.statements
			return err
		})
		return statements
	}
	with, without := count(&rig.Partner), count(nil)
	require.Equal(t, without, with)
	require.Len(t, with, 7, "endpoints, lane lock, insert, lane, due, claim, endpoint")
}

// spyTx notes the names of the statements that go through it.
type spyTx struct {
	pgx.Tx
	statements []string
}

func (s *spyTx) note(sql string) {
	name, _, _ := strings.Cut(strings.TrimPrefix(sql, "-- name: "), " ")
	s.statements = append(s.statements, name)
}

func (s *spyTx) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	s.note(sql)
	return s.Tx.Exec(ctx, sql, args...)
}

func (s *spyTx) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	s.note(sql)
	return s.Tx.Query(ctx, sql, args...)
}

func (s *spyTx) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	s.note(sql)
	return s.Tx.QueryRow(ctx, sql, args...)
}

// The preview and the request are made by the same function: what PartnerMacros says is sent.
func TestPartnerMacrosAreWhatIsSent(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")}, func(o *domain.Offer) { o.Name = "Star & Co ?" })
	path := "/p?"
	for _, macro := range domain.Macros() {
		path += macro.Name + "={" + macro.Name + "}&"
	}
	rig.partnerURL(path)
	answer := rig.Post(rig.Click(o, func(c *domain.Click) { c.PubClickID, c.PubSubs = "x y", []string{"1", "", "3"} }), "A",
		func(p *domain.Postback) { p.Amount = "12.50" })
	var request domain.PartnerRequest
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		values, ok, err := PartnerMacros(ctx, tx, rig.TenantID, *answer.ConversionID, answer.Status)
		require.True(t, ok)
		request = domain.NewPartnerRequest("GET", rig.receiver.URL+path, values)
		return err
	})
	rig.Edit(o, func(o *domain.Offer) { o.Name, o.Events[0].Slug = "Renamed", "renamed" }) // as it was decided
	rig.news(1)
	sent := rig.at("/p")
	require.Len(t, sent, 1)
	require.Equal(t, request.URL, rig.receiver.URL+"/p?"+sent[0])
	values, err := url.ParseQuery(sent[0])
	require.NoError(t, err)
	require.Equal(t, []string{"Star & Co ?", "x y", "3", "A", "12.50"},
		[]string{values.Get("offer_name"), values.Get("pub_click_id"), values.Get("aff_sub3"), values.Get("goal_name"), values.Get("cnv_amount")})
}

// A crash in the middle of a first attempt: nobody was told to try again. The lease and the watch
// bound how long it takes.
func TestAnAttemptThatACrashCutShortIsTakenUp(t *testing.T) {
	t.Parallel()
	rig := newPartnerRig(t)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	rig.Post(rig.Click(o), "A")
	rig.answers("/hook", status(503))
	rig.news(1)
	row := rig.deliveries(kindCallback)[0]
	rig.Set("UPDATE deliveries SET next_attempt_at = $2 WHERE id = $1", row.ID, rig.Time().Add(lease))
	rig.answers("/hook", nil)
	require.NoError(t, rig.out.resumeAttempts(t.Context()))
	rig.Wait(lease)
	require.NoError(t, rig.out.resumeAttempts(t.Context()))
	rig.out.Wait()
	require.Len(t, rig.at("/hook"), 1, "its lease, and a moment for the retry's own way")
	rig.Wait(overdueAfter + time.Second)
	activitytest.AtOnce(t, 8, func(int) error { return rig.out.resumeAttempts(context.WithoutCancel(t.Context())) })
	rig.out.Wait()
	require.Len(t, rig.at("/hook"), 2, "however many watch, one has it")
	require.Equal(t, stateDelivered, rig.deliveries(kindCallback)[0].State)
	require.LessOrEqual(t, lease+overdueAfter+watchEvery, 45*time.Second)
}
