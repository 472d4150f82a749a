package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// tenantsRows are all rows of a tenant, by table.
func (rig *decisionRig) tenantsRows() map[string]string {
	rig.t.Helper()
	found := map[string]string{}
	for _, table := range []string{
		"clicks", "conversions", "transitions", "postbacks", "held_postbacks", "ledger_entries", "member_balances", "offer_views", "deliveries", "delivery_attempts",
		"outbox", "jobs", "audit_log", "idempotency_keys", "click_rollups", "conversion_rollups",
	} {
		found[table] = orNone(value[*string](rig, fmt.Sprintf("SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM %s t WHERE tenant_id = $1", table), rig.tenantID))
	}
	return found
}

// pointsOf is a balance of the rig's tenant.
func (rig *decisionRig) pointsOf(member string) int64 {
	rig.t.Helper()
	return value[int64](rig, "SELECT coalesce(sum(points_micros), 0)::bigint FROM member_balances WHERE tenant_id = $1 AND pub_member_id = $2", rig.tenantID, member)
}

// A member of the same id in another tenant, and others of the same tenant whose ids begin alike, keep all that
// they have. What the member does after the erasure is a new member's: nothing leads to the pseudonym.
func TestErasureTouchesNobodyElse(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 8)
	other := (&sharedRig{decisionRig: rig}).newPublisher()
	for _, tenant := range []*decisionRig{rig, other} {
		o := tenant.offer([]domain.Event{goal("A"), goal("B", pendingFor("1"))})
		for _, member := range []string{"m1", "m12", "m1"} {
			click := tenant.click(o, marked(member))
			tenant.post(click, "B", telling)
			if member == "m12" || tenant.points("m1") == 0 {
				tenant.post(click, "A", telling)
			}
		}
	}
	theirs := other.tenantsRows()
	require.Contains(t, theirs["clicks"], "m1")
	neighbours := value[string](rig, "SELECT string_agg(c::text, ' ') FROM clicks c WHERE tenant_id = $1 AND pub_member_id = 'm12'", rig.tenantID)
	pseudonym := rig.eraser().erase("m1")
	require.Equal(t, theirs, other.tenantsRows())
	require.Equal(t, neighbours, value[string](rig, "SELECT string_agg(c::text, ' ') FROM clicks c WHERE tenant_id = $1 AND pub_member_id = 'm12'", rig.tenantID))
	require.Equal(t, *decimal("100"), domain.Micros(rig.pointsOf("m12")))
	require.Equal(t, *decimal("100"), domain.Micros(rig.pointsOf(pseudonym)))
	require.Zero(t, value[int64](rig, "SELECT count(*) FROM member_balances WHERE tenant_id = $1 AND pub_member_id = 'm1'", rig.tenantID))

	rig.wait(time.Second)
	o := rig.offer([]domain.Event{goal("A")})
	again := rig.click(o, marked("m1"))
	require.Equal(t, domain.OutcomeAccepted, rig.post(again, "A").Outcome)
	require.Equal(t, *decimal("100"), domain.Micros(rig.pointsOf("m1")))
	require.Equal(t, *decimal("100"), domain.Micros(rig.pointsOf(pseudonym)))
	second := rig.eraser().erase("m1")
	require.NotEqual(t, pseudonym, second)
	require.Equal(t, *decimal("100"), domain.Micros(rig.pointsOf(pseudonym)))
	require.Equal(t, *decimal("100"), domain.Micros(rig.pointsOf(second)))
}

// A worker that is killed anywhere in it leaves books that add up, and the next run finds the rest: one pseudonym,
// nothing left, and done again it changes nothing.
func TestErasureThatIsCutShortGoesOn(t *testing.T) {
	t.Parallel()
	s := newErasureStory(t)
	o := s.offer([]domain.Event{goal("A", repeats)})
	for _, click := range s.clicks2(o, erasedAtOnce+20) {
		s.post(click, "A", telling)
	}
	before := s.figures()
	s.wait(time.Millisecond)
	jobID, pseudonym := s.eraser.ask(s.member, erasedAtOnce+23)
	random := rand.New(rand.NewPCG(7, 8))
	for range 25 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(60_000))*time.Microsecond)
		_, _ = s.eraser.jobs.RunJob(ctx, s.tenantID, jobID, 0)
		cancel()
		s.requireBooks()
	}
	s.eraser.run(jobID)
	require.Empty(t, s.holding(mark))
	require.Equal(t, before["ledger"], s.figures()["ledger"])
	require.Equal(t, before["conversions"], s.figures()["conversions"])
	require.Equal(t, int64(1), value[int64](s.decisionRig, "SELECT count(DISTINCT pub_member_id) FROM clicks WHERE tenant_id = $1", s.tenantID))
	done := s.tenantsRows()
	_, err := s.eraser.jobs.RunJob(t.Context(), s.tenantID, jobID, 0)
	require.NoError(t, err)
	require.Equal(t, done, s.tenantsRows())
	require.Contains(t, done["member_balances"], pseudonym)
}

