package worker

import (
	"testing"

	"github.com/offerflow/offerflow/stream"
)

// A handled message may go once every consumer has handled it: the purge must know each of them, also
// before it is made.
func TestThePurgeKnowsEveryConsumer(t *testing.T) {
	for _, consumer := range (&Worker{}).consumers() {
		if !stream.Knows(consumer) {
			t.Errorf("consumer %s of %s with filter %q is not among stream's logStreams", consumer.Durable, consumer.Stream, consumer.Filter)
		}
	}
	if stream.Knows(stream.Consumer{Stream: stream.Events, Durable: "callbacks", Filter: stream.SubjectJob}) {
		t.Error("a consumer with another filter passes for known")
	}
}
