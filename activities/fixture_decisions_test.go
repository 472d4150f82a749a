package activities

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

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// clicks stores n clicks of members of their own.
func (rig *decisionRig) clicks(o *domain.Offer, n int, change func(i int, c *domain.Click)) []domain.Click {
	rig.t.Helper()
	clicks := make([]domain.Click, n)
	for i := range clicks {
		at, member := rig.now(), fmt.Sprintf("member-%s-%d", o.ID, i)
		clicks[i] = domain.Click{
			ID: rig.Keys.NewID(keyring.KindClick, at), TenantID: rig.tenantID, ClickedAt: at, LinkID: uuid.New(), OfferID: o.ID, OfferVersion: o.Version,
			AdvertiserID: rig.advertiserID, PartnerID: &rig.partner, PubMemberID: &member, SessionEndsAt: o.SessionEnd(at),
		}
		if change != nil {
			change(i, &clicks[i])
		}
	}
	packed, err := json.Marshal(clicks)
	require.NoError(rig.t, err)
	require.NoError(rig.t, (&Clicks{Store: rig.Store}).Insert(rig.t.Context(), packed))
	return clicks
}

func (rig *decisionRig) click(o *domain.Offer, change ...func(c *domain.Click)) domain.Click {
	rig.t.Helper()
	return rig.clicks(o, 1, func(_ int, c *domain.Click) {
		member := uuid.NewString()
		c.PubMemberID = &member
		for _, one := range change {
			one(c)
		}
	})[0]
}

// postback is one that was received now.
func (rig *decisionRig) postback(c domain.Click, event string, change ...func(*domain.Postback)) domain.Postback {
	p := domain.Postback{
		ID: rig.Keys.NewID(keyring.KindPostback, rig.now()), ReceivedAt: rig.now(), Method: "GET", Path: "/track", SourceIP: "192.0.2.1", Params: map[string]string{},
		ClickID: &c.ID, EventID: event,
	}
	for _, one := range change {
		one(&p)
	}
	return p
}

// decide decides a postback, and checks what was foreseen of it (requireForeseen).
func (rig *decisionRig) decide(p domain.Postback) Decided {
	rig.t.Helper()
	foreseen := rig.foresee(p)
	decided, err := rig.Decide(rig.t.Context(), rig.tenantID, p)
	require.NoError(rig.t, err)
	require.Equal(rig.t, p.ID, decided.Answer.PostbackID)
	foreseen(decided)
	return decided
}

// post has a new postback decided.
func (rig *decisionRig) post(c domain.Click, event string, change ...func(*domain.Postback)) domain.Answer {
	rig.t.Helper()
	return rig.decide(rig.postback(c, event, change...)).Answer
}

// review moves a conversion for a person.
func (rig *decisionRig) review(id *uuid.UUID, action domain.Action, change ...func(*SettleRequest)) Settled {
	rig.t.Helper()
	request := SettleRequest{TenantID: rig.tenantID, ConversionID: *id, Action: action, RequestID: uuid.NewString(), Actor: "person"}
	for _, one := range change {
		one(&request)
	}
	settled, err := rig.Settle(rig.t.Context(), request)
	require.NoError(rig.t, err)
	return settled
}

func byTimer(r *SettleRequest) { r.Actor, r.RequestID = "", "release" }

