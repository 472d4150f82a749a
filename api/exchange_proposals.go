package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// proposalDocument is an edit that one side asks the other to make (rule 57), the same for both.
type proposalDocument struct {
	ID            uuid.UUID            `json:"id"`
	OfferID       uuid.UUID            `json:"offerId"`
	PartnershipID uuid.UUID            `json:"partnershipId"`
	Side          domain.Side          `json:"side" enum:"advertiser,publisher" doc:"Who proposed it."`
	By            string               `json:"by" doc:"The tenant and the actor: a token's name, or the operator."`
	At            time.Time            `json:"at"`
	Version       int64                `json:"version" doc:"The version that it was made from."`
	State         domain.ProposalState `json:"state" enum:"open,accepted,declined,withdrawn"`
	Changes       []proposedChange     `json:"changes" doc:"The changes, in the form of the change log."`
	DecidedAt     *time.Time           `json:"decidedAt"`
	DecidedBy     string               `json:"decidedBy"`
	Reason        string               `json:"reason" doc:"Why it was declined; both sides can read it."`
	MadeVersion   *int64               `json:"madeVersion" doc:"The version created by accepting it."`
}

// proposedChange is one field of a proposal.
type proposedChange struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old" doc:"null if there was no value."`
	New   json.RawMessage `json:"new" doc:"null if the value is removed."`
}

func proposalOf(row *dbgen.OfferProposal) (proposalDocument, error) {
	d := proposalDocument{
		ID: row.ID, OfferID: row.OfferID, PartnershipID: row.PartnershipID, Side: row.Side, By: row.By, At: row.At, Version: row.Version,
		State: domain.ProposalState(row.State), DecidedAt: row.DecidedAt, DecidedBy: row.DecidedBy, Reason: row.Reason, MadeVersion: row.MadeVersion,
	}
	return d, json.Unmarshal(row.Changes, &d.Changes)
}

const (
	// maxOpenProposals of a side for one offer.
	maxOpenProposals = 50
	// maxLiveFields are named in a live event; GET shows them all.
	maxLiveFields = 100
)

// propose keeps an edit of a locked offer for the other side to accept. Nothing of the offer changes.
func (s *Server) propose(ctx context.Context, tx pgx.Tx, before *domain.Offer, patch []byte) (uuid.UUID, []string, error) {
	share, err := activities.ShareOf(ctx, tx, principal(ctx).TenantID, before.ID)
	if err != nil {
		return uuid.Nil, nil, err
	}
	var minted []uuid.UUID
	after, warnings, errs, err := s.parseProposal(ctx, tx, share, before, patch, func() uuid.UUID {
		minted = append(minted, newID())
		return minted[len(minted)-1]
	})
	if err == nil {
		err = errs.Err()
	}
	if err != nil {
		return uuid.Nil, nil, err
	}
	changes, refused, err := domain.CheckProposal(before, &after)
	switch {
	case err != nil:
		return uuid.Nil, nil, err
	case len(refused) > 0:
		return uuid.Nil, nil, problem.Forbidden("These fields are read-only.", refused...)
	case len(changes) == 0:
		return uuid.Nil, nil, problem.BadField("body", "does not change the offer")
	}
	id, err := s.keepProposal(ctx, tx, share, before.Version, patch, minted, changes)
	return id, warnings, err
}

// parseProposal reads a proposal by the terms of the side that made it, who knows what it names.
func (s *Server) parseProposal(
	ctx context.Context, tx pgx.Tx, share *activities.Share, before *domain.Offer, patch []byte, mint func() uuid.UUID,
) (after domain.Offer, warnings []string, errs domain.FieldErrors, err error) {
	tenant, err := dbgen.New().GetTenant(ctx, tx, share.Tenant(share.Side))
	if err != nil {
		return after, nil, nil, err
	}
	tenant.GoalsEnabled = true // as in an edit
	reading, err := s.editTerms(ctx, tx, tenant, before)
	if err != nil {
		return after, nil, nil, err
	}
	reading.terms.NewID = mint
	return reading.read(patch, domain.PatchOffer)
}

