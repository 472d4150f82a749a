package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// book is a site with a tenant that has one offer, and what a worker does: decisions are the real
// ones on the real database, only the workflow engine between them and the API is not.
type book struct {
	*site
	t         testing.TB
	tenantID  uuid.UUID
	me        *caller
	decisions *attribution.Decisions
	engine    *engine
	offer     domain.Offer
}

// engine stands in for the workflow engine: it hands each review to Settle.
type engine struct {
	client.Client
	decisions *attribution.Decisions

	mu sync.Mutex
	// fails are the errors of the next calls.
	fails   []error
	updates []client.UpdateWorkflowOptions
}

func (e *engine) NewWithStartWorkflowOperation(client.StartWorkflowOptions, any, ...any) client.WithStartWorkflowOperation {
	return nil
}

func (e *engine) UpdateWithStartWorkflow(ctx context.Context, options client.UpdateWithStartWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	e.mu.Lock()
	e.updates = append(e.updates, options.UpdateOptions)
	var err error
	if len(e.fails) > 0 {
		err, e.fails = e.fails[0], e.fails[1:]
	}
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	settled, err := e.decisions.ApplyTransition(ctx, options.UpdateOptions.Args[0].(attribution.TransitionRequest))
	return updateHandle{settled: settled, err: err}, nil
}

// Workflows that wait for a day that no test waits for.
func (e *engine) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, nil
}

func (e *engine) CancelWorkflow(context.Context, string, string) error { return nil }

func (e *engine) failing(times int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range times {
		e.fails = append(e.fails, serviceerror.NewUnavailable("down"))
	}
}

type updateHandle struct {
	client.WorkflowUpdateHandle
	settled attribution.TransitionResult
	err     error
}

func (h updateHandle) Get(_ context.Context, value any) error {
	*value.(*attribution.TransitionResult) = h.settled
	return h.err
}

// The offer's events.
const (
	eventInstall = "install" // Success at once: revenue 5, reward 100
	eventLevel   = "level_5" // Pending for three days, after install: revenue 8, reward 200
	eventBuy     = "buy"     // waits for a person: revenue 10, reward 300, at most 2 a day
)

func newBook(t *testing.T, change ...func(*api.Server)) *book {
	t.Helper()
	b := &book{t: t, engine: &engine{}}
	b.site = newSite(t, append(change, func(s *api.Server) {
		s.Temporal, s.Config.TemporalUIURL, s.Config.TemporalNamespace = b.engine, "http://temporal.example", "offers"
	})...)
	b.decisions = &attribution.Decisions{Store: b.store, Keys: b.api.Keys, Nudge: func() {}, Now: clocktest.Now}
	b.engine.decisions = b.decisions
	id, me := b.tenant("Coins")
	b.tenantID, b.me = uuid.MustParse(id), me
	b.offer = b.addOffer("=Coin Game")
	return b
}

func micros(units int64) *domain.Micros {
	m := domain.Micros(units * domain.MicrosPerUnit)
	return &m
}

