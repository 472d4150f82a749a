package api

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
)

// The scopes of tokens.
const (
	scopeManagement = "management"
	scopeFinance    = "finance"
	scopeReadonly   = "readonly"
	scopePartner    = "partner"
	scopeAdvertiser = "advertiser"
)

// access is who may call a route: a set of scopes. The operator may call every tenant route.
type access uint

// One bit for each scope; partners and advertisers are let in by a route that names them.
const (
	byManagement access = 1 << iota
	byFinance
	byReadonly
	byPartner
	byAdvertiser
	byOperator
)

// The usual sets of the route table.
const (
	// public routes need no token.
	public access = 0
	// operatorOnly routes belong to no tenant.
	operatorOnly = byOperator
	// manage is for everything that changes a tenant.
	manage = byManagement
	// review is for conversions and money.
	review = byManagement | byFinance
	// read is for what any of a tenant's own people may see.
	read = byManagement | byFinance | byReadonly
)

var scopeBits = map[string]access{
	scopeManagement: byManagement, scopeFinance: byFinance, scopeReadonly: byReadonly,
	scopePartner: byPartner, scopeAdvertiser: byAdvertiser,
}

// describe is the sentence in the OpenAPI document.
func (a access) describe() string {
	if a == public {
		return "Needs no token."
	}
	if a == operatorOnly {
		return "Needs the operator's token."
	}
	var names []string
	for _, scope := range []string{scopeManagement, scopeFinance, scopeReadonly, scopePartner, scopeAdvertiser} {
		if a&scopeBits[scope] != 0 {
			names = append(names, scope)
		}
	}
	if a&byOperator != 0 {
		return "Needs a token of scope " + strings.Join(names, ", ") + ", or the operator's, with X-Tenant or for what is no tenant's."
	}
	return "Needs a token of scope " + strings.Join(names, ", ") + ", or the operator's with X-Tenant."
}

// Principal is who asks.
type Principal struct {
	// TenantID is whose data the request sees; the zero id on the operator's own routes.
	TenantID uuid.UUID
	Scope    string
	TokenID  uuid.UUID
	// Actor is what the audit log and histories call the principal.
	Actor        string
	PartnerID    *uuid.UUID
	AdvertiserID *uuid.UUID
	Operator     bool
	// readsOnly makes every transaction of the request one that PostgreSQL lets change nothing: that of a
	// readonly token, and that of a GET whose line in the route table does not say that it writes.
	readsOnly bool
}

type principalKey struct{}

// principal is who asks; on public routes the zero value.
func principal(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// withPrincipal lets a public route act for the tenant that it found out by itself.
func withPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

const operatorActor = "operator"

// authorize admits a route's principals and refuses everybody else.
func (s *Server) authorize(who access, reads bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		c.Header("Cache-Control", "no-store") // answers are one tenant's, and some show a secret
		p, err := s.authenticate(c.Request, who)
		if err != nil {
			writeError(c, err)
			return
		}
		p.readsOnly = reads || p.Scope == scopeReadonly
		c.Request = c.Request.WithContext(withPrincipal(c.Request.Context(), p))
		s.heedOwnNews(c)
	}
}

func (s *Server) authenticate(r *http.Request, who access) (Principal, error) {
	token, ok := tokenOf(r)
	if !ok {
		return Principal{}, unauthorized("Send a token: Authorization: ApiToken <token>.")
	}
	if s.isOperator(token) {
		return s.asOperator(r, who)
	}
	p, err := s.principalOf(r.Context(), token)
	if err != nil {
		return Principal{}, err
	}
	if who&scopeBits[p.Scope] == 0 {
		return Principal{}, forbidden("A token of scope " + p.Scope + " may not do this.")
	}
	if named := r.Header.Get("X-Tenant"); named != "" && !strings.EqualFold(named, p.TenantID.String()) {
		return Principal{}, forbidden("X-Tenant is for the operator's token.")
	}
	return p, nil
}

func tokenOf(r *http.Request) (string, bool) {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	known := strings.EqualFold(kind, "ApiToken") || strings.EqualFold(kind, "Bearer")
	return token, known && token != ""
}

