package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
)

// A JetStream server acknowledges before it has synced, unless it is told otherwise: a power failure
// would lose clicks that members were redirected for. So nothing is ready until each stream is
// replicated to three, or its server proves that it syncs every write.

// enoughReplicas make a quorum that outlives one server.
const enoughReplicas = 3

const (
	notProven   errNotReady = "does not prove that it syncs every write: set sync_interval: always and OFFERFLOW_NATS_MONITOR_URL, or use three replicas"
	notSynced   errNotReady = "does not sync every write: set sync_interval: always, or use three replicas"
	noQuorum    errNotReady = "has no majority of its replicas: it takes no messages"
	asyncWrites errNotReady = "a stream has persist_mode async: it would lose what was acknowledged"
)

// streamReady says whether what is published now is safe.
func (s *Server) streamReady(ctx context.Context) error {
	if s.Stream == nil || s.Stream.NATS.Status() != nats.CONNECTED {
		return errNotReady("is not connected")
	}
	for _, name := range []string{stream.Clicks, stream.Starts, stream.Postbacks, stream.Events, stream.Live} {
		found, err := s.Stream.JS.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		if err := s.durable(ctx, found.CachedInfo()); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
	}
	return nil
}

func (s *Server) durable(ctx context.Context, info *jetstream.StreamInfo) error {
	if info.Config.PersistMode == jetstream.AsyncPersistMode {
		return asyncWrites
	}
	if info.Config.Replicas >= enoughReplicas {
		return quorum(info)
	}
	holder := streamHolder{id: s.Stream.NATS.ConnectedServerId()}
	// A server alone names itself as leader. Names are given by people, to several servers perhaps: the
	// id is asked for wherever it is known.
	if info.Cluster != nil && info.Cluster.Leader != "" {
		holder.name = info.Cluster.Leader
		if holder.name != s.Stream.NATS.ConnectedServerName() {
			holder.id = ""
		}
	}
	return provesSync(ctx, s.Config.NATSMonitorURL, holder)
}

// quorum says whether a majority of a stream's replicas is there: fewer take no message.
func quorum(info *jetstream.StreamInfo) error {
	if info.Cluster == nil || info.Cluster.Leader == "" {
		return noQuorum
	}
	there := 1 // the leader, which answered
	for _, replica := range info.Cluster.Replicas {
		if !replica.Offline {
			there++
		}
	}
	if 2*there <= info.Config.Replicas {
		return noQuorum
	}
	return nil
}

// streamHolder is the server that holds a stream: by name in a cluster, by id where it is the one that we
// are connected to.
type streamHolder struct{ id, name string }

// varz is what a server says of itself at its monitoring address.
type varz struct {
	ServerID   string `json:"server_id"`
	ServerName string `json:"server_name"`
	JetStream  struct {
		Config struct {
			SyncAlways bool `json:"sync_always"`
		} `json:"config"`
	} `json:"jetstream"`
}

const maxVarzBytes = 1 << 20

// provesSync asks the server at a monitoring address, which must be the stream's holder.
func provesSync(ctx context.Context, monitorURL string, holder streamHolder) error {
	if monitorURL == "" {
		return notProven
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(monitorURL, "/")+"/varz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", notProven, err)
	}
	defer func() { _ = answer.Body.Close() }()
	var found varz
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: monitoring answered %d", notProven, answer.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxVarzBytes)).Decode(&found); err != nil {
		return fmt.Errorf("%w: %w", notProven, err)
	}
	if (holder.id != "" && found.ServerID != holder.id) || (holder.name != "" && found.ServerName != holder.name) {
		return fmt.Errorf("%w: OFFERFLOW_NATS_MONITOR_URL is another server's", notProven)
	}
	if !found.JetStream.Config.SyncAlways {
		return notSynced
	}
	return nil
}