func (b *book) addOffer(name string) domain.Offer {
	b.t.Helper()
	advertiser := uuid.MustParse(b.me.made("/api/v1/advertisers", map[string]any{"name": "Coin Inc"}))
	first, second, twice := 1, 2, int64(2)
	event := func(eventID string, order int, revenue, reward int64) domain.Event {
		return domain.Event{
			ID: uuid.New(), Name: "Event " + eventID, EventID: eventID, ShowOnOfferWall: true, DisplayOrder: order,
			HasRevenue: true, Revenue: micros(revenue), HasReward: true, Reward: micros(reward),
			GoalSettings: domain.GoalSettings{Status: domain.GoalStatusActive, RecordAs: domain.RecordAsConversion, DedupeSeconds: *micros(10)},
		}
	}
	offer := domain.Offer{
		ID: uuid.New(), TenantID: b.tenantID, Version: 1, AdvertiserID: advertiser, Name: name, OfferType: domain.OfferTypeMultiEvent,
		ConversionType: domain.ConversionTypeFlatRate, RewardType: domain.RewardTypeAutomatic, BudgetType: domain.BudgetTypeTotal,
		Budget: *micros(1_000_000), LaunchAt: clocktest.Now().Add(-48 * time.Hour).UTC(), SessionDays: *micros(30),
		OutOfOrderGraceMinutes: *micros(60), OverCapPolicy: domain.OverCapPolicyReject,
		Events: []domain.Event{event(eventInstall, 1, 5, 100), event(eventLevel, 2, 8, 200), event(eventBuy, 3, 10, 300)},
	}
	offer.Events[0].SequenceNumber, offer.Events[1].SequenceNumber = &first, &second
	offer.Events[1].PendingTime = micros(3)
	offer.Events[2].RequiresApproval, offer.Events[2].Caps.Daily = true, &twice
	document, err := json.Marshal(offer)
	require.NoError(b.t, err)
	at := clocktest.Now()
	b.inTenant(func(ctx context.Context, tx pgx.Tx) error {
		q := dbgen.New()
		return errors.Join(
			q.InsertOffer(b.t.Context(), tx, dbgen.InsertOfferParams{
				TenantID: b.tenantID, ID: offer.ID, AdvertiserID: advertiser, Version: 1, Name: name, OfferType: string(offer.OfferType),
				LaunchAt: offer.LaunchAt, CreatedAt: at, UpdatedAt: at,
			}),
			q.InsertOfferAccess(b.t.Context(), tx, dbgen.InsertOfferAccessParams{TenantID: b.tenantID, OfferID: offer.ID, Side: "owner", CreatedAt: at}),
			q.InsertOfferVersion(b.t.Context(), tx, dbgen.InsertOfferVersionParams{
				TenantID: b.tenantID, OfferID: offer.ID, Version: 1, Document: document, CreatedAt: at, CreatedBy: "test",
			}),
		)
	})
	return offer
}

func (b *book) inTenant(fn func(ctx context.Context, tx pgx.Tx) error) {
	b.t.Helper()
	require.NoError(b.t, b.store.Tenant(b.t.Context(), b.tenantID, fn))
}

// count reads one number as the superuser.
func (b *book) count(query string, args ...any) (n int) {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.database)
	require.NoError(b.t, err)
	defer conn.Close(b.t.Context())
	require.NoError(b.t, conn.QueryRow(b.t.Context(), query, args...).Scan(&n))
	return n
}

// click writes a click of an hour ago; an empty member is none.
func (b *book) click(member string, change ...func(*domain.Click)) uuid.UUID {
	b.t.Helper()
	at := clocktest.Now().Add(-time.Hour).UTC()
	click := domain.Click{
		ID: b.api.Keys.NewID(keyring.KindClick, at), TenantID: b.tenantID, ClickedAt: at, LinkID: uuid.New(), OfferID: b.offer.ID, OfferVersion: 1,
		AdvertiserID: b.offer.AdvertiserID, IP: "198.51.100.7", SessionEndsAt: b.offer.SessionEnd(at),
	}
	if member != "" {
		click.PubMemberID = &member
	}
	for _, f := range change {
		f(&click)
	}
	packed, err := json.Marshal([]domain.Click{click})
	require.NoError(b.t, err)
	clicks := attribution.Clicks{Store: b.store}
	require.NoError(b.t, clicks.Insert(b.t.Context(), packed))
	return click.ID
}

// postback decides one postback now.
func (b *book) postback(clickID uuid.UUID, eventID string, change ...func(*domain.Postback)) domain.Answer {
	b.t.Helper()
	at := clocktest.Now().UTC()
	postback := domain.Postback{
		ID: b.api.Keys.NewID(keyring.KindPostback, at), ReceivedAt: at, Method: "GET", Path: "/track", SourceIP: "203.0.113.9", ClickID: &clickID, EventID: eventID,
		Params: map[string]string{"gk_click_id": clickID.String(), "cnv_event_id": eventID, "security_token": "***"},
	}
	for _, f := range change {
		f(&postback)
	}
	decided, err := b.decisions.Decide(b.t.Context(), b.tenantID, postback)
	require.NoError(b.t, err)
	return decided.Answer
}

// converted is a conversion of a new click.
func (b *book) converted(member, eventID string) uuid.UUID {
	b.t.Helper()
	answer := b.postback(b.click(member), eventID)
	require.NotNil(b.t, answer.ConversionID, "%+v", answer)
	return *answer.ConversionID
}