// keepProposal writes a proposal and the news of it. The same one that is open already is that one.
func (s *Server) keepProposal(
	ctx context.Context, tx pgx.Tx, share *activities.Share, version int64, patch []byte, minted []uuid.UUID, changes []domain.OfferChange,
) (uuid.UUID, error) {
	queries := dbgen.New()
	open, err := queries.CountOpenProposals(ctx, tx, dbgen.CountOpenProposalsParams{
		TenantID: share.Tenant(share.Side), PartnershipID: share.ID, OfferID: share.OfferID, Side: share.Side,
	})
	if err != nil {
		return uuid.Nil, err
	}
	entries, err := json.Marshal(changes)
	if err != nil {
		return uuid.Nil, err
	}
	by, err := actorInWords(ctx, tx)
	if err != nil {
		return uuid.Nil, err
	}
	row := dbgen.InsertProposalParams{
		ID: newID(), PartnershipID: share.ID, OfferID: share.OfferID, Side: share.Side, By: share.By(by), At: s.now(),
		Version: version, Patch: string(patch), EventIds: minted, Changes: entries, Fingerprint: proposalFingerprint(version, patch),
	}
	if row.EventIds == nil {
		row.EventIds = []uuid.UUID{}
	}
	known, err := queries.OpenProposal(ctx, tx, dbgen.OpenProposalParams{
		TenantID: share.Tenant(share.Side), PartnershipID: share.ID, OfferID: share.OfferID, Side: row.Side, Fingerprint: row.Fingerprint,
	})
	switch {
	case err == nil:
		return known, nil // the request came again
	case !errors.Is(err, pgx.ErrNoRows):
		return uuid.Nil, err
	case open >= maxOpenProposals:
		return uuid.Nil, problem.Conflict(fmt.Sprintf("This offer already has %d open proposals. Withdraw one, or wait for the other side.", open))
	}
	if _, err := queries.InsertProposal(ctx, tx, row); err != nil { // under the offer's lock: there is no other
		return uuid.Nil, err
	}
	made, err := queries.GetProposal(ctx, tx, share.Tenant(share.Side), row.ID, share.OfferID)
	if err != nil {
		return uuid.Nil, err
	}
	document, err := proposalOf(&made)
	if err != nil {
		return uuid.Nil, err
	}
	if err := s.audit(ctx, tx, "propose", "proposal", row.ID.String(), nil, document); err != nil {
		return uuid.Nil, err
	}
	return row.ID, s.announceProposal(ctx, tx, share, &document, true)
}

// proposalFingerprint tells a proposal that is sent again from another.
func proposalFingerprint(version int64, patch []byte) []byte {
	var compact bytes.Buffer
	if json.Compact(&compact, patch) != nil {
		compact.Write(patch)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", version, compact.Bytes()))
	return sum[:]
}

// announceProposal tells both live streams how a proposal stands now, and the other side by email where
// there is no other news of it: of one that was accepted the edit tells.
func (s *Server) announceProposal(ctx context.Context, tx pgx.Tx, share *activities.Share, proposal *proposalDocument, byMail bool) error {
	at := s.now()
	if byMail {
		payload, err := json.Marshal(stream.ExchangeEvent{
			ID: newID(), Partnership: share.Partnership, ProposalID: &proposal.ID, Side: share.Side, At: at,
		})
		if err != nil {
			return err
		}
		err = dbgen.New().InsertOutbox(ctx, tx, dbgen.InsertOutboxParams{
			TenantID: principal(ctx).TenantID, ID: newID(), Subject: stream.SubjectExchange, Payload: payload,
		})
		if err != nil {
			return err
		}
	}
	fields := make([]string, 0, min(len(proposal.Changes), maxLiveFields))
	for _, change := range proposal.Changes[:min(len(proposal.Changes), maxLiveFields)] {
		fields = append(fields, change.Field)
	}
	by, err := actorInWords(ctx, tx)
	if err != nil {
		return err
	}
	return s.announceLive(ctx, tx, stream.LiveProposal, stream.LiveProposalData{
		PartnershipID: share.ID, OfferID: share.OfferID, ProposalID: proposal.ID, Version: proposal.Version, State: string(proposal.State),
		By: share.By(by), Side: share.Side, Fields: fields, Reason: proposal.Reason, At: at,
	}, share.AdvertiserTenantID, share.PublisherTenantID)
}

// ProposalByID names a proposal. huma reads embedded fields of exported types only.
type ProposalByID struct {
	ByID
	ProposalID uuid.UUID `path:"proposalId" format:"uuid"`
}

type proposalOutput struct{ Body proposalDocument }

// acceptProposal makes the edit that the other side proposed, as it stands: where any of it means another
// change by now, it is refused with what stands now.
func (s *Server) acceptProposal(ctx context.Context, in *ProposalByID) (*proposalOutput, error) {
	return s.decideProposal(ctx, in, domain.ProposalAccepted, "")
}

type declineProposalInput struct {
	ProposalByID
	Body struct {
		Reason string `json:"reason,omitempty" doc:"Both sides can read it."`
	}
}

// declineProposal ends a proposal without an edit. The side that made it takes it back so.
func (s *Server) declineProposal(ctx context.Context, in *declineProposalInput) (*proposalOutput, error) {
	var c checks
	reason := strings.TrimSpace(in.Body.Reason)
	switch {
	case utf8.RuneCountInString(reason) > maxEndReason:
		c.add("reason", "must have at most %d characters", maxEndReason)
	case strings.ContainsRune(reason, 0):
		c.add("reason", "contains a character that cannot be stored")
	}
	if err := c.err(); err != nil {
		return nil, err
	}
	return s.decideProposal(ctx, &in.ProposalByID, domain.ProposalDeclined, reason)
}

// decideProposal ends a proposal, once, under the lock on the offer's row. To end it again as it ended
// changes nothing.
func (s *Server) decideProposal(ctx context.Context, in *ProposalByID, state domain.ProposalState, reason string) (*proposalOutput, error) {
	out := &proposalOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		offer, err := lockOffer(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		share, err := activities.ShareOf(ctx, tx, principal(ctx).TenantID, in.ID)
		if err != nil {
			return err
		}
		if share == nil {
			return problem.NotFound()
		}
		row, err := dbgen.New().GetProposal(ctx, tx, principal(ctx).TenantID, in.ProposalID, in.ID)
		if err != nil {
			return orNotFound(err)
		}
		if out.Body, err = proposalOf(&row); err != nil {
			return err
		}
		if state, err = decidable(&out.Body, share, state); err != nil || state == "" {
			return err
		}
		return s.endProposal(ctx, tx, share, offer, &row, &out.Body, state, reason)
	})
	s.nudge()
	return out, err
}

