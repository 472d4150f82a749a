package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// exportedRow is a row as it is stored, whatever its columns are: one that is added later is exported too.
type exportedRow map[string]any

// memberExport is the document, for the OpenAPI document: it is written a page of clicks at a time.
type memberExport struct {
	PubMemberID        string        `json:"pubMemberId"`
	ExportedAt         time.Time     `json:"exportedAt"`
	Balance            memberBalance `json:"balance"`
	OfferViews         []exportedRow `json:"offerViews"`
	Clicks             []exportedRow `json:"clicks" doc:"With the address, the browser and all parameters, as stored."`
	Postbacks          []exportedRow `json:"postbacks" doc:"What advertisers sent for the clicks."`
	HeldPostbacks      []exportedRow `json:"heldPostbacks" doc:"Those of them that wait for an earlier event."`
	GoalClicks         []exportedRow `json:"goalClicks"`
	Conversions        []exportedRow `json:"conversions"`
	Transitions        []exportedRow `json:"transitions" doc:"The history of each conversion, adjustments too."`
	VerdictFindings    []exportedRow `json:"verdictFindings"`
	ConversionRequests []exportedRow `json:"conversionRequests" doc:"What was asked of the advertisers of shared offers."`
	LedgerEntries      []exportedRow `json:"ledgerEntries" doc:"All lines of the conversions' ledger transactions."`
	Deliveries         []exportedRow `json:"deliveries" doc:"Callbacks and partners' postbacks about the conversions."`
	DeliveryAttempts   []exportedRow `json:"deliveryAttempts"`
	Jobs               []exportedRow `json:"jobs" doc:"Jobs whose filter names the member."`
	AuditLog           []exportedRow `json:"auditLog" doc:"Entries about the conversions, and about tests."`
}

// exportSection is one list of the document. Its rows belong to a page of clicks ($2), or to the member ($2) and
// come behind a row ($3).
type exportSection struct {
	name     string
	sql      string
	ofMember bool
}

// exportPage is how many clicks, or rows of the member's own, are read at a time.
const exportPage = 200

// ofClicks are the conversions of a page of clicks.
const ofClicks = " AND c.tenant_id = $1 AND c.click_id = ANY($2::uuid[])"

