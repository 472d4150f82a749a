package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/api/problem"
)

// Partners and advertisers are people outside the tenant. A route lets them in by forPartners or
// forAdvertisers and in no other way. There they get a handler of their own, whose answer is a type of
// its own: it has no field for what is not theirs, so that nothing is left to be taken out. Lists have
// filters and orders of their own for the same reason, and every query of such a handler names the
// partner or the advertiser.

// portal is a handler that a route has for the tokens of one scope.
type portal struct {
	scope    string
	register func(op huma.Operation)
	// body is the type of its answer; nil where it writes the answer by itself.
	body reflect.Type
}

// forPartners is an option of a line in the route table: who asks with a partner's token is answered
// by handler.
func forPartners[I, O any](r *router, handler func(context.Context, *I) (*O, error)) option {
	return forScope(r, scopePartner, "ForPartners", handler)
}

// forAdvertisers is forPartners for advertisers.
func forAdvertisers[I, O any](r *router, handler func(context.Context, *I) (*O, error)) option {
	return forScope(r, scopeAdvertiser, "ForAdvertisers", handler)
}

func forScope[I, O any](r *router, scope, suffix string, handler func(context.Context, *I) (*O, error)) option {
	return func(line *route) {
		line.who |= scopeBits[scope]
		one := portal{scope: scope, register: func(op huma.Operation) {
			op.Hidden, op.OperationID = true, op.OperationID+suffix
			op.Metadata = map[string]any{"route": route{portalOf: scope, openQuery: line.openQuery}}
			registerTyped(r, op, handler)
		}}
		if body, ok := reflect.TypeFor[O]().FieldByName("Body"); ok && body.Type.Kind() != reflect.Func {
			one.body = body.Type
		}
		line.portals = append(line.portals, one)
	}
}

// keepPortal keeps the handler that a route has for a scope, until the route itself is registered.
func (r *router) keepPortal(scope string, op *huma.Operation, handler gin.HandlerFunc) {
	r.portals[scope+" "+op.Method+" "+op.Path] = handler
}

// dispatched sends partners and advertisers to their own handlers. Where there is none they are
// refused, whatever the route's line says.
func (r *router) dispatched(method, path string, everybody gin.HandlerFunc) gin.HandlerFunc {
	own := map[string]gin.HandlerFunc{}
	for _, scope := range []string{scopePartner, scopeAdvertiser} {
		own[scope] = r.portals[scope+" "+method+" "+path] // registered before the route itself
	}
	return func(c *gin.Context) {
		scope := principal(c.Request.Context()).Scope
		handler, outside := own[scope]
		switch {
		case !outside:
			everybody(c)
		case handler != nil:
			handler(c)
		default:
			problem.WriteError(c, problem.Forbidden("A token of scope "+scope+" may not do this."))
		}
	}
}

// describePortal says in the OpenAPI document that the token of a scope gets an answer of its own.
func (r *router) describePortal(path, scope string, body reflect.Type) {
	item := r.api.OpenAPI().Paths[path]
	op := item.Get
	if op == nil {
		op = item.Post
	}
	ok := op.Responses["200"]
	media := ok.Content["application/json"]
	if media == nil {
		return
	}
	own := r.api.OpenAPI().Components.Schemas.Schema(body, true, "")
	forms := media.Schema.AnyOf
	if forms == nil {
		forms = []*huma.Schema{media.Schema}
		ok.Description = http.StatusText(http.StatusOK)
	}
	media.Schema = &huma.Schema{AnyOf: append(slices.Clone(forms), own)}
	ok.Description += "; a token of scope " + scope + " gets its own form"
}