// decidable is what a side's decision about a proposal comes to; "" where it was decided so before.
func decidable(proposal *proposalDocument, share *activities.Share, state domain.ProposalState) (domain.ProposalState, error) {
	own := proposal.Side == share.Side
	switch {
	case own && state == domain.ProposalAccepted:
		return "", problem.Conflict("This tenant made the proposal: only the other side can accept or decline it.")
	case own:
		state = domain.ProposalWithdrawn
	}
	switch {
	case proposal.State == state:
		return "", nil
	case proposal.State != domain.ProposalOpen:
		return "", problem.Conflict("The proposal is " + string(proposal.State) + " already.")
	case share.Closed() != nil && state == domain.ProposalAccepted:
		return "", editRefusal(share.Closed())
	}
	return state, nil
}

func (s *Server) endProposal(
	ctx context.Context, tx pgx.Tx, share *activities.Share, offer *domain.Offer, row *dbgen.OfferProposal, proposal *proposalDocument,
	state domain.ProposalState, reason string,
) error {
	before, at := *proposal, s.now()
	actor, err := actorInWords(ctx, tx)
	if err != nil {
		return err
	}
	proposal.State, proposal.DecidedAt, proposal.DecidedBy, proposal.Reason = state, &at, share.By(actor), reason
	if state == domain.ProposalAccepted {
		version, err := s.makeProposed(ctx, tx, share, offer, row)
		if err != nil {
			return err
		}
		proposal.MadeVersion = &version
	}
	decided, err := dbgen.New().DecideProposal(ctx, tx, dbgen.DecideProposalParams{
		State: string(state), DecidedAt: at, DecidedBy: proposal.DecidedBy, DecidedSide: string(share.Side), Reason: reason,
		MadeVersion: proposal.MadeVersion, TenantID: share.Tenant(share.Side), ID: row.ID, OfferID: row.OfferID,
	})
	if err != nil {
		return err
	}
	if decided != 1 {
		return fmt.Errorf("proposal %s was decided by somebody else under the offer's lock", row.ID)
	}
	verb := map[domain.ProposalState]string{
		domain.ProposalAccepted: "accept", domain.ProposalDeclined: "decline", domain.ProposalWithdrawn: "withdraw",
	}[state]
	if err := s.audit(ctx, tx, verb, "proposal", row.ID.String(), before, proposal); err != nil {
		return err
	}
	return s.announceProposal(ctx, tx, share, proposal, state == domain.ProposalDeclined)
}

