package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// Problem is every answer that is not a success (RFC 9457).
type Problem struct {
	Type   string              `json:"type" example:"about:blank"`
	Title  string              `json:"title" example:"Bad Request"`
	Status int                 `json:"status" example:"400"`
	Detail string              `json:"detail,omitempty"`
	Errors []domain.FieldError `json:"errors,omitempty" doc:"The errors by field."`
	// Current is of a 412 alone.
	Current any `json:"current,omitempty" doc:"The whole current document, if the change was made from an earlier version."`

	headers http.Header
}

// Error satisfies error.
func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// GetStatus is the status code, for huma.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are the headers that go with the problem, such as Retry-After.
func (p *Problem) GetHeaders() http.Header { return p.headers }

// ContentType replaces the negotiated type.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

func newProblem(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// badRequest is 400, naming the fields.
func badRequest(fields ...domain.FieldError) *Problem {
	p := newProblem(http.StatusBadRequest, "The request is not valid.")
	p.Errors = fields
	return p
}

// badField is 400 for one field.
func badField(field, reason string) *Problem {
	return badRequest(domain.FieldError{Field: field, Reason: reason})
}

// notFound is 404, for what does not exist and for what is another tenant's alike.
func notFound() *Problem { return newProblem(http.StatusNotFound, "Not found.") }

// conflict is 409.
func conflict(detail string) *Problem { return newProblem(http.StatusConflict, detail) }

// preconditionFailed is 412, with what stands now and its version as ETag.
func preconditionFailed(detail string, version int64, current any) *Problem {
	p := newProblem(http.StatusPreconditionFailed, detail)
	p.headers, p.Current = http.Header{"Etag": {etag(version)}}, current
	return p
}

// unauthorized is 401.
func unauthorized(detail string) *Problem {
	p := newProblem(http.StatusUnauthorized, detail)
	p.headers = http.Header{"Www-Authenticate": {"ApiToken", "Bearer"}}
	return p
}

// forbidden is 403, naming the fields where it is about some.
func forbidden(detail string, fields ...domain.FieldError) *Problem {
	p := newProblem(http.StatusForbidden, detail)
	p.Errors = fields
	return p
}

// unavailable is 503: the same request may succeed a little later.
func unavailable() *Problem {
	return newProblem(http.StatusServiceUnavailable, "A dependency of this request does not answer. Try again.").retryAfter(time.Second)
}

// cutRetry is what Retry-After says of a request that took too long: the same one may pass on a quieter
// machine.
const cutRetry = 10 * time.Second

func (p *Problem) retryAfter(wait time.Duration) *Problem {
	if p.headers == nil {
		p.headers = http.Header{}
	}
	p.headers.Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
	return p
}

// asProblem is the one place where errors become answers. What it does not know is logged and
// answered without a word of it.
func asProblem(ctx context.Context, err error) *Problem {
	var problem *Problem
	var fields domain.FieldErrors
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &fields):
		return badRequest(fields...)
	case errors.As(err, &pg) && pg.Code == "25006" && principal(ctx).Scope == scopeReadonly:
		return forbidden("A token of scope readonly may not change anything.")
	case errors.As(err, &pg) && (pg.Code == "22021" || pg.Code == "22P05"):
		return badField("body", "contains a character that cannot be stored")
	case errors.Is(err, domain.ErrRange), db.OutOfRange(err):
		slog.WarnContext(ctx, "a figure is out of range", "request_id", requestIDOf(ctx), "error", err)
		return newProblem(http.StatusUnprocessableEntity,
			"An amount or sum is too large to be booked (maximum 9223372036854.775807). Request a smaller part, or correct the amounts.")
	case db.TimedOut(err):
		slog.WarnContext(ctx, "a statement took too long", "request_id", requestIDOf(ctx), "error", err)
		return newProblem(http.StatusServiceUnavailable,
			"The request took too long. Use a shorter period, fewer groups or a narrower filter.").retryAfter(cutRetry)
	case db.Locked(err):
		slog.WarnContext(ctx, "a lock was waited for too long", "request_id", requestIDOf(ctx), "error", err)
		return newProblem(http.StatusServiceUnavailable, "Another request is changing the same data. Try again.").retryAfter(time.Second)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil, // the client has gone
		errors.Is(err, errTooManyMisses):
		return unavailable()
	case errors.Is(err, stream.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), db.Unavailable(err):
		slog.WarnContext(ctx, "request failed for now", "request_id", requestIDOf(ctx), "error", err)
		return unavailable()
	}
	slog.ErrorContext(ctx, "request failed", "request_id", requestIDOf(ctx), "error", err)
	return newProblem(http.StatusInternalServerError, "Internal error. The server's log has the details under request "+requestIDOf(ctx)+".")
}

