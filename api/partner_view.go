package api

import (
	"context"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/domain"
)

// What a partner's token sees. A route lets partners in by forPartners and in no other way; there
// they get a handler of their own, whose answer is a type of its own: it holds what a partner may
// know and has no field for the rest (rules 48, 54, 66), so that nothing is left to be taken out.
// Lists have filters and orders of their own for the same reason.

// forPartners is an option of a line in the route table: who asks with a partner's token is
// answered by handler.
func forPartners[I, O any](r *router, handler func(context.Context, *I) (*O, error)) option {
	return func(line *route) {
		line.who |= byPartner
		line.forPartners = func(op huma.Operation) {
			op.Hidden, op.OperationID = true, op.OperationID+"ForPartners"
			op.Metadata = map[string]any{"route": route{isForPartners: true}}
			registerTyped(r, op, handler)
		}
		line.describeForPartners = func(path string) {
			body, _ := reflect.TypeFor[O]().FieldByName("Body")
			r.describeForPartners(path, body.Type)
		}
	}
}

// keepForPartners keeps the handler that a route has for partners, until the route itself is
// registered.
func (r *router) keepForPartners(op *huma.Operation, handler gin.HandlerFunc) {
	r.forPartners[op.Method+" "+op.Path] = handler
}

// dispatched sends partners to their own handler. Where there is none they are refused, whatever
// the route's line says.
func (r *router) dispatched(method, path string, everybody gin.HandlerFunc) gin.HandlerFunc {
	partners := r.forPartners[method+" "+path] // registered before the route itself
	return func(c *gin.Context) {
		switch {
		case principal(c.Request.Context()).Scope != scopePartner:
			everybody(c)
		case partners != nil:
			partners(c)
		default:
			writeError(c, forbidden("A token of scope "+scopePartner+" may not do this."))
		}
	}
}

// alsoForPartners says in the OpenAPI document that a partner's token gets an answer of its own.
func alsoForPartners[T any](r *router, path string) {
	r.describeForPartners(path, reflect.TypeFor[T]())
}

func (r *router) describeForPartners(path string, body reflect.Type) {
	ok := r.api.OpenAPI().Paths[path].Get.Responses["200"]
	if media := ok.Content["application/json"]; media != nil {
		partners := r.api.OpenAPI().Components.Schemas.Schema(body, true, "")
		media.Schema = &huma.Schema{OneOf: []*huma.Schema{media.Schema, partners}}
		ok.Description = http.StatusText(http.StatusOK) + "; a partner's token gets the second form"
	}
}

// toPartners is a reason as partners see it: of fraud and blocklists only that it was refused
// (rule 48). null is also what there is where nothing was refused.
func toPartners(reason domain.Reason) *domain.Reason {
	if reason == domain.ReasonNone || reason == domain.ReasonBlocked || strings.HasPrefix(string(reason), "fraud_") {
		return nil
	}
	return &reason
}

// reduced is a page of a partner's form of its rows.
func reduced[A, B any](in page[A], one func(*A) B) page[B] {
	out := page[B]{
		IndexFrom: in.IndexFrom, PageIndex: in.PageIndex, PageSize: in.PageSize, TotalCount: in.TotalCount, TotalPages: in.TotalPages,
		Items: make([]B, len(in.Items)),
	}
	for i := range in.Items {
		out.Items[i] = one(&in.Items[i])
	}
	return out
}
