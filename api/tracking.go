package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/inbound"
	"github.com/offerflow/offerflow/keyring"
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

// StartTracking loads the offers, begins to listen for their news and for decisions, and leaves
// the edge in s.Tracking. It is called once, before Handler; everything it started ends with ctx.
func (s *Server) StartTracking(ctx context.Context) error {
	places, err := newPlaceFinder(s.Config)
	if err != nil {
		return err
	}
	places.report(s.now())
	replies, err := listenForReplies(ctx, s.Stream)
	if err != nil {
		return fmt.Errorf("listen for decisions: %w", err)
	}
	offers := NewOfferCache(s.Store, s.Keys)
	offers.tokensRevoked, offers.now = s.tokens.forget, s.now
	if err := offers.Subscribe(ctx, s.Stream); err != nil {
		return fmt.Errorf("listen for news of offers: %w", err)
	}
	if err := offers.Load(ctx); err != nil {
		return err
	}
	go offers.Run(ctx)
	s.Tracking = &Tracking{
		keys: s.Keys, offers: offers, clicks: s.Clicks, messages: s.Stream, answers: storedAnswers{s.Store}, asked: newAskedBudget("answer"),
		refusals: s.Refusals, spending: newSpending(s.Config.Refused),
		replies: replies, places: places, waiting: s.Config.waitingPlaces(), now: s.now,
		cookieScope: cookieScope(s.Config.PublicURL), unplaced: rate.Sometimes{Interval: time.Minute},
	}
	return nil
}

// retrySeconds is what senders and members are told to wait when nothing can be written.
const retrySeconds = "2"

// tryAgain is 503 on the hot paths: never 429, since senders of postbacks give up on any 4xx.
func tryAgain(c *gin.Context, what string) {
	c.Header("Retry-After", retrySeconds)
	c.Header("Cache-Control", "no-store")
	c.String(http.StatusServiceUnavailable, what)
}

// cleanText is what PostgreSQL and JSON can hold: NUL and invalid UTF-8 become U+FFFD rather than
// nothing, so that a name that is compared byte for byte never becomes another one (rule 3).
func cleanText(s string) string {
	if isPlain(s) {
		return s
	}
	return storable(s)
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] == 0 || s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// truncated cuts a text that is kept for information only, between characters.
func truncated(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return cleanText(s)
}
