package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
)

// batchPatience is how long a client may take for one batch.
const batchPatience = time.Minute

// batchWriter writes an answer that is read from the database in batches, each in a transaction of its own,
// so that a slow client holds no connection.
type batchWriter struct {
	gin.ResponseWriter
	control *http.ResponseController
}

// begin gives the client its time for the next batch. Not every writer has deadlines.
func (w *batchWriter) begin() { _ = w.control.SetWriteDeadline(time.Now().Add(batchPatience)) }

// inBatches lets write send an answer. An error aborts the connection: a part must not look like the whole.
func inBatches(ctx context.Context, response huma.Context, write func(out *batchWriter) error) {
	writer := humagin.Unwrap(response).Writer
	out := &batchWriter{writer, http.NewResponseController(writer)}
	defer func() { _ = out.control.SetWriteDeadline(time.Time{}) }()
	if err := write(out); err != nil {
		slog.WarnContext(ctx, "export broke off", "request_id", requestIDOf(ctx), "path", response.URL().Path, "error", err)
		panic(http.ErrAbortHandler)
	}
}