// makeProposed saves the edit of an accepted proposal. It is read as the side that made it would read it
// now, and must come to the same changes; both sides want it, so that each field is one of theirs.
func (s *Server) makeProposed(
	ctx context.Context, tx pgx.Tx, share *activities.Share, offer *domain.Offer, row *dbgen.OfferProposal,
) (version int64, err error) {
	var after domain.Offer
	var changes []domain.OfferChange
	var overtaken domain.FieldErrors
	proposer := *share
	proposer.Side = share.Side.Other()
	minted := row.EventIds
	mint := func() uuid.UUID {
		if len(minted) == 0 {
			return newID()
		}
		id := minted[0]
		minted = minted[1:]
		return id
	}
	err = db.As(ctx, tx, proposer.Tenant(proposer.Side), func() (err error) {
		after, _, overtaken, err = s.parseProposal(ctx, tx, &proposer, offer, []byte(row.Patch), mint)
		return err
	})
	if err != nil {
		return 0, err
	}
	if len(overtaken) == 0 {
		if changes, overtaken, err = domain.CheckProposal(offer, &after); err != nil {
			return 0, err
		}
		var proposed []domain.OfferChange
		if err := json.Unmarshal(row.Changes, &proposed); err != nil {
			return 0, err
		}
		overtaken = append(overtaken, domain.Overtaken(proposed, changes)...)
	}
	if len(overtaken) > 0 {
		return 0, s.overtaken(ctx, tx, offer.ID, overtaken)
	}
	after.ID, after.TenantID, after.Version = offer.ID, offer.TenantID, offer.Version
	share.OnBehalf = ", as proposed by " + row.By
	err = s.saveEdit(ctx, tx, "update", offer, &after, offerEdit{share: share, changes: changes})
	return after.Version, err
}

// overtaken refuses to accept what means something else by now, and shows what stands.
func (s *Server) overtaken(ctx context.Context, tx pgx.Tx, offerID uuid.UUID, fields domain.FieldErrors) error {
	current, err := s.viewShared(ctx, tx, offerID)
	if err != nil {
		return err
	}
	p := problem.Conflict("The offer has changed since this proposal was made, so it cannot be accepted. Decline it, or ask for a new proposal.")
	p.Errors = fields
	return p.Showing(etag(current.Version), current)
}

var proposalListing = listing[proposalDocument]{
	from:    `offer_proposals r JOIN partnerships p ON p.id = r.partnership_id`,
	columns: `r.id, r.partnership_id, r.offer_id, r.side, r.by, r.at, r.version, r.changes, r.state, r.decided_at, r.decided_by, r.reason, r.made_version`,
	where:   "r.offer_id = $1 AND $2::uuid IN (p.advertiser_tenant_id, p.publisher_tenant_id)",
	fields: map[string]listField{
		"id": {column: "r.id", kind: fieldUUID}, "side": {column: "r.side"}, "state": {column: "r.state"}, "by": {column: "r.by"},
		"at": {column: "r.at", kind: fieldTime}, "version": {column: "r.version", kind: fieldInt},
	},
	order: "at", id: "r.id",
	scan: func(row pgx.CollectableRow) (proposalDocument, error) {
		var r dbgen.OfferProposal
		err := row.Scan(&r.ID, &r.PartnershipID, &r.OfferID, &r.Side, &r.By, &r.At, &r.Version, &r.Changes, &r.State, &r.DecidedAt, &r.DecidedBy,
			&r.Reason, &r.MadeVersion)
		if err != nil {
			return proposalDocument{}, err
		}
		return proposalOf(&r)
	},
}

type listProposalsInput struct {
	ByID
	ListInput
}

// listProposals shows to both sides what either proposed, newest first, with what became of it.
func (s *Server) listProposals(ctx context.Context, in *listProposalsInput) (*pageOutput[proposalDocument], error) {
	out := &pageOutput[proposalDocument]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		err := checkShared(ctx, tx, in.ID)
		if err != nil {
			return err
		}
		out.Body, err = list(ctx, tx, s.now(), proposalListing, in.ListInput, in.ID, principal(ctx).TenantID)
		return err
	})
}