// clicks2 are more clicks of the story's member.
func (s *erasureStory) clicks2(o *domain.Offer, n int) []domain.Click {
	return s.partnerRig.clicks(o, n, func(_ int, c *domain.Click) { marked(s.member)(c) })
}

// What was on its way when the erasure was asked for arrives later: news that becomes a callback, a click in the
// stream, a postback for an old click. The passes that follow find it, and the last one forgets the member's id.
func TestErasureFindsWhatArrivesLate(t *testing.T) {
	t.Parallel()
	s := newErasureStory(t)
	o := s.offer([]domain.Event{goal("A"), goal("B")})
	old := s.clicks2(o, 2)
	s.post(old[0], "A", telling)
	onItsWay := s.events()
	require.NotEmpty(t, onItsWay)
	late := old[1]
	late.ID = s.Keys.NewID(keyring.KindClick, s.now())
	pseudonym := s.eraser.erase(s.member)
	require.Empty(t, s.holding(mark))

	s.wait(time.Second)
	answer := s.post(old[1], "B", telling)
	require.Equal(t, pseudonym, *s.conversion(answer.ConversionID).PubMemberID)
	require.Empty(t, s.holding(mark), "a postback for an erased member's click is logged without what may say who it was")

	for _, event := range onItsWay {
		require.NoError(t, s.out.HandleConversion(t.Context(), event))
		s.out.Wait()
	}
	packed, err := json.Marshal([]domain.Click{late})
	require.NoError(t, err)
	require.NoError(t, (&Clicks{Store: s.Store}).Insert(t.Context(), packed))
	require.Contains(t, s.holding(mark), "deliveries.body")
	require.Contains(t, s.holding(mark), "clicks.pub_member_id")
	sweep := &Sweep{Store: s.Store, Decisions: s.Decisions}
	pass := func() int {
		done, err := sweep.erasures(t.Context())
		require.NoError(t, err)
		require.Zero(t, done.Failed, "%v", done.errs)
		return done.Found
	}
	require.Zero(t, pass(), "not yet")
	for i, after := range latePasses {
		require.NotEmpty(t, value[string](s.decisionRig, "SELECT member_sealed FROM member_erasures"), i)
		s.wait(after)
		require.Equal(t, 1, pass(), i)
		require.Empty(t, s.holding(mark), i)
	}
	require.Equal(t, []string{"", ""}, []string{value[string](s.decisionRig, "SELECT member_sealed FROM member_erasures"), value[string](s.decisionRig, "SELECT member_hash FROM member_erasures")})
	s.wait(100 * 24 * time.Hour)
	require.Zero(t, pass(), "forgotten")
	require.Equal(t, pseudonym, value[string](s.decisionRig, "SELECT pub_member_id FROM clicks WHERE id = $1", late.ID))
}

