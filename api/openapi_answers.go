package api

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// What the OpenAPI document says beside what the types of a handler tell: every status code that a
// route answers with, the filters of lists, headers. TestEveryAnswerIsAsDocumented compares all of it
// with what the routes answer.

// refusals are the status codes that a typed route refuses with.
func (line *route) refusals(method, path string) []int {
	codes := []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable}
	if line.who != public {
		codes = append(codes, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests)
	}
	if strings.Contains(path, "{") || line.finds {
		codes = append(codes, http.StatusNotFound)
	}
	if method != http.MethodGet {
		codes = append(codes, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if line.precondition != nil {
		codes = append(codes, http.StatusPreconditionFailed, http.StatusPreconditionRequired)
	}
	slices.Sort(codes)
	return codes
}

// reasons are what the refusals mean here.
var reasons = map[int]string{
	http.StatusBadRequest:            "The request is not valid: errors names the fields.",
	http.StatusUnauthorized:          "The token is missing, unknown, revoked or expired.",
	http.StatusForbidden:             "The token's scope, or the tenant's product or side, may not do this.",
	http.StatusNotFound:              "Not found, or it belongs to another tenant.",
	http.StatusConflict:              "The request conflicts with the current state, or the first request with this Idempotency-Key is still in progress.",
	http.StatusPreconditionFailed:    "The document has changed since the version in If-Match: current has the current document, and ETag its version.",
	http.StatusRequestEntityTooLarge: "The body is too large.",
	http.StatusUnsupportedMediaType:  "The body has an unsupported type.",
	http.StatusUnprocessableEntity:   "The Idempotency-Key was used for a different request, or an amount is too large to be booked.",
	http.StatusPreconditionRequired:  "If-Match is missing, or is *.",
	http.StatusTooManyRequests:       "Too many unknown tokens came from this address: try again after Retry-After.",
	http.StatusInternalServerError:   "Internal error.",
	http.StatusServiceUnavailable:    "A dependency does not answer: try again after Retry-After.",
}

// documented is a route's operation in the OpenAPI document; nil where it is hidden.
func (r *router) documented(method, path string) *huma.Operation {
	item := r.api.OpenAPI().Paths[path]
	if item == nil {
		return nil
	}
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}[method]
}

// describeAnswers words what huma registered of a typed route.
func (r *router) describeAnswers(method, path string, line *route) {
	op := r.documented(method, path)
	if op == nil {
		return
	}
	for code, answer := range op.Responses {
		status, _ := strconv.Atoi(code)
		if reason := reasons[status]; reason != "" {
			answer.Description = reason
		}
		if status == http.StatusServiceUnavailable || status == http.StatusConflict || status == http.StatusTooManyRequests {
			answer.Headers = map[string]*huma.Param{"Retry-After": {Schema: &huma.Schema{Type: huma.TypeInteger}, Description: "Seconds."}}
		}
	}
	if line.orAccepted != "" {
		first := *op.Responses[strconv.Itoa(max(line.status, http.StatusOK))]
		first.Description = line.orAccepted
		op.Responses["202"] = &first
	}
	describeFields(op, line.fields)
}

// describeCSV says that a table is answered in CSV too.
func (r *router) describeCSV(op *huma.Operation) {
	ok := op.Responses["200"]
	if ok.Content == nil {
		ok.Content = map[string]*huma.MediaType{}
	}
	ok.Content[csvType] = &huma.MediaType{
		Schema: &huma.Schema{Type: huma.TypeString, Description: "A line of column names, then all rows that match the filters."},
	}
}

// answersJSON says in the OpenAPI document that what a route writes by itself is a T.
func answersJSON[T any](r *router, path string) {
	r.api.OpenAPI().Paths[path].Get.Responses["200"].Content["application/json"] = &huma.MediaType{
		Schema: r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, ""),
	}
}

// describeFields says what a list may be filtered and ordered by.
func describeFields(op *huma.Operation, fields map[string]listField) {
	if fields == nil {
		return
	}
	var ordered []string
	for _, name := range sortedKeys(fields) {
		if !fields[name].unordered {
			ordered = append(ordered, name)
		}
		op.Parameters = append(op.Parameters, fields[name].parameter(name))
	}
	for _, param := range op.Parameters {
		if param.Name == "orderby" {
			param.Description = "The field to sort by: " + strings.Join(ordered, ", ") + "."
		}
	}
}

var exploded = true

// parameter is a filter in the OpenAPI document.
func (f listField) parameter(name string) *huma.Param {
	one := map[fieldKind]*huma.Schema{
		fieldUUID: {Type: huma.TypeString, Format: "uuid"}, fieldBool: {Type: huma.TypeBoolean}, fieldInt: {Type: huma.TypeInteger},
		fieldDecimal: {Type: huma.TypeString, Description: "A decimal number."},
	}[f.kind]
	param := &huma.Param{Name: filterPrefix + name, In: "query"}
	switch f.kind {
	case fieldTime, fieldFrom, fieldTo:
		param.Schema = &huma.Schema{Type: huma.TypeString, Description: "A date, meaning the whole day, or an RFC 3339 time."}
		param.Description = map[fieldKind]string{
			fieldTime: "On this day, or exactly at this time.", fieldFrom: "From this day on, or at or after this time.",
			fieldTo: "Up to and with this day, or before this time.",
		}[f.kind]
	case fieldSearch:
		param.Schema = &huma.Schema{Type: huma.TypeString}
		param.Description = "Contains this text; not case-sensitive."
	default:
		if one == nil {
			one = &huma.Schema{Type: huma.TypeString}
			for _, value := range f.oneOf {
				one.Enum = append(one.Enum, value)
			}
		}
		param.Schema, param.Explode = &huma.Schema{Type: huma.TypeArray, Items: one}, &exploded
		param.Description = "Matches any of these values."
	}
	return param
}

// filtered says what a list may be filtered and ordered by.
func filtered[T any](l listing[T]) option {
	return func(r *route) { r.fields, r.weight = l.known(), max(r.weight, listed) }
}

// orAccepted is 202 beside the status of success, with the same type of body.
func orAccepted(description string) option { return func(r *route) { r.orAccepted = description } }
