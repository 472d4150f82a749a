package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	sdkpb "go.temporal.io/api/sdk/v1"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

func get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	return getAs(t, "", address)
}

// getAs asks with a token.
func getAs(t *testing.T, token, address string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	check(t, err)
	if token != "" {
		request.Header.Set("Authorization", "ApiToken "+token)
	}
	response, err := http.DefaultClient.Do(request)
	check(t, err)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	check(t, err)
	return response.StatusCode, string(data)
}

func TestMetrics(t *testing.T) {
	s, r := newShop(t, nil), newReceiver(t)
	s.putEndpoint(t, map[string]any{"url": r.URL})
	_, link := s.single(t, nil)
	s.convert(t, s.click(t, link), "", "accepted")
	r.next(t, 1)
	swept, err := w.temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: "sweep/e2e", TaskQueue: workflows.TaskQueue}, workflows.SweepName)
	check(t, err)
	check(t, swept.Get(t.Context(), nil))
	families := []string{
		`offerflow_http_request_seconds_count{method="GET",route="/c/:linkId",status="302"}`,
		`offerflow_http_request_seconds_count{method="GET",route="/track",status="200"}`,
		`offerflow_stream_lag_messages{consumer="clicks"}`, `offerflow_stream_lag_messages{consumer="postbacks"}`,
		`offerflow_workflow_start_lag_seconds_count`, `offerflow_decisions_total{outcome="accepted"`,
		`offerflow_callback_attempts_total{kind="callback",result="delivered"}`, `offerflow_callback_seconds_count`, `offerflow_reward_due_to_attempt_seconds_count`,
		`offerflow_swept_total{kind="held"}`, `offerflow_swept_total{kind="pending"}`, `temporal_`,
	}
	var missing []string
	begin := time.Now()
	until(t, patience, "all families of metrics", func() bool {
		status, text := getAs(t, w.Config.OperatorToken, w.URL+"/metrics")
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, text)
		}
		missing = missing[:0]
		for _, family := range families {
			if !strings.Contains(text, "\n"+family) {
				missing = append(missing, family)
			}
		}
		if time.Since(begin) > patience/2 && len(missing) > 0 {
			t.Fatalf("missing: %q", missing)
		}
		return len(missing) == 0
	})
}

type readiness struct {
	Status   string
	Degraded []string
}

func (r readiness) of(name string) string {
	if slices.Contains(r.Degraded, name) {
		return "failing"
	}
	return "ok"
}

func ready(t *testing.T, address string) (status int, found readiness) {
	t.Helper()
	status, text := get(t, address+"/readyz")
	check(t, json.Unmarshal([]byte(text), &found))
	return status, found
}

func TestReadiness(t *testing.T) {
	if status, found := ready(t, w.URL); status != http.StatusOK || found.Status != "ok" || len(found.Degraded) > 0 {
		t.Errorf("%d %+v", status, found)
	}
	var told struct {
		Dependencies []struct{ Name, Status string }
	}
	_, text := getAs(t, w.Config.OperatorToken, w.URL+"/readyz")
	check(t, json.Unmarshal([]byte(text), &told))
	if len(told.Dependencies) != 4 || strings.Count(text, `"status":"ok"`) != 5 {
		t.Errorf("the operator is told %s", text)
	}
	if status, _ := get(t, w.URL+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d", status)
	}
}

// A stream server that does not prove that it syncs every write is not ready, although it answers.
func TestNotReadyWithoutProofOfSync(t *testing.T) {
	var truth strings.Builder
	_, varz := get(t, w.Engine.NATSMonitorURL+"/varz")
	truth.WriteString(strings.ReplaceAll(varz, `"sync_always": true`, `"sync_always": false`))
	if truth.String() == varz {
		t.Fatal("the monitor does not speak of sync_always")
	}
	monitor := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(out, truth.String()) }))
	defer monitor.Close()
	store, err := db.Open(t.Context(), w.Engine.DatabaseURL, 2)
	check(t, err)
	defer store.Close()
	conn, err := stream.Connect(w.Engine.NATSURL, "e2e")
	check(t, err)
	defer conn.Close()
	for what, address := range map[string]string{"unsynced": monitor.URL, "unknown": "", "unreachable": "http://127.0.0.1:1"} {
		server := httptest.NewServer((&api.Server{Store: store, Stream: conn, Temporal: w.temporal, Config: api.Config{NATSMonitorURL: address}}).ServiceHandler())
		status, found := ready(t, server.URL)
		server.Close()
		if status != http.StatusServiceUnavailable || found.of("nats") != "failing" || found.of("postgres") != "ok" || found.of("temporal") != "ok" {
			t.Errorf("%s: %d %+v", what, status, found)
		}
	}
}

// What people in ops see in the Temporal UI: a summary of each run, and how it stands.
func TestTemporalUI(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.single(t, map[string]any{"pendingTime": 7})
	clickID := s.click(t, link, "pub_member_id", "ann")
	conversionID := s.convert(t, clickID, "", "accepted").ConversionID
	for id, texts := range map[string][2]string{
		"click/" + clickID:           {"click on offer ", "Decisions since this run began: 1"},
		"conversion/" + conversionID: {"conversion " + conversionID, "Pending: released at "},
	} {
		until(t, patience, "the run "+id, func() bool { // a Pending conversion's run starts after the answer
			_, err := w.temporal.DescribeWorkflowExecution(t.Context(), id, "")
			return err == nil
		})
		status, body := get(t, w.Engine.TemporalUIURL+"/api/v1/namespaces/default/workflows/"+url.PathEscape(id))
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", id, status, body)
		}
		var run struct {
			ExecutionConfig struct {
				UserMetadata struct{ Summary struct{ Data string } }
			}
		}
		check(t, json.Unmarshal([]byte(body), &run))
		var summary string
		data, err := base64.StdEncoding.DecodeString(run.ExecutionConfig.UserMetadata.Summary.Data)
		check(t, err)
		check(t, json.Unmarshal(data, &summary))
		if !strings.HasPrefix(summary, texts[0]) || strings.Contains(summary, "ann") {
			t.Errorf("%s: summary %q", id, summary)
		}
		value, err := w.temporal.QueryWorkflow(t.Context(), id, "", "__temporal_workflow_metadata")
		check(t, err)
		var metadata sdkpb.WorkflowMetadata
		check(t, value.Get(&metadata))
		if !strings.HasPrefix(metadata.CurrentDetails, texts[1]) {
			t.Errorf("%s: details %q", id, metadata.CurrentDetails)
		}
		t.Logf("%s: %q, %q", id, summary, metadata.CurrentDetails)
	}
	var trace struct{ WorkflowURL string }
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/clicks/"+clickID, nil, &trace))
	if want := fmt.Sprintf("%s/namespaces/default/workflows/click%%2F%s", w.Engine.TemporalUIURL, clickID); trace.WorkflowURL != want {
		t.Errorf("the trace links to %s, want %s", trace.WorkflowURL, want)
	}
}