// writeProblem answers a raw route.
func writeProblem(c *gin.Context, p *Problem) {
	for name, values := range p.headers {
		c.Writer.Header()[name] = values
	}
	body, _ := json.Marshal(p) // plain strings and numbers
	c.Abort()
	c.Data(p.Status, problemType, body)
}

// writeError answers a raw route with whatever err stands for.
func writeError(c *gin.Context, err error) { writeProblem(c, asProblem(c.Request.Context(), err)) }

// huma has one pair of hooks for the whole process. Its own validation answers 422, which here is
// 400, and it echoes values, which may be secrets.
func init() {
	huma.NewErrorWithContext = func(ctx huma.Context, status int, detail string, errs ...error) huma.StatusError {
		if status == http.StatusInternalServerError && len(errs) > 0 {
			return asProblem(ctx.Context(), errs[0])
		}
		if p := failedPrecondition(ctx); p != nil {
			return p
		}
		return huma.NewError(status, detail, errs...)
	}
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		if status == http.StatusUnprocessableEntity {
			status = http.StatusBadRequest
		}
		p := newProblem(status, sentence(detail))
		for _, err := range errs {
			p.name(fieldError(err))
		}
		return p
	}
}

// failedPrecondition is the refusal that comes before that of what cannot be read, or nil.
func failedPrecondition(ctx huma.Context) *Problem {
	line, ok := ctx.Operation().Metadata["route"].(route)
	if !ok || line.precondition == nil {
		return nil
	}
	err := line.precondition(ctx)
	if err == nil {
		return nil
	}
	p := asProblem(ctx.Context(), err)
	for name, values := range p.headers {
		for _, value := range values {
			ctx.AppendHeader(name, value)
		}
	}
	return p
}

// name adds a field, once: of two reasons the later one, from a type of our own, says more than the
// schema's.
func (p *Problem) name(field domain.FieldError) {
	for i, known := range p.Errors {
		if known.Field == field.Field {
			p.Errors[i] = field
			return
		}
	}
	p.Errors = append(p.Errors, field)
}

// fieldError names the field as the sender wrote it: without huma's prefix of where it stood.
func fieldError(err error) domain.FieldError {
	var detailed huma.ErrorDetailer
	if !errors.As(err, &detailed) {
		return domain.FieldError{Field: "body", Reason: err.Error()}
	}
	detail := detailed.ErrorDetail()
	if field, reason, ok := strings.Cut(detail.Message, fieldMark); ok {
		return domain.FieldError{Field: field, Reason: reason}
	}
	field := detail.Location
	for _, prefix := range []string{"body.", "query.", "path.", "header."} {
		field = strings.TrimPrefix(field, prefix)
	}
	// A missing or unexpected property is reported at its parent, with its name in the message.
	for _, known := range []string{"expected required property ", "unexpected property"} {
		rest, found := strings.CutPrefix(detail.Message, known)
		if name, missing := strings.CutSuffix(rest, " to be present"); found && missing {
			return domain.FieldError{Field: strings.TrimPrefix(strings.TrimPrefix(field+"."+name, "body."), "."), Reason: "is required"}
		}
	}
	return domain.FieldError{Field: field, Reason: detail.Message}
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

// fieldMark parts field and reason in an error that huma takes for one of the whole body.
const fieldMark = "\x1f"

// jsonFormat reads and writes bodies. Its errors say what is wrong without naming Go types.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		return encoder.Encode(v)
	},
	Unmarshal: func(data []byte, v any) error {
		err := json.Unmarshal(data, v)
		if _, whole := v.(*any); whole && err == nil { // huma decodes each body so, before it fills in the type
			if field, reason := repeatedKey(data); field != "" {
				return errors.New(field + fieldMark + reason)
			}
		}
		var wrongType *json.UnmarshalTypeError
		var syntax *json.SyntaxError
		switch {
		case errors.As(err, &wrongType):
			return errors.New(wrongType.Field + fieldMark + "does not fit: " + wrongType.Value)
		case errors.As(err, &syntax):
			return errors.New("is not JSON: " + syntax.Error())
		}
		return err
	},
}
