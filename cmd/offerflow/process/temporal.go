package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/offerflow/offerflow/db/txmark"
)

// temporalWithin bounds the first question to Temporal. It is not waited for: an API redirects, and a
// worker takes clicks and decides postbacks, without it.
const temporalWithin = 3 * time.Second

func (p *Process) temporalClient(ctx context.Context, options client.Options) (err error) {
	if options.HostPort == "" {
		if options, err = envconfig.LoadDefaultClientOptions(); err != nil {
			return fmt.Errorf("invalid Temporal settings (TEMPORAL_ADDRESS, TEMPORAL_API_KEY, TEMPORAL_TLS_…, or the file named by TEMPORAL_CONFIG_FILE): %s", oneLine(err))
		}
	}
	if options.HostPort == "" {
		options.HostPort = client.DefaultHostPort
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	p.namespace, p.temporalAddress = options.Namespace, options.HostPort
	options.Logger = log.NewStructuredLogger(slog.Default())
	if err := temporalTelemetry(&options); err != nil {
		return err
	}
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(refuseInTransaction))
	if p.temporal, err = client.NewLazyClient(options); err != nil {
		return fmt.Errorf("TEMPORAL_ADDRESS: Temporal at %s cannot be used: %s", options.HostPort, oneLine(err))
	}
	return p.checkTemporal(ctx, options.HostPort)
}

// checkTemporal refuses a start with settings that Temporal itself calls wrong: nothing that waits would
// ever come to pass, and a rolling replacement stops at the first process. A Temporal that is away is
// only told of (docs/decisions/024-what-is-owed-to-the-engine.md).
func (p *Process) checkTemporal(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, temporalWithin)
	defer cancel()
	_, err := p.temporal.DescribeWorkflowExecution(ctx, "offerflow-start", "")
	var (
		noNamespace *serviceerror.NamespaceNotFound
		noWorkflow  *serviceerror.NotFound
	)
	switch {
	case err == nil || errors.As(err, &noWorkflow):
		return nil
	case errors.As(err, &noNamespace):
		return fmt.Errorf("TEMPORAL_NAMESPACE: Temporal at %s has no namespace %q: use the right name, or create it: temporal operator namespace create -n %s --retention 30d",
			address, p.namespace, p.namespace)
	case isUnauthorized(err):
		return fmt.Errorf("TEMPORAL_API_KEY: Temporal at %s does not allow this process to use namespace %q: set the right token or certificate (TEMPORAL_TLS_…) (%s)",
			address, p.namespace, oneLine(err))
	default:
		advice := "Start it, or set the right address"
		if strings.Contains(err.Error(), "tls:") { // an API key switches TLS on
			advice += ". A server without TLS needs TEMPORAL_TLS=false"
		}
		slog.WarnContext(ctx, "TEMPORAL_ADDRESS: Temporal at "+address+" does not answer: clicks are accepted and postbacks decided, but waiting work (reviews, jobs, "+
			"retries of callbacks) is delayed until it answers. "+advice, "error", oneLine(err))
		return nil
	}
}

func isUnauthorized(err error) bool {
	var denied *serviceerror.PermissionDenied
	return errors.As(err, &denied) || status.Code(err) == codes.Unauthenticated || status.Code(err) == codes.PermissionDenied
}

// refuseInTransaction keeps calls to the workflow engine out of database transactions.
func refuseInTransaction(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if err := txmark.Check(ctx, "calling the workflow engine"); err != nil {
		return err
	}
	return invoke(ctx, method, request, reply, conn, options...)
}
