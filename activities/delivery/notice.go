package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

// Mailer hands one message to the mail server: outbound.Mailer.
type Mailer interface {
	Send(ctx context.Context, mail outbound.Mail) outbound.Answer
}

// WithMail gives the deliveries a mail server, and what links in mails begin with. Without one,
// notices are kept as failed, to be sent again once there is one.
func (d *Deliveries) WithMail(mail Mailer, publicURL string) *Deliveries {
	d.mail, d.publicURL = mail, publicURL
	return d
}

const (
	errorNoMail = "no mail server is set (OFFERFLOW_SMTP_URL)"
	// smtpUnavailable is the reply of a server that is closing the channel.
	smtpUnavailable = 421
)

// notice is the body of an email delivery: all that it says, but for the address, which is looked up
// at each attempt.
type notice struct {
	OfferID   uuid.UUID `json:"offerId"`
	OfferName string    `json:"offerName"`
	// Recipient is the side that it goes to, Side and SideName the one that it tells of.
	Recipient domain.Side `json:"recipient"`
	Side      domain.Side `json:"side"`
	SideName  string      `json:"sideName"`
	By        string      `json:"by"`
	At        time.Time   `json:"at"`
	// Version and Changes are an edit's; Ended says that it ended the partnership, with EndReason.
	Version   int64          `json:"version,omitempty"`
	Changes   []noticeChange `json:"changes,omitempty"`
	Ended     bool           `json:"ended,omitempty"`
	EndReason string         `json:"endReason,omitempty"`
	// State is what a share became by the edit, requested or active; WasRequested says of an end that it was
	// never accepted (rule 55). PartnershipID is then given.
	State         string     `json:"state,omitempty"`
	WasRequested  bool       `json:"wasRequested,omitempty"`
	PartnershipID *uuid.UUID `json:"partnershipId,omitempty"`
	// Request is a publisher's, about a conversion.
	Request *noticeRequest `json:"request,omitempty"`
	// Endpoint is one of the tenant's own that fails; then nothing else but At is given.
	Endpoint *noticeEndpoint `json:"endpoint,omitempty"`
	// Proposal is how an edit stands that one side proposed: its changes are Changes.
	Proposal *noticeProposal `json:"proposal,omitempty"`
}

type noticeProposal struct {
	ID    uuid.UUID            `json:"id"`
	State domain.ProposalState `json:"state"`
	// From is the version that it was made from, Reason why it was declined.
	From   int64  `json:"from"`
	Reason string `json:"reason,omitempty"`
}

type noticeRequest struct {
	ConversionID uuid.UUID     `json:"conversionId"`
	Action       domain.Action `json:"action"`
	Reason       string        `json:"reason"`
}

// noticeChange is one entry of the change log; null where there was nothing, or is nothing any more.
type noticeChange struct {
	Field string `json:"field"`
	// Label is the field as people read it; empty where it is the same.
	Label string          `json:"label,omitempty"`
	Old   json.RawMessage `json:"old"`
	New   json.RawMessage `json:"new"`
}

// NoticeOfEdit tells the other side by email of the edit that made a version; side is who edited
// (rule 56). However often it is called for a version, there is one email. An edit that changed
// nothing has none.
func (d *Deliveries) NoticeOfEdit(ctx context.Context, partnershipID uuid.UUID, version int64, side domain.Side) error {
	err := d.noticeOfEdit(ctx, partnershipID, version, side)
	if !activities.Permanent(err) {
		return err
	}
	event := stream.ExchangeEvent{ID: partnershipID, Version: version, Side: side}
	event.Partnership.ID = partnershipID
	return errors.Join(err, (&stream.Failures{Store: d.store}).KeepExchange(ctx, stream.SourceNotice, &event, err))
}

func (d *Deliveries) noticeOfEdit(ctx context.Context, partnershipID uuid.UUID, version int64, side domain.Side) error {
	tenantID, err := d.recipient(ctx, partnershipID, side)
	if err != nil {
		return err
	}
	return d.inQueues(ctx, tenantID, time.Time{}, func(ctx context.Context, tx pgx.Tx) ([]*queueMove, error) {
		n, about, err := noticeFrom(ctx, tx, tenantID, partnershipID, side)
		if err != nil {
			return nil, err
		}
		changes, err := queries.ChangesOfVersion(ctx, tx, tenantID, n.OfferID, version)
		if err != nil || len(changes) == 0 {
			return nil, err
		}
		n.setEdit(version, changes)
		if err := n.nameEvents(ctx, tx, version, version-1); err != nil {
			return nil, err
		}
		// The end is the last edit: nothing is edited after it (rule 60).
		if about.EndedAt != nil && !n.At.Before(*about.EndedAt) {
			n.Ended, n.EndReason, n.WasRequested = true, about.EndReason, about.IsRequested
		}
		if n.State != "" || n.WasRequested {
			n.PartnershipID = &partnershipID
		}
		return d.notify(ctx, tx, tenantID, partnershipID, version, n)
	})
}

