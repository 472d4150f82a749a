package streamtest

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/offerflow/offerflow/stream"
)

// Only migrate makes and alters streams. Every other process says what is wrong and changes nothing,
// whatever its own settings.
func TestAProcessWithOtherSettingsDoesNotAlterStreams(t *testing.T) {
	t.Parallel()
	s := newBareServer(t)
	if err := s.Check(t.Context(), stream.DefaultSettings()); err == nil || !strings.Contains(err.Error(), "offerflow migrate") {
		t.Errorf("without streams: %v", err)
	}
	if _, err := s.JS.Stream(t.Context(), stream.Clicks); err == nil {
		t.Error("a check made a stream")
	}
	large := stream.DefaultSettings()
	large.Bytes[stream.Clicks] = 3 << 30
	if err := s.Ensure(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context(), smallest()); err != nil { // told in the log
		t.Errorf("other sizes: %v", err)
	}
	if err := s.Check(t.Context(), stream.Settings{Replicas: 3}.WithDefaults()); err != nil {
		t.Errorf("other replicas: %v", err)
	}
	if config := s.info(t, stream.Clicks).Config; config.MaxBytes != 3<<30 || config.Replicas != 1 {
		t.Errorf("a check altered the stream: %+v", config)
	}
	// What could lose messages is no matter of taste.
	s.changed(t, stream.Clicks, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld })
	if err := s.Check(t.Context(), large); err == nil || !strings.Contains(err.Error(), stream.Clicks) || !strings.Contains(err.Error(), "offerflow migrate") {
		t.Errorf("a stream that drops its oldest: %v", err)
	}
	if err := s.Ensure(t.Context(), large); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context(), large); err != nil {
		t.Errorf("after migrate: %v", err)
	}
}