// atOnce runs n calls as simultaneously as the machine can.
func atOnce(t *testing.T, n int, call func(i int) error) {
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

func amounting(amount, id string) func(*domain.Postback) {
	return func(p *domain.Postback) { p.Amount, p.ConversionID = amount, id }
}

// foresee asks, before a decision, whether it will change nothing; what it gives back compares that with the
// decision. Every decision of the tests of this package goes through it, so that it holds for all of
// their cases: what changes nothing is a refusal or a duplicate, and every refusal is foreseen, but
// for a nonce that was used before.
func (rig *decisionRig) foresee(p domain.Postback) (compare func(Decided)) {
	rig.t.Helper()
	click, ok, err := rig.ClickOf(rig.t.Context(), &p)
	require.NoError(rig.t, err)
	seen := value[int64](rig, "SELECT count(*) FROM postbacks WHERE id = $1", p.ID) > 0
	if !ok || seen { // answered from the log
		return func(Decided) {}
	}
	nothing, err := rig.ChangesNothing(rig.t.Context(), &click, &p)
	require.NoError(rig.t, err)
	const conversions = "SELECT count(*) + coalesce(sum(sequence), 0) FROM conversions WHERE click_id = $1"
	before := value[int64](rig, conversions, click.ID)
	held := value[int64](rig, "SELECT count(*) FROM held_postbacks WHERE click_id = $1", click.ID)
	return func(decided Decided) {
		rig.t.Helper()
		outcome := decided.Answer.Outcome
		if nothing {
			require.Contains(rig.t, []domain.Outcome{domain.OutcomeRefused, domain.OutcomeDuplicate}, outcome, "foreseen as changing nothing")
		}
		if nothing && held == 0 { // else what was held may be decided besides
			require.Empty(rig.t, decided.Waiting)
			require.False(rig.t, decided.SessionClosed)
			require.Equal(rig.t, before, value[int64](rig, conversions, click.ID))
		}
		if !nothing && outcome == domain.OutcomeRefused {
			require.Equal(rig.t, domain.ReasonBadSignature, decided.Answer.Reason, "a refusal that was not foreseen")
			require.NotNil(rig.t, p.Signed, "a refusal that was not foreseen")
		}
	}
}

func (rig *decisionRig) adjust(id *uuid.UUID, by domain.Adjustment, change ...func(*AdjustRequest)) error {
	rig.t.Helper()
	request := AdjustRequest{
		TenantID: rig.tenantID, ConversionID: *id, Figures: by, RequestID: uuid.NewString(), Actor: "person", Note: "partial refund",
	}
	for _, one := range change {
		one(&request)
	}
	_, err := rig.Adjust(rig.t.Context(), request)
	return err
}

// race sends one postback of each click at once and counts the answers by reason.
func (rig *decisionRig) race(clicks []domain.Click, change func(i int, p *domain.Postback)) map[domain.Reason]int {
	rig.t.Helper()
	answers := make([]domain.Answer, len(clicks))
	atOnce(rig.t, len(clicks), func(i int) error {
		p := rig.postback(clicks[i], "A")
		if change != nil {
			change(i, &p)
		}
		decided, err := rig.Decide(rig.t.Context(), rig.tenantID, p)
		answers[i] = decided.Answer
		return err
	})
	reasons := map[domain.Reason]int{}
	for _, answer := range answers {
		reasons[answer.Reason]++
	}
	return reasons
}

// reviewSome moves a conversion at random.
func (rig *decisionRig) reviewSome(ctx context.Context, random *rand.Rand) error {
	var id uuid.UUID
	err := rig.quiet.SystemPool().QueryRow(ctx, "SELECT id FROM conversions ORDER BY md5(id::text || $1) LIMIT 1", fmt.Sprint(random.Int())).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	action := []domain.Action{domain.ActionApprove, domain.ActionReject, domain.ActionReverse}[random.IntN(3)]
	_, err = rig.Settle(ctx, SettleRequest{TenantID: rig.tenantID, ConversionID: id, Action: action, RequestID: uuid.NewString(), Actor: "person"})
	return err
}

// refusedAt is a postback that the edge refused at an instant.
func (rig *decisionRig) refusedAt(at time.Time, change func(p *domain.Postback)) domain.Postback {
	rig.t.Helper()
	p := domain.Postback{
		ID: rig.Keys.NewID(keyring.KindPostback, at), ReceivedAt: at, Method: "GET", Path: "/track", SourceIP: "192.0.2.1",
		Params: map[string]string{"gk_click_id": "x"}, Refused: domain.ReasonMalformed, Detail: "gk_click_id is not a click id.",
	}
	if change != nil {
		change(&p)
	}
	return p.AsRefused(p.Refused)
}

// signed signs a postback as an advertiser does.
func (rig *decisionRig) signed(secret, nonce string, at time.Time) func(*domain.Postback) {
	return func(p *domain.Postback) {
		text := strings.Join([]string{"GET", "/track", p.ClickID.String(), p.EventID, nonce, at.Format(time.RFC3339)}, "\n")
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(text))
		p.Signed = &domain.Signed{Timestamp: at, Nonce: nonce, Signature: hex.EncodeToString(mac.Sum(nil)), SealedText: rig.Keys.Seal([]byte(text))}
	}
}

func (rig *decisionRig) key() string { return rig.advertiserID.String() }

func (rig *decisionRig) keyed() { rig.set("UPDATE tenants SET postback_security = 'keyed'") }

func (rig *decisionRig) sealed() *Sealed {
	return &Sealed{Decisions: rig.Decisions, Seals: &Seals{Keys: rig.Keys, Store: rig.Store, Now: rig.now}}
}

func says(status string) func(*domain.Postback) {
	return func(p *domain.Postback) { p.Status = status }
}
