package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// minVersion is the oldest server the migrations are written for.
const minVersion = 15

// findBinaries returns the folder that holds initdb and postgres:
// OFFERFLOW_POSTGRES_BIN, else Debian's newest, else where PATH finds them.
func findBinaries() (string, error) {
	if dir := os.Getenv("OFFERFLOW_POSTGRES_BIN"); dir != "" {
		if !hasBinaries(dir) {
			return "", fmt.Errorf("OFFERFLOW_POSTGRES_BIN is %s, but that folder does not contain initdb and postgres", dir)
		}
		return dir, checkVersion(dir)
	}
	if dir := newestDebian("/usr/lib/postgresql"); dir != "" {
		return dir, nil
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		// Distributions link single programs into PATH; the rest lies beside the original.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if dir := filepath.Dir(path); hasBinaries(dir) {
			return dir, checkVersion(dir)
		}
	}
	return "", fmt.Errorf("PostgreSQL %d or newer is not installed: run `apt-get install postgresql` (macOS: `brew install postgresql@17`), or set OFFERFLOW_POSTGRES_BIN to the folder with initdb and postgres", minVersion)
}

// newestDebian looks for <root>/<version>/bin and takes the highest version.
func newestDebian(root string) string {
	entries, _ := os.ReadDir(root)
	best, dir := 0, ""
	for _, e := range entries {
		bin := filepath.Join(root, e.Name(), "bin")
		v, err := strconv.Atoi(e.Name())
		if err == nil && v >= minVersion && v > best && hasBinaries(bin) {
			best, dir = v, bin
		}
	}
	return dir
}

func hasBinaries(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// checkVersion refuses a server that is too old for the migrations.
func checkVersion(dir string) error {
	// Says e.g. "postgres (PostgreSQL) 15.18 (Debian 15.18-1)"; allowed as root.
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return fmt.Errorf("%s/postgres does not run: %w", dir, err)
	}
	if v := majorOf(string(out)); v < minVersion {
		return fmt.Errorf("PostgreSQL in %s is version %d, but %d or newer is required: run `apt-get install postgresql`, or set OFFERFLOW_POSTGRES_BIN", dir, v, minVersion)
	}
	return nil
}

func majorOf(version string) int {
	_, after, _ := strings.Cut(version, "(PostgreSQL) ")
	end := strings.IndexFunc(after, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(after)
	}
	v, _ := strconv.Atoi(after[:end])
	return v
}
