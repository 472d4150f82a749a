package api

import (
	"context"
	"encoding/csv"
	"mime"
	"net/http"
	"path"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/api/problem"
)

// Every list and every report answers in CSV too: with format=csv, or where the Accept header names
// text/csv. No line of the route table asks for it: a GET whose answer has items is a table. The rows are
// those of the JSON answer for the same token, without pages: all that the filters leave.

const (
	// csvBatch rows of a list are read in one transaction and held in memory at a time.
	csvBatch = 500
	// maxSortedCSV is the most rows of a list in an order that no index has: they are sorted, and sent, at once.
	maxSortedCSV = 10_000
	csvType      = "text/csv"
	csvMediaType = csvType + "; charset=utf-8"
)

var formatParameter = &huma.Param{
	Name: "format", In: "query", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"json", "csv"}},
	Description: "csv, or Accept: text/csv, answers in CSV: all rows that match the filters, without pages or totals, with the JSON field names. Texts that a spreadsheet would run as a formula are prefixed with an apostrophe.",
}

// wantsCSV reads what a request asks for. The parameter counts before the header.
func wantsCSV(request *http.Request) (bool, error) {
	switch format := request.URL.Query().Get("format"); format {
	case "csv":
		return true, nil
	case "":
		return acceptsCSV(request.Header.Get("Accept")), nil
	case "json":
		return false, nil
	default:
		return false, problem.BadField("format", oneOf(format, []string{"csv", "json"}))
	}
}

// acceptsCSV says whether an Accept header names CSV.
func acceptsCSV(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		kind, params, err := mime.ParseMediaType(one)
		if err != nil || kind != csvType {
			continue
		}
		weight, err := strconv.ParseFloat(params["q"], 64)
		return err != nil || weight > 0
	}
	return false
}

type csvKey struct{}

// isCSV says whether a table's handler is asked for CSV.
func isCSV(ctx context.Context) bool { return ctx.Value(csvKey{}) != nil }

// csvOr chooses between a table's two forms.
func csvOr(asCSV, asJSON gin.HandlerFunc) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Vary", "Accept")
		wanted, err := wantsCSV(c.Request)
		switch {
		case err != nil:
			problem.WriteError(c, err)
		case wanted:
			c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), csvKey{}, true))
			asCSV(c)
		default:
			asJSON(c)
		}
	}
}

// writesCSV is an output whose handler writes CSV by itself when isCSV says so.
type writesCSV interface{ writesCSV() }

// isTable says whether an output is a table, and whether its handler writes CSV by itself.
func isTable(output reflect.Type) (table, byItself bool) {
	if reflect.PointerTo(output).Implements(reflect.TypeFor[writesCSV]()) {
		return true, true
	}
	body, ok := output.FieldByName("Body")
	if !ok || body.Type.Kind() != reflect.Struct {
		return false, false
	}
	items, ok := body.Type.FieldByName("Items")
	return ok && items.Type.Kind() == reflect.Slice, false
}

// batched is an input whose list can be read in batches.
type batched interface{ readIn(*batches) }

// csvOutput writes CSV.
type csvOutput struct{ Body func(huma.Context) }

// exported makes the CSV form of a table's handler, which it calls once for each batch of rows. The first is
// read before the answer begins: what is wrong by then is still a problem.
func exported[I, O any](s *Server, template string, handler func(context.Context, *I) (*O, error)) func(context.Context, *I) (*csvOutput, error) {
	return func(ctx context.Context, in *I) (*csvOutput, error) {
		b := &batches{}
		if list, ok := any(in).(batched); ok {
			list.readIn(b)
		}
		isFirst := true
		next := func() (*csvTable, error) {
			leave, err := s.batchInTurn(ctx, isFirst)
			if err != nil {
				return nil, err
			}
			defer leave()
			isFirst, b.more = false, false
			out, err := handler(ctx, in)
			if err != nil {
				return nil, err
			}
			body := reflect.ValueOf(out).Elem().FieldByName("Body").Addr().Interface()
			table, err := s.csvRows(ctx, body)
			if bounded, ok := body.(bounded); ok && err == nil {
				table.from, table.to, table.zone = bounded.bounds()
			}
			return table, err
		}
		first, err := next()
		if err != nil {
			return nil, err
		}
		return &csvOutput{Body: func(response huma.Context) {
			beginCSV(response, template)
			first.sayBounds(response)
			inBatches(ctx, response, func(out gin.ResponseWriter) (err error) {
				w := csv.NewWriter(out)
				for table := first; ; {
					if err = table.write(w, table == first); err != nil || !b.more {
						return err
					}
					out.Flush()
					if table, err = next(); err != nil {
						return err
					}
				}
			})
		}}, nil
	}
}

