package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

const (
	// importMaxBody holds maxImported documents of the usual size.
	importMaxBody = 16 << 20
	maxImported   = 1000
	maxExternalID = 255
	// importTime is enough for maxImported offers.
	importTime = 2 * time.Minute
)

// The operations of an import. Insert leaves alone what is not in the list; Synchronize pauses it.
const (
	operationInsert      = "Insert"
	operationSynchronize = "Synchronize"
)

type importInput struct {
	Body struct {
		ConcurrencyRequestID uuid.UUID       `json:"concurrencyRequestId" format:"uuid" doc:"The sender's id of the import. A repeated id returns the same answer and changes nothing."`
		Operation            string          `json:"operation" enum:"Synchronize,Insert" doc:"Synchronize pauses imported offers that are missing from the list; Insert does not."`
		Offers               []offerDocument `json:"offers" minItems:"1" maxItems:"1000" doc:"Each has an externalId and offerData, the offer document; its fields may also be beside externalId."`
	}
}

// importedOffer is what became of one offer of an import.
type importedOffer struct {
	ExternalID string     `json:"externalId"`
	ID         *uuid.UUID `json:"id,omitempty"`
	Messages   []string   `json:"messages"`
}

type importAnswer struct {
	ConcurrencyRequestID uuid.UUID       `json:"concurrencyRequestId"`
	CreatedOffers        []importedOffer `json:"createdOffers"`
	UpdatedOffers        []importedOffer `json:"updatedOffers"`
	NotChangedOffers     []importedOffer `json:"notChangedOffers"`
	FailedOffers         []importedOffer `json:"failedOffers"`
}

type importOutput struct{ Body importAnswer }

// importOffers makes and replaces offers of a feed in one transaction. An offer that is not valid
// fails alone, and what stood before it stands.
func (s *Server) importOffers(ctx context.Context, in *importInput) (*importOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, importTime)
	defer cancel()
	if in.Body.ConcurrencyRequestID == uuid.Nil {
		return nil, problem.BadField("concurrencyRequestId", "must not be the zero UUID")
	}
	hash, err := importHash(in)
	if err != nil {
		return nil, err
	}
	out := &importOutput{}
	err = s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		i := &offerImport{
			server: s, tx: tx, queries: dbgen.New(), known: map[string]uuid.UUID{}, listed: map[string]bool{}, synchronizes: in.Body.Operation == operationSynchronize,
			answer: importAnswer{
				ConcurrencyRequestID: in.Body.ConcurrencyRequestID, CreatedOffers: []importedOffer{}, UpdatedOffers: []importedOffer{},
				NotChangedOffers: []importedOffer{}, FailedOffers: []importedOffer{},
			},
		}
		if i.tenant, err = i.queries.GetTenant(ctx, tx, principal(ctx).TenantID); err != nil {
			return err
		}
		done, err := i.begin(ctx, hash)
		if err != nil || done {
			out.Body = i.answer
			return err
		}
		for n, document := range in.Body.Offers {
			if err := i.take(ctx, n, document); err != nil {
				return err
			}
		}
		if i.synchronizes && !i.nameless {
			if err := i.pauseUnlisted(ctx); err != nil {
				return err
			}
		}
		out.Body = i.answer
		return i.end(ctx, hash)
	})
	s.nudge()
	return out, err
}

func importHash(in *importInput) ([]byte, error) {
	hash := sha256.New()
	err := json.NewEncoder(hash).Encode(in.Body)
	return hash.Sum(nil), err
}

// offerImport is one import under way.
type offerImport struct {
	server  *Server
	tx      pgx.Tx
	queries *dbgen.Queries
	tenant  dbgen.Tenant
	// known are the offers of earlier imports, listed those of this one, by the feed's id.
	known  map[string]uuid.UUID
	listed map[string]bool
	// nameless says that an item did not say which offer it is: it may be any of those that seem absent.
	nameless     bool
	synchronizes bool
	answer       importAnswer
}

// begin waits for the tenant's other imports. done says that this one was answered before.
func (i *offerImport) begin(ctx context.Context, hash []byte) (done bool, err error) {
	if err := i.queries.OwnFeed(ctx, i.tx, i.tenant.TenantID); err != nil {
		return false, err
	}
	before, err := i.queries.FeedImport(ctx, i.tx, i.tenant.TenantID, i.answer.ConcurrencyRequestID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return false, err
	case !bytes.Equal(before.Hash, hash):
		p := problem.New(http.StatusUnprocessableEntity, "This concurrencyRequestId was already used for a different import.")
		p.Errors = []domain.FieldError{{Field: "concurrencyRequestId", Reason: "was already used for a different import"}}
		return false, p
	default:
		return true, json.Unmarshal(before.Answer, &i.answer)
	}
	rows, err := i.queries.FeedOffers(ctx, i.tx, i.tenant.TenantID)
	for _, row := range rows {
		i.known[row.ExternalID] = row.OfferID
	}
	return false, err
}

func (i *offerImport) end(ctx context.Context, hash []byte) error {
	answer, err := json.Marshal(i.answer)
	if err != nil {
		return err
	}
	return i.queries.InsertFeedImport(ctx, i.tx, dbgen.InsertFeedImportParams{
		TenantID: i.tenant.TenantID, ID: i.answer.ConcurrencyRequestID, Hash: hash, Answer: answer, CreatedAt: i.server.now(),
	})
}

