package replay

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/workflows"
)

func (s *trade) reconciliationRun() string {
	return workflows.ReconciliationWorkflowID(s.partnership.ID)
}

// reconcile asks for a comparison of both books.
func (s *trade) reconcile(t *testing.T) {
	t.Helper()
	if err := s.publisher.Reconcile(t.Context(), s.partnership.ID.String()); err != nil {
		t.Fatal(err)
	}
}

// reconciled waits until the history of comparisons has so many, and wants so much found and repaired in
// the newest.
func (s *trade) reconciled(t *testing.T, total, found, repaired int) {
	t.Helper()
	until(t, "the comparison", func() bool {
		list, err := s.tenant.Reconciliations(t.Context(), s.partnership.ID.String())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) < total {
			return false
		}
		mended := 0
		for _, difference := range list[0].Differences {
			if difference.Repaired {
				mended++
			}
		}
		if len(list) != total || len(list[0].Differences) != found || mended != repaired || list[0].IsEqual != (found == 0) {
			t.Fatalf("%d comparisons, the newest %+v", len(list), list[0])
		}
		return true
	})
}

// damage is done by somebody whom nothing holds back.
func (s *stage) damage(t *testing.T, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.Engine.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), "SET session_replication_role = replica"); err != nil {
		t.Fatal(err)
	}
	done, err := conn.Exec(t.Context(), sql, args...)
	if err != nil || done.RowsAffected() == 0 {
		t.Fatalf("%s: %d rows, %v", sql, done.RowsAffected(), err)
	}
}

func reconciledEqual(t *testing.T, s *stage) {
	trade := newTrade(t, s)
	id := trade.convert(t, trade.click(t, trade.link), "", "accepted").ConversionID
	trade.synced(t, id, "Success")
	trade.reconcile(t)
	trade.reconciled(t, 1, 0, 0)
	s.keep(t, "reconciliation_equal", trade.closed(t, trade.reconciliationRun()))
	trade.damage(t, "UPDATE conversions SET revenue_micros = 1 WHERE tenant_id = $1 AND id = $2", trade.partnership.PublisherTenantID, id)
	trade.reconcile(t)
	trade.reconciled(t, 2, 1, 1)
	s.keep(t, "reconciliation_repaired", trade.closed(t, trade.reconciliationRun()))
}

// reconciledMoving compares while a sync is held up: the run waits for it, and having been asked once
// more meanwhile goes on with another.
func reconciledMoving(t *testing.T, s *stage) {
	trade := newTrade(t, s)
	clickID := trade.click(t, trade.link)
	release := trade.holdClick(t, clickID)
	id := trade.convert(t, clickID, "", "accepted").ConversionID
	trade.reconcile(t)
	run := trade.reconciliationRun()
	until(t, "the run to wait", func() bool {
		_, err := s.temporal.DescribeWorkflowExecution(t.Context(), run, "")
		return err == nil && count(s.history(t, run, ""), enumspb.EVENT_TYPE_TIMER_STARTED) >= 1
	})
	first, err := s.temporal.DescribeWorkflowExecution(t.Context(), run, "")
	if err != nil {
		t.Fatal(err)
	}
	release()
	trade.reconcile(t)
	trade.synced(t, id, "Success")
	trade.reconciled(t, 2, 0, 0)
	trade.closed(t, run)
	history := s.history(t, run, first.WorkflowExecutionInfo.Execution.RunId)
	if history.Events[len(history.Events)-1].EventType != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW {
		t.Fatalf("not continued as new: %v", kindsOf(history))
	}
	s.keep(t, "reconciliation_asked_again", history)
}

// reconciledFull finds more than one entry names, none of which can be replayed.
func reconciledFull(t *testing.T, s *stage) {
	trade := newTrade(t, s)
	id := trade.convert(t, trade.click(t, trade.link), "", "accepted").ConversionID
	trade.synced(t, id, "Success")
	trade.damage(t, `INSERT INTO conversions SELECT (jsonb_populate_record(c, jsonb_build_object('id', 'ffffffff' || substr(gen_random_uuid()::text, 9), 'status', 'Rejected', 'rejection_reason', 'manual'))).*
		FROM conversions c, generate_series(1, 510) WHERE c.tenant_id = $1 AND c.id = $2`, trade.partnership.PublisherTenantID, id)
	trade.reconcile(t)
	trade.reconciled(t, 2, 10, 0)
	run := trade.reconciliationRun()
	next := trade.closed(t, run)
	s.keep(t, "reconciliation_full_next", next)
	previous := next.Events[0].GetWorkflowExecutionStartedEventAttributes().ContinuedExecutionRunId
	s.keep(t, "reconciliation_full", s.history(t, run, previous))
	trade.damage(t, "DELETE FROM conversions WHERE tenant_id = $1 AND offer_id = $2 AND id <> $3",
		trade.partnership.PublisherTenantID, trade.partnership.OfferID, id)
}

// reconciledAll walks more partnerships than one page has, as the schedule does.
func reconciledAll(t *testing.T, s *stage) {
	trade := newTrade(t, s)
	trade.damage(t, `INSERT INTO partnerships (id, offer_id, source_offer_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id, publisher_name, created_at, created_by)
		SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), $1, 'A', $2, 'P', now(), 'test' FROM generate_series(1, 30)`,
		trade.partnership.AdvertiserTenantID, trade.partnership.PublisherTenantID)
	options := client.StartWorkflowOptions{ID: "reconciliations/" + uuid.NewString(), TaskQueue: workflows.TaskQueue}
	run, err := s.temporal.ExecuteWorkflow(t.Context(), options, workflows.ReconciliationsName)
	if err != nil {
		t.Fatal(err)
	}
	first := run.GetRunID()
	var walked workflows.ReconciliationsInput
	if err := run.Get(t.Context(), &walked); err != nil {
		t.Fatal(err)
	}
	if walked.Reconciled < 31 || walked.Failed != 0 {
		t.Errorf("%+v", walked)
	}
	trade.reconciled(t, 1, 0, 0)
	s.keep(t, "reconciliations_walked", s.history(t, options.ID, first))
	s.keep(t, "reconciliations_walked_last", s.history(t, options.ID, ""))
}
