package api

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
)

// endpointHealth is how an address does that we call. The tenant is told the same by mail (rule 51).
type endpointHealth struct {
	FailingSince   *time.Time `json:"failingSince" doc:"Time of the first failed attempt since the last delivered message; null while it works."`
	FailedAttempts int64      `json:"failedAttempts" doc:"Number of failed attempts since then."`
	LastFailedAt   *time.Time `json:"lastFailedAt"`
	LastStatusCode int32      `json:"lastStatusCode" doc:"Status code of the last failed attempt; 0 if there was no answer."`
	LastError      string     `json:"lastError"`
	FailedForGood  int64      `json:"failedForGood" doc:"Number of messages ever given up, including those resent later: GET /api/v1/deliveries?filter.state=failed lists those still failed."`
	LastLostAt     *time.Time `json:"lastFailedForGoodAt"`
}

// healthOf finds how endpoints do; one that never failed has none.
func healthOf(ctx context.Context, tx pgx.Tx, ids ...uuid.UUID) (map[uuid.UUID]*endpointHealth, error) {
	rows, err := dbgen.New().EndpointFailures(ctx, tx, principal(ctx).TenantID, ids)
	found := make(map[uuid.UUID]*endpointHealth, len(rows))
	for _, row := range rows {
		found[row.EndpointID] = &endpointHealth{
			FailingSince: row.FailingSince, FailedAttempts: row.Failures, LastFailedAt: row.LastFailedAt, LastStatusCode: row.LastStatusCode,
			LastError: row.LastError, FailedForGood: row.Lost, LastLostAt: row.LastLostAt,
		}
	}
	return found, err
}
