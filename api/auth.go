package api

import (
	"context"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/lookup"
	"github.com/offerflow/offerflow/api/problem"
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
		return "Needs a token of scope " + strings.Join(names, ", ") + ", or the operator's token, with X-Tenant or for data without a tenant."
	}
	return "Needs a token of scope " + strings.Join(names, ", ") + ", or the operator's token with X-Tenant."
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
		p, err := s.authenticate(c.Request, c, who)
		if err != nil {
			problem.WriteError(c, err)
			return
		}
		p.readsOnly = reads || p.Scope == scopeReadonly
		c.Request = c.Request.WithContext(withPrincipal(c.Request.Context(), p))
		s.heedOwnNews(c)
	}
}

// authenticate finds out who asks; from is nil where a client is looked at again.
func (s *Server) authenticate(r *http.Request, from lookup.Asker, who access) (Principal, error) {
	token, ok := tokenOf(r)
	if !ok {
		return Principal{}, problem.Unauthorized("Send a token: Authorization: ApiToken <token>.")
	}
	if s.isOperator(token) {
		return s.asOperator(r, who)
	}
	p, err := s.principalOf(r.Context(), from, token)
	if err != nil {
		return Principal{}, err
	}
	if who&scopeBits[p.Scope] == 0 {
		return Principal{}, problem.Forbidden("A token of scope " + p.Scope + " may not do this.")
	}
	if named := r.Header.Get("X-Tenant"); named != "" && !strings.EqualFold(named, p.TenantID.String()) {
		return Principal{}, problem.Forbidden("X-Tenant is for the operator's token.")
	}
	return p, nil
}

func tokenOf(r *http.Request) (string, bool) {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	known := strings.EqualFold(kind, "ApiToken") || strings.EqualFold(kind, "Bearer")
	return token, known && token != ""
}

// isOperator compares keyed hashes, in constant time. The hash of the operator's token may be older than
// a change of the current key.
func (s *Server) isOperator(token string) bool {
	expected := []byte(s.Config.OperatorTokenHash)
	is := 0
	for _, hash := range s.Keys.Hashes(token) {
		is |= subtle.ConstantTimeCompare(expected, []byte(hash))
	}
	return is == 1
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
		return Principal{}, problem.BadField("X-Tenant", "the operator must send a tenant's id")
	}
	known, err := dbgen.New().SystemTenantExists(r.Context(), s.Store.SystemPool(), id)
	if err != nil {
		return Principal{}, err
	}
	if !known {
		return Principal{}, problem.BadField("X-Tenant", "no tenant has this id")
	}
	p.TenantID = id
	return p, nil
}
