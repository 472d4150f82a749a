package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// makeClick puts the test's click on disk and waits until a worker has made a row of it.
func (t *conversionProbe) makeClick(ctx context.Context) (goOn bool, err error) {
	body := t.in.Body
	at := t.plan.ClickedAt
	t.click = domain.Click{
		ID: t.server.Keys.NewID(keyring.KindClick, at), TenantID: t.tenantID, ClickedAt: at, LinkID: t.linkID, OfferID: t.offer.ID, OfferVersion: t.offer.Version,
		AdvertiserID: t.offer.AdvertiserID, PartnerID: body.PartnerID, PubMemberID: t.params.Member(), PubClickID: t.params.ClickID,
		PubSessionID: t.params.SessionID, PubGender: t.params.Gender, PubAge: t.params.Age, PubGeoCountry: t.params.Country,
		PubGeoState: t.params.State, PubPostalCode: t.params.PostalCode, PubDevice: t.params.Device, PubSubs: t.params.FilledSubs(),
		ViewID: t.params.ViewID, Source: t.params.Source, UserAgent: "Offerflow test", IsTest: true, SessionEndsAt: t.offer.SessionEnd(at),
	}
	t.click.Normalise()
	err = t.server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		return t.server.audit(ctx, tx, "test", "conversion", t.click.ID.String(), nil, t.in.Body)
	})
	if err != nil {
		return false, err
	}
	step := testStep{Step: "click", State: testOK, Detail: "The click is on disk and in the database."}
	t.out.ClickID = &t.click.ID
	if err := t.server.Tracking.PublishClick(ctx, &t.click, &t.offer.TenantID); err != nil {
		step.State, step.Detail = testFailed, "The stream did not accept the click: members currently get 503."
	} else if !t.await(ctx, t.clickHasRow) {
		step.State, step.Detail = testUnderWay, "On disk, but no worker has stored it in the database yet. Check that a worker is running and keeps up."
	}
	t.add(step)
	return step.State == testOK, nil
}

