package api

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/domain"
)

// ListInput is what every list takes; embed it in a list's input.
type ListInput struct {
	Page     int    `query:"page" minimum:"0" maximum:"1000000" default:"0" doc:"Number of the page, from 0."`
	PageSize int    `query:"page_size" minimum:"1" maximum:"100" default:"10"`
	OrderBy  string `query:"orderby" doc:"The field to order by."`
	OrderAsc bool   `query:"order_asc" doc:"Ascending; else descending."`

	filters map[string][]string
}

const filterPrefix = "filter."

// Resolve satisfies huma.Resolver: it picks up the filter.<Field> parameters, which the list itself
// checks against its fields.
func (in *ListInput) Resolve(ctx huma.Context) []error {
	address := ctx.URL()
	in.filters = map[string][]string{}
	for name, values := range address.Query() {
		if field, ok := strings.CutPrefix(name, filterPrefix); ok {
			in.filters[field] = values
		}
	}
	return nil
}

// page is the answer of every list.
type page[T any] struct {
	IndexFrom  int   `json:"indexFrom" doc:"Number of the first page: 0."`
	PageIndex  int   `json:"pageIndex"`
	PageSize   int   `json:"pageSize"`
	TotalCount int64 `json:"totalCount"`
	TotalPages int64 `json:"totalPages"`
	Items      []T   `json:"items"`
	// Warnings are the wall's.
	Warnings []string `json:"warnings,omitempty" doc:"What the list lacks, and what to say in the request to see it."`
}

// pageOutput is a list's output.
type pageOutput[T any] struct{ Body page[T] }

// fieldKind is how a filter's text is read, and compared.
type fieldKind int

// Kinds of fields. Several values of one filter mean any of them, except for the two bounds.
const (
	_ fieldKind = iota // text, compared as it is
	// fieldSearch finds the text anywhere, whatever its case.
	fieldSearch
	fieldUUID
	fieldBool
	fieldInt
	fieldDecimal
	fieldTime
	// fieldFrom and fieldTo are the bounds of a time, inclusive and exclusive.
	fieldFrom
	fieldTo
)

// listField is one field that a list may be filtered or ordered by. Column is SQL of ours, never
// of the request.
type listField struct {
	column string
	kind   fieldKind
	// unordered fields are for filters only.
	unordered bool
}

// ownRows is the condition of a list that shows a whole table of the tenant's. Row-level security says
// the same; neither rests on the other.
const ownRows = "tenant_id = current_tenant()"

// listing says what a list reads. The names of fields are compared without regard to case.
type listing[T any] struct {
	// from is a FROM clause with its joins; columns the select list, in the order of scan.
	from, columns string
	// where is a fixed condition, or "". Its parameters are $1 and on, from args of list.
	where  string
	fields map[string]listField
	// order is the default field, descending, whose order an index has; id is the column that breaks ties.
	// What is listed as it was made goes by id where ids are minted when they are used: then they are time.
	order, id string
	scan      func(row pgx.CollectableRow) (T, error)
}

// list reads one page. args are the parameters of the listing's own where and from.
func list[T any](ctx context.Context, tx pgx.Tx, l listing[T], in ListInput, args ...any) (page[T], error) {
	out := page[T]{PageIndex: in.Page, PageSize: in.PageSize, Items: []T{}}
	where, args, err := l.conditions(in, args)
	if err != nil {
		return out, err
	}
	order, err := l.ordering(in)
	if err != nil {
		return out, err
	}
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+l.from+where, args...).Scan(&out.TotalCount); err != nil {
		return out, err
	}
	out.TotalPages = (out.TotalCount + int64(in.PageSize) - 1) / int64(in.PageSize)
	query := fmt.Sprintf("SELECT %s FROM %s%s%s LIMIT %d OFFSET %d", l.columns, l.from, where, order, in.PageSize, in.Page*in.PageSize)
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return out, err
	}
	out.Items, err = pgx.AppendRows(out.Items, rows, l.scan)
	return out, err
}

