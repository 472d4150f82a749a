package temporalserver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/db/cluster"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
	"github.com/offerflow/offerflow/standalone/temporalserver"
)

// address is the one server all tests share, on the PostgreSQL of postgresURL; token is what it asks for.
var address, postgresURL string

const token = "token-of-the-tests"

func TestMain(m *testing.M) { testboot.Main(m, begin) }

func begin(ctx context.Context, dir string) (stop func() error, err error) {
	pg, err := cluster.Start(ctx, cluster.Options{Dir: filepath.Join(dir, "postgres"), Settings: testboot.Unsynced()})
	if err != nil {
		return nil, err
	}
	postgresURL = pg.URL("postgres")
	opts := temporalserver.Options{
		PostgresURL: postgresURL, Token: token,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	first, err := temporalserver.Start(ctx, opts)
	if err != nil {
		return nil, err
	}
	if err := first.Stop(ctx); err != nil {
		return nil, err
	}
	// The second start finds everything there: schema, namespace, attributes.
	second, err := temporalserver.Start(ctx, opts)
	if err != nil {
		return nil, err
	}
	address = second.Address()
	return func() error { return errors.Join(second.Stop(context.Background()), pg.Stop(context.Background())) }, nil
}

func dial(t *testing.T) client.Client {
	t.Helper()
	options := temporalserver.ClientOptions(address, token)
	options.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	c, err := client.Dial(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func startWorker(t *testing.T, c client.Client, queue string, register func(worker.Worker)) {
	t.Helper()
	w := worker.New(c, queue, worker.Options{})
	register(w)
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
}

// within fails the test, and not the whole run, when the server never answers.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// parked waits for one Update and returns what it said.
func parked(ctx workflow.Context) (string, error) {
	var got string
	err := workflow.SetUpdateHandler(ctx, "tell", func(_ workflow.Context, word string) (string, error) {
		got = word
		return "heard " + word, nil
	})
	if err != nil {
		return "", err
	}
	err = workflow.Await(ctx, func() bool { return got != "" && workflow.AllHandlersFinished(ctx) })
	return got, err
}

func TestAParkedWorkflowTimesOutWithoutAWorker(t *testing.T) {
	t.Parallel()
	c, ctx := dial(t), within(t, time.Minute)
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: t.Name(), TaskQueue: t.Name(),
		WorkflowExecutionTimeout: 2 * time.Second, StartDelay: time.Hour,
	}, parked)
	if err != nil {
		t.Fatal(err)
	}
	err = run.Get(ctx, nil)
	var timedOut *temporal.TimeoutError
	if !errors.As(err, &timedOut) {
		t.Fatalf("got %v", err)
	}
	var events []string
	for history := c.GetWorkflowHistory(ctx, t.Name(), run.GetRunID(), false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); history.HasNext(); {
		event, err := history.Next()
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, event.GetEventType().String())
	}
	if got := strings.Join(events, " "); got != "WorkflowExecutionStarted WorkflowExecutionTimedOut" {
		t.Errorf("history: %s", got)
	}
}

func TestAnUpdateWakesAParkedWorkflow(t *testing.T) {
	t.Parallel()
	c, ctx := dial(t), within(t, time.Minute)
	startWorker(t, c, t.Name(), func(w worker.Worker) { w.RegisterWorkflow(parked) })
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: t.Name(), TaskQueue: t.Name(),
		WorkflowExecutionTimeout: time.Hour, StartDelay: 2 * time.Hour,
	}, parked)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	update, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: t.Name(), UpdateID: "one", UpdateName: "tell", Args: []any{"now"},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		t.Fatal(err)
	}
	var answer, result string
	if err := errors.Join(update.Get(ctx, &answer), run.Get(ctx, &result)); err != nil {
		t.Fatal(err)
	}
	if answer != "heard now" || result != "now" {
		t.Errorf("answer %q, result %q", answer, result)
	}
	t.Logf("delivered and completed after %v", time.Since(begin))
}

