package stream

import (
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// sealHeader carries a message's seal.
const sealHeader = "Offerflow-Seal"

// sealOf is the seal of a message that this process writes.
func (c *Conn) sealOf(subject string, data []byte) string {
	if c.Seal == nil {
		return ""
	}
	return c.Seal(subject, data)
}

func sealedMsg(subject string, data []byte, seal string) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Data: data}
	if seal != "" {
		msg.Header = nats.Header{sealHeader: {seal}}
	}
	return msg
}

// SealOf is the seal that a message carries; empty without one.
func SealOf(msg jetstream.Msg) string { return msg.Headers().Get(sealHeader) }