func beginCSV(response huma.Context, template string) {
	response.SetHeader("Content-Type", csvMediaType)
	response.SetHeader("Content-Disposition", `attachment; filename="`+csvName(template)+`.csv"`)
	response.SetHeader("Cache-Control", "no-store")
}

// csvName is what a route's file is called: the last word of its path that is its own.
func csvName(template string) string {
	for name := path.Base(template); ; name = path.Base(template) {
		if !strings.HasPrefix(name, "{") && name != "json" {
			return name
		}
		template = path.Dir(template)
	}
}

// csvTable is some rows of a table, by their numbers.
type csvTable struct {
	header []string
	rows   int
	cell   func(row, column int) string
	// How the bounds of the time were read, where there were any.
	from, to *time.Time
	zone     string
}

// bounded is an answer that says how it read the bounds of a time.
type bounded interface {
	bounds() (from, to *time.Time, zone string)
}

func (p *page[T]) bounds() (from, to *time.Time, zone string) { return p.From, p.To, p.Timezone }

// sayBounds says in headers what JSON says in from, to and timezone.
func (t *csvTable) sayBounds(response huma.Context) {
	if t.from != nil {
		response.SetHeader("Offerflow-From", t.from.Format(time.RFC3339Nano))
	}
	if t.to != nil {
		response.SetHeader("Offerflow-To", t.to.Format(time.RFC3339Nano))
	}
	if t.zone != "" {
		response.SetHeader("Offerflow-Timezone", t.zone)
	}
}

// tabular is an answer that knows its own columns.
type tabular interface{ table() *csvTable }

// csvRows are the rows of an answer, given by the address of its body.
func (s *Server) csvRows(ctx context.Context, body any) (*csvTable, error) {
	if own, ok := body.(tabular); ok {
		return own.table(), nil
	}
	items := reflect.ValueOf(body).Elem().FieldByName("Items")
	columns := csvColumnsOf(items.Type().Elem())
	names, err := s.csvNames(ctx, columns, items)
	if err != nil {
		return nil, err
	}
	table := &csvTable{rows: items.Len(), header: make([]string, len(columns))}
	for i := range columns {
		table.header[i] = columns[i].name
	}
	table.cell = func(row, column int) string {
		of := &columns[column]
		if of.named != "" {
			return harmlessCell(names[of.named+of.text(items.Index(row))])
		}
		return of.text(items.Index(row))
	}
	return table, nil
}

func (t *csvTable) write(out *csv.Writer, withHeader bool) error {
	if withHeader {
		_ = out.Write(t.header) // out.Error has it
	}
	cells := make([]string, len(t.header))
	for row := range t.rows {
		for column := range cells {
			cells[column] = t.cell(row, column)
		}
		_ = out.Write(cells)
	}
	out.Flush()
	return out.Error()
}

// harmlessCell keeps a spreadsheet from running what a member or an advertiser called itself: a text that
// would be read as a formula gets an apostrophe in front. Some read the wide forms of the signs too.
func harmlessCell(text string) string {
	if strings.IndexAny(text, "=+-@\t\r\n＝＋－＠") == 0 {
		return "'" + text
	}
	return text
}
