package activitytest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// Clicks stores n clicks of members of their own.
func (rig *Rig) Clicks(o *domain.Offer, n int, change func(i int, c *domain.Click)) []domain.Click {
	rig.T.Helper()
	clicks := make([]domain.Click, n)
	for i := range clicks {
		at, member := rig.Time(), fmt.Sprintf("member-%s-%d", o.ID, i)
		clicks[i] = domain.Click{
			ID: rig.Keys.NewID(keyring.KindClick, at), TenantID: rig.TenantID, ClickedAt: at, LinkID: uuid.New(), OfferID: o.ID, OfferVersion: o.Version,
			AdvertiserID: rig.AdvertiserID, PartnerID: &rig.Partner, PubMemberID: &member, SessionEndsAt: o.SessionEnd(at),
		}
		if change != nil {
			change(i, &clicks[i])
		}
	}
	packed, err := json.Marshal(clicks)
	require.NoError(rig.T, err)
	require.NoError(rig.T, (&attribution.Clicks{Store: rig.Store}).Insert(rig.T.Context(), packed))
	return clicks
}

// Click stores one click of a member of its own.
func (rig *Rig) Click(o *domain.Offer, change ...func(c *domain.Click)) domain.Click {
	rig.T.Helper()
	return rig.Clicks(o, 1, func(_ int, c *domain.Click) {
		member := uuid.NewString()
		c.PubMemberID = &member
		for _, one := range change {
			one(c)
		}
	})[0]
}

// Postback is one that was received now.
func (rig *Rig) Postback(c domain.Click, event string, change ...func(*domain.Postback)) domain.Postback {
	p := domain.Postback{
		ID: rig.Keys.NewID(keyring.KindPostback, rig.Time()), ReceivedAt: rig.Time(), Method: "GET", Path: "/track", SourceIP: "192.0.2.1", Params: map[string]string{},
		ClickID: &c.ID, EventID: event,
	}
	for _, one := range change {
		one(&p)
	}
	return p
}

// MustDecide decides a postback, and checks what was foreseen of it (requireForeseen).
func (rig *Rig) MustDecide(p domain.Postback) attribution.DecisionResult {
	rig.T.Helper()
	foreseen := rig.foresee(p)
	result, err := rig.Decide(rig.T.Context(), rig.TenantID, p)
	require.NoError(rig.T, err)
	require.Equal(rig.T, p.ID, result.Answer.PostbackID)
	foreseen(result)
	return result
}

// Post has a new postback decided.
func (rig *Rig) Post(c domain.Click, event string, change ...func(*domain.Postback)) domain.Answer {
	rig.T.Helper()
	return rig.MustDecide(rig.Postback(c, event, change...)).Answer
}

// Review moves a conversion for a person.
func (rig *Rig) Review(id *uuid.UUID, action domain.Action, change ...func(*attribution.TransitionRequest)) attribution.TransitionResult {
	rig.T.Helper()
	request := attribution.TransitionRequest{TenantID: rig.TenantID, ConversionID: *id, Action: action, RequestID: uuid.NewString(), Actor: "person"}
	for _, one := range change {
		one(&request)
	}
	result, err := rig.ApplyTransition(rig.T.Context(), request)
	require.NoError(rig.T, err)
	return result
}

// ByTimer makes a request that of the timer.
func ByTimer(r *attribution.TransitionRequest) { r.Actor, r.RequestID = "", "release" }

// AtOnce runs n calls as simultaneously as the machine can.
func AtOnce(t *testing.T, n int, call func(i int) error) {
	t.Helper()
	var done sync.WaitGroup
	begin, failed := make(chan struct{}), make(chan error, n)
	for i := range n {
		done.Go(func() {
			<-begin
			if err := call(i); err != nil {
				failed <- err
			}
		})
	}
	close(begin)
	done.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
}

// Amounting gives a postback an amount and the advertiser's conversion id.
func Amounting(amount, id string) func(*domain.Postback) {
	return func(p *domain.Postback) { p.Amount, p.ConversionID = amount, id }
}

