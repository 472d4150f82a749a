package domain

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// clickedAt is the click of every test about decisions.
var clickedAt = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func decimal(text string) *Micros {
	m, err := ParseMicros(text)
	if err != nil {
		panic(err)
	}
	return &m
}

func idOf(name string) uuid.UUID { return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)) }

// goal is an independent event that pays 2.50 and 100 points.
func goal(name string, changes ...func(*Event)) Event {
	e := Event{
		ID: idOf(name), Name: name, EventID: name, HasRevenue: true, Revenue: decimal("2.5"), HasReward: true, Reward: decimal("100"),
		GoalSettings: GoalSettings{Slug: name, Status: GoalStatusActive, RecordAs: RecordAsConversion, DedupeSeconds: *decimal("10")},
	}
	for _, change := range changes {
		change(&e)
	}
	return e
}

func seq(n int) func(*Event) { return func(e *Event) { e.SequenceNumber = &n } }
func gap(hours string) func(*Event) {
	return func(e *Event) { e.MinTimeFromPreviousEvent = decimal(hours) }
}
func deadline(days string) func(*Event) { return func(e *Event) { e.DeadlineDays = decimal(days) } }
func pending(days string) func(*Event)  { return func(e *Event) { e.PendingTime = decimal(days) } }
func repeats(e *Event)                  { e.AllowRepetitions = true }
func oncePerSession(e *Event)           { e.OncePerSession = true }
func endPoint(e *Event)                 { e.IsEndPoint = true }
func approval(e *Event)                 { e.RequiresApproval = true }

func multiOffer(events ...Event) *Offer {
	return &Offer{
		ID: idOf("offer"), Version: 1, OfferType: OfferTypeMultiEvent, ConversionType: ConversionTypeFlatRate, RewardType: RewardTypeAutomatic,
		Events: events, BudgetType: BudgetTypeTotal, Budget: *decimal("1000"), SessionDays: *decimal("30"),
		OutOfOrderGraceMinutes: *decimal("60"), OverCapPolicy: OverCapPolicyReject,
	}
}

func singleOffer(changes ...func(*Event)) *Offer {
	o := multiOffer(goal("", changes...))
	o.OfferType = OfferTypeSingleEvent
	return o
}

func changedOffer(o *Offer, changes ...func(*Offer)) *Offer {
	for _, change := range changes {
		change(o)
	}
	return o
}

// play sends postbacks of one click through Decide, as the deciding transactions do.
type play struct {
	facts Facts
	held  []heldPlay
	// posted is the latest postback that was sent.
	posted Postback
}

type heldPlay struct {
	postback Postback
	decideBy time.Time
}

func newPlay(offer *Offer) *play {
	member, partner := "member-1", idOf("partner")
	return &play{facts: Facts{
		Click:   Click{ID: idOf("click"), AdvertiserID: idOf("advertiser"), ClickedAt: clickedAt, PubMemberID: &member, PartnerID: &partner},
		AtClick: offer, Current: offer, Currency: "USD",
	}}
}

// post sends a postback that is received some time after the click, and decides the held ones again.
func (p *play) post(after time.Duration, event string, with ...func(*Postback)) Decision {
	now := clickedAt.Add(after)
	postback := Postback{ID: uuid.New(), ReceivedAt: now, EventID: event}
	for _, change := range with {
		change(&postback)
	}
	p.posted = postback
	d := p.decide(postback, now, nil)
	p.decideHeld(now)
	return d
}

func completed(after time.Duration) func(*Postback) {
	at := clickedAt.Add(after)
	return func(p *Postback) { p.CompletedAt = &at }
}
func named(conversionID string) func(*Postback) {
	return func(p *Postback) { p.ConversionID = conversionID }
}
func amount(text string) func(*Postback)   { return func(p *Postback) { p.Amount = text } }
func currency(text string) func(*Postback) { return func(p *Postback) { p.Currency = text } }

func (p *play) decide(postback Postback, now time.Time, decideBy *time.Time) Decision {
	f := p.facts
	f.Postback, f.Now, f.DecideBy, f.Held = postback, now, decideBy, len(p.held)
	f.Session = slices.Clone(p.facts.Session)
	d := Decide(f)
	switch {
	case d.New != nil:
		p.keep(postback, *d.New)
	case d.Move != "":
		p.move(d.Existing.ID, d.Move, now)
	case d.Outcome == OutcomeHeld && decideBy == nil:
		p.held = append(p.held, heldPlay{postback, d.DecideBy})
	}
	return d
}