func (l listing[T]) conditions(in ListInput, args []any) (string, []any, error) {
	var parts []string
	if l.where != "" {
		parts = append(parts, l.where)
	}
	var errs domain.FieldErrors
	for _, name := range sortedKeys(in.filters) {
		field, ok := l.field(name)
		if !ok {
			errs = append(errs, domain.FieldError{Field: filterPrefix + name, Reason: "is not a filter here; there are: " + l.names(true)})
			continue
		}
		condition, arg, err := field.condition(in.filters[name], len(args)+1)
		if err != nil {
			errs = append(errs, domain.FieldError{Field: filterPrefix + name, Reason: err.Error()})
			continue
		}
		parts, args = append(parts, condition), append(args, arg)
	}
	if len(parts) == 0 {
		return "", args, errs.Err()
	}
	return " WHERE " + strings.Join(parts, " AND "), args, errs.Err()
}

func (l listing[T]) ordering(in ListInput) (string, error) {
	name := in.OrderBy
	if name == "" {
		name = l.order
	}
	field, ok := l.field(name)
	if !ok || field.unordered {
		return "", badField("orderby", "is not a field to order by; there are: "+l.names(false))
	}
	direction, nulls := "DESC", " NULLS LAST"
	if in.OrderAsc {
		direction, nulls = "ASC", " NULLS FIRST"
	}
	// The default's column has no null. An index is not read for an order that says where nulls go, be
	// there a null or not.
	if field.column == l.fields[l.order].column {
		nulls = ""
	}
	return fmt.Sprintf(" ORDER BY %s %s%s, %s %s", field.column, direction, nulls, l.id, direction), nil
}

func (l listing[T]) field(name string) (listField, bool) {
	for known, field := range l.fields {
		if strings.EqualFold(known, name) {
			return field, true
		}
	}
	return listField{}, false
}

func (l listing[T]) names(withUnordered bool) string {
	var names []string
	for _, name := range sortedKeys(l.fields) {
		if withUnordered || !l.fields[name].unordered {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// condition is the SQL of one filter with its parameter as number.
func (f listField) condition(values []string, number int) (string, any, error) {
	p := "$" + strconv.Itoa(number)
	switch f.kind {
	case fieldUUID:
		arg, err := eachOf(values, "an id", uuid.Parse)
		return f.column + " = ANY(" + p + "::uuid[])", arg, err
	case fieldBool:
		arg, err := eachOf(values, "true or false", strconv.ParseBool)
		return f.column + " = ANY(" + p + "::boolean[])", arg, err
	case fieldInt:
		arg, err := eachOf(values, "an integer", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
		return f.column + " = ANY(" + p + "::bigint[])", arg, err
	case fieldDecimal:
		arg, err := eachOf(values, "a decimal number", func(s string) (int64, error) { m, err := domain.ParseMicros(s); return int64(m), err })
		return f.column + " = ANY(" + p + "::bigint[])", arg, err
	case fieldTime, fieldFrom, fieldTo:
		arg, err := eachOf(values, "a time of RFC 3339", parseTime)
		if err != nil || len(arg) != 1 {
			return "", nil, fmt.Errorf("must be one time of RFC 3339")
		}
		return f.column + map[fieldKind]string{fieldTime: " = ", fieldFrom: " >= ", fieldTo: " < "}[f.kind] + p, arg[0], nil
	case fieldSearch:
		if len(values) != 1 {
			return "", nil, fmt.Errorf("must be one text")
		}
		return "strpos(lower(" + f.column + "), lower(" + p + "::text)) > 0", storable(values[0]), nil
	default:
		texts := make([]string, len(values))
		for i, value := range values {
			texts[i] = storable(value)
		}
		return f.column + " = ANY(" + p + "::text[])", texts, nil
	}
}

func eachOf[T any](values []string, what string, parse func(string) (T, error)) ([]T, error) {
	out := make([]T, len(values))
	for i, value := range values {
		parsed, err := parse(value)
		if err != nil {
			return nil, fmt.Errorf("must be %s", what)
		}
		out[i] = parsed
	}
	return out, nil
}

// parseTime reads RFC 3339 or a date, which is its first instant in UTC.
func parseTime(text string) (time.Time, error) {
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

// storable replaces what PostgreSQL has no text for, so that such a filter finds nothing instead of
// failing.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// listIn is a whole handler: one page of a listing in the principal's tenant.
func listIn[T any](ctx context.Context, s *Server, l listing[T], in ListInput, args ...any) (*pageOutput[T], error) {
	out := &pageOutput[T]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		out.Body, err = list(ctx, tx, l, in, args...)
		return err
	})
}
