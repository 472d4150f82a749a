package api

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/domain"
)

// ListInput is what every list takes; embed it in a list's input.
type ListInput struct {
	Page     int    `query:"page" minimum:"0" maximum:"1000000" default:"0" doc:"Number of the page, from 0."`
	PageSize int    `query:"page_size" minimum:"1" maximum:"100" default:"10"`
	OrderBy  string `query:"orderby" doc:"The field to sort by."`
	OrderAsc bool   `query:"order_asc" doc:"true for ascending order; default: descending."`
	TZ       string `query:"tz" doc:"IANA time zone for dates in filters; default: the tenant's."`

	filters map[string][]string
	// batches has the list read in batches, for CSV.
	batches *batches
	// after is the id that a list with a cursor is read on from.
	after *uuid.UUID
}

func (in *ListInput) readIn(b *batches) { in.batches = b }

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
	IndexFrom          int     `json:"indexFrom" doc:"Number of the first page: 0."`
	PageIndex          int     `json:"pageIndex"`
	PageSize           int     `json:"pageSize"`
	TotalCount         int64   `json:"totalCount"`
	TotalCountIsCapped bool    `json:"totalCountIsCapped" doc:"There are more items than were counted."`
	TotalPages         int64   `json:"totalPages"`
	Next               *string `json:"next" doc:"Send this as cursor to get the following items, if the list accepts one; null at the end."`
	// What a list was bounded by in time: how it read the dates that were asked for.
	From     *time.Time `json:"from,omitempty" doc:"The start of the requested period, if there is one."`
	To       *time.Time `json:"to,omitempty" doc:"The end of the requested period; exclusive."`
	Timezone string     `json:"timezone,omitempty" doc:"The time zone used for dates."`
	Items    []T        `json:"items"`
	// Warnings are the wall's.
	Warnings []string `json:"warnings,omitempty" doc:"What is missing from the list, and what to send to include it."`
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
	// fieldFrom and fieldTo are the bounds of a time: see calendar.
	fieldFrom
	fieldTo
	// fieldMember is a publisher's id of a member, as it is stored.
	fieldMember
)

// isTime says whether a filter's text is read by the calendar.
func (k fieldKind) isTime() bool { return k == fieldTime || k == fieldFrom || k == fieldTo }

// listField is one field that a list may be filtered or ordered by. Column is SQL of ours, never
// of the request.
type listField struct {
	column string
	kind   fieldKind
	// unordered fields are for filters only.
	unordered bool
	// oneOf are the values of a closed list. Where it is not given, and the answer has a field of the same name
	// with a list of values in its tag enum, it is that.
	oneOf []string
	// among is a condition on rows of another table, with a ? where column is compared with the value.
	among string
	// minted says that the column is a UUIDv7 whose time is compared, by an index on the ids.
	minted bool
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
	// cursor is set for a list of millions of rows: it is in the order of its ids, counted up to maxCounted,
	// and read on from the id of an item.
	cursor func(item *T) uuid.UUID
}

// maxCounted is as far as a list with a cursor is counted, and as page numbers reach in it.
const maxCounted = 10_000

