package api

import (
	"context"
	"encoding/json"

	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// TrackWith gives the server an edge whose streams end in the two functions, for tests that have no
// stream. A postback that is not decided gets no reply.
func (s *Server) TrackWith(ctx context.Context, click func(domain.Click) error, postback func(domain.Postback) (answer domain.Answer, decided bool)) error {
	parts := s.TrackingParts()
	if err := parts.Offers.Load(ctx); err != nil {
		return err
	}
	parts.Config.MaxWaiting, parts.Config.MaxWaitingPerAddress = 4, 4
	parts.Clicks = clickFunc(click)
	parts.Refusals = refusalFunc(func(refused domain.Postback) { postback(refused) })
	parts.Messages = messageFunc(func(data []byte) error {
		var message stream.PostbackMessage
		if err := json.Unmarshal(data, &message); err != nil {
			return err
		}
		answer, decided := postback(message.Postback)
		if !decided {
			return nil
		}
		reply, err := json.Marshal(answer)
		s.Tracking.Decided(message.ReplyTo, reply)
		return err
	})
	var err error
	s.Tracking, err = tracking.New(parts)
	return err
}

type clickFunc func(domain.Click) error

func (f clickFunc) Publish(_ context.Context, click *domain.Click) error { return f(*click) }

type messageFunc func([]byte) error

func (f messageFunc) Publish(_ context.Context, _, _ string, data []byte) error { return f(data) }

// FollowLive lets live streams show what source keeps, for tests that have no stream.
func (s *Server) FollowLive(source liveSource) { s.live.source = source }

// LoadOffers tells the edge of all that changed: these tests' sites have no stream that would.
func (s *Server) LoadOffers(ctx context.Context) error {
	if s.Tracking == nil {
		return nil
	}
	return s.Tracking.Offers().Load(ctx)
}

type refusalFunc func(domain.Postback)

func (f refusalFunc) Publish(_ context.Context, refused *domain.Postback) error {
	f(*refused)
	return nil
}
