package tracking

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/offercache"
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

// Edge is the public edge: clicks and postbacks. What it needs of the database is in memory.
type Edge struct {
	keys     *keyring.Keyring
	offers   *offercache.Cache
	clicks   clickWriter
	messages messageWriter
	refusals refusalWriter
	spending *spending
	answers  answerSource
	asked    *lookup.Asked
	replies  *replies
	places   GeoIP
	traffic  traffic
	// unplaced has the log tell of clicks that were refused since nobody knows their country.
	unplaced rate.Sometimes
	// cookieScope is where click cookies go (pixel_cookie.go).
	cookieScope string
	// waiting are the places of postbacks that are put on disk and wait for their decision.
	waiting *inbound.Places
	now     func() time.Time
}

// Config is what the operator decides about the public edge; api.Config says what each field means.
type Config struct {
	PublicURL                        string
	TrustedProxies                   []string
	CountryHeader, GeoIPFile         string
	MaxWaiting, MaxWaitingPerAddress int
	Refused                          RefusedBudgets
}

// Parts are what the public edge works with.
type Parts struct {
	Config   Config
	Keys     *keyring.Keyring
	Store    *db.Store
	Offers   *offercache.Cache
	Clicks   clickWriter
	Messages messageWriter
	Refusals refusalWriter
	Now      func() time.Time
}

// New makes an edge that hears of no news and of no decisions: Start makes one that does.
func New(parts Parts) (*Edge, error) {
	places, err := NewGeoIP(parts.Config)
	if err != nil {
		return nil, err
	}
	return &Edge{
		keys: parts.Keys, offers: parts.Offers, clicks: parts.Clicks, messages: parts.Messages, refusals: parts.Refusals,
		answers: storedAnswers{parts.Store}, asked: lookup.NewAsked("answer"), spending: newSpending(parts.Config.Refused),
		replies: newReplies(nats.NewInbox()), places: places, waiting: parts.Config.waitingPlaces(), now: parts.Now,
		cookieScope: cookieScope(parts.Config.PublicURL), unplaced: rate.Sometimes{Interval: time.Minute},
	}, nil
}

// Start makes the edge, begins to listen for decisions and for news of offers, and loads the offers.
// Everything it started ends with ctx.
func Start(ctx context.Context, conn *stream.Conn, parts Parts) (*Edge, error) {
	t, err := New(parts)
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
func (t *Edge) Decided(subject string, data []byte) { t.replies.heard(subject, data) }

// Places says where countries come from.
func (t *Edge) Places() *GeoIP { return &t.places }

// Offers are what the edge knows of offers.
func (t *Edge) Offers() *offercache.Cache { return t.offers }

// The usual places of postbacks that wait for their decision, in all and per client address. They
// bound the memory of waiting requests; above them senders get 503.
const (
	usualWaiting           = 4096
	usualWaitingPerAddress = 1024
)

func (c *Config) waitingPlaces() *inbound.Places {
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