var exportSections = []exportSection{
	{name: "offerViews", ofMember: true, sql: "SELECT v.id, to_jsonb(v) FROM offer_views v WHERE v.tenant_id = $1 AND v.pub_member_id = $2 AND v.id > $3 ORDER BY v.id LIMIT $4"},
	{name: "clicks", sql: "SELECT k.id, to_jsonb(k) FROM clicks k WHERE k.tenant_id = $1 AND k.id = ANY($2::uuid[]) ORDER BY k.id"},
	{name: "postbacks", sql: "SELECT p.id, to_jsonb(p) FROM postbacks p WHERE p.tenant_id = $1 AND p.click_id = ANY($2::uuid[]) ORDER BY p.id"},
	// Not what proves the sender: hashes of tokens, what was signed.
	{name: "heldPostbacks", sql: `SELECT h.postback_id, to_jsonb(h) - 'message'
			|| jsonb_build_object('params', h.message->'params', 'source_ip', h.message->'sourceIp')
		FROM held_postbacks h WHERE h.tenant_id = $1 AND h.click_id = ANY($2::uuid[]) ORDER BY h.postback_id`},
	{name: "goalClicks", sql: "SELECT g.postback_id, to_jsonb(g) FROM goal_clicks g WHERE g.tenant_id = $1 AND g.click_id = ANY($2::uuid[]) ORDER BY g.postback_id"},
	{name: "conversions", sql: "SELECT c.id, to_jsonb(c) FROM conversions c WHERE true" + ofClicks + " ORDER BY c.id"},
	{name: "transitions", sql: "SELECT t.conversion_id, to_jsonb(t) FROM conversions c JOIN transitions t ON t.tenant_id = $1 AND t.conversion_id = c.id" + ofClicks + " ORDER BY t.conversion_id, t.sequence"},
	{name: "verdictFindings", sql: "SELECT f.postback_id, to_jsonb(f) FROM conversions c JOIN verdict_findings f ON f.tenant_id = $1 AND f.conversion_id = c.id" + ofClicks + " ORDER BY f.postback_id"},
	{name: "conversionRequests", sql: `SELECT r.id, to_jsonb(r) FROM conversions c JOIN partnerships p ON p.offer_id = c.offer_id AND p.publisher_tenant_id = $1
		JOIN conversion_requests r ON r.partnership_id = p.id AND r.conversion_id = c.id` + ofClicks + " ORDER BY r.id"},
	{name: "ledgerEntries", sql: `SELECT e.transaction_id, to_jsonb(e) || jsonb_build_object('conversion_id', t.conversion_id, 'sequence', t.sequence, 'at', t.at)
		FROM conversions c JOIN ledger_transactions t ON t.tenant_id = $1 AND t.conversion_id = c.id
		JOIN ledger_entries e ON e.tenant_id = $1 AND e.transaction_id = t.id` + ofClicks + " ORDER BY t.conversion_id, t.sequence, e.line"},
	{name: "deliveries", sql: "SELECT d.id, to_jsonb(d) FROM conversions c JOIN deliveries d ON d.tenant_id = $1 AND d.conversion_id = c.id" + ofClicks + " ORDER BY d.id"},
	{name: "deliveryAttempts", sql: `SELECT a.delivery_id, to_jsonb(a) FROM conversions c JOIN deliveries d ON d.tenant_id = $1 AND d.conversion_id = c.id
		JOIN delivery_attempts a ON a.tenant_id = $1 AND a.delivery_id = d.id` + ofClicks + " ORDER BY a.delivery_id, a.number"},
	{name: "jobs", ofMember: true, sql: "SELECT j.id, to_jsonb(j) FROM jobs j WHERE j.tenant_id = $1 AND strpos(j.filter::text, to_jsonb($2::text)::text) > 0 AND j.id > $3 ORDER BY j.id LIMIT $4"},
	{name: "auditLog", sql: `SELECT a.id, to_jsonb(a) FROM audit_log a WHERE a.tenant_id = $1 AND a.noun = 'conversion' AND a.noun_id IN (
		SELECT k::text FROM unnest($2::uuid[]) k UNION SELECT c.id::text FROM conversions c WHERE true` + ofClicks + ") ORDER BY a.id"},
}

// memberExportOutput writes the document.
type memberExportOutput struct{ Body func(huma.Context) }

// exportMember is everything that the tenant's database holds about a member, in one document. It is read and
// sent in pages, each in a transaction of its own: what changes meanwhile may be in it or not.
func (s *Server) exportMember(ctx context.Context, in *memberInput) (*memberExportOutput, error) {
	e := &memberExporter{server: s, member: in.Member, isFirst: true}
	if err := e.begin(ctx); err != nil {
		return nil, err
	}
	return &memberExportOutput{Body: func(response huma.Context) {
		response.SetHeader("Content-Type", "application/json")
		response.SetHeader("Content-Disposition", `attachment; filename="member.json"`)
		response.SetHeader("Cache-Control", "no-store")
		response.SetStatus(http.StatusOK)
		inBatches(ctx, response, func(out gin.ResponseWriter) error { return e.write(ctx, out) })
	}}, nil
}

// describeMemberExport says in the OpenAPI document what is written.
func describeMemberExport(r *router, path string) {
	r.api.OpenAPI().Paths[path].Get.Responses["200"].Content = map[string]*huma.MediaType{}
	answersJSON[memberExport](r, path)
	r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[exportedRow](), true, "")
}

type memberExporter struct {
	server  *Server
	member  string
	isFirst bool
	head    memberExportHead
}

type memberExportHead struct {
	PubMemberID string        `json:"pubMemberId"`
	ExportedAt  time.Time     `json:"exportedAt"`
	Balance     memberBalance `json:"balance"`
}

