package api

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/api/problem"
)

// inBatches lets write send an answer that is read from the database in batches, each in a transaction of
// its own, so that a slow client holds no connection of the database. An error aborts the client's connection:
// a part must not look like the whole. The log names the route and not the address, which may name a member.
func inBatches(ctx context.Context, response huma.Context, write func(out gin.ResponseWriter) error) {
	if err := write(humagin.Unwrap(response).Writer); err != nil {
		slog.WarnContext(ctx, "export interrupted", "request_id", problem.RequestID(ctx), "route", response.Operation().Path, "error", err)
		panic(http.ErrAbortHandler)
	}
}
