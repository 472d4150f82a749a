package activities

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// RollupBucket is as long as the buckets of reports' sums in the database (rollup_bucket).
const RollupBucket = 15 * time.Minute

// BucketName is what the lock of a bucket goes by: whoever recomputes or changes its sums holds it.
func BucketName(tenantID, offerID uuid.UUID, bucket time.Time, clicks bool) string {
	return fmt.Sprint(tenantID, offerID, bucket.Unix(), clicks)
}
