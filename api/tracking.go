package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/inbound"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// clickWriter puts a click on disk before it returns (stream.ClickPublisher).
type clickWriter interface {
	Publish(ctx context.Context, click *domain.Click) error
}

// messageWriter puts a message on disk before it returns (stream.Conn).
type messageWriter interface {
	Publish(ctx context.Context, subject, id string, data []byte) error
}

// refusalWriter puts a refused postback on disk before it returns (stream.RefusalPublisher).
type refusalWriter interface {
	Publish(ctx context.Context, refused *domain.Postback) error
}

// Tracking is the public edge: clicks and postbacks. What it needs of the database is in memory.
type Tracking struct {
	keys     *keyring.Keyring
	offers   *OfferCache
	clicks   clickWriter
	messages messageWriter
	refusals refusalWriter
	spending *spending
	answers  answerSource
	asked    *askedBudget
	replies  *replies
	places   placeFinder
	traffic  traffic
	// unplaced has the log tell of clicks that were refused since nobody knows their country.
	unplaced rate.Sometimes
	// cookieScope is where click cookies go (pixel_cookie.go).
	cookieScope string
	// waiting are the places of postbacks that are put on disk and wait for their decision.
	waiting *inbound.Places
	now     func() time.Time
}

// TrackingConfig is what the operator decides about the public edge; api.Config says what each field means.
type TrackingConfig struct {
	PublicURL                        string
	TrustedProxies                   []string
	CountryHeader, GeoIPFile         string
	MaxWaiting, MaxWaitingPerAddress int
	Refused                          RefusedBudgets
}

// TrackingParts are what the public edge works with.
type TrackingParts struct {
	Config   TrackingConfig
	Keys     *keyring.Keyring
	Store    *db.Store
	Offers   *OfferCache
	Clicks   clickWriter
	Messages messageWriter
	Refusals refusalWriter
	Now      func() time.Time
}

// NewTracking makes an edge that hears of no news and of no decisions: StartTracking makes one that does.
func NewTracking(parts TrackingParts) (*Tracking, error) {
	places, err := newPlaceFinder(parts.Config)
	if err != nil {
		return nil, err
	}
	return &Tracking{
		keys: parts.Keys, offers: parts.Offers, clicks: parts.Clicks, messages: parts.Messages, refusals: parts.Refusals,
		answers: storedAnswers{parts.Store}, asked: newAskedBudget("answer"), spending: newSpending(parts.Config.Refused),
		replies: newReplies(nats.NewInbox()), places: places, waiting: parts.Config.waitingPlaces(), now: parts.Now,
		cookieScope: cookieScope(parts.Config.PublicURL), unplaced: rate.Sometimes{Interval: time.Minute},
	}, nil
}

// StartTracking makes the edge, begins to listen for decisions and for news of offers, and loads the offers.
// Everything it started ends with ctx.
func StartTracking(ctx context.Context, conn *stream.Conn, parts TrackingParts) (*Tracking, error) {
	t, err := NewTracking(parts)
	if err != nil {
		return nil, err
	}
	t.places.report(t.now())
	if err := t.replies.listen(ctx, conn); err != nil {
		return nil, fmt.Errorf("listen for decisions: %w", err)
	}
	if err := t.offers.Subscribe(ctx, conn); err != nil {
		return nil, fmt.Errorf("listen for news of offers: %w", err)
	}
	if err := t.offers.Load(ctx); err != nil {
		return nil, err
	}
	go t.offers.Run(ctx)
	return t, nil
}

// Decided hands in a decision that came from the stream; subject is where the postback's message asked for it.
func (t *Tracking) Decided(subject string, data []byte) { t.replies.heard(subject, data) }

// Places says where countries come from.
func (t *Tracking) Places() *placeFinder { return &t.places }

// Offers are what the edge knows of offers.
func (t *Tracking) Offers() *OfferCache { return t.offers }

// The usual places of postbacks that wait for their decision, in all and per client address. They
// bound the memory of waiting requests; above them senders get 503.
const (
	usualWaiting           = 4096
	usualWaitingPerAddress = 1024
)

func (c *TrackingConfig) waitingPlaces() *inbound.Places {
	total, perAddress := usualWaiting, usualWaitingPerAddress
	if c.MaxWaiting > 0 {
		total = c.MaxWaiting
	}
	if c.MaxWaitingPerAddress > 0 {
		perAddress = c.MaxWaitingPerAddress
	}
	return inbound.NewPlaces(total, perAddress)
}

// retrySeconds is what senders and members are told to wait when nothing can be written.
const retrySeconds = "2"

// tryAgain is 503 on the hot paths: never 429, since senders of postbacks give up on any 4xx.
func tryAgain(c *gin.Context, what string) {
	c.Header("Retry-After", retrySeconds)
	c.Header("Cache-Control", "no-store")
	c.String(http.StatusServiceUnavailable, what)
}
