package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/worker"
)

// Replay has the clicks and postbacks that came since an instant handled again, after PostgreSQL was
// restored to an earlier one, and lists what people did since that is not in the database.
func Replay(ctx context.Context, config Config, since time.Time, out io.Writer) error {
	if since.IsZero() {
		return errors.New("--since is missing: an instant before the one that the database was restored to, like 2026-11-30T09:00:00Z")
	}
	if since.After(time.Now()) {
		return fmt.Errorf("--since %s is in the future", since.Format(time.RFC3339))
	}
	p := &Process{config: config, role: roleReplay}
	defer p.close()
	if err := p.connect(ctx, client.Options{}); err != nil {
		return err
	}
	w := &worker.Worker{
		Store: p.store, Keys: p.keys, Stream: p.stream, Temporal: p.temporal, Namespace: p.namespace, Relay: p.relay,
		AttributionStart: config.AttributionStart,
	}
	done, err := w.Replay(ctx, since)
	report(out, &done)
	return err
}

func report(out io.Writer, done *worker.Replayed) {
	for _, one := range done.Streams {
		fmt.Fprintf(out, "%s: %d messages handled again\n", one.Stream, one.Messages)
		if !one.KeptSince.IsZero() {
			fmt.Fprintf(out, "%s: messages before %s are gone from the stream (OFFERFLOW_STREAM_KEEP, or 70 %% full): what is missing from then is lost\n",
				one.Stream, one.KeptSince.Format(time.RFC3339))
		}
	}
	if len(done.Lost) > 0 {
		fmt.Fprintln(out, "Done by people since then and missing in the database. Repeat what is still needed:")
	}
	for _, one := range done.Lost {
		at := ""
		if !one.At.IsZero() {
			at = one.At.Format(time.RFC3339)
		}
		fmt.Fprintf(out, "tenant %s  %s %s  %s  %s\n", one.TenantID, one.What, one.ID, at, one.Detail)
	}
}
