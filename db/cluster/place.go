package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	dataDir      = "data"
	initPrefix   = "data.init-"
	passwordFile = "password"
	socketDir    = "run"
	logFile      = "postgres.log"
	locationFile = "location"

	// elsewhere is where clusters live whose own folder the server's user
	// cannot reach, typically one in root's home.
	elsewhere = "/var/lib/offerflow"
)

// place is a folder that has been made fit for a cluster, and the user the
// server runs as there; a nil account means the user we are.
type place struct {
	home    string
	account *syscall.Credential
}

func (p place) data() string   { return filepath.Join(p.home, dataDir) }
func (p place) log() string    { return filepath.Join(p.home, logFile) }
func (p place) socket() string { return filepath.Join(p.home, socketDir) }

// settle makes the folder, or the other place that stands in for it, and
// decides which user the server runs as.
func settle(dir string) (place, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return place{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return place{}, fmt.Errorf("cannot create the folder for PostgreSQL: %w", err)
	}
	home, err := homeOf(dir)
	if err != nil {
		return place{}, err
	}
	if home != dir {
		if err := claim(dir, home); err != nil {
			return place{}, err
		}
	}
	if os.Geteuid() != 0 {
		return place{home: home}, prepareAsSelf(home)
	}
	account, err := serverAccount(home)
	if err != nil {
		return place{}, err
	}
	if err := handOver(home, account); err == nil {
		return place{home: home, account: account}, nil
	} else if home != dir {
		return place{}, fmt.Errorf("the PostgreSQL data of %s lies in %s, which user %d cannot reach: %w", dir, home, account.Uid, err)
	}
	return settleElsewhere(dir, account)
}

// prepareAsSelf checks that the folder is ours: PostgreSQL refuses one that
// belongs to somebody else, in words that do not help.
func prepareAsSelf(home string) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return fmt.Errorf("cannot create the folder for PostgreSQL: %w", err)
	}
	uid, err := ownerOf(home)
	if err != nil {
		return err
	}
	if int(uid) != os.Geteuid() {
		return fmt.Errorf("the PostgreSQL folder %s belongs to user %d: start as that user or as root, or set OFFERFLOW_DATA_DIR to another folder", home, uid)
	}
	return os.Chmod(home, 0o700)
}

// homeOf follows the location file, if there is one.
func homeOf(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, locationFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return dir, nil
	case errors.Is(err, fs.ErrPermission):
		return "", fmt.Errorf("the PostgreSQL folder %s belongs to another user: start as that user or as root, or set OFFERFLOW_DATA_DIR to another folder", dir)
	case err != nil:
		return "", err
	}
	home := strings.TrimSpace(string(text))
	if filepath.Dir(home) != elsewhere {
		return "", fmt.Errorf("%s names %q, which is not a folder below %s: remove that file if the data it stood for is gone", filepath.Join(dir, locationFile), home, elsewhere)
	}
	return home, nil
}

// settleElsewhere picks a new folder below /var/lib and notes it in dir. Its
// name is random, not derived from dir: a data folder that was deleted and
// made anew must not find the old data again.
func settleElsewhere(dir string, account *syscall.Credential) (place, error) {
	id := make([]byte, 8)
	_, _ = rand.Read(id)
	home := filepath.Join(elsewhere, hex.EncodeToString(id))
	hint := fmt.Sprintf("PostgreSQL must not run as root, and user %d, who would run it, can reach neither %s nor %s: set OFFERFLOW_DATA_DIR to a folder outside of root's home, e.g. /var/lib/offerflow/data", account.Uid, dir, elsewhere)
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		return place{}, fmt.Errorf("%s (%w)", hint, err)
	}
	if err := handOver(home, account); err != nil {
		_ = os.RemoveAll(home)
		return place{}, fmt.Errorf("%s (%w)", hint, err)
	}
	// Earlier attempts may have handed dir itself over.
	if err := os.Chown(dir, 0, 0); err != nil {
		return place{}, err
	}
	err := writeDurably(filepath.Join(home, ownerFile), dir+"\n", nil)
	if err == nil {
		err = writeDurably(filepath.Join(dir, locationFile), home+"\n", nil)
	}
	if err != nil {
		_ = os.RemoveAll(home)
		return place{}, err
	}
	return place{home: home, account: account}, nil
}

// serverAccount is the user a server started by root runs as: the owner of
// data that is there already, else postgres, else nobody.
func serverAccount(home string) (*syscall.Credential, error) {
	if uid, gid, err := owners(filepath.Join(home, dataDir)); err == nil && uid != 0 {
		return &syscall.Credential{Uid: uid, Gid: gid}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil && uid != 0 {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL must not run as root and there is neither a user postgres nor a user nobody: start as an ordinary user")
}

// handOver gives the folder to the server's user and proves that this user
// can enter and write it. Asking a process of that user is the only test that
// also sees ACLs, mount options and namespaces.
func handOver(home string, account *syscall.Credential) error {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	if err := os.Chown(home, int(account.Uid), int(account.Gid)); err != nil {
		return err
	}
	if err := os.Chmod(home, 0o700); err != nil {
		return err
	}
	probe := exec.Command("/bin/sh", "-c", `cd "$1" && test -w .`, "sh", home)
	probe.Dir = "/"
	probe.SysProcAttr = &syscall.SysProcAttr{Credential: account}
	if out, err := probe.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w", strings.TrimSpace(string(out)), err)
	}
	return nil
}

// mintPassword returns the superuser's password, making it on first use.
func mintPassword(p place) (string, error) {
	path := filepath.Join(p.home, passwordFile)
	if text, err := os.ReadFile(path); err == nil && len(strings.TrimSpace(string(text))) > 0 {
		return strings.TrimSpace(string(text)), nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	secret := make([]byte, 24)
	_, _ = rand.Read(secret)
	password := hex.EncodeToString(secret)
	// The server's user owns it, because initdb reads it from there.
	return password, writeDurably(path, password+"\n", p.account)
}

// writeDurably writes a file of mode 0600 that is either whole or not there,
// also after a power cut.
func writeDurably(path, text string, owner *syscall.Credential) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(text)
	if owner != nil {
		err = errors.Join(err, f.Chown(int(owner.Uid), int(owner.Gid)))
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename inside the folder survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func ownerOf(path string) (uint32, error) {
	uid, _, err := owners(path)
	return uid, err
}

func owners(path string) (uid, gid uint32, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, fmt.Errorf("cannot tell who owns %s", path)
	}
	return stat.Uid, stat.Gid, nil
}
