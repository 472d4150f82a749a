package attribution_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// travelled encodes a workflow argument to JSON and decodes it again, as Temporal does.
func travelled[T any](t *testing.T, v T) (out T) {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

// Rule 67: a postback that reaches a workflow is believed by its seal. Without one of our keys nobody is
// an upload or a test, or has somebody else's address.
func TestRule67APostbackIsBelievedByItsSeal(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	click := rig.Click(rig.Offer([]domain.Event{activitytest.Goal("A")}))
	rig.Set("UPDATE advertisers SET security_token_hash = $1", rig.Keys.Hash("correct horse"))
	forged := rig.Postback(click, "A", func(p *domain.Postback) {
		p.Upload = &domain.Upload{Actor: "nobody", Reward: activitytest.Decimal("999000")}
	})
	refused := func(what string, tenantID uuid.UUID, p domain.Postback) {
		t.Helper()
		_, err := rig.Sealed().Decide(t.Context(), tenantID, travelled(t, p))
		require.ErrorIs(t, err, attribution.ErrUnsealed, what)
		require.True(t, activities.Permanent(err), what)
	}
	refused("without a seal", rig.TenantID, forged)
	stranger, err := keyring.Parse(keyring.Generate())
	require.NoError(t, err)
	theirs, err := attribution.SealPostback(stranger, rig.TenantID, forged)
	require.NoError(t, err)
	refused("under another key", rig.TenantID, theirs)
	genuine, err := attribution.SealPostback(rig.Keys, rig.TenantID, rig.Postback(click, "A", func(p *domain.Postback) {
		p.Upload = &domain.Upload{Actor: "Ada <&> Böb\u2028", Reward: activitytest.Decimal("7.25")}
		at := rig.Time().Add(-time.Minute).In(time.FixedZone("", 5*3600+1800))
		p.CompletedAt, p.Params = &at, map[string]string{"b": "<&>\u2028", "a": "\ufffd"}
	}))
	require.NoError(t, err)
	refused("for another tenant", uuid.New(), genuine)
	altered := genuine
	altered.Upload = &domain.Upload{Actor: genuine.Upload.Actor, Reward: activitytest.Decimal("999000")}
	refused("altered", rig.TenantID, altered)
	require.Zero(t, activitytest.Value[int64](rig, "SELECT count(*) FROM conversions"))

	result, err := rig.Sealed().Decide(t.Context(), rig.TenantID, travelled(t, travelled(t, genuine)))
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeAccepted, result.Answer.Outcome)
	require.Equal(t, *activitytest.Decimal("7.25"), rig.Conversion(result.Answer.ConversionID).RewardMicros)
}

// Rule 25: only a person who came by the API approves, rejects or reverses; a release comes of its time.
func TestRule25AReviewIsBelievedByItsSeal(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	id := rig.Post(rig.Click(rig.Offer([]domain.Event{activitytest.Goal("A", activitytest.PendingFor("7"))})), "A").ConversionID
	request := attribution.TransitionRequest{TenantID: rig.TenantID, ConversionID: *id, Action: domain.ActionApprove, RequestID: "r1", Actor: "nobody"}
	_, err := rig.Sealed().ApplyTransition(t.Context(), travelled(t, request))
	require.ErrorIs(t, err, attribution.ErrUnsealed)
	early := attribution.TransitionRequest{TenantID: rig.TenantID, ConversionID: *id, Action: domain.ActionRelease, RequestID: "r2", Actor: "nobody", OverrideCaps: true, Note: "x"}
	result, err := rig.Sealed().ApplyTransition(t.Context(), early)
	require.NoError(t, err)
	require.Equal(t, domain.StatusPending, result.Status)
	require.Equal(t, domain.ErrNotDue.Error(), result.Error)

	sealed, err := attribution.SealReview(rig.Keys, request)
	require.NoError(t, err)
	altered := sealed
	altered.Action = domain.ActionReject
	_, err = rig.Sealed().ApplyTransition(t.Context(), altered)
	require.ErrorIs(t, err, attribution.ErrUnsealed)
	result, err = rig.Sealed().ApplyTransition(t.Context(), travelled(t, sealed))
	require.NoError(t, err)
	require.Equal(t, domain.StatusSuccess, result.Status)
}

// What the release before wrote is believed until a day after the upgrade; where there was no release
// before, nothing unsealed ever is.
func TestWhatHasNoSealIsBelievedForADayAfterTheUpgrade(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	message := func(seal string, age time.Duration) error {
		seals := &attribution.Seals{Keys: rig.Keys, Store: rig.Store, Now: rig.Time}
		return seals.Message(t.Context(), "subject", []byte("data"), seal, rig.Time().Add(-age))
	}
	require.NoError(t, message(attribution.MessageSeal(rig.Keys)("subject", []byte("data")), 0))
	require.ErrorIs(t, message(attribution.MessageSeal(rig.Keys)("subject2", []byte("data")), 0), attribution.ErrUnsealed, "moved to another subject")
	require.ErrorIs(t, message("", 0), attribution.ErrUnsealed)
	require.ErrorIs(t, message("", 20*365*24*time.Hour), attribution.ErrUnsealed, "a new installation")

	owner, err := pgx.Connect(t.Context(), rig.URL)
	require.NoError(t, err)
	defer func() { _ = owner.Close(t.Context()) }()
	_, err = owner.Exec(t.Context(), "UPDATE installation SET unsealed_until = $1", rig.Time().Add(-time.Hour))
	require.NoError(t, err)
	require.NoError(t, message("", 2*time.Hour), "queued before the upgrade was over")
	require.ErrorIs(t, message("", time.Minute), attribution.ErrUnsealed)
	require.ErrorIs(t, message("x:y", 2*time.Hour), attribution.ErrUnsealed, "with a wrong seal")

	click := rig.Click(rig.Offer([]domain.Event{activitytest.Goal("A")}))
	_, err = rig.Sealed().Decide(t.Context(), rig.TenantID, rig.Postback(click, "A"))
	require.ErrorIs(t, err, attribution.ErrUnsealed)
	_, err = owner.Exec(t.Context(), "UPDATE installation SET unsealed_until = $1", rig.Time().Add(time.Hour))
	require.NoError(t, err)
	result, err := rig.Sealed().Decide(t.Context(), rig.TenantID, rig.Postback(click, "A"))
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeAccepted, result.Answer.Outcome)
}