// list reads one page, or for CSV one batch. args are the parameters of the listing's own where and from.
func list[T any](ctx context.Context, tx pgx.Tx, at time.Time, l listing[T], in ListInput, args ...any) (page[T], error) {
	out := page[T]{PageIndex: in.Page, PageSize: in.PageSize, Items: []T{}}
	dates, err := l.calendar(ctx, tx, in, at)
	if err != nil {
		return out, err
	}
	where, args, err := l.conditions(dates, in, args)
	if err != nil {
		return out, err
	}
	out.From, out.To, out.Timezone = dates.said()
	order, err := l.ordering(in)
	if err != nil {
		return out, err
	}
	if in.batches != nil {
		out.Items, err = l.batch(ctx, tx, in, where, order, args)
		out.TotalCount = int64(len(out.Items))
		return out, err
	}
	if err := l.count(ctx, tx, &out, where, args); err != nil {
		return out, err
	}
	offset := in.Page * in.PageSize
	if in.after != nil {
		where, args, offset = where+" AND "+l.id+behind(in)+"$"+strconv.Itoa(len(args)+1), append(args, *in.after), 0
	} else if l.cursor != nil && offset >= maxCounted {
		return out, problem.BadField("page", fmt.Sprintf("reaches only the first %d rows: to read further, send the answer's next as cursor", maxCounted))
	}
	query := fmt.Sprintf("SELECT %s FROM %s%s%s LIMIT %d OFFSET %d", l.columns, l.from, where, order, in.PageSize, offset)
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return out, err
	}
	out.Items, err = pgx.AppendRows(out.Items, rows, l.scan)
	if n := len(out.Items); err == nil && l.cursor != nil && n == in.PageSize {
		last := l.cursor(&out.Items[n-1]).String()
		out.Next = &last
	}
	return out, err
}

// count counts what the conditions leave.
func (l listing[T]) count(ctx context.Context, tx pgx.Tx, out *page[T], where string, args []any) error {
	query := "SELECT count(*) FROM " + l.from + where
	if l.cursor != nil {
		query = fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s%s LIMIT %d) counted", l.from, where, maxCounted+1)
	}
	if err := tx.QueryRow(ctx, query, args...).Scan(&out.TotalCount); err != nil {
		return err
	}
	if l.cursor != nil && out.TotalCount > maxCounted {
		out.TotalCount, out.TotalCountIsCapped = maxCounted, true
	}
	out.TotalPages = (out.TotalCount + int64(out.PageSize) - 1) / int64(out.PageSize)
	return nil
}

// behind is the comparison of ids that come after another in the order.
func behind(in ListInput) string {
	if in.OrderAsc {
		return " > "
	}
	return " < "
}

// conditions are the WHERE clause of a list, "" where it has none.
func (l listing[T]) conditions(dates *calendar, in ListInput, args []any) (string, []any, error) {
	var parts []string
	if l.where != "" {
		parts = append(parts, l.where)
	}
	var errs domain.FieldErrors
	for _, name := range sortedKeys(in.filters) {
		field, ok := l.field(name)
		if !ok {
			errs = append(errs, domain.FieldError{Field: filterPrefix + name, Reason: "is not a filter here; use one of: " + l.names(true)})
			continue
		}
		condition, more, err := field.condition(dates, in.filters[name], len(args)+1)
		if err != nil {
			errs = append(errs, domain.FieldError{Field: filterPrefix + name, Reason: err.Error()})
			continue
		}
		parts, args = append(parts, condition), append(args, more...)
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
		return "", problem.BadField("orderby", "is not a field to sort by; use one of: "+l.names(false))
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
			if field.oneOf == nil && field.kind == 0 {
				field.oneOf = enumOf(reflect.TypeFor[T](), known)
			}
			return field, true
		}
	}
	return listField{}, false
}

// known are the fields, each with its closed list where it has one.
func (l listing[T]) known() map[string]listField {
	fields := make(map[string]listField, len(l.fields))
	for name := range l.fields {
		fields[name], _ = l.field(name)
	}
	return fields
}

// enumOf is the closed list of an answer's field, nil where it has none.
func enumOf(answer reflect.Type, name string) []string {
	if answer.Kind() != reflect.Struct {
		return nil
	}
	for _, field := range reflect.VisibleFields(answer) {
		tagged, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if values := field.Tag.Get("enum"); strings.EqualFold(tagged, name) && values != "" {
			return strings.Split(values, ",")
		}
	}
	return nil
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

// listIn is a whole handler: one page of a listing in the principal's tenant.
func listIn[T any](ctx context.Context, s *Server, l listing[T], in ListInput, args ...any) (*pageOutput[T], error) {
	out := &pageOutput[T]{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		out.Body, err = list(ctx, tx, s.now(), l, in, args...)
		return err
	})
}