func (t *conversionProbe) clickHasRow(ctx context.Context) (bool, error) {
	_, err := dbgen.New().GetClick(ctx, t.server.Store.Read(t.tenantID), t.tenantID, t.click.ID)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// How long one part is waited for, so that the last one has time left to be looked at, and how often
// it is looked at.
const (
	testPartWithin = 4 * time.Second
	testLookEvery  = 25 * time.Millisecond
)

// await looks until something is there; an error is looked past like something that is not.
func (t *conversionProbe) await(ctx context.Context, there func(ctx context.Context) (bool, error)) bool {
	ctx, cancel := context.WithTimeout(ctx, testPartWithin)
	defer cancel()
	ticker := time.NewTicker(testLookEvery)
	defer ticker.Stop()
	for {
		if ok, err := there(ctx); ok && err == nil {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
}

// sendPostbacks sends a postback for each event of the plan, the one that is tested last.
func (t *conversionProbe) sendPostbacks(ctx context.Context) (goOn bool, err error) {
	for _, planned := range t.plan.Steps {
		postback := t.postback(planned)
		answer, err := t.server.Tracking.PublishPostback(ctx, postback)
		if err != nil {
			t.add(testStep{
				Step: "postback", State: testFailed, EventID: planned.Event.EventID,
				Detail: "The stream did not accept the postback: senders currently get 503.",
			})
			return false, nil
		}
		step := testStep{
			Step: "postback", State: testFailed, EventID: planned.Event.EventID, PostbackID: &postback.ID,
			Outcome: answer.Outcome, Reason: answer.Reason, Detail: cmp.Or(answer.Detail, answer.Reason.Sentence()),
		}
		switch answer.Outcome {
		case domain.OutcomeAccepted:
			step.State, step.Detail = testOK, "Accepted"+t.proof()+"."
		case domain.OutcomeQueued:
			step.State, step.Detail = testUnderWay, "On disk but not decided yet: GET /track/"+postback.ID.String()+" shows the answer."
		}
		t.add(step)
		t.answer, t.out.PostbackID, t.out.ConversionID = answer, &postback.ID, answer.ConversionID
		if step.State != testOK {
			return false, nil
		}
	}
	return true, nil
}

func (t *conversionProbe) postback(planned domain.TestStep) *domain.Postback {
	at := t.server.now()
	postback := &domain.Postback{
		ID: t.server.Keys.NewID(keyring.KindPostback, at), ReceivedAt: at, Method: "POST", Path: "/api/v1/tools/test-conversion", SourceIP: "",
		ClickID: &t.click.ID, EventID: planned.Event.EventID, Amount: t.in.Body.Amount, CompletedAt: planned.DoneAt, IsTest: true,
		Params: map[string]string{"gk_click_id": t.click.ID.String(), "cnv_event_id": planned.Event.EventID, "cnv_amount": t.in.Body.Amount},
	}
	if t.offer.EnforceEncryptedTracking { // rule 65: as its own opaque address would come
		postback.Address = &domain.Address{Opaque: true, OfferID: &t.offer.ID, GoalID: &planned.Event.ID}
	}
	return postback
}

// proof says what a real postback would have to bring with it (rules 65, 67, 78).
func (t *conversionProbe) proof() string {
	var needs []string
	if t.advertiser.SecurityTokenHash != nil {
		needs = append(needs, "security_token")
	}
	if t.advertiser.SigningSecretSealed != nil {
		needs = append(needs, "a signature")
	}
	if len(t.advertiser.IpAllowlist) > 0 {
		needs = append(needs, "an IP address on the allowlist")
	}
	if t.offer.EnforceEncryptedTracking {
		needs = append(needs, "an opaque URL")
	}
	if len(needs) == 0 && t.keyed {
		needs = append(needs, "the advertiser's own address (its postbackUrl), or an opaque one")
	}
	if len(needs) == 0 {
		return ""
	}
	return "; the advertiser's own postbacks need " + joined(needs) + ", which this test did not need"
}

// showConversion says how the conversion stands.
func (t *conversionProbe) showConversion(ctx context.Context) (goOn bool, err error) {
	step := testStep{Step: "conversion", State: testOK, EventID: t.event.EventID}
	if t.answer.ConversionID == nil {
		step.State, step.Detail = testSkipped, "The goal is recorded as a click: it is counted, without a conversion (rule 70)."
		t.add(step)
		return false, nil
	}
	var row dbgen.Conversion
	seen := t.await(ctx, func(ctx context.Context) (there bool, err error) { // a shared offer's is decided in the other book
		row, err = dbgen.New().GetConversion(ctx, t.server.Store.Read(t.tenantID), t.tenantID, *t.answer.ConversionID)
		return err == nil, err
	})
	if !seen {
		step.State, step.Detail = testUnderWay, "Decided, but not copied to this tenant's book yet."
		t.add(step)
		return false, nil
	}
	step.Detail = fmt.Sprintf("%s: revenue %s %s, payout %s %s, reward %s points; not counted in ledger, caps or reports.",
		row.Status, row.RevenueMicros, row.Currency, row.PayoutMicros, row.Currency, row.RewardMicros)
	if t.forAdvertiser {
		step.Detail = fmt.Sprintf("%s: cost %s %s; not counted in ledger, caps or reports.", row.Status, row.RevenueMicros, row.Currency)
	}
	switch {
	case row.Status == domain.StatusPending && row.ReleaseAt != nil:
		step.Detail += " It becomes Success on " + row.ReleaseAt.UTC().Format(time.RFC3339) + ", or when it is approved by POST /api/v1/conversions/review."
	case row.Status == domain.StatusPending:
		step.Detail += " It waits for a person: POST /api/v1/conversions/review."
	}
	t.add(step)
	return true, nil
}
