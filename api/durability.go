package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
)

// A JetStream server acknowledges before it has synced, unless it is told otherwise: a power failure
// would lose clicks that members were redirected for. Three replicas do not help where one failure
// takes all three. So nothing is ready until every server that holds a stream proves that it syncs
// every write.

const (
	notProven   errNotReady = "does not prove that it syncs every write: set sync_interval: always on every server, and OFFERFLOW_NATS_MONITOR_URL to the monitoring addresses of all of them, separated by commas"
	notSynced   errNotReady = "does not sync every write: set sync_interval: always on every server"
	noQuorum    errNotReady = "has no majority of its replicas: it accepts no messages"
	asyncWrites errNotReady = "a stream has persist_mode async: it could lose acknowledged messages"
)

// streamReady says whether what is published now is safe.
func (s *Server) streamReady(ctx context.Context) error {
	if s.Stream == nil || s.Stream.NATS.Status() != nats.CONNECTED {
		return errNotReady("is not connected")
	}
	for _, name := range []string{stream.Clicks, stream.Starts, stream.Postbacks, stream.Refused, stream.Events, stream.Live} {
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
	if info.Config.Replicas > 1 {
		return s.replicasDurable(ctx, info)
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

// proofGoodFor is how long a server of a cluster that does not answer at its monitoring address is
// believed what it proved before: one that dies must not take readiness with it until the others have
// noticed.
const proofGoodFor = 5 * time.Minute

// syncProofs remembers when each server of a cluster proved that it syncs.
type syncProofs struct{ at sync.Map }

func (p *syncProofs) judge(name string, err error) error {
	switch {
	case err == nil:
		p.at.Store(name, time.Now())
	case errors.Is(err, notSynced):
		p.at.Delete(name)
	default:
		if at, ok := p.at.Load(name); ok && time.Since(at.(time.Time)) < proofGoodFor {
			return nil
		}
	}
	return err
}

// replicasDurable says whether a majority of a stream's replicas is there, and each of those syncs.
func (s *Server) replicasDurable(ctx context.Context, info *jetstream.StreamInfo) error {
	if err := quorum(info); err != nil {
		return err
	}
	holders := []string{info.Cluster.Leader}
	for _, replica := range info.Cluster.Replicas {
		if !replica.Offline {
			holders = append(holders, replica.Name)
		}
	}
	for _, name := range holders {
		if err := s.synced.judge(name, provesSync(ctx, s.Config.NATSMonitorURL, streamHolder{name: name})); err != nil {
			return fmt.Errorf("server %s: %w", name, err)
		}
	}
	return nil
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

// provesSync asks the servers at the monitoring addresses, of which one must be the stream's holder.
func provesSync(ctx context.Context, monitorURLs string, holder streamHolder) error {
	err := error(notProven)
	for address := range strings.SplitSeq(monitorURLs, ",") {
		if address = strings.TrimSpace(address); address == "" {
			continue
		}
		found, failed := askVarz(ctx, address)
		switch {
		case failed != nil:
			err = fmt.Errorf("%w: %w", notProven, failed)
		case (holder.id != "" && found.ServerID != holder.id) || (holder.name != "" && found.ServerName != holder.name):
			err = fmt.Errorf("%w: OFFERFLOW_NATS_MONITOR_URL belongs to another server", notProven)
		case !found.JetStream.Config.SyncAlways:
			return notSynced
		default:
			return nil
		}
	}
	return err
}

// askVarz reads what the server at a monitoring address says of itself.
func askVarz(ctx context.Context, address string) (found varz, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/varz", nil)
	if err != nil {
		return found, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return found, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return found, fmt.Errorf("monitoring answered %d", answer.StatusCode)
	}
	return found, json.NewDecoder(io.LimitReader(answer.Body, maxVarzBytes)).Decode(&found)
}
