package delivery

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/erasure"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// erasureStory is a member of whom there is something in every place.
type erasureStory struct {
	*partnerRig
	eraser  *activitytest.Eraser
	member  string
	clicks  []domain.Click
	pending domain.Answer
}

func newErasureStory(t *testing.T) *erasureStory {
	t.Helper()
	rig := newPartnerRig(t)
	s := &erasureStory{partnerRig: rig, eraser: rig.Eraser(), member: activitytest.Mark + "-member/é \"1\""}
	rig.answers("/hook", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("thanks " + activitytest.Mark))
	})
	rig.partnerURL("/p/{pub_sub_1}?m={pub_member_id}&c={pub_click_id}&s={source}&a={aff_sub}", told("success", "pending", "reversed"))
	first, second := 1, 2
	o := rig.Offer([]domain.Event{
		activitytest.Goal("A"), activitytest.Goal("B", activitytest.PendingFor("1")), activitytest.Goal("C", func(e *domain.Event) { e.SequenceNumber = &second }), activitytest.Goal("D", func(e *domain.Event) { e.SequenceNumber = &first }), activitytest.Goal("E", activitytest.Approval),
	})
	s.clicks = rig.Clicks(o, 3, func(_ int, c *domain.Click) { activitytest.Marked(s.member)(c) })
	done := rig.Post(s.clicks[0], "A", activitytest.Telling)
	rig.Post(s.clicks[0], "A", activitytest.Telling) // a duplicate
	s.pending = rig.Post(s.clicks[1], "B", activitytest.Telling)
	require.Equal(t, domain.OutcomeHeld, rig.Post(s.clicks[1], "C", activitytest.Telling).Outcome)
	waits := rig.Post(s.clicks[2], "E", activitytest.Telling)
	rig.news(1)
	rig.Review(waits.ConversionID, domain.ActionApprove, func(r *attribution.TransitionRequest) { r.Note = "as " + s.member + " asked" })
	rig.answers("/hook", status(http.StatusServiceUnavailable)) // this news waits
	rig.Review(done.ConversionID, domain.ActionReverse)
	rig.InTenant(func(ctx context.Context, tx pgx.Tx) error {
		filter, err := json.Marshal(map[string][]string{"pubMemberId": {s.member}})
		if err != nil {
			return err
		}
		if _, err := queries.InsertJob(ctx, tx, dbgen.InsertJobParams{TenantID: rig.TenantID, ID: uuid.New(), Action: "approve", State: attribution.JobDone, Actor: "person", Note: "for " + s.member,
			Filter: filter, Columns: []string{}, CreatedAt: rig.Time()}); err != nil {
			return err
		}
		return queries.InsertOfferView(ctx, tx, dbgen.InsertOfferViewParams{TenantID: rig.TenantID, ID: uuid.New(), OfferID: o.ID, PubMemberID: s.member, Params: "pub_sub_1=" + activitytest.Mark, CreatedAt: rig.Time()})
	})
	events := rig.events()
	for i := range events {
		require.NoError(t, rig.out.HandleConversion(t.Context(), events[i]))
		rig.out.Wait()
	}
	s.write(o)
	return s
}

// write writes what comes of other parts: audit entries, answers that are kept, messages that failed.
func (s *erasureStory) write(o *domain.Offer) {
	t := s.T
	t.Helper()
	said, err := json.Marshal(map[string]any{"filter": map[string]any{"pubMemberId": s.member}, "reason": "told by " + s.member})
	require.NoError(t, err)
	tested, err := json.Marshal(map[string]any{"offerId": o.ID, "pub_member_id": s.member, "params": map[string]string{"pub_sub_1": activitytest.Mark}})
	require.NoError(t, err)
	packed, err := json.Marshal(s.clicks[:1])
	require.NoError(t, err)
	failed := s.Postback(s.clicks[0], "A", activitytest.Telling)
	failed.Warnings = nil
	message, err := json.Marshal(&failed)
	require.NoError(t, err)
	for _, row := range []struct {
		action, noun, nounID string
		after                []byte
	}{{"resend", "delivery", "bulk", said}, {"test", "conversion", s.clicks[0].ID.String(), tested}, {"look", "member", s.member, []byte("null")}} {
		s.InTenant(func(ctx context.Context, tx pgx.Tx) error {
			return queries.InsertAudit(ctx, tx, dbgen.InsertAuditParams{TenantID: s.TenantID, ID: uuid.Must(uuid.NewV7()), At: s.Time(), Actor: "person",
				Action: row.action, Noun: row.noun, NounID: row.nounID, After: row.after})
		})
	}
	s.Set(`INSERT INTO idempotency_keys (tenant_id, key, route, request_hash, status_code, answer, created_at) VALUES ($1, 'k', 'r', '\x00', 200, $2, now())`,
		s.TenantID, string(said))
	for i, payload := range [][]byte{packed, message} {
		_, err = s.Store.SystemPool().Exec(t.Context(), `INSERT INTO failed_messages (tenant_id, id, source, subject, payload, error, first_failed_at, failed_at) VALUES ($1, $2, 'clicks', 's', $3, 'e', now(), now())`,
			[]*uuid.UUID{nil, &s.TenantID}[i], uuid.New(), payload)
		require.NoError(t, err)
	}
}