// take makes or replaces one offer, under a savepoint of its own.
func (i *offerImport) take(ctx context.Context, n int, item offerDocument) error {
	externalID, document, err := splitFeedItem(item)
	if err == nil && i.listed[externalID] {
		err = problem.BadField("externalId", "is in the list twice")
	}
	i.listed[externalID] = true
	if externalID == "" {
		i.nameless = true
		externalID = fmt.Sprintf("offers[%d]", n)
	}
	if err == nil {
		err = pgx.BeginFunc(ctx, i.tx, func(tx pgx.Tx) error {
			inner := *i
			inner.tx = tx
			if id, ok := i.known[externalID]; ok {
				err = inner.replace(ctx, externalID, id, document)
			} else {
				err = inner.create(ctx, externalID, document)
			}
			if err == nil {
				i.answer = inner.answer
			}
			return err
		})
	}
	messages := refusals(err)
	if err != nil && messages == nil {
		return err
	}
	if err != nil {
		if i.synchronizes && externalID == fmt.Sprintf("offers[%d]", n) {
			messages = append(messages, "No offer was paused: this item may be one of those that seem to be missing")
		}
		i.answer.FailedOffers = append(i.answer.FailedOffers, importedOffer{ExternalID: externalID, Messages: messages})
	}
	return nil
}

// refusals are what is wrong with an offer, one line a field; nil when the error is no refusal.
func refusals(err error) []string {
	var fields domain.FieldErrors
	var problem *problem.Problem
	switch {
	case errors.As(err, &fields):
	case errors.As(err, &problem):
		fields = problem.Errors
		if len(fields) == 0 {
			return []string{problem.Detail}
		}
	default:
		return nil
	}
	lines := make([]string, len(fields))
	for n, field := range fields {
		lines[n] = field.Field + ": " + field.Reason
	}
	return lines
}

func (i *offerImport) create(ctx context.Context, externalID string, document []byte) error {
	offer, warnings, err := i.server.parseOffer(ctx, i.tx, i.tenant, document, nil)
	if err != nil {
		return err
	}
	offer.ID, offer.TenantID, offer.Version = newID(), i.tenant.TenantID, 1
	if _, err := i.server.insertOffer(ctx, i.tx, &offer); err != nil {
		return err
	}
	i.answer.CreatedOffers = append(i.answer.CreatedOffers, importedOffer{externalID, &offer.ID, warnings})
	return i.queries.InsertFeedOffer(ctx, i.tx, i.tenant.TenantID, externalID, offer.ID)
}

func (i *offerImport) replace(ctx context.Context, externalID string, id uuid.UUID, document []byte) error {
	before, err := lockOffer(ctx, i.tx, id)
	if err != nil {
		return err
	}
	after, warnings, err := i.server.parseOffer(ctx, i.tx, i.tenant, document, before)
	if err != nil {
		return err
	}
	if err := i.server.saveOffer(ctx, i.tx, "import", before, &after); err != nil {
		return err
	}
	if after.Version == before.Version {
		i.answer.NotChangedOffers = append(i.answer.NotChangedOffers, importedOffer{externalID, &id, []string{"Offer has the same data"}})
	} else {
		i.answer.UpdatedOffers = append(i.answer.UpdatedOffers, importedOffer{externalID, &id, warnings})
	}
	return nil
}

// pauseUnlisted pauses the feed's offers that this import does not name.
func (i *offerImport) pauseUnlisted(ctx context.Context) error {
	rows, err := i.queries.FeedOffers(ctx, i.tx, i.tenant.TenantID)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if i.listed[row.ExternalID] {
			continue
		}
		before, err := lockOffer(ctx, i.tx, row.OfferID)
		if err != nil {
			return err
		}
		if before.IsPaused {
			continue
		}
		after := *before
		after.IsPaused = true
		if err := i.server.saveOffer(ctx, i.tx, "pause", before, &after); err != nil {
			return err
		}
		i.answer.UpdatedOffers = append(i.answer.UpdatedOffers,
			importedOffer{row.ExternalID, &row.OfferID, []string{"Paused: it is not in the list"}})
	}
	return nil
}

// splitFeedItem reads one item of an import: its externalId, and its document, which is offerData
// (an object, or a list of one) or else what stands beside the id. offerLink is a feed's name for
// trackingSystemLink.
func splitFeedItem(item []byte) (externalID string, document []byte, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(item, &members); err != nil || members == nil {
		return "", nil, problem.BadField("offers", "must be objects")
	}
	take := func(from map[string]json.RawMessage, name string) json.RawMessage {
		for key, value := range from {
			if strings.EqualFold(key, name) {
				delete(from, key)
				return value
			}
		}
		return nil
	}
	if err := json.Unmarshal(take(members, "externalId"), &externalID); err != nil || strings.TrimSpace(externalID) == "" ||
		len(externalID) > maxExternalID || strings.ContainsRune(externalID, 0) {
		return "", nil, problem.BadField("externalId", fmt.Sprintf("must be a text of 1 to %d bytes", maxExternalID))
	}
	if data := take(members, "offerData"); data != nil {
		var one []json.RawMessage
		if json.Unmarshal(data, &one) == nil && len(one) == 1 {
			data = one[0]
		}
		members = nil
		if err := json.Unmarshal(data, &members); err != nil || members == nil {
			return externalID, nil, problem.BadField("offerData", "must be an object, or a list with one object")
		}
	}
	if link := take(members, "offerLink"); link != nil {
		if given := take(members, "trackingSystemLink"); given != nil {
			link = given
		}
		members["trackingSystemLink"] = link
	}
	document, err = json.Marshal(members)
	return externalID, document, err
}