// decideHeld decides the held postbacks again until none moves.
func (p *play) decideHeld(now time.Time) {
	for i := 0; i < len(p.held); i++ {
		h := p.held[i]
		if p.decide(h.postback, now, &h.decideBy).Outcome != OutcomeHeld {
			p.held = slices.Delete(p.held, i, i+1)
			i = -1
		}
	}
}

func (p *play) keep(postback Postback, n NewConversion) {
	p.facts.Session = append(p.facts.Session, Conversion{
		ID: uuid.New(), ClickID: p.facts.Click.ID, EventID: n.EventID, Status: n.Status, Reason: n.Reason, Sequence: 1,
		ReceivedAt: postback.ReceivedAt, CompletedAt: n.CompletedAt, CompletionTrusted: n.CompletionTrusted, ReleaseAt: n.ReleaseAt,
		NeedsReview: n.NeedsReview, AwaitsVerdict: n.AwaitsVerdict, CnvConversionID: postback.ConversionID, Sent: Sent{postback.Amount, postback.Currency, postback.CompletedAt, postback.Subs, postback.Verdict()},
		ClosesSession: n.ClosesSession,
		Revenue:       n.Revenue, Payout: n.Payout, Reward: n.Reward,
	})
	slices.SortStableFunc(p.facts.Session, func(a, b Conversion) int { return a.ReceivedAt.Compare(b.ReceivedAt) })
}

// move carries out a verdict.
func (p *play) move(id uuid.UUID, action Action, now time.Time) {
	i := slices.IndexFunc(p.facts.Session, func(c Conversion) bool { return c.ID == id })
	c := &p.facts.Session[i]
	status, reason, err := Move(*c, action, now)
	if err != nil {
		panic(err)
	}
	c.Status, c.Reason, c.NeedsReview, c.AwaitsVerdict, c.ByAdvertiser, c.Sequence = status, reason, false, false, true, c.Sequence+1
}

// last moves the newest conversion as the state machine allows.
func (p *play) last(t *testing.T, action Action, now time.Time) {
	t.Helper()
	c := &p.facts.Session[len(p.facts.Session)-1]
	status, reason, err := Move(*c, action, now)
	require.NoError(t, err)
	c.Status, c.Reason, c.NeedsReview, c.Sequence = status, reason, false, c.Sequence+1
}

func (p *play) live(event string) int {
	n := 0
	for _, c := range p.facts.Session {
		if c.EventID == idOf(event) && c.Status.Live() {
			n++
		}
	}
	return n
}

// ruleCase plays a few postbacks; the last one's decision is judged.
type ruleCase struct {
	name    string
	offer   *Offer
	play    func(p *play) Decision
	outcome Outcome
	reason  Reason
}

func runRules(t *testing.T, cases []ruleCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := c.play(newPlay(c.offer))
			require.Equal(t, c.outcome, d.Outcome, "reason %q", d.Reason)
			require.Equal(t, c.reason, d.Reason)
			requireConsistent(t, d)
		})
	}
}

// requireConsistent holds for every decision whatever.
func requireConsistent(t *testing.T, d Decision) {
	t.Helper()
	switch d.Outcome {
	case OutcomeAccepted:
		require.Equal(t, d.Counted, d.New == nil && d.Move == "", "rule 70: a conversion, or counted")
		if d.Counted {
			return
		}
		if d.New == nil {
			require.Equal(t, ActionApprove, d.Move, "rule 77")
			return
		}
		require.True(t, d.New.Status.Live())
		require.Empty(t, d.New.Reason)
	case OutcomeRejected:
		require.True(t, (d.New == nil) != (d.Existing == nil), "a rejection is a new row or an old one")
		if d.New != nil {
			require.Equal(t, StatusRejected, d.New.Status)
			require.Equal(t, d.Reason, d.New.Reason)
			require.Nil(t, d.New.ReleaseAt)
		}
	case OutcomeDuplicate:
		require.NotNil(t, d.Existing)
		require.True(t, d.Existing.Status.Live())
		require.Nil(t, d.New)
	default:
		require.Nil(t, d.New)
		require.Nil(t, d.Existing)
	}
}
