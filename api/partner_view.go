package api

import (
	"github.com/offerflow/offerflow/domain"
)

// What a partner's token sees: a type of its own for every answer, which holds what a partner may know
// and has no field for the rest (rules 48, 54, 66). See portal.go.

// toPartners is a reason as partners see it: of fraud and blocklists only that it was refused
// (rule 48). null is also what there is where nothing was refused.
func toPartners(reason domain.Reason) *domain.Reason {
	if !reason.ToldToPartners() {
		return nil
	}
	return &reason
}

// reduced is a page of another form of its rows.
func reduced[A, B any](in page[A], one func(*A) B) page[B] { return withItems(in, each(in.Items, one)) }

// withItems is a page with other items in the places of its own.
func withItems[A, B any](in page[A], items []B) page[B] {
	return page[B]{
		IndexFrom: in.IndexFrom, PageIndex: in.PageIndex, PageSize: in.PageSize, TotalCount: in.TotalCount, TotalCountIsCapped: in.TotalCountIsCapped,
		TotalPages: in.TotalPages, Next: in.Next, From: in.From, To: in.To, Timezone: in.Timezone, Items: items,
	}
}

// each is every item in another form; never nil.
func each[A, B any](in []A, one func(*A) B) []B {
	out := make([]B, len(in))
	for i := range in {
		out[i] = one(&in[i])
	}
	return out
}
