package process

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/keyring"
)

// fleet is a database and the processes on it.
type fleet struct {
	t     *testing.T
	store *db.Store
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	store, err := db.Open(t.Context(), dbtest.New(t), 8)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	return &fleet{t, store}
}

// process is one with these keys that has not looked yet.
func (f *fleet) process(role Role, keys ...string) *keyWatch {
	f.t.Helper()
	ring, err := keyring.Parse(strings.Join(keys, ","))
	require.NoError(f.t, err)
	return newKeyWatch(f.store, ring, role)
}

// started is one that found nothing wrong.
func (f *fleet) started(role Role, keys ...string) *keyWatch {
	f.t.Helper()
	w := f.process(role, keys...)
	require.NoError(f.t, w.look(f.t.Context()))
	return w
}

func (f *fleet) exec(statement string, args ...any) {
	f.t.Helper()
	require.NoError(f.t, f.store.System(f.t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, statement, args...)
		return err
	}))
}

// used gives the installation a tenant: without one, nothing was made with any key.
func (f *fleet) used() uuid.UUID {
	f.t.Helper()
	id := uuid.New()
	f.exec("INSERT INTO tenants (tenant_id, name, product, email, currency, timezone, created_at) VALUES ($1, 'n', 'publisher', 'e', 'USD', 'UTC', now())", id)
	return id
}

func idOf(t *testing.T, key string) string {
	t.Helper()
	ring, err := keyring.Parse(key)
	require.NoError(t, err)
	return ring.IDs()[0]
}

// agree says that what each process makes is genuine to all of them.
func agree(t *testing.T, fleet ...*keyWatch) {
	t.Helper()
	for _, maker := range fleet {
		id := maker.keys.NewID(keyring.KindClick, time.Now())
		for _, other := range fleet {
			require.True(t, other.keys.Genuine(keyring.KindClick, id), "a click of %v at %v", maker.self.SecretKeys, other.self.SecretKeys)
		}
	}
}

// A process with other keys than the rest does not start, and says which processes have which keys.
func TestAProcessWithOtherKeysDoesNotStart(t *testing.T) {
	f, key := newFleet(t), keyring.Generate()
	api := f.started(RoleAPI, key)
	agree(t, api, f.started(RoleWorker, key))
	other := f.process(RoleWorker, keyring.Generate())
	err := other.look(t.Context())
	require.ErrorIs(t, err, ErrOtherKeys)
	for _, says := range []string{
		"OFFERFLOW_SECRET_KEYS of this process (" + other.self.SecretKeys[0] + ")", "lack the key " + idOf(t, key), "api on " + api.self.Host, "worker on", "give it the same keys",
	} {
		require.ErrorContains(t, err, says)
	}
	require.NotContains(t, err.Error(), key)
	require.NoError(t, api.look(t.Context()), "those that run are not disturbed")
}

// The first process says which key is the current one; of two that start at the same moment with
// different keys one does not start.
func TestTwoFirstProcessesAtOnce(t *testing.T) {
	for range 5 {
		f := newFleet(t)
		both := []*keyWatch{f.process(RoleAPI, keyring.Generate()), f.process(RoleWorker, keyring.Generate())}
		errs := make([]error, len(both))
		var group sync.WaitGroup
		for i, one := range both {
			group.Go(func() { errs[i] = one.look(t.Context()) })
		}
		group.Wait()
		require.True(t, (errs[0] == nil) != (errs[1] == nil), "%v, %v", errs[0], errs[1])
	}
}

// Keys are rotated by putting a new one in front and replacing one process after the other. The new key is
// used once every process has it: until then nobody refuses what another one makes.
func TestAKeyIsAddedWhileOldProcessesRun(t *testing.T) {
	f, old, added := newFleet(t), keyring.Generate(), keyring.Generate()
	f.used()
	first, second := f.started(RoleAPI, old), f.started(RoleWorker, old)
	replaced := f.started(RoleAPI, added, old)
	for range 3 {
		require.NoError(t, replaced.look(t.Context()))
		agree(t, first, second, replaced)
	}
	first.end()
	alsoReplaced := f.started(RoleWorker, added, old)
	require.NoError(t, replaced.look(t.Context()))
	require.NoError(t, replaced.look(t.Context()))
	agree(t, second, replaced, alsoReplaced)
	require.Contains(t, replaced.said, "worker on", "the process that the new key waits for")

	second.end() // the last of them
	require.NoError(t, replaced.look(t.Context()))
	require.Equal(t, idOf(t, old), currentKey(f), "one look is not enough")
	require.NoError(t, replaced.look(t.Context()))
	require.Equal(t, idOf(t, added), currentKey(f))
	agree(t, replaced, alsoReplaced) // the other one has not looked yet
	require.NoError(t, alsoReplaced.look(t.Context()))
	agree(t, replaced, alsoReplaced)
	require.Equal(t, replaced.keys.Hash("t"), alsoReplaced.keys.Hash("t"), "both make with the new key")

	// The old key may go when nothing rests on it any more; a process that knows it alone is too late.
	agree(t, f.started(RoleAPI, added))
	err := f.process(RoleWorker, old).look(t.Context())
	require.ErrorIs(t, err, ErrOtherKeys)
	require.ErrorContains(t, err, "lack the key "+idOf(t, added))
}

func currentKey(f *fleet) (id string) {
	f.t.Helper()
	require.NoError(f.t, f.store.SystemPool().QueryRow(f.t.Context(), "SELECT secret_key FROM installation").Scan(&id))
	return id
}

