// Package replay plays every path of every workflow on a real engine. With -record it writes their
// histories into workflows/testdata, where the main module replays them without an engine.
package replay

import (
	"context"
	"flag"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	offerflow "github.com/offerflow/offerflow/worker"

	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/boot"
	"github.com/offerflow/offerflow/standalone/engine"
	"github.com/offerflow/offerflow/standalone/internal/testboot"
)

var record = flag.Bool("record", false, "write the histories into workflows/testdata")

// withoutCache names the variable that makes a run of this binary one without a sticky cache, so
// that every workflow task replays its whole history.
const withoutCache = "OFFERFLOW_REPLAY_WITHOUT_CACHE"

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(withoutCache) != "" {
		worker.SetStickyWorkflowCacheSize(0)
	}
	os.Exit(m.Run())
}

// What an advertiser keeps secret, and what tells who a member is: none of it may be in a history.
// The main module's test looks for the same texts.
const (
	securityToken = "replay-security-token-5f1c"
	signingSecret = "replay-signing-secret-of-32-bytes-or-more-9a7e"
	member        = "replay-member-2b44"
	email         = "replay-member-2b44@mail.example"
)

// updatesPerRun is low here, so that a run is continued as new within one scenario.
const updatesPerRun = 12

// stage is a running standalone with a tenant.
type stage struct {
	*boot.Standalone
	temporal   client.Client
	tenant     *blackbox.Client
	advertiser string
	age        string
}

func newStage(t *testing.T) *stage {
	t.Helper()
	config := process.Config{
		HTTPAddr: "127.0.0.1:0", DatabaseConns: 20, NATSReplicas: 1, AttributionStart: offerflow.StartOnClick, LogFormat: "text", LogLevel: "warn",
	}
	if err := config.SetLogger(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := &stage{}
	var err error
	s.Standalone, err = boot.Start(ctx, engine.Options{
		DataDir: filepath.Join(testboot.Dir(t), "data"), PostgresSettings: testboot.Unsynced(), TemporalConfig: map[string]any{"history.maxTotalUpdates": updatesPerRun},
	}, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if s.temporal, err = client.Dial(s.Engine.TemporalOptions()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.temporal.Close)
	s.cast(t)
	return s
}

func (s *stage) cast(t *testing.T) {
	t.Helper()
	tenant, err := blackbox.New(s.URL, s.Config.OperatorToken).NewTenant(t.Context(), map[string]any{"rewardRatio": 10})
	if err != nil {
		t.Fatal(err)
	}
	s.tenant = tenant
	s.advertiser = s.newAdvertiser(t, nil)
	if s.age, err = tenant.EveryoneAge(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (s *stage) newAdvertiser(t *testing.T, fields map[string]any) string {
	t.Helper()
	made, err := s.tenant.NewAdvertiser(t.Context(), fields)
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// onFirstPostback starts the product anew, on the same engine, so that clicks are not parked.
func (s *stage) onFirstPostback(t *testing.T) {
	t.Helper()
	if err := s.Process.Stop(); err != nil {
		t.Fatal(err)
	}
	s.Config.AttributionStart = offerflow.StartOnFirstPostback
	var err error
	s.Process, err = process.Start(t.Context(), s.Config, process.RoleAll, s.Engine.TemporalOptions())
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://" + s.Process.Addr()
	s.tenant.URL = s.URL
}

// single makes an offer with one event and clicks it.
func (s *stage) single(t *testing.T, fields map[string]any) (clickID string) {
	t.Helper()
	return s.click(t, s.newOffer(t, blackbox.SingleEvent(s.advertiser, s.age, fields)))
}

// multi makes an offer with events and clicks it.
func (s *stage) multi(t *testing.T, fields map[string]any, events ...map[string]any) (clickID string) {
	t.Helper()
	return s.click(t, s.newOffer(t, blackbox.MultiEvent(s.advertiser, s.age, events, fields)))
}

func (s *stage) newOffer(t *testing.T, document map[string]any) (link string) {
	t.Helper()
	_, link, err := s.tenant.NewOffer(t.Context(), document)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func (s *stage) click(t *testing.T, link string) (clickID string) {
	t.Helper()
	clickID, location, err := s.tenant.Click(t.Context(), link, url.Values{"pub_member_id": {member + "-" + t.Name()}})
	if err != nil || clickID == "" {
		t.Fatalf("click: %v, sent to %s", err, location)
	}
	return clickID
}

// convert sends a postback and wants this outcome, as "accepted", or "rejected too_soon".
func (s *stage) convert(t *testing.T, clickID, event, want string, more ...string) blackbox.Answer {
	t.Helper()
	answer, err := s.tenant.Convert(t.Context(), clickID, event, more...)
	if err == nil && answer.Outcome == "queued" {
		answer, err = s.tenant.Decided(t.Context(), answer.PostbackID)
	}
	if err != nil {
		t.Fatal(err)
	}
	wanted(t, answer, want)
	return answer
}

func wanted(t *testing.T, answer blackbox.Answer, want string) {
	t.Helper()
	got := answer.Outcome
	if answer.Reason != "" {
		got += " " + answer.Reason
	}
	if got != want {
		t.Fatalf("postback %s is %q, want %q", answer.PostbackID, got, want)
	}
}

// review makes a transition and wants this status after it.
func (s *stage) review(t *testing.T, action, conversionID, status string) {
	t.Helper()
	reviewed, err := s.tenant.Review(t.Context(), action, conversionID)
	if err != nil {
		t.Fatal(err)
	}
	if len(reviewed.Results) != 1 || reviewed.Results[0].Status != status {
		t.Fatalf("%s: %+v, want %s", action, reviewed, status)
	}
}

// patience bounds every wait for a condition, on a machine that is busy with other tests.
const patience = 2 * time.Minute

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
