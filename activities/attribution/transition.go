package attribution

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/stream/outbox"
)

// Who moves conversions, besides people.
const (
	actorPostback = "postback"
	actorTimer    = "timer"
)

// isPerson says whether somebody is to answer for a move.
func isPerson(actor string) bool { return actor != "" && actor != actorAdvertiser }

// ByItself says that no person moved a conversion: a postback did, or its time. An event of a release that
// did not say leaves it open.
func ByItself(actor string) bool {
	return actor == actorPostback || actor == actorTimer || actor == actorAdvertiser
}

// messageID is the id of what a request to a conversion leaves behind: events, entries, messages. The
// request is what names the step: its sequence depends on what people did in between, which a replay
// after a restore does not repeat.
func messageID(row *dbgen.Conversion, requestID string, kind domain.DerivedKind) uuid.UUID {
	return domain.DerivedID(row.ID, kind, row.TenantID.String(), requestID)
}

// transition is one step in a conversion's life.
type transition struct {
	from         domain.Status // empty at the start
	to           domain.Status
	reason       domain.Reason
	sequence     int64
	at           time.Time
	actor        string
	note         string
	overrideCaps bool
	requestID    string
}

// writeTransition writes a transition's history, its ledger transaction and its events. row is the
// conversion as it stands after it.
func (s *clickState) writeTransition(ctx context.Context, tx dbgen.DBTX, row *dbgen.Conversion, t transition, offer *domain.Offer) error {
	err := queries.InsertTransition(ctx, tx, dbgen.InsertTransitionParams{
		TenantID: row.TenantID, ConversionID: row.ID, Sequence: t.sequence, FromStatus: string(t.from), ToStatus: string(t.to),
		Reason: string(t.reason), At: t.at, Actor: t.actor, Note: t.note, OverrideCaps: t.overrideCaps, RequestID: t.requestID,
	})
	if err != nil {
		return err
	}
	if err := s.writeLedger(ctx, tx, row, t); err != nil {
		return err
	}
	return s.addEvents(ctx, tx, row, t, offer)
}

// writeLedger posts what a transition changes in what is booked: a success its figures, a reversal
// the negative of those that stand now (rules 23, 41, 42).
func (s *clickState) writeLedger(ctx context.Context, tx dbgen.DBTX, row *dbgen.Conversion, t transition) error {
	worth := figuresOf(row)
	return s.postFigures(ctx, tx, row, t, worth.Booked(t.to).Less(worth.Booked(t.from)))
}

// linesOf are the ledger's lines of a difference in what is booked of a conversion. A test has none.
func (s *clickState) linesOf(row *dbgen.Conversion, by domain.Figures) []domain.LedgerLine {
	if row.IsTest {
		return nil
	}
	return domain.Posting{
		Side: row.Side, PublisherTenantID: s.context.PublisherTenantID, Currency: row.Currency, Revenue: by.Revenue, Payout: by.Payout, Reward: by.Reward,
		AdvertiserID: row.AdvertiserID, PartnerID: row.PartnerID, MemberID: row.PubMemberID,
	}.Lines(false)
}

// postFigures posts a difference in what is booked of a conversion (rules 23, 41, 42).
func (s *clickState) postFigures(ctx context.Context, tx dbgen.DBTX, row *dbgen.Conversion, t transition, by domain.Figures) error {
	lines := s.linesOf(row, by)
	if len(lines) == 0 {
		return nil
	}
	entries, err := json.Marshal(lines)
	if err != nil {
		return err
	}
	id := messageID(row, t.requestID, domain.DerivedLedger)
	err = queries.InsertLedgerTransaction(ctx, tx, dbgen.InsertLedgerTransactionParams{
		TenantID: row.TenantID, ID: id, ConversionID: row.ID, Sequence: t.sequence, At: t.at,
	})
	if err != nil {
		return err
	}
	if err := queries.InsertLedgerEntries(ctx, tx, row.TenantID, id, entries); err != nil {
		return err
	}
	if row.PubMemberID == nil || by.Reward == 0 {
		return nil
	}
	return queries.AddPoints(ctx, tx, row.TenantID, *row.PubMemberID, by.Reward)
}

// addEvents puts the transition's events into the outbox: for callbacks, and of a conversion that the
// advertiser of a shared offer decides for the publisher's book.
func (s *clickState) addEvents(ctx context.Context, tx dbgen.DBTX, row *dbgen.Conversion, t transition, offer *domain.Offer) error {
	document, err := json.Marshal(s.callbackConversion(row, offer))
	if err != nil {
		return err
	}
	id := messageID(row, t.requestID, domain.DerivedEvent)
	err = outbox.Add(ctx, tx, row.TenantID, id, stream.SubjectConversion, stream.ConversionEvent{
		ID: id, TenantID: row.TenantID, ConversionID: row.ID, ClickID: row.ClickID, Sequence: t.sequence, FromStatus: t.from,
		Status: t.to, Reason: t.reason, At: t.at, Actor: t.actor, IsTest: row.IsTest,
		RewardWasSent: t.from == domain.StatusSuccess, Conversion: document,
		EndsWait: row.ByAdvertiser && t.from == domain.StatusPending && row.Side != domain.SidePublisher,
	})
	if err != nil || row.Side != domain.SideAdvertiser {
		return err
	}
	return s.addExchangeEvent(ctx, tx, row, t, offer)
}

// callbackConversion is the callback document of a conversion as it stands (http.md). offer is the version that
// decided it: names are frozen (rule 24).
func (s *clickState) callbackConversion(row *dbgen.Conversion, offer *domain.Offer) domain.CallbackConversion {
	click := &s.click
	conversion := domain.CallbackConversion{
		Status: row.Status, UserCompletedAt: row.UserCompletedAt, IsRewardSent: row.Status == domain.StatusSuccess,
		ViewID: click.ViewID, ClickID: row.ClickID, ConversionID: row.ID, OfferID: row.OfferID, OfferName: offer.Name,
		OfferAdvertiserID: row.AdvertiserID, OfferAdvertiserName: s.context.AdvertiserName,
		OfferEventID: row.EventID, RewardPoints: row.RewardMicros.String(), Revenue: row.RevenueMicros.String(), Currency: row.Currency,
		PubMemberID: click.PubMemberID, PubClickID: click.PubClickID, PubSessionID: click.PubSessionID, PubGender: click.PubGender,
		PubAge: click.PubAge, PubGeoCountry: click.PubGeoCountry, PubGeoState: click.PubGeoState, PubPostalCode: click.PubPostalCode,
		PubDevice: click.PubDevice, PubSubs: click.PubSubs, TrackSysEventID: row.CnvEventID,
		TrackSysConversionID: row.CnvConversionID, TrackSysConversionAmount: row.CnvAmount, TrackSysConversionSubs: row.CnvSubs,
		PartnerID: row.PartnerID, CreatedAt: row.CreatedAt, ClickTime: click.ClickedAt, ReleaseAt: row.ReleaseAt, IsTest: row.IsTest,
	}
	if row.Side == domain.SideAdvertiser {
		conversion.Revenue, conversion.Cost = "", conversion.Revenue
	}
	if event := offer.EventByID(row.EventID); event != nil {
		conversion.EventID, conversion.EventName = event.EventID, event.Name
	}
	if s.context.PartnerName != nil {
		conversion.PartnerName = *s.context.PartnerName
	}
	if row.Status == domain.StatusRejected {
		conversion.RejectionReason = &row.RejectionReason
	}
	return conversion
}
