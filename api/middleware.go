package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/inbound"
)

// requestSeconds is labelled by route template, never by path: a path has as many values as there
// are links.
var requestSeconds = promauto.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "offerflow_http_request_seconds",
	Help:    "Time to answer HTTP requests, in seconds.",
	Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
}, []string{"method", "route", "status"})

// requestIDs takes the caller's X-Request-ID when it is harmless, or makes one.
func (r *router) requestIDs(c *gin.Context) {
	id := c.GetHeader("X-Request-ID")
	if !harmless(id) {
		if r.lean[c.FullPath()] {
			return
		}
		id = uuid.NewString()
	}
	c.Header("X-Request-ID", id)
	c.Request = c.Request.WithContext(problem.WithRequestID(c.Request.Context(), id))
}

func harmless(id string) bool {
	for _, r := range id {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.') {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

// observe writes the metrics and the access log: route templates only, since paths and queries
// carry keys, members and tokens.
func (r *router) observe(c *gin.Context) {
	start := time.Now()
	c.Next()
	took := time.Since(start)
	template, method, status := c.FullPath(), knownMethod(c.Request.Method), c.Writer.Status()
	if template == "" {
		template = "unmatched"
	}
	requestSeconds.WithLabelValues(method, template, strconv.Itoa(status)).Observe(took.Seconds())
	level := slog.LevelInfo
	// Strangers get a 503 as often as they like: the metrics count it, and no log is filled with it.
	isNoFault := status < http.StatusInternalServerError || status == http.StatusServiceUnavailable
	if isNoFault && (r.quiet[template] || template == "unmatched") {
		level = slog.LevelDebug
	}
	ctx := c.Request.Context()
	if !slog.Default().Enabled(ctx, level) { // redirects: their line would be made for nobody
		return
	}
	slog.LogAttrs(ctx, level, "request", slog.String("method", method), slog.String("route", template),
		slog.Int("status", status), slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.String("request_id", problem.RequestID(ctx)), slog.String("actor", principal(ctx).Actor))
}

// knownMethod keeps invented methods out of the labels.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

// recovery answers a panic like any unknown error.
func recovery(c *gin.Context) {
	defer func() {
		cause := recover()
		if cause == nil {
			return
		}
		if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(cause)
		}
		slog.ErrorContext(c.Request.Context(), "panic", "request_id", problem.RequestID(c.Request.Context()),
			"panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
		if !c.Writer.Written() {
			problem.Write(c, problem.New(http.StatusInternalServerError,
				"Internal error. The server's log has the details under request "+problem.RequestID(c.Request.Context())+"."))
		}
	}()
	c.Next()
}

// bodyTimeout is how long a caller with a token may take for its body.
const bodyTimeout = 30 * time.Second

// readBody reads the whole body and leaves it to be read again. JSON must be UTF-8.
func readBody(limit int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		body, err := inbound.ReadBody(c.Writer, c.Request, limit, bodyTimeout)
		var tooLarge *http.MaxBytesError
		switch {
		case errors.As(err, &tooLarge):
			problem.Write(c, problem.New(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body may have at most %d bytes.", limit)))
		case err != nil:
			problem.Write(c, problem.New(http.StatusBadRequest, "The body did not arrive completely."))
		case !utf8.Valid(body):
			// Decoding would put U+FFFD in place of what was meant.
			problem.Write(c, problem.BadField("body", "is not valid UTF-8"))
		case body != nil:
			c.Request.Body = io.NopCloser(bytes.NewReader(body))
		}
	}
}