// NoticeOfRequest tells the advertiser by email what the publisher asks for about a conversion
// (rule 58): once, however often it is called.
func (d *Deliveries) NoticeOfRequest(ctx context.Context, partnershipID, requestID uuid.UUID) error {
	tenantID, err := d.recipient(ctx, partnershipID, domain.SidePublisher)
	if err != nil {
		return err
	}
	return d.inQueues(ctx, tenantID, time.Time{}, func(ctx context.Context, tx pgx.Tx) ([]*queueMove, error) {
		n, _, err := noticeFrom(ctx, tx, tenantID, partnershipID, domain.SidePublisher)
		if err != nil {
			return nil, err
		}
		row, err := queries.ConversionRequest(ctx, tx, tenantID, partnershipID, requestID)
		if err != nil {
			return nil, err
		}
		n.By, n.At = row.By, row.At
		n.Request = &noticeRequest{ConversionID: row.ConversionID, Action: domain.Action(row.Action), Reason: row.Reason}
		return d.notify(ctx, tx, tenantID, requestID, 0, n)
	})
}

// NoticeOfProposal tells the other side by email of an edit that a side proposes to it, or of one that it
// declined (rule 57): each once, however often it is called.
func (d *Deliveries) NoticeOfProposal(ctx context.Context, partnershipID, proposalID uuid.UUID, side domain.Side) error {
	tenantID, err := d.recipient(ctx, partnershipID, side)
	if err != nil {
		return err
	}
	return d.inQueues(ctx, tenantID, time.Time{}, func(ctx context.Context, tx pgx.Tx) ([]*queueMove, error) {
		n, _, err := noticeFrom(ctx, tx, tenantID, partnershipID, side)
		if err != nil {
			return nil, err
		}
		row, err := queries.ProposalOfNotice(ctx, tx, tenantID, partnershipID, proposalID)
		if err != nil {
			return nil, err
		}
		if err := n.setProposal(&row); err != nil {
			return nil, err
		}
		if err := n.nameEvents(ctx, tx, row.Version); err != nil {
			return nil, err
		}
		return d.notify(ctx, tx, tenantID, proposalID, 0, n)
	})
}

// setProposal makes it a notice of a proposal, or where its other side tells of it, of the decision.
func (n *notice) setProposal(row *dbgen.OfferProposal) error {
	var changes []domain.OfferChange
	if err := json.Unmarshal(row.Changes, &changes); err != nil {
		return err
	}
	for _, change := range changes {
		n.Changes = append(n.Changes, noticeChange{Field: change.Field, Old: change.Old, New: change.New})
	}
	n.By, n.At = row.By, row.At
	n.Proposal = &noticeProposal{ID: row.ID, State: domain.ProposalOpen, From: row.Version}
	if row.Side != n.Side && row.DecidedAt != nil {
		n.By, n.At, n.Proposal.State, n.Proposal.Reason = row.DecidedBy, *row.DecidedAt, domain.ProposalState(row.State), row.Reason
	}
	return nil
}

// recipient is the tenant on the other side.
func (d *Deliveries) recipient(ctx context.Context, partnershipID uuid.UUID, side domain.Side) (uuid.UUID, error) {
	row, err := queries.SystemPartnership(ctx, d.store.SystemPool(), partnershipID)
	if err != nil {
		return uuid.Nil, fmt.Errorf("partnership %s: %w", partnershipID, err)
	}
	if !side.Shared() {
		return uuid.Nil, fmt.Errorf("a partnership has no side %q", side)
	}
	return domain.Partnership{AdvertiserTenantID: row.AdvertiserTenantID, PublisherTenantID: row.PublisherTenantID}.Tenant(side.Other()), nil
}