// isOperator compares keyed hashes, in constant time.
func (s *Server) isOperator(token string) bool {
	expected := []byte(s.Config.OperatorTokenHash)
	return len(expected) > 0 && subtle.ConstantTimeCompare(expected, []byte(s.Keys.Hash(token))) == 1
}

// asOperator acts in the tenant that X-Tenant names, or in none on the operator's own routes and where a
// route has an answer for the operator besides.
func (s *Server) asOperator(r *http.Request, who access) (Principal, error) {
	p := Principal{Scope: scopeManagement, Actor: operatorActor, Operator: true}
	if who == operatorOnly || who&byOperator != 0 && r.Header.Get("X-Tenant") == "" {
		return p, nil
	}
	id, err := uuid.Parse(r.Header.Get("X-Tenant"))
	if err != nil {
		return Principal{}, badField("X-Tenant", "the operator must name a tenant by its id")
	}
	known, err := dbgen.New().SystemTenantExists(r.Context(), s.Store.SystemPool(), id)
	if err != nil {
		return Principal{}, err
	}
	if !known {
		return Principal{}, badField("X-Tenant", "there is no such tenant")
	}
	p.TenantID = id
	return p, nil
}

// principalOf looks a token up by its keyed hashes.
func (s *Server) principalOf(ctx context.Context, token string) (Principal, error) {
	hashes := s.Keys.Hashes(token)
	now, era := time.Now(), s.tokens.era()
	if entry, ok := s.tokens.get(hashes[0], now); ok {
		return entry.principal, entry.expired(now)
	}
	row, err := dbgen.New().SystemTokenByHash(ctx, s.Store.SystemPool(), hashes)
	if errors.Is(err, pgx.ErrNoRows) {
		return Principal{}, unauthorized("The token is unknown or was revoked.")
	}
	if err != nil {
		return Principal{}, err
	}
	entry := cachedToken{expiresAt: row.ExpiresAt, loadedAt: now, principal: Principal{
		TenantID: row.TenantID, Scope: row.Scope, TokenID: row.ID, Actor: "token " + row.ID.String(),
		PartnerID: row.PartnerID, AdvertiserID: row.AdvertiserID,
	}}
	s.tokens.putOf(era, hashes[0], entry)
	return entry.principal, entry.expired(now)
}

// tokenCache spares the database one look-up per request. Unknown tokens are not kept, so that
// nobody fills it by guessing.
type tokenCache struct {
	kept lruOnce[string, cachedToken]
	mu   sync.Mutex
	// forgotten is closed, and made anew, when the cache is emptied.
	forgotten chan struct{}
}

type cachedToken struct {
	principal Principal
	expiresAt *time.Time
	loadedAt  time.Time
}

const (
	// tokenCacheTTL bounds how long another process admits a token that was revoked here when the news
	// of it is late; this one forgets it at once. A live stream is looked at besides: LookAgain.
	tokenCacheTTL = 2 * time.Second
	maxTokens     = 10_000
)

func (e cachedToken) expired(now time.Time) error {
	if e.expiresAt != nil && !now.Before(*e.expiresAt) {
		return unauthorized("The token has expired.")
	}
	return nil
}

func (t *tokenCache) get(hash string, now time.Time) (cachedToken, bool) {
	entry, ok := t.kept.of(maxTokens).Get(hash)
	return entry, ok && now.Sub(entry.loadedAt) < tokenCacheTTL
}

func (t *tokenCache) put(hash string, entry cachedToken) { t.kept.of(maxTokens).Add(hash, entry) }

// putOf keeps what was looked up in an era, unless a token has been revoked since: it may be this one.
func (t *tokenCache) putOf(era <-chan struct{}, hash string, entry cachedToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if era == t.now() {
		t.put(hash, entry)
	}
}

// forget is for a token that was revoked. It ends the era, which live streams wait for.
func (t *tokenCache) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.now())
	t.forgotten = nil
	t.kept.of(maxTokens).Purge()
}

// era ends with the next revocation: its channel is closed then.
func (t *tokenCache) era() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now()
}

func (t *tokenCache) now() chan struct{} {
	if t.forgotten == nil {
		t.forgotten = make(chan struct{})
	}
	return t.forgotten
}