// foresee asks, before a decision, whether it will change nothing; what it gives back compares that with the
// decision. Every decision of the tests of this package goes through it, so that it holds for all of
// their cases: what changes nothing is a refusal or a duplicate, and every refusal is foreseen, but
// for a nonce that was used before.
func (rig *Rig) foresee(p domain.Postback) (compare func(attribution.DecisionResult)) {
	rig.T.Helper()
	click, ok, err := rig.ClickOf(rig.T.Context(), &p)
	require.NoError(rig.T, err)
	seen := Value[int64](rig, "SELECT count(*) FROM postbacks WHERE id = $1", p.ID) > 0
	if !ok || seen { // answered from the log
		return func(attribution.DecisionResult) {}
	}
	nothing, err := rig.ChangesNothing(rig.T.Context(), &click, &p)
	require.NoError(rig.T, err)
	const conversions = "SELECT count(*) + coalesce(sum(sequence), 0) FROM conversions WHERE click_id = $1"
	before := Value[int64](rig, conversions, click.ID)
	held := Value[int64](rig, "SELECT count(*) FROM held_postbacks WHERE click_id = $1", click.ID)
	return func(result attribution.DecisionResult) {
		rig.T.Helper()
		outcome := result.Answer.Outcome
		if nothing {
			require.Contains(rig.T, []domain.Outcome{domain.OutcomeRefused, domain.OutcomeDuplicate}, outcome, "foreseen as changing nothing")
		}
		if nothing && held == 0 { // else what was held may be decided besides
			require.Empty(rig.T, result.Waiting)
			require.False(rig.T, result.SessionClosed)
			require.Equal(rig.T, before, Value[int64](rig, conversions, click.ID))
		}
		if !nothing && outcome == domain.OutcomeRefused {
			require.Equal(rig.T, domain.ReasonBadSignature, result.Answer.Reason, "a refusal that was not foreseen")
			require.NotNil(rig.T, p.Signed, "a refusal that was not foreseen")
		}
	}
}

// AdjustBy adjusts a conversion for a person.
func (rig *Rig) AdjustBy(id *uuid.UUID, by domain.Adjustment, change ...func(*attribution.AdjustRequest)) error {
	rig.T.Helper()
	request := attribution.AdjustRequest{
		TenantID: rig.TenantID, ConversionID: *id, Figures: by, RequestID: uuid.NewString(), Actor: "person", Note: "partial refund",
	}
	for _, one := range change {
		one(&request)
	}
	_, err := rig.Adjust(rig.T.Context(), request)
	return err
}

// Race sends one postback of each click at once and counts the answers by reason.
func (rig *Rig) Race(clicks []domain.Click, change func(i int, p *domain.Postback)) map[domain.Reason]int {
	rig.T.Helper()
	answers := make([]domain.Answer, len(clicks))
	AtOnce(rig.T, len(clicks), func(i int) error {
		p := rig.Postback(clicks[i], "A")
		if change != nil {
			change(i, &p)
		}
		result, err := rig.Decide(rig.T.Context(), rig.TenantID, p)
		answers[i] = result.Answer
		return err
	})
	reasons := map[domain.Reason]int{}
	for _, answer := range answers {
		reasons[answer.Reason]++
	}
	return reasons
}

// ReviewSome moves a conversion at random.
func (rig *Rig) ReviewSome(ctx context.Context, random *rand.Rand) error {
	var id uuid.UUID
	err := rig.Quiet.SystemPool().QueryRow(ctx, "SELECT id FROM conversions ORDER BY md5(id::text || $1) LIMIT 1", fmt.Sprint(random.Int())).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	action := []domain.Action{domain.ActionApprove, domain.ActionReject, domain.ActionReverse}[random.IntN(3)]
	_, err = rig.ApplyTransition(ctx, attribution.TransitionRequest{TenantID: rig.TenantID, ConversionID: id, Action: action, RequestID: uuid.NewString(), Actor: "person"})
	return err
}

// RefusedAt is a postback that the edge refused at an instant.
func (rig *Rig) RefusedAt(at time.Time, change func(p *domain.Postback)) domain.Postback {
	rig.T.Helper()
	p := domain.Postback{
		ID: rig.Keys.NewID(keyring.KindPostback, at), ReceivedAt: at, Method: "GET", Path: "/track", SourceIP: "192.0.2.1",
		Params: map[string]string{"gk_click_id": "x"}, Refused: domain.ReasonMalformed, Detail: "gk_click_id is not a click id.",
	}
	if change != nil {
		change(&p)
	}
	return p.AsRefused(p.Refused)
}

// Signed signs a postback as an advertiser does.
func (rig *Rig) Signed(secret, nonce string, at time.Time) func(*domain.Postback) {
	return func(p *domain.Postback) {
		text := strings.Join([]string{"GET", "/track", p.ClickID.String(), p.EventID, nonce, at.Format(time.RFC3339)}, "\n")
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(text))
		p.Signed = &domain.Signed{Timestamp: at, Nonce: nonce, Signature: hex.EncodeToString(mac.Sum(nil)), SealedText: rig.Keys.Seal([]byte(text))}
	}
}

// Key is the advertiser's key.
func (rig *Rig) Key() string { return rig.AdvertiserID.String() }

// Keyed has the tenant ask for a key with each postback.
func (rig *Rig) Keyed() { rig.Set("UPDATE tenants SET postback_security = 'keyed'") }

// Sealed are the decisions that workflows ask for.
func (rig *Rig) Sealed() *attribution.Sealed {
	return &attribution.Sealed{Decisions: rig.Decisions, Seals: &attribution.Seals{Keys: rig.Keys, Store: rig.Store, Now: rig.Time}}
}

// Says gives a postback the advertiser's status.
func Says(status string) func(*domain.Postback) {
	return func(p *domain.Postback) { p.Status = status }
}
