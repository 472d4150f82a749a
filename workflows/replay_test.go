package workflows_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"

	"github.com/offerflow/offerflow/workflows"
)

// paths are all ways that the workflows' code can go. `make record` plays each one on a real engine
// and writes its history; what running executions have done is replayed here by the code as it is.
var paths = []string{
	"attribution_authenticated",
	"attribution_closed",
	"attribution_continued",
	"attribution_continued_next",
	"attribution_converted",
	"attribution_expired",
	"attribution_first_postback",
	"attribution_held_decided",
	"attribution_held_out_of_sequence",
	"attribution_held_upload",
	"attribution_pending",
	"attribution_rejected",
	"attribution_settled_by_job",
	"attribution_wait_terminated", // of an earlier release, whose jobs terminated the wait; nothing records it anew
	"conversion_approved",
	"conversion_follower",
	"conversion_manual",
	"conversion_refused",
	"conversion_rejected",
	"conversion_released",
	"conversion_reversed",
	"conversion_revived",
	"conversion_settled_by_job",
	"conversion_without_run",
	"earnings_done",
	"exchange_edit_done",
	"exchange_sync_done",
	"exchange_sync_signalled",
	"reconciliation_asked_again",
	"reconciliation_equal",
	"reconciliation_full",
	"reconciliation_full_next",
	"reconciliation_repaired",
	"reconciliations_walked",
	"reconciliations_walked_last",
	"retention_off",
	"review_continued",
	"review_continued_next",
	"review_done",
	"review_paused",
	"rollup_done",
	"scheduled_change_cancelled",
	"sweep_nothing",
}

var quiet = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

func TestReplay(t *testing.T) {
	replayer := worker.NewWorkflowReplayer()
	for name, function := range map[string]any{
		workflows.AttributionName:     workflows.Attribution,
		workflows.ConversionName:      workflows.Conversion,
		workflows.SweepName:           workflows.Sweep,
		workflows.ReviewName:          workflows.Review,
		workflows.ScheduledChangeName: workflows.ScheduledChange,
		workflows.RollupName:          workflows.Rollup,
		workflows.EarningsName:        workflows.Earnings,
		workflows.RetentionName:       workflows.Retention,
		workflows.ExchangeSyncName:    workflows.ExchangeSync,
		workflows.ExchangeEditName:    workflows.ExchangeEdit,
		workflows.ReconciliationsName: workflows.Reconciliations,
		workflows.ReconciliationName:  workflows.Reconciliation,
	} {
		replayer.RegisterWorkflowWithOptions(function, workflow.RegisterOptions{Name: name})
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			err := replayer.ReplayWorkflowHistoryFromJSONFile(quiet, file(path))
			if errors.Is(err, os.ErrNotExist) {
				t.Fatal("no history of this path: add its scenario to standalone/replay and run `make record`")
			}
			if err != nil {
				t.Fatalf("executions that run now would fail here (workflow.GetVersion keeps old ones going): %v", err)
			}
		})
	}
}

func TestEveryHistoryIsListed(t *testing.T) {
	files, err := filepath.Glob(file("*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if path := strings.TrimSuffix(filepath.Base(name), ".json"); !slices.Contains(paths, path) {
			t.Errorf("%s is not in the list of paths", name)
		}
	}
}

// secrets are what the recorded scenarios send that no history may hold, and what tokens, sealed
// keys and passwords look like.
var secrets = []string{
	"replay-security-token", "replay-signing-secret", "replay-member",
	"whsec_", "whsk_", "ApiToken ", "Bearer ", "postgres://",
}

func TestHistoriesHoldNoSecrets(t *testing.T) {
	for _, path := range paths {
		in, err := os.Open(file(path))
		if err != nil {
			t.Error(err)
			continue
		}
		history, err := client.HistoryFromJSON(in, client.HistoryJSONOptions{})
		_ = in.Close()
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		// The wire format holds payloads as they are, where JSON holds them in base64.
		plain, err := proto.Marshal(history)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if strings.Contains(string(plain), secret) {
				t.Errorf("%s contains %q", path, secret)
			}
		}
	}
}

func file(path string) string { return filepath.Join("testdata", path+".json") }
