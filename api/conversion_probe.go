package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// The test tool: a click, its postbacks, the conversion and the callback, all marked as tests, by
// the way that real ones take: streams, worker, decision, outbox, delivery. Nothing is simulated but
// the member, so that what is wrong shows here as it would there. A test passes the advertiser's
// security, counts in no cap and no budget, and makes no ledger entry.

type testConversionInput struct {
	Body struct {
		OfferID              uuid.UUID         `json:"offerId"`
		EventID              string            `json:"eventId,omitempty" doc:"The advertiser's name of the event, or our id; default: the default goal."`
		PartnerID            *uuid.UUID        `json:"partnerId,omitempty" doc:"Test as if this partner's link was clicked."`
		PubMemberID          string            `json:"pub_member_id,omitempty" doc:"Default: none."`
		Params               map[string]string `json:"params,omitempty" doc:"More parameters of the tracking link, such as pub_click_id or pub_sub_1."`
		Amount               string            `json:"amount,omitempty" doc:"cnv_amount of the postback; default: 10.00."`
		CompletePredecessors bool              `json:"completePredecessors,omitempty" doc:"Complete the preceding events first."`
		PartnerPostbacks     bool              `json:"partnerPostbacks,omitempty" doc:"Call the partner's URLs too."`
	}
}

type testConversionOutput struct{ Body testConversionResult }

type testConversionResult struct {
	OK           bool       `json:"ok" doc:"true if every step is ok."`
	Steps        []testStep `json:"steps"`
	ClickID      *uuid.UUID `json:"clickId"`
	PostbackID   *uuid.UUID `json:"postbackId"`
	ConversionID *uuid.UUID `json:"conversionId"`
	DeliveryID   *uuid.UUID `json:"deliveryId" doc:"Id of the callback's delivery."`
}

// testStep is one part of the way, and what was found there.
type testStep struct {
	Step       string         `json:"step" enum:"offer,event,sequence,click,postback,conversion,callback,partnerPostback"`
	State      string         `json:"state" enum:"ok,failed,skipped,underWay"`
	OK         bool           `json:"ok" doc:"false if the step failed or is still in progress."`
	Detail     string         `json:"detail"`
	Reason     domain.Reason  `json:"reason,omitempty"`
	EventID    string         `json:"eventId,omitempty" doc:"The advertiser's name of the event."`
	PostbackID *uuid.UUID     `json:"postbackId,omitempty"`
	Outcome    domain.Outcome `json:"outcome,omitempty"`
	DeliveryID *uuid.UUID     `json:"deliveryId,omitempty"`
	StatusCode *int32         `json:"statusCode,omitempty" doc:"The endpoint's status code."`
	// Predecessors are what completePredecessors would complete first.
	Predecessors []string `json:"predecessors,omitempty" doc:"The events that must be completed first."`
}

// The states of a step.
const (
	testOK       = "ok"
	testFailed   = "failed"
	testSkipped  = "skipped"
	testUnderWay = "underWay"
)

// testWithin bounds the whole test; what takes longer is reported as under way.
const testWithin = 10 * time.Second

// conversionProbe is one run of the tool.
type conversionProbe struct {
	server *Server
	in     *testConversionInput
	params tracking.ClickParams
	// forAdvertiser says that the offer's advertiser tests, and sees its own part of the way.
	forAdvertiser bool
	// What it goes by, read once.
	tenantID     uuid.UUID
	offer        *domain.Offer
	goalsEnabled bool
	// keyed says that the offer is the tenant's own, and its postbackSecurity keyed.
	keyed      bool
	linkID     uuid.UUID
	partner    *dbgen.Partner
	advertiser dbgen.Advertiser
	// What it made.
	event  *domain.Event
	plan   domain.TestPlan
	click  domain.Click
	answer domain.Answer
	out    testConversionResult
}

func (s *Server) testConversion(ctx context.Context, in *testConversionInput) (*testConversionOutput, error) {
	if s.Tracking == nil {
		return nil, problem.New(http.StatusServiceUnavailable, "This process does not accept clicks.").RetryAfter(time.Minute)
	}
	p := principal(ctx)
	test := &conversionProbe{server: s, in: in, tenantID: p.TenantID, forAdvertiser: p.Scope == scopeAdvertiser, out: testConversionResult{Steps: []testStep{}}}
	if err := test.readParams(); err != nil {
		return nil, err
	}
	if err := test.load(ctx); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, testWithin)
	defer cancel()
	if err := test.run(within); err != nil {
		if within.Err() == nil || ctx.Err() != nil {
			return nil, err
		}
		test.add(testStep{
			Step: "callback", State: testUnderWay,
			Detail: "The test's " + testWithin.String() + " are over. GET /api/v1/clicks/{clickId} shows the rest.",
		})
	}
	test.out.OK = true
	for _, step := range test.out.Steps {
		test.out.OK = test.out.OK && step.OK
		if step.State == testUnderWay {
			notFinal(ctx)
		}
	}
	return &testConversionOutput{Body: test.out}, nil
}

