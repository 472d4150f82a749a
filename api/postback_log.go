package api

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// postbackView is one postback as it was received, and what became of it.
type postbackView struct {
	ID       uuid.UUID         `json:"id"`
	Time     time.Time         `json:"time" doc:"When the postback was received."`
	SourceIP string            `json:"sourceIp"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Query    map[string]string `json:"query" doc:"All parameters as sent in query, form or JSON; secrets are replaced."`
	Outcome  domain.Outcome    `json:"outcome"`
	Reason   domain.Reason     `json:"reason"`
	Detail   string            `json:"detail" doc:"The reason in words: which field, what is missing, until when. It may contain more than the sender was told, such as names of events."`
	// Warnings is never null.
	Warnings      domain.FieldErrors `json:"warnings" nullable:"false" doc:"Values that could not be parsed and were ignored."`
	AdvertiserID  *uuid.UUID         `json:"advertiserId"`
	ClickID       *uuid.UUID         `json:"clickId"`
	ConversionID  *uuid.UUID         `json:"conversionId"`
	RecordedAs    domain.RecordAs    `json:"recordedAs" doc:"click if it was only counted (rule 70); otherwise empty."`
	Status        domain.Status      `json:"status" doc:"The conversion's status at the decision."`
	ReleaseAt     *time.Time         `json:"releaseAt"`
	Authenticated bool               `json:"authenticated" doc:"Whether the sender passed the advertiser's security."`
	DecidedAt     time.Time          `json:"decidedAt"`
}

const loggedColumns = `p.id, p.received_at, p.source_ip, p.method, p.path, p.params, p.outcome, p.reason, p.advertiser_id, p.click_id,
  p.conversion_id, p.status, p.release_at, p.authenticated, p.decided_at, p.detail, p.warnings`

const (
	postbackColumns = loggedColumns + ", p.hint"
	// advertisersPostbackColumns leave out whose cap it was: it may tell that the click came from a partner.
	advertisersPostbackColumns = loggedColumns + ", CASE WHEN p.outcome = 'accepted' OR p.reason LIKE 'cap%' THEN '' ELSE p.hint END"
)

func scanPostback(row pgx.CollectableRow) (postbackView, error) {
	var p dbgen.Postback
	err := row.Scan(&p.ID, &p.ReceivedAt, &p.SourceIp, &p.Method, &p.Path, &p.Params, &p.Outcome, &p.Reason, &p.AdvertiserID, &p.ClickID,
		&p.ConversionID, &p.Status, &p.ReleaseAt, &p.Authenticated, &p.DecidedAt, &p.Detail, &p.Warnings, &p.Hint)
	if err != nil {
		return postbackView{}, err
	}
	return postbackOf(&p)
}

func postbackOf(p *dbgen.Postback) (postbackView, error) {
	view := postbackView{
		ID: p.ID, Time: p.ReceivedAt.UTC(), SourceIP: p.SourceIp, Method: p.Method, Path: domain.PathWithoutKey(p.Path), Query: map[string]string{},
		Outcome: p.Outcome, Reason: p.Reason, AdvertiserID: p.AdvertiserID, ClickID: p.ClickID, ConversionID: p.ConversionID,
		Status: p.Status, ReleaseAt: inUTC(p.ReleaseAt), Authenticated: p.Authenticated, DecidedAt: p.DecidedAt.UTC(),
		Detail: domain.Explanation{Detail: p.Detail, Hint: p.Hint}.Whole(), Warnings: domain.FieldErrors{},
	}
	if err := json.Unmarshal(p.Warnings, &view.Warnings); err != nil {
		return view, err
	}
	answer := domain.Answer{Outcome: p.Outcome, ConversionID: p.ConversionID}
	view.RecordedAs = answer.RecordedAs()
	return view, json.Unmarshal(p.Params, &view.Query)
}

// postbackLogFields can be ordered by id, which is the order of receipt and has an index, or by what
// else is worth it.
var postbackLogFields = map[string]listField{
	"id": {column: "p.id", kind: fieldUUID}, "time": {column: "p.received_at", kind: fieldTime},
	"from": {column: "p.received_at", kind: fieldFrom, unordered: true}, "to": {column: "p.received_at", kind: fieldTo, unordered: true},
	"sourceIp": {column: "p.source_ip"}, "method": {column: "p.method"}, "path": {column: "p.path"},
	"outcome": {column: "p.outcome", oneOf: textsOf(domain.StoredOutcomes)}, "reason": {column: "p.reason", oneOf: textsOf(domain.PostbackReasons)},
	"status":       {column: "p.status", oneOf: textsOf(domain.Statuses)},
	"advertiserId": {column: "p.advertiser_id", kind: fieldUUID}, "clickId": {column: "p.click_id", kind: fieldUUID},
	"conversionId":  {column: "p.conversion_id", kind: fieldUUID},
	"authenticated": {column: "p.authenticated", kind: fieldBool}, "decidedAt": {column: "p.decided_at", kind: fieldTime},
}

// postbacksOfMember are those that name a click of the member; of a click that is not kept any more, those
// that made a conversion. The array is found first, by the indexes of members: a join might read the whole log.
const postbacksOfMember = `p.click_id IS NOT NULL AND p.click_id = ANY(ARRAY(
  SELECT c.id FROM clicks c WHERE c.tenant_id = current_tenant() AND ?
  UNION SELECT c.click_id FROM conversions c WHERE c.tenant_id = current_tenant() AND ?))`

// tenantsPostbackFields are those of a tenant's own log.
func tenantsPostbackFields() map[string]listField {
	fields := maps.Clone(postbackLogFields)
	fields["pubMemberId"] = listField{column: "c.pub_member_id", kind: fieldMember, unordered: true, among: postbacksOfMember}
	return fields
}

var postbackListing = listing[postbackView]{
	from: "postbacks p", columns: postbackColumns, where: "p.tenant_id = $1", fields: tenantsPostbackFields(),
	order: "id", id: "p.id", scan: scanPostback,
}

// unclaimedListing is the operator's log: what nothing tells whose it is. The one list that the
// system role reads; its condition leaves out every tenant's rows.
var unclaimedListing = listing[postbackView]{
	from: "postbacks p", columns: postbackColumns, where: "p.tenant_id IS NULL", fields: postbackLogFields,
	order: "id", id: "p.id", scan: scanPostback,
}

type postbackLogInput struct {
	ListInput
	From string `query:"from" doc:"Start of the period by receipt: a date (included) or an RFC 3339 time."`
	To   string `query:"to" doc:"End of the period by receipt: a date (included) or an RFC 3339 time (excluded)."`
}

// Resolve satisfies huma.Resolver. from and to are short for the filters of the same names.
func (in *postbackLogInput) Resolve(ctx huma.Context) []error {
	return append(in.ListInput.Resolve(ctx), in.bounds(in.From, in.To)...)
}

// bounds takes from and to as the filters of the same names.
func (in *ListInput) bounds(from, to string) (errs []error) {
	for name, value := range map[string]string{"from": from, "to": to} {
		if value == "" {
			continue
		}
		if !isBound(value) {
			errs = append(errs, &huma.ErrorDetail{Location: name, Message: errOneTime.Error()})
			continue
		}
		if in.filters[name] != nil {
			errs = append(errs, &huma.ErrorDetail{Location: name, Message: "is given as filter." + name + " too"})
			continue
		}
		in.filters[name] = []string{value}
	}
	return errs
}

// listPostbacks is a tenant's log, or for the operator without X-Tenant the operator's.
func (s *Server) listPostbacks(ctx context.Context, in *postbackLogInput) (*pageOutput[postbackView], error) {
	if tenantID := principal(ctx).TenantID; tenantID != uuid.Nil {
		return listIn(ctx, s, postbackListing, in.ListInput, tenantID)
	}
	out := &pageOutput[postbackView]{}
	return out, s.system(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		out.Body, err = list(ctx, tx, s.now(), unclaimedListing, in.ListInput)
		return err
	})
}
