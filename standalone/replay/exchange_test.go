package replay

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/workflows"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// trade is the stage of an advertiser that shares an offer with a publisher: what the stage does for
// its tenant, the advertiser does.
type trade struct {
	*stage
	publisher   *blackbox.Client
	partnership domain.Partnership
	link        string
}

func newTrade(t *testing.T, s *stage) *trade {
	t.Helper()
	operator := blackbox.New(s.URL, s.Config.OperatorToken)
	advertiser, err := operator.NewTenant(t.Context(), map[string]any{"product": "advertiser"})
	if err != nil {
		t.Fatal(err)
	}
	own := *s
	own.tenant = advertiser
	own.advertiser = own.newAdvertiser(t, nil)
	if own.age, err = advertiser.EveryoneAge(t.Context()); err != nil {
		t.Fatal(err)
	}
	offerID, _, err := advertiser.NewOffer(t.Context(), blackbox.SingleEvent(own.advertiser, own.age, nil))
	if err != nil {
		t.Fatal(err)
	}
	// The stage's own tenant is the publisher.
	if err := s.tenant.List(t.Context(), "rewards", ""); err != nil {
		t.Fatal(err)
	}
	shared, err := advertiser.Share(t.Context(), offerID, s.tenant.TenantID)
	if err != nil {
		t.Fatal(err)
	}
	offer, err := s.tenant.Offer(t.Context(), shared.SharedOfferID)
	if err != nil {
		t.Fatal(err)
	}
	link, err := url.Parse(offer.RedirectLink)
	if err != nil {
		t.Fatal(err)
	}
	return &trade{stage: &own, publisher: s.tenant, link: link.Path, partnership: domain.Partnership{
		ID: uuid.MustParse(shared.PartnershipID), OfferID: uuid.MustParse(shared.SharedOfferID),
		AdvertiserTenantID: uuid.MustParse(advertiser.TenantID), PublisherTenantID: uuid.MustParse(s.tenant.TenantID),
	}}
}

func (s *trade) syncRun(conversionID string) string {
	return workflows.ExchangeSyncOptions(workflows.ExchangeSyncInput{Partnership: s.partnership, ConversionID: uuid.MustParse(conversionID)}).ID
}

// synced waits until the publisher sees a status.
func (s *trade) synced(t *testing.T, conversionID, status string) {
	t.Helper()
	until(t, "the publisher to see "+status, func() bool {
		conversion, err := s.publisher.Conversion(t.Context(), conversionID)
		return err == nil && conversion.Status == status
	})
}

func exchangeSynced(t *testing.T, s *stage) {
	trade := newTrade(t, s)
	id := trade.convert(t, trade.click(t, trade.link), "", "accepted").ConversionID
	trade.synced(t, id, "Success")
	s.keep(t, "exchange_sync_done", trade.closed(t, trade.syncRun(id)))
}

// exchangeSignalled holds the publisher's click, so that the sync waits while more news comes: it tries
// at once, then leaves it to the engine, and goes on behind what it had read.
func exchangeSignalled(t *testing.T, s *stage) {
	trade := newTrade(t, s)
	clickID := trade.click(t, trade.link)
	release := trade.holdClick(t, clickID)
	id := trade.convert(t, clickID, "", "accepted").ConversionID
	run := trade.syncRun(id)
	until(t, "the engine to have the sync", func() bool {
		_, err := s.temporal.DescribeWorkflowExecution(t.Context(), run, "")
		return err == nil && count(s.history(t, run, ""), enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) == 1
	})
	trade.review(t, "reverse", id, "Rejected")
	trade.review(t, "approve", id, "Success")
	until(t, "all news", func() bool {
		return count(trade.settled(t, run), enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED) == 3
	})
	release()
	trade.synced(t, id, "Success")
	s.keep(t, "exchange_sync_signalled", trade.closed(t, run))
}

// holdClick locks the publisher's row of a click until release is called.
func (s *trade) holdClick(t *testing.T, clickID string) (release func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.Engine.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the click's row", func() bool {
		locked, err := tx.Exec(t.Context(), "SELECT 1 FROM clicks WHERE tenant_id = $1 AND id = $2 FOR UPDATE", s.partnership.PublisherTenantID, clickID)
		if err != nil {
			t.Fatal(err)
		}
		return locked.RowsAffected() == 1
	})
	return func() {
		if err := tx.Commit(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// exchangeHurried moves conversions as fast as it can, so that news comes while runs are closing: none is
// lost. Which run gets it is the engine's to say; there is no history to keep.
func exchangeHurried(t *testing.T, s *stage) {
	trade := newTrade(t, s)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			clickID, _, err := s.tenant.Click(t.Context(), trade.link, url.Values{"pub_member_id": {fmt.Sprint(t.Name(), i)}})
			if err != nil {
				t.Error(err)
				return
			}
			id := trade.convert(t, clickID, "", "accepted").ConversionID
			for range 5 {
				trade.review(t, "reverse", id, "Rejected")
				trade.review(t, "approve", id, "Success")
			}
		})
	}
	all.Wait()
	conn, err := pgx.Connect(t.Context(), s.Engine.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	until(t, "equal books", func() bool {
		var equal int
		err := conn.QueryRow(t.Context(), `SELECT count(*) FROM conversions a JOIN conversions p ON p.tenant_id = $2 AND p.id = a.id
			WHERE a.tenant_id = $1 AND (a.status, a.sequence) = (p.status, p.sequence) AND a.sequence = 11`,
			trade.partnership.AdvertiserTenantID, trade.partnership.PublisherTenantID).Scan(&equal)
		if err != nil {
			t.Fatal(err)
		}
		return equal == 4
	})
}

func exchangeEdited(t *testing.T, s *stage) {
	trade := newTrade(t, s)
	offer, err := s.tenant.SharedOffer(t.Context(), trade.partnership.OfferID.String())
	if err != nil {
		t.Fatal(err)
	}
	edited, err := s.tenant.Edit(t.Context(), offer.ID, offer.Version, map[string]any{"headline": "Played by everybody"})
	if err != nil {
		t.Fatal(err)
	}
	run := workflows.ExchangeEditOptions(workflows.ExchangeEditInput{
		Partnership: trade.partnership, Version: edited.Version, Side: domain.SidePublisher,
	}).ID
	until(t, "the notice's run", func() bool {
		_, err := s.temporal.DescribeWorkflowExecution(t.Context(), run, "")
		return err == nil
	})
	s.keep(t, "exchange_edit_done", trade.closed(t, run))
}
