package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ownerFile, in a folder below /var/lib, names the data folder that it stands in for. It keeps a copy of
// that data folder from stopping the original's server and from serving the original's data.
const ownerFile = "belongs-to"

// claim checks that home, which dir's location file names, is there and belongs to dir.
func claim(dir, home string) error {
	location := filepath.Join(dir, locationFile)
	if _, err := os.Stat(home); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the PostgreSQL data of %s was in %s, which is gone: restore that folder too, or remove %s to begin with an empty database", dir, home, location)
	}
	text, err := os.ReadFile(filepath.Join(home, ownerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	owner := strings.TrimSpace(string(text))
	if owner == dir {
		return nil
	}
	// A data folder that was moved leaves no location behind, a copied one does.
	if other, err := os.ReadFile(filepath.Join(owner, locationFile)); owner != "" && err == nil && strings.TrimSpace(string(other)) == home {
		return fmt.Errorf("%s is a copy of %s, whose PostgreSQL data is in %s: copy that folder too, e.g. to %s-copy, write the copy's path into %s and remove %s from the copy",
			dir, owner, home, home, location, ownerFile)
	}
	return writeDurably(filepath.Join(home, ownerFile), dir+"\n", nil)
}