// noticeFrom begins a notice of what a side did, for the other one.
func noticeFrom(ctx context.Context, tx pgx.Tx, tenantID, partnershipID uuid.UUID, side domain.Side) (*notice, *dbgen.NoticeOfRow, error) {
	about, err := queries.NoticeOf(ctx, tx, tenantID, partnershipID)
	if err != nil {
		return nil, nil, err
	}
	n := &notice{OfferID: about.OfferID, OfferName: about.OfferName, Recipient: side.Other(), Side: side, SideName: about.AdvertiserName}
	if side == domain.SidePublisher {
		n.SideName = about.PublisherName
	}
	return n, &about, nil
}

func (n *notice) setEdit(version int64, changes []dbgen.ChangesOfVersionRow) {
	n.Version, n.By, n.At = version, changes[0].By, changes[0].At
	for _, change := range changes {
		if change.Field == domain.FieldState && json.Unmarshal(change.New, &n.State) == nil {
			continue
		}
		n.Changes = append(n.Changes, noticeChange{Field: change.Field, Old: change.Old, New: change.New})
	}
}

// nameEvents labels the fields of events by the events' names in some versions, the first that has one: of
// an edit those that it made, and of an event that it took away the last.
func (n *notice) nameEvents(ctx context.Context, tx pgx.Tx, versions ...int64) error {
	for _, version := range versions {
		row, err := queries.GetOfferVersion(ctx, tx, n.OfferID, version)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		var offer domain.Offer
		if err := json.Unmarshal(row.Document, &offer); err != nil {
			return err
		}
		for i := range n.Changes {
			change := &n.Changes[i]
			if named, ok := offer.NamedField(change.Field); ok && change.Label == "" && named != change.Field {
				change.Label = named
			}
		}
	}
	return nil
}

// notify writes a notice as a delivery and takes its first attempt, unless it is there already.
func (d *Deliveries) notify(ctx context.Context, tx pgx.Tx, tenantID, endpointID uuid.UUID, sequence int64, n *notice) ([]*queueMove, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	now := d.now()
	row := dbgen.InsertNoticeParams{
		TenantID: tenantID, ID: id, EndpointID: endpointID, Sequence: sequence, State: stateWaiting, Body: string(body), CreatedAt: now,
	}
	endpoint := d.mailEndpoint(endpointID)
	if why := endpoint.closed(); why != "" {
		row.State, row.LastError, row.FinishedAt = stateFailed, why, &now
	}
	made, err := queries.InsertNotice(ctx, tx, row)
	if err != nil || made == 0 {
		return nil, err
	}
	queue := deliveryQueue{tenantID: tenantID, endpointID: endpointID, single: id, kind: kindEmail}
	if err := queue.lock(ctx, tx); err != nil {
		return nil, err
	}
	move, err := d.advance(ctx, tx, queue, advanceOptions{})
	if move == nil {
		return nil, err
	}
	return []*queueMove{move}, err
}

// mailEndpoint stands for the mail server; it is closed where there is none.
func (d *Deliveries) mailEndpoint(id uuid.UUID) endpoint {
	e := endpoint{ID: id, Kind: kindEmail, Status: endpointActive}
	if d.mail == nil {
		e.Status = ""
	}
	return e
}

// sendNotice writes the mail and hands it to the server. The delivery's id is its Message-ID, the
// same at each attempt: a receiver that gets it twice has one message.
func (d *Deliveries) sendNotice(ctx context.Context, a *attempt) outbound.Answer {
	var n notice
	if err := json.Unmarshal([]byte(a.row.Body), &n); err != nil {
		return outbound.Answer{Error: "the message cannot be read"}
	}
	var address string
	err := d.store.Tenant(ctx, a.row.TenantID, func(ctx context.Context, tx pgx.Tx) (err error) {
		if n.Endpoint != nil {
			address, err = queries.TenantAddress(ctx, tx, a.row.TenantID)
			return err
		}
		address, err = queries.NoticeAddress(ctx, tx, a.row.TenantID)
		return err
	})
	if err != nil {
		return outbound.Answer{Error: "the recipient's address cannot be looked up"}
	}
	mail, err := n.mail(d.publicURL)
	if err != nil {
		return outbound.Answer{Error: "the mail cannot be written: " + err.Error()}
	}
	mail.ID, mail.To, a.calledURL = a.row.ID, address, "mailto:"+address
	return d.mail.Send(ctx, mail)
}