// Two processes with the same keys in another order work, and do not take turns in changing the current one.
func TestTheSameKeysInAnotherOrder(t *testing.T) {
	f, a, b := newFleet(t), keyring.Generate(), keyring.Generate()
	one, other := f.started(RoleAPI, a, b), f.started(RoleWorker, b, a)
	for range 3 {
		require.NoError(t, one.look(t.Context()))
		require.NoError(t, other.look(t.Context()))
		require.Equal(t, idOf(t, a), currentKey(f))
	}
	agree(t, one, other)
}

// A process that was killed counts as running for a minute, and no longer.
func TestAKilledProcessIsForgotten(t *testing.T) {
	f, old, added := newFleet(t), keyring.Generate(), keyring.Generate()
	f.started(RoleAPI, old)
	replaced := f.started(RoleAPI, added, old)
	require.NoError(t, replaced.look(t.Context()))
	f.exec("UPDATE running_processes SET seen_at = now() - make_interval(secs => $1) WHERE id <> $2", runsWithin.Seconds()+1, replaced.self.ID)
	require.NoError(t, replaced.look(t.Context()))
	require.NoError(t, replaced.look(t.Context()))
	require.Equal(t, idOf(t, added), currentKey(f))
}

// A process that the others took for dead, and that lacks the key that they have moved on to, ends itself
// rather than refuse what they make.
func TestAProcessThatWasLeftBehindEnds(t *testing.T) {
	f, old, added := newFleet(t), keyring.Generate(), keyring.Generate()
	f.used()
	behind := f.started(RoleAPI, old)
	f.exec("UPDATE running_processes SET seen_at = now() - interval '1 hour'")
	moved := f.started(RoleAPI, added, old)
	require.NoError(t, moved.look(t.Context()))
	require.Equal(t, idOf(t, added), currentKey(f))
	require.ErrorIs(t, behind.look(t.Context()), ErrOtherKeys)
}

// All processes were stopped and start with other keys: they would make what was given away void. Where
// there is no tenant yet, nothing was, and a mistake of the first start is mended by starting again.
func TestStoppedAndStartedWithOtherKeys(t *testing.T) {
	f, wrong, right := newFleet(t), keyring.Generate(), keyring.Generate()
	first := f.started(RoleAll, wrong)
	first.end()
	f.started(RoleAll, right).end()
	require.Equal(t, idOf(t, right), currentKey(f))
	f.used()
	err := f.process(RoleAll, wrong).look(t.Context())
	require.ErrorIs(t, err, ErrOtherKeys)
	require.ErrorContains(t, err, "put that key back")
	require.ErrorContains(t, err, "offerflow adopt-keys")
	f.started(RoleAll, wrong, right)
}

// An installation of the release before recorded no key. Its newest token says which one it used.
func TestTheFirstStartAfterTheUpgrade(t *testing.T) {
	f, used, newer := newFleet(t), keyring.Generate(), keyring.Generate()
	ring, err := keyring.Parse(used)
	require.NoError(t, err)
	f.exec(`INSERT INTO api_tokens (tenant_id, id, name, scope, token_hash, created_at) VALUES ($1, gen_random_uuid(), 'n', 'management', $2, now())`, f.used(), ring.Hash("token"))
	err = f.process(RoleAPI, newer).look(t.Context())
	require.ErrorIs(t, err, ErrOtherKeys)
	require.ErrorContains(t, err, "lack the key "+ring.IDs()[0]+", which made the newest API token")
	agree(t, f.started(RoleAPI, newer, used), f.started(RoleWorker, used)) // processes of the release before run still
}

// A rotation does not wait for a short-lived command, which uses the current key.
func TestACommandIsNotListed(t *testing.T) {
	f, old, added := newFleet(t), keyring.Generate(), keyring.Generate()
	api := f.started(RoleAPI, old)
	replay := f.process(roleReplay, added, old)
	replay.isListed = false
	for range 3 {
		require.NoError(t, replay.look(t.Context()))
	}
	require.Equal(t, idOf(t, old), currentKey(f))
	agree(t, api, replay)
	var listed int
	require.NoError(t, f.store.SystemPool().QueryRow(t.Context(), "SELECT count(*) FROM running_processes").Scan(&listed))
	require.Equal(t, 1, listed)
}

// After a key was lost the operator says so, and the others are made to stop first.
func TestKeysAreAdopted(t *testing.T) {
	url := dbtest.New(t)
	store, err := db.Open(t.Context(), url, 4)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	f, lost, other := &fleet{t, store}, keyring.Generate(), keyring.Generate()
	f.used()
	running := f.started(RoleAPI, lost)
	config, err := FromEnv()
	require.NoError(t, err)
	config.DatabaseURL, config.OperatorToken, config.SecretKeys = url, keyring.Generate(), other
	var said strings.Builder
	require.ErrorContains(t, AdoptKeys(t.Context(), config, &said), "api on "+running.self.Host)
	running.end()
	require.NoError(t, AdoptKeys(t.Context(), config, &said))
	require.Contains(t, said.String(), idOf(t, other))
	f.started(RoleAPI, other)
}

// Members' pseudonyms are made with the last key: processes that have another one are told of.
func TestADifferentLastKeyIsToldOf(t *testing.T) {
	f, a, b := newFleet(t), keyring.Generate(), keyring.Generate()
	f.started(RoleAPI, a, b)
	other := f.started(RoleWorker, a)
	require.NoError(t, other.look(t.Context()))
	require.Contains(t, other.said, "the last key is "+idOf(t, a)+" here")
}
