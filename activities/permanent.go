package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// errUndecodable marks what is stored, or was sent, in a form that this release cannot read.
var errUndecodable = errors.New("cannot be decoded")

// Undecodable marks an error of reading a stored document.
func Undecodable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errUndecodable, err)
}

// Permanent says whether no retry mends an error: a value that the database refuses, a figure that is too
// large to be booked, what cannot be decoded, what was sealed with a key that is no longer there. Every other
// error is taken as passing. Nothing else decides this.
func Permanent(err error) bool {
	if err == nil || errors.Is(err, stream.ErrNotYet) || db.Unavailable(err) {
		return false
	}
	for _, kind := range []error{stream.ErrBad, keyring.ErrSealed, domain.ErrRange, errUndecodable, db.ErrStillTaken} {
		if errors.Is(err, kind) {
			return true
		}
	}
	var syntax *json.SyntaxError
	var shape *json.UnmarshalTypeError
	var instant *time.ParseError
	var application *temporal.ApplicationError
	var invalid *serviceerror.InvalidArgument
	return db.Permanent(err) || errors.As(err, &invalid) || errors.As(err, &syntax) || errors.As(err, &shape) || errors.As(err, &instant) ||
		errors.As(err, &application) && application.NonRetryable()
}

var permanentErrors = promauto.NewCounterVec(prometheus.CounterOpts{
	Name: "offerflow_activity_permanent_errors_total", Help: "Activities, including local ones, that ended with a permanent error.",
}, []string{"activity"})

// ErrorInterceptor ends activities and local activities at a permanent error, which the engine would
// retry for ever. Whoever called them has to see to it that the item goes where people see it.
func ErrorInterceptor() interceptor.WorkerInterceptor { return &endsActivities{} }

type endsActivities struct {
	interceptor.WorkerInterceptorBase
}

// InterceptActivity satisfies interceptor.WorkerInterceptor.
func (*endsActivities) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	inbound := &activityEnds{}
	inbound.Next = next
	return inbound
}

type activityEnds struct {
	interceptor.ActivityInboundInterceptorBase
}

// ExecuteActivity satisfies interceptor.ActivityInboundInterceptor.
func (a *activityEnds) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	out, err := a.Next.ExecuteActivity(ctx, in)
	var application *temporal.ApplicationError
	if !Permanent(err) || errors.As(err, &application) && application.NonRetryable() {
		return out, err
	}
	permanentErrors.WithLabelValues(activity.GetInfo(ctx).ActivityType.Name).Inc()
	return out, temporal.NewNonRetryableApplicationError(err.Error(), "Permanent", err)
}
