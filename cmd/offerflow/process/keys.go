package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/keyring"
)

// Every id, token and secret that one process makes must be known to all others. So the database says with
// which key things are made now, and each process says which keys it has: one without the current key does
// not start, and a key that is new becomes the current one when all of them have it in front
// (docs/decisions/031-the-current-key.md).
const (
	// keysEvery is how often a process says that it runs, and looks at the keys of the others.
	keysEvery = 10 * time.Second
	// runsWithin is how long a process counts as running after it last said so.
	runsWithin = time.Minute
	// agreedLooks are the looks in a row that must find a new key everywhere before it is the current one:
	// a process that could not reach the database for a moment has its turn between them.
	agreedLooks = 2
)

// ErrOtherKeys is returned for keys that are not those of the other processes, or of what is in the database.
var ErrOtherKeys = errors.New("OFFERFLOW_SECRET_KEYS")

// keyWatch keeps the secret keys of a process and of the others together.
type keyWatch struct {
	store *db.Store
	keys  *keyring.Keyring
	self  dbgen.SystemSayRunningParams
	// isListed says that others can see this process: one that works for a moment only is not.
	isListed bool
	// agreed counts the looks in a row that found the first key in front everywhere.
	agreed int
	// said is what was last told of the keys, so that it is told once.
	said string
}

func newKeyWatch(store *db.Store, keys *keyring.Keyring, role Role) *keyWatch {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &keyWatch{store: store, keys: keys, isListed: true, self: dbgen.SystemSayRunningParams{
		ID: uuid.New(), Role: string(role), Host: host, Pid: int64(os.Getpid()), Release: release(), SecretKeys: keys.IDs(),
	}}
}

// look says that this process runs, and finds out which key is the current one: at the start, and then
// again and again. One process looks at a time.
func (w *keyWatch) look(ctx context.Context) error {
	q := dbgen.New()
	return w.store.System(ctx, func(ctx context.Context, tx pgx.Tx) error {
		found, err := w.find(ctx, tx)
		if err != nil {
			return err
		}
		current, err := found.choose(w.self.SecretKeys)
		if err != nil {
			return err
		}
		current = w.moveOn(current, found.others)
		if current != found.recorded {
			if err := q.SystemSetSecretKey(ctx, tx, current); err != nil {
				return err
			}
		}
		w.keys.MakeWith(current)
		if !w.isListed {
			return nil
		}
		return q.SystemSayRunning(ctx, tx, w.self)
	})
}

func (w *keyWatch) find(ctx context.Context, tx pgx.Tx) (found foundKeys, err error) {
	q := dbgen.New()
	row, err := q.SystemLockSecretKey(ctx, tx)
	if err != nil {
		return found, err
	}
	if row.SecretKey != nil {
		found.recorded, found.since = *row.SecretKey, *row.SecretKeySince
	}
	if found.others, err = q.SystemOtherProcesses(ctx, tx, w.self.ID, runsWithin.Seconds()); err != nil {
		return found, err
	}
	if found.isUsed, err = q.SystemHasTenants(ctx, tx); err != nil || found.recorded != "" {
		return found, err
	}
	hash, err := q.SystemNewestTokenHash(ctx, tx)
	if errors.Is(err, pgx.ErrNoRows) {
		return found, nil
	}
	found.ofNewestToken, _, _ = strings.Cut(hash, ":")
	return found, err
}

// foundKeys is what the database knows.
type foundKeys struct {
	// recorded is the current key; empty before a process has started.
	recorded string
	since    time.Time
	others   []dbgen.SystemOtherProcessesRow
	// isUsed says that there are tenants: without one nothing was made with any key.
	isUsed bool
	// ofNewestToken is the key that the newest token was made with, where none is recorded: by a release
	// that recorded none.
	ofNewestToken string
}

// choose says which key a process with these ones makes things with.
func (f *foundKeys) choose(ids []string) (current string, err error) {
	const lost = ": put that key back, behind a new one if there is one. If it is lost for good, run `offerflow adopt-keys`: everything made with it becomes invalid"
	switch {
	case slices.Contains(ids, f.recorded):
		return f.recorded, nil
	case f.recorded != "" && len(f.others) > 0:
		return "", lack(ids, f.recorded, "which is the current key since "+f.since.Format(time.RFC3339)+" and which these processes have: "+describe(f.others)+
			". This process would refuse genuine clicks and postbacks: give it the same keys. To rotate keys, put the new one in front of the old ones")
	case f.recorded != "" && f.isUsed:
		return "", lack(ids, f.recorded, "which made the ids, tokens and secrets in the database since "+f.since.Format(time.RFC3339)+lost)
	case f.recorded == "" && f.ofNewestToken != "" && !slices.Contains(ids, f.ofNewestToken):
		return "", lack(ids, f.ofNewestToken, "which made the newest API token in the database"+lost)
	case f.recorded == "" && f.ofNewestToken != "":
		return f.ofNewestToken, nil
	default: // the first process, or nothing was made with the key of the one before
		return ids[0], nil
	}
}

