package engine

import (
	"fmt"
	"strconv"

	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// Ports are loopback ports; 0 picks a free one.
type Ports struct {
	Postgres, NATS, NATSMonitor, Temporal, TemporalUI int
}

// PortsFromEnv reads OFFERFLOW_POSTGRES_PORT (5433), OFFERFLOW_NATS_PORT
// (4222), OFFERFLOW_NATS_MONITOR_PORT (0), OFFERFLOW_TEMPORAL_PORT (7233) and
// OFFERFLOW_TEMPORAL_UI_PORT (8233). getenv is os.Getenv but for tests.
func PortsFromEnv(getenv func(string) string) (Ports, error) {
	var p Ports
	for _, v := range []struct {
		name     string
		fallback int
		port     *int
	}{
		{"OFFERFLOW_POSTGRES_PORT", 5433, &p.Postgres},
		{"OFFERFLOW_NATS_PORT", 4222, &p.NATS},
		{"OFFERFLOW_NATS_MONITOR_PORT", 0, &p.NATSMonitor},
		{"OFFERFLOW_TEMPORAL_PORT", 7233, &p.Temporal},
		{"OFFERFLOW_TEMPORAL_UI_PORT", 8233, &p.TemporalUI},
	} {
		*v.port = v.fallback
		text := getenv(v.name)
		if text == "" {
			continue
		}
		port, err := strconv.Atoi(text)
		if err != nil || port < 0 || port > 65535 {
			return Ports{}, fmt.Errorf("%s is %q, but must be a port from 0 (a free one) to 65535", v.name, text)
		}
		*v.port = port
	}
	return p, nil
}

// check names the first port that is asked for and taken.
func (p Ports) check() error {
	seen := map[int]string{}
	for _, v := range []struct {
		part, variable string
		port           int
	}{
		{"NATS", "OFFERFLOW_NATS_PORT", p.NATS},
		{"NATS's monitoring", "OFFERFLOW_NATS_MONITOR_PORT", p.NATSMonitor},
		{"Temporal", "OFFERFLOW_TEMPORAL_PORT", p.Temporal},
		{"Temporal's UI", "OFFERFLOW_TEMPORAL_UI_PORT", p.TemporalUI},
		{"PostgreSQL", "OFFERFLOW_POSTGRES_PORT", p.Postgres},
	} {
		if v.port == 0 {
			continue
		}
		if other := seen[v.port]; other != "" {
			return fmt.Errorf("%s and %s are both %d: change one of them, or set it to 0 for a free port", other, v.variable, v.port)
		}
		seen[v.port] = v.variable
		if v.variable != "OFFERFLOW_POSTGRES_PORT" && !ports.Free(v.port) {
			return portInUse(v.part, v.port, v.variable)
		}
	}
	return nil
}

func portInUse(part string, port int, variable string) error {
	return fmt.Errorf("%s cannot listen on %s, the port is in use: set %s to another port, or to 0 for a free one", part, ports.Address(port), variable)
}