// rollUp makes the sums of reports of whatever is marked.
func (s *erasureStory) rollUp() {
	t, ctx := s.T, s.T.Context()
	t.Helper()
	marks, err := queries.SystemMarkedBuckets(ctx, s.Store.SystemPool(), dbgen.SystemMarkedBucketsParams{Latest: s.Time().AddDate(1, 0, 0), AtMost: 1000})
	require.NoError(t, err)
	require.NotEmpty(t, marks)
	for _, of := range marks {
		_, err := queries.SystemTakeMarks(ctx, s.Store.SystemPool(), dbgen.SystemTakeMarksParams(of))
		require.NoError(t, err)
		if of.Clicks {
			require.NoError(t, queries.SystemDeleteClickRollups(ctx, s.Store.SystemPool(), of.TenantID, of.OfferID, of.Bucket))
			require.NoError(t, queries.SystemInsertClickRollups(ctx, s.Store.SystemPool(), of.TenantID, of.OfferID, of.Bucket))
		} else {
			require.NoError(t, queries.SystemDeleteConversionRollups(ctx, s.Store.SystemPool(), of.TenantID, of.OfferID, of.Bucket))
			require.NoError(t, queries.SystemInsertConversionRollups(ctx, s.Store.SystemPool(), of.TenantID, of.OfferID, of.Bucket))
		}
	}
}

// The whole of it: of a member of whom there is something in every place, nothing is found afterwards in any
// column of any table, and no figure is another one.
func TestErasureLeavesNothingOfTheMemberAndEveryFigure(t *testing.T) {
	t.Parallel()
	s := newErasureStory(t)
	s.rollUp()
	places := s.Holding(activitytest.Mark)
	for _, place := range []string{
		"audit_log.after", "audit_log.noun_id", "clicks.pub_member_id", "clicks.pub_subs", "clicks.referer", "clicks.user_agent", "conversions.cnv_subs", "conversions.pub_member_id",
		"deliveries.body", "delivery_attempts.answer", "delivery_attempts.url", "failed_messages.payload", "held_postbacks.message", "idempotency_keys.answer", "jobs.filter", "jobs.note",
		"ledger_entries.party", "member_balances.pub_member_id", "offer_views.params", "offer_views.pub_member_id", "outbox.payload", "postbacks.params", "postbacks.warnings", "transitions.note",
	} {
		require.Contains(t, places, place, "the control: it is there before")
	}
	require.Contains(t, s.Holding("203.0.113.77"), "clicks.ip")
	before := s.Figures()

	pseudonym := s.eraser.Erase(s.member)
	require.Empty(t, s.Holding(activitytest.Mark))
	require.ElementsMatch(t, []string{"held_postbacks.message", "failed_messages.payload"}, s.Holding("203.0.113.77"),
		"what is not decided keeps its sender's address: it may prove the sender")
	require.Equal(t, before, s.Figures())
	require.Contains(t, s.Holding(pseudonym), "ledger_entries.party")
	s.rollUp()
	require.Equal(t, before, s.Figures(), "recomputed from the erased rows")

	// What is due is still delivered, under the pseudonym; a partner that has not heard yet is told what it gave.
	s.Wait(time.Hour)
	s.answers("/hook", status(http.StatusOK))
	_, err := s.out.SweepDeliveries(t.Context())
	require.NoError(t, err)
	s.out.Wait()
	bodies := s.at("/hook")
	last := bodies[len(bodies)-1]
	require.Contains(t, last, pseudonym)
	require.NotContains(t, last, activitytest.Mark)

	// The pending one is released, its points are the pseudonym's. The held one is decided, and its log row says no
	// more than what happened.
	s.Wait(48 * time.Hour)
	require.Equal(t, domain.StatusSuccess, s.Review(s.pending.ConversionID, domain.ActionRelease, activitytest.ByTimer).Status)
	require.Equal(t, pseudonym, *s.Conversion(s.pending.ConversionID).PubMemberID)
	_, err = s.DecideHeld(t.Context(), s.TenantID, s.clicks[1].ID)
	require.NoError(t, err)
	require.Empty(t, s.Holding(activitytest.Mark))
	require.Equal(t, []string{"failed_messages.payload"}, s.Holding("203.0.113.77"))
}

