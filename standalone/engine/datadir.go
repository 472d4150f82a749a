package engine

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	lockFile = "lock"

	// OperatorTokenFile stands in for OFFERFLOW_OPERATOR_TOKEN, below the data folder.
	OperatorTokenFile = "operator-token"
	// SecretKeysFile stands in for OFFERFLOW_SECRET_KEYS.
	SecretKeysFile = "secret-keys"
	// NATSTokenFile is what clients of the embedded NATS must bring.
	NATSTokenFile = "nats-token"
	// TemporalTokenFile is what clients of the embedded Temporal must bring.
	TemporalTokenFile = "temporal-token"
)

// openDataDir makes the data folder and takes its lock. The kernel gives the
// lock back when the process ends, however it ends.
func openDataDir(dir string) (string, *os.File, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	if err := makeDataDir(dir); err != nil {
		return "", nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		return "", nil, fmt.Errorf("the data folder %s belongs to another user: start as that user, or set OFFERFLOW_DATA_DIR to another folder", dir)
	}
	if err != nil {
		return "", nil, fmt.Errorf("cannot use the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := io.ReadAll(f)
		_ = f.Close()
		return "", nil, fmt.Errorf("another Offerflow (process %s) uses the data folder %s: stop it, or set OFFERFLOW_DATA_DIR to another folder", strings.TrimSpace(string(holder)), dir)
	}
	// Only for the sentence above: the lock is the lock, not the number.
	err = errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintln(os.Getpid())))
	if err != nil {
		_ = f.Close()
		return "", nil, fmt.Errorf("cannot use the data folder: %w", err)
	}
	return dir, f, nil
}

// makeDataDir lets root's folder be passed through, not listed: PostgreSQL runs
// there as another user, who must reach its own folder inside.
func makeDataDir(dir string) error {
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("cannot create the data folder: %w", err)
	}
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("cannot create the data folder: %w", err)
	}
	return nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// OperatorToken returns given, or else the token in the data folder, which is
// minted on first use. The folder must be the engine's own: see Engine.DataDir.
func OperatorToken(dataDir, given string) (string, error) {
	return givenOrMinted(given, filepath.Join(dataDir, OperatorTokenFile))
}

// SecretKeys does the same for the secret keys: one key of 256 bits in hex.
func SecretKeys(dataDir, given string) (string, error) {
	return givenOrMinted(given, filepath.Join(dataDir, SecretKeysFile))
}

func givenOrMinted(given, path string) (string, error) {
	if given != "" {
		return given, nil
	}
	text, err := os.ReadFile(path)
	if err == nil {
		if kept := strings.TrimSpace(string(text)); kept != "" {
			return kept, nil
		}
		return "", fmt.Errorf("%s is empty: restore its content, or delete it so that a new one is created", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	minted := hex.EncodeToString(secret)
	return minted, writeDurably(path, minted+"\n")
}

// writeDurably writes a file of mode 0600 that is whole or not there: keys that
// were used for a second and then lost would make data unreadable.
func writeDurably(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
