package api

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/offerflow/offerflow/domain"
)

// memoryListing says how what is in memory is filtered and ordered; parameters, answers and refusals
// are those of a listing.
type memoryListing[T any] struct {
	filters map[string]memoryFilter[T]
	// orders are ascending.
	orders map[string]func(a, b T) int
	// order is the default one, which breaks ties of the others; order_asc does not turn it round.
	order func(a, b T) int
}

// memoryFilter reads the values of a filter. Several mean any of them.
type memoryFilter[T any] func(values []string) (func(T) bool, error)

// memoryQuery is what one request asks for.
type memoryQuery[T any] struct {
	in       ListInput
	admitted []func(T) bool
	order    func(a, b T) int
}

func (l memoryListing[T]) query(in ListInput) (memoryQuery[T], error) {
	q := memoryQuery[T]{in: in, order: l.order}
	var c checks
	c.zone(in.TZ, time.UTC)
	errs := c.errs
	for _, name := range sortedKeys(in.filters) {
		filter, ok := byName(l.filters, name)
		if !ok {
			errs = append(errs, domain.FieldError{Field: filterPrefix + name, Reason: "is not a filter here; use one of: " + strings.Join(sortedKeys(l.filters), ", ")})
			continue
		}
		admits, err := filter(in.filters[name])
		if err != nil {
			errs = append(errs, domain.FieldError{Field: filterPrefix + name, Reason: err.Error()})
			continue
		}
		q.admitted = append(q.admitted, admits)
	}
	if in.OrderBy != "" {
		order, ok := byName(l.orders, in.OrderBy)
		if !ok {
			errs = append(errs, domain.FieldError{Field: "orderby", Reason: "is not a field to sort by; use one of: " + strings.Join(sortedKeys(l.orders), ", ")})
			return q, errs.Err()
		}
		direction := -1
		if in.OrderAsc {
			direction = 1
		}
		q.order = func(a, b T) int { return cmp.Or(direction*order(a, b), l.order(a, b)) }
	}
	return q, errs.Err()
}

// byName finds a field without regard to case.
func byName[V any](fields map[string]V, name string) (found V, ok bool) {
	for known, field := range fields {
		if strings.EqualFold(known, name) {
			return field, true
		}
	}
	return found, false
}

func (q memoryQuery[T]) admits(item T) bool {
	return !slices.ContainsFunc(q.admitted, func(admits func(T) bool) bool { return !admits(item) })
}

// pageOf is the page asked for of all items that are admitted, which it sorts.
func pageOf[T, Item any](q memoryQuery[T], items []T, show func(T) Item) page[Item] {
	slices.SortFunc(items, q.order)
	size := q.in.PageSize
	if q.in.batches != nil { // all at once
		q.in.Page, size = 0, max(1, len(items))
	}
	out := page[Item]{PageIndex: q.in.Page, PageSize: size, TotalCount: int64(len(items)), TotalPages: int64((len(items) + size - 1) / size), Items: []Item{}}
	from := min(q.in.Page*size, len(items))
	for _, item := range items[from:min(from+size, len(items))] {
		out.Items = append(out.Items, show(item))
	}
	return out
}

// among admits what has one of the values, as they are read.
func among[T any, V comparable](what string, parse func(string) (V, error), of func(T) []V) memoryFilter[T] {
	return func(texts []string) (func(T) bool, error) {
		values, err := eachOf(texts, what, parse)
		return func(item T) bool {
			return slices.ContainsFunc(of(item), func(v V) bool { return slices.Contains(values, v) })
		}, err
	}
}

// searched admits what has the text in one of its own, whatever the case.
func searched[T any](of func(T) []string) memoryFilter[T] {
	return func(texts []string) (func(T) bool, error) {
		if len(texts) != 1 {
			return nil, fmt.Errorf("must be a single text")
		}
		wanted := strings.ToLower(texts[0])
		return func(item T) bool {
			return slices.ContainsFunc(of(item), func(text string) bool { return strings.Contains(strings.ToLower(text), wanted) })
		}, nil
	}
}
