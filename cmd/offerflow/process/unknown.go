package process

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// elsewhere are variables of the same prefix that other programs read: standalone, docker-compose.yml and
// its scripts, and the tests.
var elsewhere = []string{
	"OFFERFLOW_DATA_DIR", "OFFERFLOW_POSTGRES_PORT", "OFFERFLOW_NATS_PORT", "OFFERFLOW_NATS_MONITOR_PORT", "OFFERFLOW_TEMPORAL_PORT",
	"OFFERFLOW_TEMPORAL_UI_PORT", "OFFERFLOW_STANDALONE_UI_WRITES", "OFFERFLOW_POSTGRES_BIN",
	"OFFERFLOW_OWNER_PASSWORD", "OFFERFLOW_DATABASE_PASSWORD",
}

// serviceLink is what Kubernetes puts into the environment for a service that is called offerflow, or
// offerflow-api.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)$`)

// Unknown warns of variables that look like settings and are none. They do not keep a process from
// starting: a release that is put back must start with the settings of the newer one.
func Unknown(environ []string) (warnings []string) {
	known := slices.Clone(elsewhere)
	for _, one := range (Config{}).Settings() {
		known = append(known, one.Name)
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "OFFERFLOW_") || strings.HasPrefix(name, "OFFERFLOW_TEST_") || slices.Contains(known, name) || serviceLink.MatchString(name) {
			continue
		}
		warning := name + " is no setting, and has no effect"
		if near := Nearest(name, known); near != "" {
			warning += fmt.Sprintf(": did you mean %s?", near)
		} else {
			warning += " (offerflow config lists them all)"
		}
		warnings = append(warnings, warning)
	}
	slices.Sort(warnings)
	return warnings
}

// Nearest is the candidate that a word was probably meant to be: empty when none is close to it.
func Nearest(word string, candidates []string) string {
	nearest, least := "", len(word)/4+2
	for _, one := range candidates {
		if distance := edits(word, one); distance < least {
			nearest, least = one, distance
		}
	}
	return nearest
}

// edits is how many letters must be changed, added or taken away to make one text of the other.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
