package temporalserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	sdktemporal "go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	// Namespace is the one everything runs in.
	Namespace = "default"

	// retention is how long closed runs stay. Until then an id that must not
	// start twice is refused and a repeated Update gets its first answer, and
	// a person can look at what happened to a disputed click; a month covers
	// the advertisers' billing cycle and keeps a small disk small.
	retention = 30 * 24 * time.Hour

	probeID = "offerflow-namespace-probe"
)

// SearchAttributes are the custom search attributes workflows are found by,
// each of type Keyword. SQL visibility has room for ten of them.
var SearchAttributes = []string{
	"OfferflowTenant", "OfferflowOffer", "OfferflowLink", "OfferflowMember", "OfferflowOutcome",
}

// prepareNamespace registers what is missing and waits until it can be used.
func (s *Server) prepareNamespace(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	created, err := registerNamespace(ctx, c)
	if err != nil {
		return err
	}
	added, err := addSearchAttributes(ctx, c)
	if err != nil {
		return err
	}
	if created || added {
		return probe(ctx, c)
	}
	return answers(ctx, c)
}

// dial waits for the frontend.
func (s *Server) dial(ctx context.Context) (client.Client, error) {
	var c client.Client
	err := until(ctx, func() (err error) {
		options := s.ClientOptions()
		options.Logger = sdklog.NewStructuredLogger(s.log.to)
		c, err = client.DialContext(ctx, options)
		return err
	})
	return c, err
}

// Ready says whether the server that a client with these options reaches takes workflows: the namespace and its
// search attributes are there, and histories can be read.
func Ready(ctx context.Context, options client.Options) error {
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()
	missing, err := missingSearchAttributes(ctx, c)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return errors.New("search attributes are still missing")
	}
	return histories(ctx, c)
}

func registerNamespace(ctx context.Context, c client.Client) (created bool, err error) {
	err = until(ctx, func() error {
		_, err := c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
			Namespace:                        Namespace,
			Description:                      "Offerflow",
			WorkflowExecutionRetentionPeriod: durationpb.New(retention),
		})
		var exists *serviceerror.NamespaceAlreadyExists
		if errors.As(err, &exists) {
			return nil
		}
		created = err == nil
		return err
	})
	return created, err
}

func addSearchAttributes(ctx context.Context, c client.Client) (added bool, err error) {
	err = until(ctx, func() error {
		missing, err := missingSearchAttributes(ctx, c)
		if err != nil || len(missing) == 0 {
			return err
		}
		added = true
		_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace: Namespace, SearchAttributes: missing,
		})
		return err
	})
	return added, err
}

func missingSearchAttributes(ctx context.Context, c client.Client) (map[string]enumspb.IndexedValueType, error) {
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: Namespace})
	if err != nil {
		return nil, err
	}
	missing := map[string]enumspb.IndexedValueType{}
	for _, name := range SearchAttributes {
		if _, ok := have.GetCustomAttributes()[name]; !ok {
			missing[name] = enumspb.INDEXED_VALUE_TYPE_KEYWORD
		}
	}
	return missing, nil
}

// probe starts a workflow as the product does, with every search attribute and
// a delay, and removes it again. Each service refreshes its own view of the
// namespace, so only a real start proves that all of them know it.
func probe(ctx context.Context, c client.Client) error {
	var keys []sdktemporal.SearchAttributeUpdate
	for _, name := range SearchAttributes {
		keys = append(keys, sdktemporal.NewSearchAttributeKeyKeyword(name).ValueSet("probe"))
	}
	err := until(ctx, func() error {
		_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
			ID: probeID, TaskQueue: probeID, StartDelay: 2 * time.Minute, WorkflowExecutionTimeout: time.Minute,
			TypedSearchAttributes: sdktemporal.NewSearchAttributes(keys...),
		}, "probe")
		return err
	})
	if err != nil {
		return err
	}
	return until(ctx, func() error {
		_, err := c.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
			Namespace: Namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: probeID},
		})
		return err
	})
}

// answers waits until histories can be read: after a start the shards are
// taken over one by one, and until then a call is refused.
func answers(ctx context.Context, c client.Client) error {
	return until(ctx, func() error { return histories(ctx, c) })
}

func histories(ctx context.Context, c client.Client) error {
	_, err := c.DescribeWorkflowExecution(ctx, probeID, "")
	var none *serviceerror.NotFound
	if errors.As(err, &none) {
		return nil
	}
	return err
}

// until tries until it works or ctx ends: a server that has just started says
// no for many reasons, all of which pass.
func until(ctx context.Context, try func() error) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last answer: %w)", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
