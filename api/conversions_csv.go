package api

import (
	"context"
	"encoding/csv"
	"fmt"
	"mime"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/domain"
)

// alsoCSV says in the OpenAPI document that something is answered as JSON, a T, or as CSV.
func alsoCSV[T any](r *router, path string) {
	schemas := r.api.OpenAPI().Components.Schemas
	r.api.OpenAPI().Paths[path].Get.Responses["200"].Content = map[string]*huma.MediaType{
		"application/json": {Schema: schemas.Schema(reflect.TypeFor[T](), true, "")},
		"text/csv":         {Schema: &huma.Schema{Type: huma.TypeString, Description: "All rows that the filters leave, without pages or totals."}},
	}
}

// answersJSON says in the OpenAPI document that what a route writes by itself is a T.
func answersJSON[T any](r *router, path string) {
	r.api.OpenAPI().Paths[path].Get.Responses["200"].Content = map[string]*huma.MediaType{
		"application/json": {Schema: r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")},
	}
}

// acceptsCSV says whether an Accept header names CSV.
func acceptsCSV(accept string) bool {
	for _, one := range strings.Split(accept, ",") {
		kind, params, err := mime.ParseMediaType(one)
		if err != nil || kind != "text/csv" {
			continue
		}
		weight, err := strconv.ParseFloat(params["q"], 64)
		return err != nil || weight > 0
	}
	return false
}

type csvColumn[T any] struct {
	name string
	cell func(c *T) string
}

// conversionCSV are the columns of the export: the fields of the JSON answer under the same names.
var conversionCSV = []csvColumn[conversionView]{
	{"id", func(c *conversionView) string { return c.ID.String() }},
	{"status", func(c *conversionView) string { return string(c.Status) }},
	{"rejectionReason", func(c *conversionView) string { return string(orZero(c.RejectionReason)) }},
	{"clickId", func(c *conversionView) string { return c.ClickID.String() }},
	{"offerId", func(c *conversionView) string { return c.OfferID.String() }},
	{"offerName", func(c *conversionView) string { return c.OfferName }},
	{"eventId", func(c *conversionView) string { return c.EventID }},
	{"eventName", func(c *conversionView) string { return c.EventName }},
	{"partnerId", func(c *conversionView) string { return cellOf(c.PartnerID) }},
	{"pubMemberId", func(c *conversionView) string { return orZero(c.PubMemberID) }},
	{"revenue", func(c *conversionView) string { return cellOf((*domain.Micros)(c.Revenue)) }},
	{"payout", func(c *conversionView) string { return c.Payout.Micros().String() }},
	{"reward", func(c *conversionView) string { return c.Reward.Micros().String() }},
	{"currency", func(c *conversionView) string { return c.Currency }},
	{"amount", func(c *conversionView) string { return cellOf((*domain.Micros)(c.Amount)) }},
	{"createdAt", func(c *conversionView) string { return cellOfTime(&c.CreatedAt) }},
	{"userCompletedAt", func(c *conversionView) string { return cellOfTime(&c.UserCompletedAt) }},
	{"releaseAt", func(c *conversionView) string { return cellOfTime(c.ReleaseAt) }},
	{"decidedAt", func(c *conversionView) string { return cellOfTime(c.DecidedAt) }},
	{"sequenceNumber", func(c *conversionView) string { return strconv.FormatInt(c.SequenceNumber, 10) }},
	{"offerEventId", func(c *conversionView) string { return c.OfferEventID.String() }},
	{"advertiserId", func(c *conversionView) string { return c.AdvertiserID.String() }},
	{"needsReview", func(c *conversionView) string { return strconv.FormatBool(c.NeedsReview) }},
	{"cnvConversionId", func(c *conversionView) string { return c.CnvConversionID }},
	{"isTest", func(c *conversionView) string { return strconv.FormatBool(c.IsTest) }},
	{"cost", func(c *conversionView) string { return cellOf((*domain.Micros)(c.Cost)) }},
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

func cellOf[T fmt.Stringer](p *T) string {
	if p == nil {
		return ""
	}
	return (*p).String()
}

func cellOfTime(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Format(time.RFC3339Nano)
}

// harmlessCell keeps a spreadsheet from running what a member or an advertiser called itself: a
// text that would be read as a formula gets an apostrophe in front.
func harmlessCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r\n", rune(text[0])) {
		return "'" + text
	}
	return text
}

