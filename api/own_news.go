package api

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

// ownNews are the offers that a request has announced. The process that answers it knows them before it
// answers, so that whoever made or changed an offer finds it so on the wall; all others hear of it a
// moment later.
type ownNews struct {
	mu     sync.Mutex
	offers []uuid.UUID
}

type ownNewsKey struct{}

// ownNewsLimit is how many a request looks up itself: of more, such as an import's, it hears like all others.
const ownNewsLimit = 8

func addOwnNews(ctx context.Context, offerID *uuid.UUID) {
	news, ok := ctx.Value(ownNewsKey{}).(*ownNews)
	if !ok || offerID == nil {
		return
	}
	news.mu.Lock()
	defer news.mu.Unlock()
	if !slices.Contains(news.offers, *offerID) {
		news.offers = append(news.offers, *offerID)
	}
}

// heedOwnNews runs the rest of a request's chain, then loads what it announced: by then it is committed.
func (s *Server) heedOwnNews(c *gin.Context) {
	if c.Request.Method == http.MethodGet || s.Tracking == nil {
		return
	}
	news := &ownNews{}
	c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), ownNewsKey{}, news))
	c.Next()
	if len(news.offers) == 0 || len(news.offers) > ownNewsLimit {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request.Context()), ownNewsTimeout)
	defer cancel()
	for _, id := range news.offers {
		if err := s.Tracking.Offers().LoadNow(ctx, id); err != nil {
			slog.DebugContext(ctx, "offer not loaded immediately", "offer", id, "error", err)
		}
	}
}

// ownNewsTimeout is how long an answer waits at most; the news comes all the same.
const ownNewsTimeout = time.Second