// A worker that is killed anywhere in it leaves books that add up, and the next run finds the rest: one pseudonym,
// nothing left, and done again it changes nothing.
func TestErasureThatIsCutShortGoesOn(t *testing.T) {
	t.Parallel()
	s := newErasureStory(t)
	o := s.Offer([]domain.Event{activitytest.Goal("A", activitytest.Repeats)})
	for _, click := range s.clicks2(o, 200+20) {
		s.Post(click, "A", activitytest.Telling)
	}
	before := s.Figures()
	s.Wait(time.Millisecond)
	jobID, pseudonym := s.eraser.Ask(s.member, 200+23)
	random := rand.New(rand.NewPCG(7, 8))
	for range 25 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(60_000))*time.Microsecond)
		_, _ = s.eraser.Jobs.RunJob(ctx, s.TenantID, jobID, 0)
		cancel()
		s.RequireBooks()
	}
	s.eraser.Run(jobID)
	require.Empty(t, s.Holding(activitytest.Mark))
	require.Equal(t, before["ledger"], s.Figures()["ledger"])
	require.Equal(t, before["conversions"], s.Figures()["conversions"])
	require.Equal(t, int64(1), activitytest.Value[int64](s.Rig, "SELECT count(DISTINCT pub_member_id) FROM clicks WHERE tenant_id = $1", s.TenantID))
	done := s.TenantsRows()
	_, err := s.eraser.Jobs.RunJob(t.Context(), s.TenantID, jobID, 0)
	require.NoError(t, err)
	require.Equal(t, done, s.TenantsRows())
	require.Contains(t, done["member_balances"], pseudonym)
}

// clicks2 are more clicks of the story's member.
func (s *erasureStory) clicks2(o *domain.Offer, n int) []domain.Click {
	return s.partnerRig.Clicks(o, n, func(_ int, c *domain.Click) { activitytest.Marked(s.member)(c) })
}

// What was on its way when the erasure was asked for arrives later: news that becomes a callback, a click in the
// stream, a postback for an old click. The passes that follow find it, and the last one forgets the member's id.
func TestErasureFindsWhatArrivesLate(t *testing.T) {
	t.Parallel()
	s := newErasureStory(t)
	o := s.Offer([]domain.Event{activitytest.Goal("A"), activitytest.Goal("B")})
	old := s.clicks2(o, 2)
	s.Post(old[0], "A", activitytest.Telling)
	onItsWay := s.events()
	require.NotEmpty(t, onItsWay)
	late := old[1]
	late.ID = s.Keys.NewID(keyring.KindClick, s.Time())
	pseudonym := s.eraser.Erase(s.member)
	require.Empty(t, s.Holding(activitytest.Mark))

	s.Wait(time.Second)
	answer := s.Post(old[1], "B", activitytest.Telling)
	require.Equal(t, pseudonym, *s.Conversion(answer.ConversionID).PubMemberID)
	require.Empty(t, s.Holding(activitytest.Mark), "a postback for an erased member's click is logged without what may say who it was")

	for _, event := range onItsWay {
		require.NoError(t, s.out.HandleConversion(t.Context(), event))
		s.out.Wait()
	}
	packed, err := json.Marshal([]domain.Click{late})
	require.NoError(t, err)
	require.NoError(t, (&attribution.Clicks{Store: s.Store}).Insert(t.Context(), packed))
	require.Contains(t, s.Holding(activitytest.Mark), "deliveries.body")
	require.Contains(t, s.Holding(activitytest.Mark), "clicks.pub_member_id")
	passes := &erasure.Erasures{Store: s.Store, Keys: s.Keys, Now: s.Time}
	pass := func() int {
		done, err := passes.PassLate(t.Context())
		require.NoError(t, err)
		require.Zero(t, done.Failed, "%v", done.Errors())
		return done.Found
	}
	require.Zero(t, pass(), "not yet")
	for i, after := range []time.Duration{10 * time.Minute, 2 * time.Hour, 24 * time.Hour, 4 * 24 * time.Hour} {
		require.NotEmpty(t, activitytest.Value[string](s.Rig, "SELECT member_sealed FROM member_erasures"), i)
		s.Wait(after)
		require.Equal(t, 1, pass(), i)
		require.Empty(t, s.Holding(activitytest.Mark), i)
	}
	require.Equal(t, []string{"", ""}, []string{activitytest.Value[string](s.Rig, "SELECT member_sealed FROM member_erasures"), activitytest.Value[string](s.Rig, "SELECT member_hash FROM member_erasures")})
	s.Wait(100 * 24 * time.Hour)
	require.Zero(t, pass(), "forgotten")
	require.Equal(t, pseudonym, activitytest.Value[string](s.Rig, "SELECT pub_member_id FROM clicks WHERE id = $1", late.ID))
}
