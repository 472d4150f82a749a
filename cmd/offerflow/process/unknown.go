package process

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/offerflow/offerflow/domain"
)

// prefix begins the names of our settings.
const prefix = "OFFERFLOW_"

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
	var ends []string // what is the same in all says nothing of what was meant
	for _, one := range known {
		if end, ours := strings.CutPrefix(one, prefix); ours {
			ends = append(ends, end)
		}
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) || strings.HasPrefix(name, "OFFERFLOW_TEST_") || slices.Contains(known, name) || serviceLink.MatchString(name) {
			continue
		}
		warning := name + " is not a setting and has no effect"
		if near := domain.Nearest(strings.TrimPrefix(name, prefix), ends); len(near) > 0 {
			warning += fmt.Sprintf(": did you mean %s?", prefix+near[0])
		} else {
			warning += " (offerflow config lists all settings)"
		}
		warnings = append(warnings, warning)
	}
	slices.Sort(warnings)
	return warnings
}
