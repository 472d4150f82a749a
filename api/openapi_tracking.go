package api

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/api/tracking"
)

// What the OpenAPI document says of routes that are not JSON: their parameters, from the tables that
// their reader goes by, and their answers.

// rawAnswer is one answer of a raw route: types of bodies by media type, nil where it is text or bytes.
type rawAnswer struct {
	status  int
	meaning string
	media   map[string]reflect.Type
	headers []string
}

func answers(status int, meaning string, media map[string]reflect.Type, headers ...string) rawAnswer {
	return rawAnswer{status, meaning, media, headers}
}

// says are a raw route's answers.
func says(all ...rawAnswer) option {
	return func(r *route) { r.answers = append(slices.Clone(r.answers), all...) }
}

// reads are a raw route's parameters, in the query or, of a POST, as a form.
func reads(tables ...[]tracking.SentField) option {
	return func(r *route) {
		for _, table := range tables {
			r.sent = append(r.sent, table...)
		}
	}
}

var (
	plainText = map[string]reflect.Type{"text/plain": nil}
	htmlPage  = map[string]reflect.Type{"text/html": nil}
	answerIn  = map[string]reflect.Type{"application/json": reflect.TypeFor[tracking.PostbackAnswer]()}
	pixelIn   = map[string]reflect.Type{"image/gif": nil, "text/html": nil}
)

func jsonOf[T any]() map[string]reflect.Type {
	return map[string]reflect.Type{"application/json": reflect.TypeFor[T]()}
}

// The answers of the kinds of tracking routes.
var (
	saysClick = says(
		answers(http.StatusFound, "Redirects to the destination, or along the fallback chain.", nil, "Location"),
		answers(http.StatusBadRequest, "A parameter that identifies something is too long.", plainText),
		answers(http.StatusNotFound, "The link is unknown, or no destination exists: a page.", htmlPage),
		answers(http.StatusServiceUnavailable, "The click was not stored, or the request is a prefetch (no body): try again.", plainText, "Retry-After"))
	saysPostback = says(
		answers(http.StatusOK, "accepted, duplicate or rejected.", answerIn),
		answers(http.StatusAccepted, "held or queued.", answerIn),
		answers(http.StatusBadRequest, "refused: malformed.", answerIn),
		answers(http.StatusUnauthorized, "refused: bad_signature, ip_not_allowed, key_required.", answerIn),
		answers(http.StatusNotFound, "refused: unknown_click.", answerIn),
		answers(http.StatusUnprocessableEntity, "refused: missing_event, unknown_event, goal_mismatch, encryption_required.", answerIn),
		answers(http.StatusServiceUnavailable, "Not stored: send it again after Retry-After.", plainText, "Retry-After"))
	// saysKeyed adds what a GET with the id of an earlier postback gets.
	saysKeyed = says(
		answers(http.StatusNotFound, "refused: unknown_click; or the postback is unknown.",
			map[string]reflect.Type{"application/json": reflect.TypeFor[tracking.PostbackAnswer](), problem.MediaType: reflect.TypeFor[problem.Problem]()}),
		answers(http.StatusServiceUnavailable, "Not stored: send it again after Retry-After; or too many requests for answers.",
			map[string]reflect.Type{"text/plain": nil, problem.MediaType: reflect.TypeFor[problem.Problem]()}, "Retry-After"))
	saysTune = says(
		answers(http.StatusOK, "success=true; or success=false; err_msg=<reason>; and JSON with format=json.",
			map[string]reflect.Type{"text/plain": nil, "application/json": reflect.TypeFor[tracking.TuneAnswer](), "image/gif": nil, "text/html": nil}),
		answers(http.StatusServiceUnavailable, "Not stored: send it again after Retry-After.",
			map[string]reflect.Type{"text/plain": nil, "image/gif": nil, "text/html": nil}, "Retry-After"))
	saysPixel = says(
		answers(http.StatusOK, "An image or an empty page, whatever the outcome.", pixelIn),
		answers(http.StatusServiceUnavailable, "Not stored: the same image or page; load it again.", pixelIn, "Retry-After"))
)

// describeRaw fills in a raw route's operation.
func (r *router) describeRaw(op *huma.Operation, line *route) {
	schemas := r.api.OpenAPI().Components.Schemas
	for i := range line.sent {
		field := &line.sent[i]
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: field.Name, In: "query", Description: field.Doc, Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &field.Limit},
		})
	}
	if len(line.sent) > 0 && op.Method == http.MethodPost {
		form := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: true}
		for i := range line.sent {
			form.Properties[line.sent[i].Name] = &huma.Schema{Type: huma.TypeString, Description: line.sent[i].Doc}
		}
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{
			"application/x-www-form-urlencoded": {Schema: form}, "application/json": {Schema: form},
		}}
	}
	op.Responses = map[string]*huma.Response{}
	for _, one := range line.answers {
		answer := &huma.Response{Description: one.meaning}
		for media, body := range one.media {
			if answer.Content == nil {
				answer.Content = map[string]*huma.MediaType{}
			}
			schema := &huma.Schema{Type: huma.TypeString}
			if body != nil {
				schema = schemas.Schema(body, true, "")
			}
			answer.Content[media] = &huma.MediaType{Schema: schema}
		}
		for _, name := range one.headers {
			if answer.Headers == nil {
				answer.Headers = map[string]*huma.Param{}
			}
			answer.Headers[name] = &huma.Param{Schema: &huma.Schema{Type: huma.TypeString}}
		}
		op.Responses[strconv.Itoa(one.status)] = answer
	}
	if line.who == public {
		return
	}
	for _, status := range line.refusals(op.Method, op.Path) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: reasons[status], Content: map[string]*huma.MediaType{
			problem.MediaType: {Schema: schemas.Schema(reflect.TypeFor[problem.Problem](), true, "")},
		}}
	}
}