// run goes the way step by step, and no further than the first that stops it.
func (t *conversionProbe) run(ctx context.Context) error {
	t.checkOffer()
	if !t.findEvent() || !t.planEvents() {
		return nil
	}
	parts := []func(context.Context) (goOn bool, err error){t.makeClick, t.sendPostbacks, t.showConversion, t.showCallback, t.callPartner}
	if t.forAdvertiser {
		parts = parts[:3]
	}
	for _, part := range parts {
		if goOn, err := part(ctx); err != nil || !goOn {
			return err
		}
	}
	return nil
}

// add reports a step.
func (t *conversionProbe) add(step testStep) {
	step.OK = step.State == testOK || step.State == testSkipped
	t.out.Steps = append(t.out.Steps, step)
}

// readParams reads the link's parameters by the names that a link takes.
func (t *conversionProbe) readParams() error {
	var c checks
	body := &t.in.Body
	set := func(field, name, value string) {
		to, limit := t.params.Field(tracking.NormalName(name))
		switch {
		case to == nil:
			c.add(field, "is not a parameter of tracking links")
		case len(value) > limit:
			c.add(field, "must have at most %d bytes", limit)
		default:
			*to = domain.StoredText(value)
		}
	}
	for _, name := range sortedKeys(body.Params) {
		set("params."+name, name, body.Params[name])
	}
	if body.PubMemberID != "" {
		set("pub_member_id", "pub_member_id", body.PubMemberID)
	}
	if body.Amount == "" {
		body.Amount = "10.00"
	}
	if _, err := domain.ParseAmount(body.Amount); err != nil {
		c.add("amount", "%s", err)
	}
	return c.err()
}

// load reads what the test goes by; what is not there is named.
func (t *conversionProbe) load(ctx context.Context) error {
	return t.server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		queries, body := dbgen.New(), t.in.Body
		t.offer, err = t.tested(ctx, tx)
		var refused *problem.Problem
		if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			return problem.BadField("offerId", "no offer has this id")
		}
		if err != nil {
			return err
		}
		tenant, err := queries.GetTenant(ctx, tx, t.tenantID)
		if err != nil {
			return err
		}
		t.goalsEnabled = tenant.GoalsEnabled
		t.keyed = t.offer.TenantID == t.tenantID && tenant.PostbackSecurity == string(domain.PostbackSecurityKeyed)
		link, err := queries.DefaultLink(ctx, tx, t.tenantID, body.OfferID)
		if errors.Is(err, pgx.ErrNoRows) { // the advertiser's side of a shared offer
			return problem.BadField("offerId", "this is a shared offer: only the publisher can test it; test the source offer instead")
		}
		if err != nil {
			return err
		}
		t.linkID = link.ID
		// A shared offer's is the other side's.
		if t.advertiser, err = queries.GetAdvertiser(ctx, tx, t.tenantID, t.offer.AdvertiserID); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if body.PartnerID == nil {
			return nil
		}
		partner, err := queries.GetPartner(ctx, tx, t.tenantID, *body.PartnerID)
		if errors.Is(err, pgx.ErrNoRows) {
			return problem.BadField("partnerId", "no partner has this id")
		}
		t.partner = &partner
		return err
	})
}

// tested is the offer; to an advertiser those of others are not there.
func (t *conversionProbe) tested(ctx context.Context, tx pgx.Tx) (*domain.Offer, error) {
	if t.forAdvertiser {
		own, err := dbgen.New().OfferIsOfAdvertiser(ctx, tx, t.tenantID, t.in.Body.OfferID, *principal(ctx).AdvertiserID)
		if err != nil {
			return nil, err
		}
		if !own {
			return nil, problem.NotFound()
		}
	}
	return currentOffer(ctx, tx, t.in.Body.OfferID)
}

// checkOffer says what would keep a real click from converting. The test goes on: it stands for a
// click that was made before (rule 20).
func (t *conversionProbe) checkOffer() {
	at := t.server.now()
	step := testStep{Step: "offer", State: testFailed}
	offers, partner := t.server.Tracking.Offers(), t.in.Body.PartnerID
	switch status := t.offer.Status(at); {
	case status != domain.OfferStatusActive:
		step.Reason, step.Detail = domain.ReasonOfferInactive, "The offer is "+strings.ToLower(status)+t.whyInactive(at)+": new clicks follow the fallback chain."
	case !t.offer.CanBeCompleted():
		step.Reason, step.Detail = domain.ReasonOfferInactive, "All goals of the offer are deleted: new clicks follow the fallback chain."
	case t.partner != nil && t.partner.Status != partnerActive:
		step.Reason, step.Detail = domain.ReasonPartnerBlocked, "The partner is "+t.partner.Status+": its clicks follow the fallback chain."
	case offers.IsOfferCapped(t.offer.ID, at):
		step.Reason, step.Detail = domain.ReasonCapped, "A cap or the budget of the offer is used up: new clicks follow the fallback chain."
	case partner != nil && offers.IsPartnerCapped(*partner, at):
		step.Reason, step.Detail = domain.ReasonCapped, "A cap of the partner is used up: its clicks follow the fallback chain."
	default:
		step.State, step.Detail = testOK, "Clicks are accepted"+t.targeted()+"."
	}
	if step.State == testFailed {
		step.Detail += " The test continues like a click made earlier."
	}
	t.add(step)
}

