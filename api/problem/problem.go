package problem

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

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
func (p *Problem) ContentType(string) string { return MediaType }

// MediaType is the Content-Type of problems.
const MediaType = "application/problem+json"

// New makes a problem of a status and one sentence.
func New(status int, detail string) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}
}

// badRequest is 400, naming the fields.
func badRequest(fields ...domain.FieldError) *Problem {
	p := New(http.StatusBadRequest, "The request is not valid.")
	p.Errors = fields
	return p
}

// BadField is 400 for one field.
func BadField(field, reason string) *Problem {
	return badRequest(domain.FieldError{Field: field, Reason: reason})
}

// notFound is 404, for what does not exist and for what is another tenant's alike.
func NotFound() *Problem { return New(http.StatusNotFound, "Not found.") }

// Conflict is 409.
func Conflict(detail string) *Problem { return New(http.StatusConflict, detail) }

// PreconditionFailed is 412, with what stands now and its ETag.
func PreconditionFailed(detail, etag string, current any) *Problem {
	return New(http.StatusPreconditionFailed, detail).Showing(etag, current)
}

// Showing adds what stands now and its ETag.
func (p *Problem) Showing(etag string, current any) *Problem {
	p.headers, p.Current = http.Header{"Etag": {etag}}, current
	return p
}

// Unauthorized is 401.
func Unauthorized(detail string) *Problem {
	p := New(http.StatusUnauthorized, detail)
	p.headers = http.Header{"Www-Authenticate": {"ApiToken", "Bearer"}}
	return p
}

// Forbidden is 403, naming the fields where it is about some.
func Forbidden(detail string, fields ...domain.FieldError) *Problem {
	p := New(http.StatusForbidden, detail)
	p.Errors = fields
	return p
}

// unavailable is 503: the same request may succeed a little later.
func Unavailable() *Problem {
	return New(http.StatusServiceUnavailable, "A dependency of this request does not answer. Try again.").RetryAfter(time.Second)
}

// cutRetry is what Retry-After says of a request that took too long: the same one may pass on a quieter
// machine.
const cutRetry = 10 * time.Second

// RetryAfter adds the header.
func (p *Problem) RetryAfter(wait time.Duration) *Problem {
	if p.headers == nil {
		p.headers = http.Header{}
	}
	p.headers.Set("Retry-After", strconv.Itoa(int(wait.Seconds())))
	return p
}

// Busy is an error that is answered 503 and not logged: the same request may succeed a little later.
type Busy string

func (e Busy) Error() string { return string(e) }

type requestIDKey struct{}

// WithRequestID names the request for the log.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID is the id under which the log has the request.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// Of is the one place where errors become answers. What it does not know is logged and
// answered without a word of it.
func Of(ctx context.Context, err error) *Problem {
	var problem *Problem
	var fields domain.FieldErrors
	var pg *pgconn.PgError
	var busy Busy
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &fields):
		return badRequest(fields...)
	case errors.As(err, &pg) && (pg.Code == "22021" || pg.Code == "22P05"):
		return BadField("body", "contains a character that cannot be stored")
	case errors.Is(err, domain.ErrRange), db.OutOfRange(err):
		slog.WarnContext(ctx, "a figure is out of range", "request_id", RequestID(ctx), "error", err)
		return New(http.StatusUnprocessableEntity,
			"An amount or sum is too large to be booked (maximum 9223372036854.775807). Request a smaller part, or correct the amounts.")
	case db.TimedOut(err):
		slog.WarnContext(ctx, "a statement took too long", "request_id", RequestID(ctx), "error", err)
		return New(http.StatusServiceUnavailable,
			"The request took too long. Use a shorter period, fewer groups or a narrower filter.").RetryAfter(cutRetry)
	case db.Locked(err):
		slog.WarnContext(ctx, "waited too long for a lock", "request_id", RequestID(ctx), "error", err)
		return New(http.StatusServiceUnavailable, "Another request is changing the same data. Try again.").RetryAfter(time.Second)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil, // the client has gone
		errors.As(err, &busy):
		return Unavailable()
	case errors.Is(err, stream.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), db.Unavailable(err):
		slog.WarnContext(ctx, "request failed temporarily", "request_id", RequestID(ctx), "error", err)
		return Unavailable()
	}
	slog.ErrorContext(ctx, "request failed", "request_id", RequestID(ctx), "error", err)
	return New(http.StatusInternalServerError, "Internal error. The server's log has the details under request "+RequestID(ctx)+".")
}

// Write answers a raw route.
func Write(c *gin.Context, p *Problem) {
	for name, values := range p.headers {
		c.Writer.Header()[name] = values
	}
	body, _ := json.Marshal(p) // plain strings and numbers
	c.Abort()
	c.Data(p.Status, MediaType, body)
}

// WriteError answers a raw route with whatever err stands for.
func WriteError(c *gin.Context, err error) { Write(c, Of(c.Request.Context(), err)) }