// page runs one transaction in the tenant's turn.
func (e *memberExporter) page(ctx context.Context, read func(ctx context.Context, tx pgx.Tx) error) error {
	leave, err := e.server.batchInTurn(ctx, e.isFirst)
	if err != nil {
		return err
	}
	defer leave()
	e.isFirst = false
	return e.server.tenant(ctx, read)
}

func (e *memberExporter) begin(ctx context.Context) error {
	return e.page(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().PointsOfMember(ctx, tx, principal(ctx).TenantID, e.member)
		e.head = memberExportHead{e.member, e.server.now(), memberBalance{Points: Decimal(row.Points), PendingPoints: Decimal(row.PendingPoints)}}
		return err
	})
}

func (e *memberExporter) write(ctx context.Context, out gin.ResponseWriter) error {
	head, err := json.Marshal(e.head)
	if err != nil {
		return err
	}
	_, _ = out.Write(head[:len(head)-1]) // the last write says whether the client is there
	for _, section := range exportSections {
		_, _ = out.WriteString(`,"` + section.name + `":[`)
		if err := e.section(ctx, out, section); err != nil {
			return err
		}
		_, _ = out.WriteString("]")
	}
	_, err = out.WriteString("}")
	return err
}

// section writes the rows of one list, page after page.
func (e *memberExporter) section(ctx context.Context, out gin.ResponseWriter, section exportSection) error {
	var after uuid.UUID
	isFirst := true
	for {
		var rows []json.RawMessage
		more := false
		err := e.page(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
			rows, after, more, err = e.rows(ctx, tx, section, after)
			return err
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if !isFirst {
				_, _ = out.WriteString(",")
			}
			isFirst = false
			if _, err := out.Write(row); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		out.Flush()
	}
}

// rows are the rows of one page behind an id, and the last id of it.
func (e *memberExporter) rows(
	ctx context.Context, tx pgx.Tx, section exportSection, after uuid.UUID,
) (rows []json.RawMessage, last uuid.UUID, more bool, err error) {
	tenantID := principal(ctx).TenantID
	args := []any{tenantID, e.member, after, exportPage}
	if !section.ofMember {
		clicks, err := dbgen.New().ClicksOfMemberBehind(ctx, tx, dbgen.ClicksOfMemberBehindParams{
			TenantID: tenantID, PubMemberID: e.member, After: after, AtMost: exportPage,
		})
		if err != nil || len(clicks) == 0 {
			return nil, after, false, err
		}
		last, more, args = clicks[len(clicks)-1], len(clicks) == exportPage, []any{tenantID, clicks}
	}
	found, err := tx.Query(ctx, section.sql, args...)
	if err != nil {
		return nil, after, false, err
	}
	var id uuid.UUID
	var stored map[string]json.RawMessage
	_, err = pgx.ForEachRow(found, []any{&id, &stored}, func() error {
		row, err := exportedFields(stored)
		rows, stored = append(rows, row), nil
		return err
	})
	if section.ofMember {
		last, more = id, len(rows) == exportPage
	}
	return rows, last, more, err
}

// exportedFields are a row's columns as fields of an answer: in camelCase, money as decimals, without whose
// the row is.
func exportedFields(stored map[string]json.RawMessage) (json.RawMessage, error) {
	fields := make(map[string]json.RawMessage, len(stored))
	for column, value := range stored {
		name, isMoney := strings.CutSuffix(column, "_micros")
		switch {
		case column == "tenant_id":
			continue
		case isMoney:
			var micros *domain.Micros
			if err := json.Unmarshal(value, &micros); err != nil {
				return nil, err
			}
			if micros != nil {
				value = json.RawMessage(`"` + micros.String() + `"`)
			}
		case column == "body": // a message's, which is JSON
			var text string
			if json.Unmarshal(value, &text) == nil && json.Valid([]byte(text)) {
				value = json.RawMessage(text)
			}
		}
		fields[camelCase(name)] = value
	}
	return json.Marshal(fields)
}

func camelCase(column string) string {
	words := strings.Split(column, "_")
	for i, word := range words[1:] {
		if word != "" {
			words[i+1] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}