// csvBatch rows are read in one transaction and held in memory at a time.
const csvBatch = 500

// csvPlace is the last row of a batch: the next one starts behind it.
type csvPlace struct {
	completedAt time.Time
	id          uuid.UUID
}

// csv streams all rows of a filter. Each batch is a transaction of its own, so that a slow client
// holds no connection; what rows are ordered by never changes, so that each is sent once. The first
// batch is read before the answer begins: what is wrong by then is still a problem.
func (b *conversionBook[T]) csv(ctx context.Context, s *Server, in ListInput, args []any) (func(huma.Context), error) {
	if in.OrderBy != "" && !strings.EqualFold(in.OrderBy, fieldCompletedAt) {
		return nil, badField("orderby", "must be "+fieldCompletedAt+" for CSV")
	}
	first, after, err := b.batch(ctx, s, in, args, nil)
	if err != nil {
		return nil, err
	}
	return func(response huma.Context) {
		response.SetHeader("Content-Type", "text/csv; charset=utf-8")
		response.SetHeader("Content-Disposition", `attachment; filename="conversions.csv"`)
		response.SetHeader("Cache-Control", "no-store")
		inBatches(ctx, response, func(out gin.ResponseWriter) error { return b.writeCSV(ctx, s, out, in, args, first, after) })
	}, nil
}

func (b *conversionBook[T]) writeCSV(ctx context.Context, s *Server, writer gin.ResponseWriter, in ListInput, args []any, batch []T, after *csvPlace,
) (err error) {
	out := csv.NewWriter(writer)
	cells := make([]string, len(b.columns))
	for i, column := range b.columns {
		cells[i] = column.name
	}
	_ = out.Write(cells) // out.Error has it
	for {
		for i := range batch {
			for n, column := range b.columns {
				cells[n] = harmlessCell(column.cell(&batch[i]))
			}
			_ = out.Write(cells)
		}
		out.Flush()
		if out.Error() != nil || after == nil {
			return out.Error()
		}
		writer.Flush()
		if batch, after, err = b.batch(ctx, s, in, args, after); err != nil {
			return err
		}
	}
}

// batch reads the rows behind a place, and the place of the next batch; nil is the start, and the end.
func (b *conversionBook[T]) batch(ctx context.Context, s *Server, in ListInput, args []any, after *csvPlace) (batch []T, next *csvPlace, err error) {
	l := b.listing
	where, args, err := l.conditions(in, args)
	if err != nil {
		return nil, nil, err
	}
	direction, beyond := "DESC", "<"
	if in.OrderAsc {
		direction, beyond = "ASC", ">"
	}
	if after != nil {
		where += fmt.Sprintf(" AND (c.user_completed_at, c.id) %s ($%d, $%d)", beyond, len(args)+1, len(args)+2)
		args = append(args, after.completedAt, after.id)
	}
	query := fmt.Sprintf("SELECT %s FROM %s%s ORDER BY c.user_completed_at %s, c.id %s LIMIT %d", l.columns, l.from, where, direction, direction, csvBatch)
	err = s.reported(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		views, err := pgx.CollectRows(rows, l.scan)
		if err != nil {
			return err
		}
		if len(views) == csvBatch {
			last := views[csvBatch-1]
			next = &csvPlace{last.UserCompletedAt, last.ID}
		}
		batch, err = b.show(ctx, tx, views)
		return err
	})
	return batch, next, err
}
