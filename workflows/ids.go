// Package workflows orchestrates: one file per workflow, each an exported function that reads like
// the process. Nothing is decided here; activities decide.
package workflows

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/google/uuid"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/offerflow/offerflow/domain"
)

// TaskQueue is where all of Offerflow's workflows and activities run.
const TaskQueue = "offerflow"

// Names under which workflows are registered: what people see in the Temporal UI.
const (
	AttributionName = "Attribution"
	ConversionName  = "Conversion"
)

// The search attributes, all keywords set at the start: later ones would cost a row each.
var (
	SearchTenant = temporal.NewSearchAttributeKeyKeyword("OfferflowTenant")
	SearchOffer  = temporal.NewSearchAttributeKeyKeyword("OfferflowOffer")
	SearchLink   = temporal.NewSearchAttributeKeyKeyword("OfferflowLink")
	// SearchMember holds a hash: members' ids are the publisher's data.
	SearchMember = temporal.NewSearchAttributeKeyKeyword("OfferflowMember")
)

// ClickWorkflowID is the id of a click's Attribution.
func ClickWorkflowID(clickID uuid.UUID) string { return "click/" + clickID.String() }

// ConversionWorkflowID is the id of a conversion's Conversion.
func ConversionWorkflowID(conversionID uuid.UUID) string {
	return "conversion/" + conversionID.String()
}

// MemberHash is how a member is found in the Temporal UI without being named there.
func MemberHash(tenantID uuid.UUID, member string) string {
	sum := sha256.Sum256(append(tenantID[:], member...))
	return hex.EncodeToString(sum[:8])
}

// afterSession is how much later than its session a click's execution times out: time for the
// session's own end, and for a held event whose grace ends with it.
const afterSession = time.Hour

// ParkedOptions start a click's Attribution parked: the first task is due only after the execution
// has timed out, so that a click which never converts costs one write, no worker and no task, and
// closes by itself. A postback's Update wakes it. now is the instant of the start.
func ParkedOptions(click *domain.Click, now time.Time) client.StartWorkflowOptions {
	timeout := click.SessionEndsAt.Add(afterSession).Sub(now)
	timeout = max(timeout, time.Minute)
	options := attributionOptions(click)
	options.WorkflowExecutionTimeout = timeout
	options.StartDelay = timeout + time.Minute
	return options
}

// WokenOptions start a click's Attribution by its first postback, in one request with it.
func WokenOptions(click *domain.Click, now time.Time) client.StartWorkflowOptions {
	options := attributionOptions(click)
	options.WorkflowExecutionTimeout = max(click.SessionEndsAt.Add(afterSession).Sub(now), time.Minute)
	options.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
	return options
}

func attributionOptions(click *domain.Click) client.StartWorkflowOptions {
	attributes := []temporal.SearchAttributeUpdate{
		SearchTenant.ValueSet(click.DecidedBy().String()), SearchOffer.ValueSet(click.OfferID.String()),
		SearchLink.ValueSet(click.LinkID.String()),
	}
	summary := "click on offer " + click.OfferID.String()
	if click.PubMemberID != nil {
		hash := MemberHash(click.TenantID, *click.PubMemberID)
		attributes = append(attributes, SearchMember.ValueSet(hash))
		summary += " by member #" + hash
	}
	return client.StartWorkflowOptions{
		ID: ClickWorkflowID(click.ID), TaskQueue: TaskQueue,
		WorkflowIDReusePolicy:                    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		TypedSearchAttributes:                    temporal.NewSearchAttributes(attributes...),
		StaticSummary:                            summary,
	}
}

// ConversionOptions start a Conversion, or find the one that runs: it may have several lives, as a
// person reverses or revives it months later.
func ConversionOptions(tenantID, conversionID uuid.UUID) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID: ConversionWorkflowID(conversionID), TaskQueue: TaskQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		TypedSearchAttributes:    temporal.NewSearchAttributes(SearchTenant.ValueSet(tenantID.String())),
		StaticSummary:            "conversion " + conversionID.String(),
	}
}