func TestUpdateWithStart(t *testing.T) {
	t.Parallel()
	c, ctx := dial(t), within(t, time.Minute)
	startWorker(t, c, t.Name(), func(w worker.Worker) { w.RegisterWorkflow(parked) })
	tell := func(update string) (answer string, err error) {
		handle, err := c.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
			StartWorkflowOperation: c.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
				ID: t.Name(), TaskQueue: t.Name(),
				WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
			}, parked),
			UpdateOptions: client.UpdateWorkflowOptions{
				WorkflowID: t.Name(), UpdateID: update, UpdateName: "tell", Args: []any{update},
				WaitForStage: client.WorkflowUpdateStageCompleted,
			},
		})
		if err != nil {
			return "", err
		}
		return answer, handle.Get(ctx, &answer)
	}
	answer, err := tell("first")
	if err != nil || answer != "heard first" {
		t.Fatalf("%q, %v", answer, err)
	}
}

// A durable, retried job without a workflow: deliveries are made of it.
func TestAStandaloneActivityIsRetriedWhenItSays(t *testing.T) {
	t.Parallel()
	c, ctx := dial(t), within(t, time.Minute)
	const delay = 700 * time.Millisecond
	var attempts atomic.Int32
	var failedAt atomic.Int64
	deliver := func(context.Context) (time.Duration, error) {
		switch attempts.Add(1) {
		case 1: // by the retry policy
			return 0, errors.New("not yet")
		case 2: // by its own schedule, longer than the policy's
			failedAt.Store(time.Now().UnixNano())
			return 0, temporal.NewApplicationErrorWithOptions("later", "later", temporal.ApplicationErrorOptions{NextRetryDelay: delay})
		}
		return time.Duration(time.Now().UnixNano() - failedAt.Load()), nil
	}
	startWorker(t, c, t.Name(), func(w worker.Worker) { w.RegisterActivity(deliver) })
	handle, err := c.ExecuteActivity(ctx, client.StartActivityOptions{
		ID: t.Name(), TaskQueue: t.Name(), StartToCloseTimeout: time.Minute,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Millisecond},
	}, deliver)
	if err != nil {
		t.Fatal(err)
	}
	var waited time.Duration
	if err := handle.Get(ctx, &waited); err != nil {
		t.Fatal(err)
	}
	if attempts.Load() != 3 || waited < delay {
		t.Errorf("%d attempts, waited %v", attempts.Load(), waited)
	}
	t.Logf("asked for %v, got %v", delay, waited)
}

func TestWorkflowsAreFoundByTheirSearchAttributes(t *testing.T) {
	t.Parallel()
	c, ctx := dial(t), within(t, time.Minute)
	var values []temporal.SearchAttributeUpdate
	var query []string
	for _, name := range temporalserver.SearchAttributes {
		values = append(values, temporal.NewSearchAttributeKeyKeyword(name).ValueSet("v"+name))
		query = append(query, fmt.Sprintf("%s = 'v%s'", name, name))
	}
	if _, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: t.Name(), TaskQueue: t.Name(), WorkflowExecutionTimeout: time.Minute, StartDelay: time.Hour,
		TypedSearchAttributes: temporal.NewSearchAttributes(values...),
	}, parked); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for { // visibility follows a moment later
		found, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
			Namespace: temporalserver.Namespace, Query: strings.Join(query, " AND "),
		})
		if err != nil {
			t.Fatal(err)
		}
		if found.GetCount() == 1 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal("not found")
		case <-tick.C:
		}
	}
}

func TestTheUIShowsTheNamespace(t *testing.T) {
	t.Parallel()
	ui := startUI(t, false)
	for path, want := range map[string]string{
		"/":                          "<!doctype html>",
		"/api/v1/namespaces/default": `"name":"default"`,
	} {
		response, err := http.Get(ui.URL() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		text := strings.ReplaceAll(strings.ToLower(string(body)), `": "`, `":"`)
		if response.StatusCode != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %s %.200s", path, response.Status, body)
		}
	}
}