func lack(ids []string, key, what string) error {
	return fmt.Errorf("%w of this process (%s) lack the key %s, %s", ErrOtherKeys, strings.Join(ids, ", "), key, what)
}

// moveOn makes the first key of the setting the current one, once every process has it in front.
func (w *keyWatch) moveOn(current string, others []dbgen.SystemOtherProcessesRow) string {
	first := w.self.SecretKeys[0]
	if !w.isListed || current == first {
		w.agreed = 0
		w.tellOldest(others)
		return current
	}
	var waitsFor []dbgen.SystemOtherProcessesRow
	for _, one := range others {
		if one.SecretKeys[0] != first {
			waitsFor = append(waitsFor, one)
		}
	}
	if len(waitsFor) > 0 {
		w.agreed = 0
		w.tell("OFFERFLOW_SECRET_KEYS: the new key " + first + " is not used yet, and " + current +
			" stays the current key, until these processes have the new one in front too: " + describe(waitsFor))
		return current
	}
	if w.agreed++; w.agreed < agreedLooks {
		return current
	}
	w.agreed = 0
	slog.Info("every process has the new secret key in front: it is now the current key", "key", first, "before", current)
	return first
}

// tellOldest warns of processes that make other pseudonyms of members (keyring.Keyring.Pseudonym).
func (w *keyWatch) tellOldest(others []dbgen.SystemOtherProcessesRow) {
	oldest := w.self.SecretKeys[len(w.self.SecretKeys)-1]
	var differ []dbgen.SystemOtherProcessesRow
	for _, one := range others {
		if one.SecretKeys[len(one.SecretKeys)-1] != oldest {
			differ = append(differ, one)
		}
	}
	if len(differ) == 0 {
		w.said = ""
		return
	}
	w.tell("OFFERFLOW_SECRET_KEYS: the last key is " + oldest + " here but different in these processes: " + describe(differ) +
		". Members of shared offers are hashed differently until all processes have the same last key")
}

func (w *keyWatch) tell(text string) {
	if text != w.said {
		slog.Warn(text)
		w.said = text
	}
}

// run looks until the process stops. It ends with an error when the other processes have moved on to a key
// that this one lacks: it would refuse what they make.
func (w *keyWatch) run(ctx context.Context) error {
	ticker := time.NewTicker(keysEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		switch err := w.look(ctx); {
		case errors.Is(err, ErrOtherKeys):
			return err
		case err != nil && ctx.Err() == nil:
			w.agreed = 0
			slog.Debug("the keys of the other processes could not be looked at", "error", err)
		}
	}
}

// end takes the process off the list of those that run.
func (w *keyWatch) end() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := dbgen.New().SystemEndRunning(ctx, w.store.SystemPool(), w.self.ID); err != nil {
		slog.Debug("the end of this process could not be recorded", "error", err)
	}
}

func describe(processes []dbgen.SystemOtherProcessesRow) string {
	texts := make([]string, len(processes))
	for i, one := range processes {
		texts[i] = fmt.Sprintf("%s on %s (process %d, keys %s)", one.Role, one.Host, one.Pid, strings.Join(one.SecretKeys, ", "))
	}
	return strings.Join(texts, "; ")
}

// AdoptKeys goes on with the first of OFFERFLOW_SECRET_KEYS after the current key was lost.
func AdoptKeys(ctx context.Context, config Config, out io.Writer) error {
	p := &Process{config: config, role: "adopt-keys"}
	defer p.close()
	if err := p.prepare(ctx); err != nil {
		return err
	}
	w := newKeyWatch(p.store, p.keys, p.role)
	return p.store.System(ctx, func(ctx context.Context, tx pgx.Tx) error {
		found, err := w.find(ctx, tx)
		if err != nil {
			return err
		}
		if len(found.others) > 0 {
			return fmt.Errorf("these processes are running: %s. Stop them first; a killed process counts as running for %v", describe(found.others), runsWithin)
		}
		current := w.self.SecretKeys[0]
		if err := dbgen.New().SystemSetSecretKey(ctx, tx, current); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s is now the current key for ids, tokens and secrets. Those made with a key that is not in OFFERFLOW_SECRET_KEYS are invalid.\n", current)
		return nil
	})
}