func (t *conversionProbe) whyInactive(at time.Time) string {
	switch {
	case t.offer.ExpiresAt != nil && !at.Before(*t.offer.ExpiresAt):
		return " since " + t.offer.ExpiresAt.UTC().Format(time.RFC3339)
	case t.offer.IsRequested:
		return " (the publisher has not accepted it)"
	case t.offer.IsPaused:
		return " (paused)"
	default:
		return " until " + t.offer.LaunchAt.UTC().Format(time.RFC3339)
	}
}

// targeted says whom the offer is for: a test is nobody, and is not judged by it (rule 45).
func (t *conversionProbe) targeted() string {
	targeting, names := t.offer.Targeting, []string{}
	for name, on := range map[string]bool{
		"age": targeting.MinAge != nil || targeting.MaxAge != nil, "countries": len(targeting.Countries) > 0, "states": len(targeting.States) > 0,
		"postal codes": len(targeting.ZipCodes) > 0, "genders": len(targeting.Genders) > 0, "placements": len(targeting.PlacementIDs) > 0,
		"devices": len(targeting.Devices) > 0,
	} {
		if on {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " from those in its target by " + joined(names) + "; targeting is not applied to the test" + t.unplaced()
}

// unplaced says of whom the country or the state is not known, where the offer asks for them.
func (t *conversionProbe) unplaced() (notes string) {
	targeting, places := &t.offer.Targeting, t.server.Tracking.Places()
	if len(targeting.Countries)+len(targeting.States) == 0 {
		return ""
	}
	if missing := places.Missing(); missing != "" {
		return ". Country unknown: clicks are refused unless their link has pub_geo_country: " + missing
	}
	notes = ". Countries come from " + places.Source() + "; a private address such as 127.0.0.1 has none: " +
		"set pub_geo_country in the link to test from there"
	if missing := places.MissingStates(); missing != "" && len(targeting.States) > 0 {
		notes += ". State unknown: " + missing
	}
	return notes
}

// findEvent finds the event by the advertiser's name or by our id.
func (t *conversionProbe) findEvent() (goOn bool) {
	name := t.in.Body.EventID
	switch id, err := uuid.Parse(name); {
	case name == "", t.offer.OfferType == domain.OfferTypeSingleEvent:
		t.event = t.offer.DefaultEvent()
	case err == nil && t.offer.EventByID(id) != nil:
		t.event = t.offer.EventByID(id)
	default:
		t.event = t.offer.EventByName(name)
	}
	step := testStep{Step: "event", State: testFailed, Reason: domain.ReasonUnknownEvent}
	switch {
	case t.event == nil:
		step.Detail = fmt.Sprintf("The offer has no event %q. Its events are %s; names are compared byte for byte.", domain.Truncated(name, 255), t.eventNames())
	case t.event.Status == domain.GoalStatusDeleted:
		step.Detail = "The event is deleted."
	case !t.offer.Open(t.event, t.goalsEnabled):
		step.Detail = "Goals are disabled in the settings: only the default goal converts."
	default:
		step.State, step.Reason, step.Detail = testOK, domain.ReasonNone, t.event.Name
	}
	if t.event != nil {
		step.EventID = t.event.EventID
	}
	t.add(step)
	return step.State == testOK
}

func (t *conversionProbe) eventNames() string {
	names := make([]string, 0, len(t.offer.Events))
	for i := range t.offer.Events {
		if t.offer.Open(&t.offer.Events[i], t.goalsEnabled) {
			names = append(names, t.offer.Events[i].EventID)
		}
	}
	return joined(names)
}

// planEvents finds what comes before the event, and dates the test so that no minimum time is in
// its way.
func (t *conversionProbe) planEvents() (goOn bool) {
	before := t.offer.Predecessors(t.event, t.goalsEnabled)
	step := testStep{Step: "sequence", State: testFailed, EventID: t.event.EventID}
	for _, e := range before {
		step.Predecessors = append(step.Predecessors, e.EventID)
	}
	var late *domain.Event
	t.plan, late = domain.PlanTest(t.offer, append(before, t.event), t.server.now())
	switch {
	case len(before) > 0 && !t.in.Body.CompletePredecessors:
		step.Reason = domain.ReasonOutOfSequence
		step.Detail = "It must come after " + joined(step.Predecessors) + ". Send completePredecessors: true to complete them first."
	case late != nil:
		step.Reason = domain.ReasonDeadlinePassed
		step.Detail = "By the minimum times " + late.Name + " can be completed only after its attribution window has ended, so no member can complete it."
	default:
		step.State, step.Detail = testOK, "No other event must be completed first."
		if len(before) > 0 {
			step.Detail = "Completed first: " + joined(step.Predecessors) + "."
		}
		if back := t.server.now().Sub(t.plan.ClickedAt); back >= time.Second {
			step.Detail += " The click is backdated by " + back.Truncate(time.Second).String() + " to meet the minimum times."
		}
	}
	t.add(step)
	return step.State == testOK
}

func joined(names []string) string { return strings.Join(names, ", ") }
