package api

import (
	"context"
	"encoding/json"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/inbound"
	"github.com/offerflow/offerflow/stream"
)

// TrackWith gives the server an edge whose streams end in the two functions, for tests that have no
// stream. A postback that is not decided gets no reply.
func (s *Server) TrackWith(ctx context.Context, click func(domain.Click) error, postback func(domain.Postback) (answer domain.Answer, decided bool)) error {
	offers := NewOfferCache(s.Store, s.Keys)
	offers.now = s.now
	if err := offers.Load(ctx); err != nil {
		return err
	}
	places, err := newPlaceFinder(s.Config)
	if err != nil {
		return err
	}
	replies := newReplies("_INBOX.test")
	s.Tracking = &Tracking{
		keys: s.Keys, offers: offers, clicks: clickFunc(click), replies: replies, answers: storedAnswers{s.Store}, asked: newAskedBudget("answer"),
		messages: messageFunc(func(data []byte) error {
			var message stream.PostbackMessage
			if err := json.Unmarshal(data, &message); err != nil {
				return err
			}
			answer, decided := postback(message.Postback)
			if !decided {
				return nil
			}
			reply, err := json.Marshal(answer)
			replies.heard(message.ReplyTo, reply)
			return err
		}),
		refusals: refusalFunc(func(refused domain.Postback) { postback(refused) }), spending: newSpending(RefusedBudgets{}),
		waiting: inbound.NewPlaces(4, 4), now: s.now, places: places,
	}
	return nil
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
	return s.Tracking.offers.Load(ctx)
}

type refusalFunc func(domain.Postback)

func (f refusalFunc) Publish(_ context.Context, refused *domain.Postback) error {
	f(*refused)
	return nil
}
