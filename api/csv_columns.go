package api

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db/dbgen"
)

// csvColumn is a column of a list.
type csvColumn struct {
	name  string
	index []int
	// sub is the number of the sub id in the list of them that index finds; from 1.
	sub int
	// named says that the column holds the name of the id in index, and what that is an id of.
	named string
}

// csvNamed says what the ids in columns are ids of, as NamesOfReport knows them. Each gets a column with the
// name beside it, unless the answer has one.
var csvNamed = map[string]string{
	"offerId": "offer", "sourceOfferId": "offer", "advertiserId": "advertiser", "partnerId": "partner",
	"placementId": "placement", "offerEventId": "event", "tierId": "tier",
}

// csvNameOf is the column of the name of an id.
func csvNameOf(id string) string {
	return strings.TrimSuffix(strings.Replace(id, "offerEventId", "eventId", 1), "Id") + "Name"
}

// fieldSubs is the list of a click's sub ids, which get a column each besides.
const fieldSubs = "pubSubs"

var csvColumnsByType sync.Map

// csvColumnsOf are the columns of a list: the fields of its items as JSON has them, in that order. What is
// inside a field is named with a point; a list of texts is one cell, with | between them; what is deeper is
// JSON. The sub ids come last, a column each.
func csvColumnsOf(item reflect.Type) []csvColumn {
	if known, ok := csvColumnsByType.Load(item); ok {
		columns, _ := known.([]csvColumn)
		return columns
	}
	flat := flatColumns(item, "", nil)
	has := map[string]bool{}
	for _, column := range flat {
		has[column.name] = true
	}
	var columns []csvColumn
	for _, column := range flat {
		columns = append(columns, column)
		if kind := csvNamed[column.name]; kind != "" {
			if name := csvNameOf(column.name); !has[name] {
				columns = append(columns, csvColumn{name: name, index: column.index, named: kind})
			}
		}
	}
	for _, column := range flat {
		for n := 1; column.name == fieldSubs && n <= tracking.PubSubs; n++ {
			columns = append(columns, csvColumn{name: "pubSub" + strconv.Itoa(n), index: column.index, sub: n})
		}
	}
	csvColumnsByType.Store(item, columns)
	return columns
}

func flatColumns(of reflect.Type, prefix string, at []int) (columns []csvColumn) {
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		index := append(append([]int{}, at...), i)
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-" || !field.IsExported() && !field.Anonymous:
		case field.Anonymous && name == "" && inner.Kind() == reflect.Struct:
			columns = append(columns, flatColumns(inner, prefix, index)...)
		case inner.Kind() == reflect.Struct && !isWhole(inner):
			columns = append(columns, flatColumns(inner, prefix+name+".", index)...)
		default:
			if name == "" {
				name = field.Name
			}
			columns = append(columns, csvColumn{name: prefix + name, index: index})
		}
	}
	return columns
}

// isWhole says whether a struct is one value, such as a time.
func isWhole(of reflect.Type) bool {
	pointer := reflect.PointerTo(of)
	return pointer.Implements(reflect.TypeFor[json.Marshaler]()) || pointer.Implements(reflect.TypeFor[encoding.TextMarshaler]())
}

// text is the cell of an item; for a named column, the id.
func (c *csvColumn) text(item reflect.Value) string {
	value, err := item.FieldByIndexErr(c.index) // an error is a null on the way
	if err != nil {
		return ""
	}
	if c.sub > 0 {
		if value.Kind() != reflect.Slice || value.Len() < c.sub {
			return ""
		}
		return harmlessCell(value.Index(c.sub - 1).String())
	}
	return csvCell(value)
}

// csvCell writes a value as JSON does, but for the quotes. Figures are left as they are: a minus in front of
// them is no formula.
func csvCell(value reflect.Value) string {
	for value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface {
		if value.IsNil() {
			return ""
		}
		value = value.Elem()
	}
	switch v := value.Interface().(type) {
	case Decimal:
		return v.Micros().String()
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case uuid.UUID:
		return v.String()
	case string:
		return harmlessCell(v)
	case []string:
		return harmlessCell(strings.Join(v, "|"))
	case json.RawMessage:
		if string(v) == "null" {
			return ""
		}
		return harmlessCell(string(v))
	}
	if value.Kind() == reflect.String && !isWhole(value.Type()) {
		return harmlessCell(value.String())
	}
	return jsonCell(value)
}

// jsonCell writes a value that is no text: a figure as it is, what is deeper as JSON, nothing where it is empty.
func jsonCell(value reflect.Value) string {
	if kind := value.Kind(); (kind == reflect.Slice || kind == reflect.Map) && value.Len() == 0 {
		return ""
	}
	document, err := json.Marshal(value.Interface())
	if err != nil || string(document) == "null" {
		return ""
	}
	var text string
	if json.Unmarshal(document, &text) == nil {
		return harmlessCell(text)
	}
	if value.CanInt() || value.CanUint() || value.CanFloat() {
		return string(document)
	}
	return harmlessCell(string(document))
}

// csvNames are what the ids of some rows are called now, by kind and id.
func (s *Server) csvNames(ctx context.Context, columns []csvColumn, items reflect.Value) (map[string]string, error) {
	seen := map[string]bool{}
	var ids []uuid.UUID
	for i := range columns {
		if columns[i].named == "" {
			continue
		}
		for row := range items.Len() {
			text := columns[i].text(items.Index(row))
			if id, err := uuid.Parse(text); err == nil && !seen[text] {
				seen[text] = true
				ids = append(ids, id)
			}
		}
	}
	tenantID := principal(ctx).TenantID
	if len(ids) == 0 || tenantID == uuid.Nil {
		return map[string]string{}, nil
	}
	names := make(map[string]string, len(ids))
	return names, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := dbgen.New().NamesOfReport(ctx, tx, ids, tenantID)
		for _, row := range rows {
			names[row.Kind+row.ID] = row.Name
		}
		return err
	})
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
