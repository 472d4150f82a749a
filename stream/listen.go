package stream

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Reply sends a sealed message to whoever listens for it now. It is on no stream: a lost one is lost.
func (c *Conn) Reply(subject string, data []byte) error {
	return c.NATS.PublishMsg(sealedMsg(subject, data, c.sealOf(subject, data)))
}

// Replies hands over what is sent to a subject and sealed, until ctx is done. When it returns, the server
// knows of it.
func (c *Conn) Replies(ctx context.Context, subject string, heard func(subject string, data []byte)) error {
	subscription, err := c.NATS.Subscribe(subject, func(msg *nats.Msg) {
		if c.isOurs(ctx, ofReply, msg.Subject, msg.Data, msg.Header.Get(sealHeader), time.Now()) {
			heard(msg.Subject, msg.Data)
		}
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = subscription.Unsubscribe() })
	return c.NATS.FlushTimeout(publishTimeout)
}

// OfferEvents hands over news of offers from now on, as far as it is sealed, until ctx is done.
func (c *Conn) OfferEvents(ctx context.Context, heard func(data []byte)) error {
	var consumer jetstream.Consumer
	err := WaitOut(ctx, "news of offers", func() (err error) {
		consumer, err = c.JS.OrderedConsumer(ctx, Events, jetstream.OrderedConsumerConfig{
			FilterSubjects: []string{SubjectOffer}, DeliverPolicy: jetstream.DeliverNewPolicy,
		})
		return err
	})
	if err != nil {
		return err
	}
	consuming, err := consumer.Consume(func(msg jetstream.Msg) {
		if c.isOursIn(ctx, ofOffers, msg) {
			heard(msg.Data())
		}
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, consuming.Stop)
	return nil
}