// In the book of a shared offer's advertiser the member is a key. It becomes another one, so that a new member of
// the same id has nothing to do with the erased one; among the erased one's clicks rule 6 still holds.
func TestErasureOfASharedOffersMember(t *testing.T) {
	t.Parallel()
	rig := newSharedRig(t, 8)
	o, partnership := rig.sharedOffer([]domain.Event{goal("A"), goal("B")})
	member := mark + "-shared"
	old := rig.clicks(o, 2, func(_ int, c *domain.Click) { marked(member)(c) })
	first := rig.post(old[0], "A")
	rig.sync(partnership, first.ConversionID)
	keyOf := func(click domain.Click) string {
		return value[string](rig.decisionRig, "SELECT member_key FROM clicks WHERE tenant_id = $1 AND id = $2", rig.tenantID, click.ID)
	}
	was := keyOf(old[0])
	require.NotEmpty(t, was)
	rollups := &Rollups{Store: rig.Store, Now: func() time.Time { return rig.now().AddDate(1, 0, 0) }}
	_, err := rollups.RollUp(t.Context())
	require.NoError(t, err)
	before := rig.figures()
	pseudonym := rig.publisher.eraser().erase(member)
	require.Equal(t, before, rig.figures())
	require.Empty(t, rig.holding(mark))
	require.Empty(t, rig.holding(was))
	require.NotEqual(t, was, keyOf(old[0]))
	require.Equal(t, keyOf(old[0]), keyOf(old[1]))
	require.Equal(t, domain.OutcomeDuplicate, rig.post(old[1], "A").Outcome, "rule 6, from the erased member's other click")
	require.Equal(t, pseudonym, *rig.publisher.conversion(first.ConversionID).PubMemberID)

	rig.wait(time.Second)
	fresh := rig.click(o, marked(member))
	require.Equal(t, was, keyOf(fresh))
	anew := rig.post(fresh, "A")
	require.Equal(t, domain.OutcomeAccepted, anew.Outcome)
	rig.sync(partnership, anew.ConversionID)
	rig.sync(partnership, rig.post(old[0], "B").ConversionID)
	require.Equal(t, int64(2), value[int64](rig.decisionRig, "SELECT count(*) FROM conversions WHERE tenant_id = $1 AND pub_member_id = $2", rig.publisher.tenantID, pseudonym))
	rig.requireEqual(t, o)
}

// Invariant 9: reports equal their raw rows at every moment, erasures among all that goes on.
func TestInvariant9HoldsWhileMembersAreErased(t *testing.T) {
	t.Parallel()
	r := newReportRig(t, 12)
	r.quiet = r.Store
	r.wait(time.Hour) // so that the clicks are from before the erasures
	random := rand.New(rand.NewPCG(11, 12))
	for range 20 {
		require.NoError(t, r.insert(t.Context(), random))
	}
	eraser := r.eraser()
	atOnce(t, 4, func(w int) error {
		random := rand.New(rand.NewPCG(uint64(w), 19))
		for i := range 25 {
			if w == 0 && i%5 == 0 {
				jobID, _ := eraser.ask(fmt.Sprintf("m%d", i), 10)
				for batch := (JobBatch{}); !batch.Done; {
					var err error
					if batch, err = eraser.jobs.RunJob(t.Context(), r.tenantID, jobID, batch.Through); err != nil {
						return err
					}
				}
			}
			if err := r.step(t.Context(), random); err != nil {
				return err
			}
			if err := r.compare(t.Context(), random); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, r.compare(t.Context(), random))
	require.Zero(t, value[int64](r.decisionRig, "SELECT count(*) FROM job_items WHERE state NOT IN ('changed', 'unchanged')"))
	_, err := r.rollups.RollUp(t.Context())
	require.NoError(t, err)
	for range 10 {
		require.NoError(t, r.compare(t.Context(), random))
	}
}

// Visitors of reports whose clicks were let go of are told apart by a hash that no key is in: whoever has the
// database could try ids out. It is another one afterwards, and as many are counted.
func TestErasureOfVisitorsWhoseClicksAreGone(t *testing.T) {
	t.Parallel()
	rig := newDecisionRig(t, 4)
	o := rig.offer([]domain.Event{goal("A")})
	rig.clicks(o, 3, func(i int, c *domain.Click) { marked(fmt.Sprintf("m%d", i))(c) })
	rollups := &Rollups{Store: rig.Store, Now: func() time.Time { return rig.now().AddDate(1, 0, 0) }}
	_, err := rollups.RollUp(t.Context())
	require.NoError(t, err)
	rig.asOwner("SET session_replication_role = replica; TRUNCATE clicks")
	hashed := func(member string) bool {
		return value[bool](rig, "SELECT bool_or(hashtextextended(offer_id::text || 'm' || $1, 0) = ANY(visitors)) FROM click_rollups", member)
	}
	rig.wait(time.Hour)
	require.True(t, hashed("m1"))
	pseudonym := rig.eraser().erase("m1")
	require.False(t, hashed("m1"))
	require.True(t, hashed(pseudonym))
	require.True(t, hashed("m2"))
	require.Equal(t, int64(3), value[int64](rig, "SELECT cardinality(visitors)::bigint FROM click_rollups"))
}
