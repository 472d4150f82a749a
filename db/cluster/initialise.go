package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// initialise runs initdb unless the folder has its data. It works in a folder
// of another name that is renamed at the end: whenever it is interrupted, what
// is called data is complete, and the rest is removed at the next start.
func initialise(ctx context.Context, bin string, p place, password string, nosync bool, log *slog.Logger) error {
	if err := removeHalfMade(p.home, log); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(p.data(), "PG_VERSION")); err == nil {
		return checkDataVersion(bin, p.data())
	}
	if _, err := os.Stat(p.data()); err == nil {
		return fmt.Errorf("%s exists but is not a PostgreSQL data folder: move it away, or set OFFERFLOW_DATA_DIR to another folder", p.data())
	}
	making, err := os.MkdirTemp(p.home, initPrefix)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(making) }()
	if p.account != nil {
		if err := os.Chown(making, int(p.account.Uid), int(p.account.Gid)); err != nil {
			return err
		}
	}
	if err := runInitdb(ctx, bin, making, p, nosync); err != nil {
		return err
	}
	if err := os.Rename(making, p.data()); err != nil {
		return err
	}
	return syncDir(p.home)
}

func runInitdb(ctx context.Context, bin, into string, p place, nosync bool) error {
	args := []string{
		"--pgdata=" + into, "--username=" + superuser, "--pwfile=" + filepath.Join(p.home, passwordFile),
		"--auth-local=scram-sha-256", "--auth-host=scram-sha-256",
		// C: the order of text is that of its bytes, the same on every machine
		// and after every upgrade of the system's collations.
		"--encoding=UTF8", "--locale=C", "--data-checksums", "--no-instructions",
	}
	if nosync {
		args = append(args, "--no-sync")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), args...)
	cmd.Dir, cmd.Env = "/", environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.account, Setpgid: true}
	// initdb has children; all of them go when ctx ends.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb failed: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// removeHalfMade clears away the folders of initdb runs that were cut short.
func removeHalfMade(home string, log *slog.Logger) error {
	old, err := filepath.Glob(filepath.Join(home, initPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range old {
		log.Info("removing an incomplete PostgreSQL folder", "folder", dir)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// checkDataVersion says what to do when the system's PostgreSQL was upgraded
// over an old folder. findBinaries prefers the newest; older ones that are
// still installed are named through OFFERFLOW_POSTGRES_BIN.
func checkDataVersion(bin, data string) error {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return err
	}
	made := strings.TrimSpace(string(text))
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return fmt.Errorf("%s/postgres does not run: %w", bin, err)
	}
	if have := fmt.Sprint(majorOf(string(out))); have != made {
		return fmt.Errorf("%s was created by PostgreSQL %s, but %s has version %s: set OFFERFLOW_POSTGRES_BIN to version %s (`apt-get install postgresql-%s`), or use another data folder", data, made, bin, have, made, made)
	}
	return nil
}

// environment is what the server's processes see: nothing of ours, so that a
// stray PGPORT or locale changes nothing.
func environment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
}
