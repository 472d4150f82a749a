package compose

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/offerflow/offerflow/standalone/temporalserver"
)

// Temporal of docker-compose.yml takes nobody without the token, and has its open workflows after a restart. The UI
// beside it only shows, under its own names.
func TestTemporalOfCompose(t *testing.T) {
	r := newRig(t)
	server := r.start("temporal")
	for name, options := range map[string]client.Options{
		"no token": {HostPort: r.temporal}, "another": temporalserver.ClientOptions(r.temporal, "another token of the test"),
	} {
		refused, err := client.Dial(quiet(options))
		if err == nil {
			_, err = refused.ExecuteWorkflow(within(t, time.Minute), client.StartWorkflowOptions{ID: "w", TaskQueue: "q"}, waits)
			refused.Close()
		}
		require.ErrorContains(t, err, "unauthorized", name)
	}
	var c client.Client
	for _, service := range []string{"api", "worker"} {
		c = r.dial(service)
		described, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
		require.NoError(t, err, service)
		require.Equal(t, 30*24*time.Hour, described.Config.WorkflowExecutionRetentionTtl.AsDuration())
	}
	_, err := c.ExecuteWorkflow(within(t, time.Minute), client.StartWorkflowOptions{ID: "open", TaskQueue: "q"}, waits)
	require.NoError(t, err)
	r.showsOnly("open")
	r.followsItsFile(c)

	server.stop()
	r.start("temporal")
	c = r.dial("worker")
	works(t, c)
	require.Equal(t, "heard now", tell(t, c, "open"))
	require.Equal(t, int32(128), shards(t, c))
}

// followsItsFile edits the dynamic configuration, as an operator does.
func (r *rig) followsItsFile(c client.Client) {
	r.t.Helper()
	const before, after = "limit.maxIDLength: [{value: 255}]", "limit.maxIDLength: [{value: 100}]"
	start := func(length int) error {
		_, err := c.ExecuteWorkflow(within(r.t, time.Minute), client.StartWorkflowOptions{ID: strings.Repeat("x", length), TaskQueue: "nobody"}, waits)
		return err
	}
	require.ErrorContains(r.t, start(256), "exceeds maximum allowed length")
	require.NoError(r.t, start(255))
	text, err := os.ReadFile(r.dynamicConfig)
	require.NoError(r.t, err)
	require.Contains(r.t, string(text), before)
	require.NoError(r.t, os.WriteFile(r.dynamicConfig, []byte(strings.Replace(string(text), before, after, 1)), 0o600))
	require.Eventually(r.t, func() bool { return start(101) != nil }, time.Minute, 500*time.Millisecond)
	require.ErrorContains(r.t, start(101), "exceeds maximum allowed length")
}

// showsOnly looks at a workflow through the UI.
func (r *rig) showsOnly(id string) {
	r.t.Helper()
	published := r.project.Services["temporal-ui"].Ports
	require.Len(r.t, published, 1)
	require.Equal(r.t, "127.0.0.1", published[0].HostIP)
	require.EqualValues(r.t, 8233, published[0].Target)
	ui := r.start("temporal-ui")
	path := "/api/v1/namespaces/default/workflows/" + id
	code, body := r.ask(http.MethodGet, path, "")
	require.Equal(r.t, http.StatusOK, code, body)
	require.Contains(r.t, body, `"WORKFLOW_EXECUTION_STATUS_RUNNING"`)
	code, body = r.ask(http.MethodPost, path+"/terminate", "")
	require.Equal(r.t, http.StatusMethodNotAllowed, code, body)
	code, body = r.ask(http.MethodGet, path, "rebound.example.com:8233")
	require.Equal(r.t, http.StatusMisdirectedRequest, code)
	require.Contains(r.t, body, "OFFERFLOW_ALLOWED_HOSTS")
	ui.stop()
}

func (r *rig) ask(method, path, host string) (code int, body string) {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), method, "http://"+r.ui+path, strings.NewReader("{}"))
	require.NoError(r.t, err)
	request.Host = host
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := http.DefaultClient.Do(request)
	require.NoError(r.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	return response.StatusCode, string(text)
}

// dial is a client with the settings that a service has for Temporal, read as the service reads them.
func (r *rig) dial(service string) client.Client {
	r.t.Helper()
	options, err := envconfig.LoadClientOptions(envconfig.LoadClientOptionsRequest{DisableFile: true, EnvLookup: lookup(r.environment(service, r.places))})
	require.NoError(r.t, err)
	require.Equal(r.t, r.temporal, options.HostPort)
	c, err := client.DialContext(within(r.t, time.Minute), quiet(options))
	require.NoError(r.t, err)
	r.t.Cleanup(c.Close)
	return c
}

// lookup is an environment.
type lookup []string

func (l lookup) Environ() []string { return l }

func (l lookup) LookupEnv(name string) (string, bool) {
	for _, one := range l {
		if value, found := strings.CutPrefix(one, name+"="); found {
			return value, true
		}
	}
	return "", false
}

func quiet(options client.Options) client.Options {
	options.Logger = sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler))
	return options
}

// waits is a workflow that ends with its first Update.
func waits(ctx workflow.Context) (string, error) {
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

// works runs a worker until the test ends.
func works(t *testing.T, c client.Client) {
	t.Helper()
	w := worker.New(c, "q", worker.Options{})
	w.RegisterWorkflow(waits)
	w.RegisterWorkflow(ends)
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
}

// ends is a workflow that ends at once.
func ends(workflow.Context) (string, error) { return "done", nil }

func tell(t *testing.T, c client.Client, id string) (answer string) {
	t.Helper()
	ctx := within(t, time.Minute)
	update, err := c.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: "tell", Args: []any{"now"}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	require.NoError(t, err)
	require.NoError(t, update.Get(ctx, &answer))
	return answer
}

func shards(t *testing.T, c client.Client) int32 {
	t.Helper()
	info, err := c.WorkflowService().GetClusterInfo(t.Context(), &workflowservice.GetClusterInfoRequest{})
	require.NoError(t, err)
	return info.HistoryShardCount
}
