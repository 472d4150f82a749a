// Package api is the HTTP surface: one route table, typed handlers for the JSON API, raw ones for
// tracking, and the rules that all of them share: who may call what, problems, lists, idempotency.
package api

import (
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/inbound"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

// Config is what the operator decides.
type Config struct {
	// PublicURL is the address that links and postback addresses are made with, without a slash at
	// its end.
	PublicURL string
	// OperatorTokenHash is keyring.Hash of OFFERFLOW_OPERATOR_TOKEN; "" admits no operator.
	OperatorTokenHash string
	// TrustedProxies are the addresses and ranges that may say what the client's address is.
	TrustedProxies []string
	// MaxWaiting and MaxWaitingPerAddress are the places of postbacks that wait for their decision, in
	// all and per client address; 0 stands for the usual number.
	MaxWaiting, MaxWaitingPerAddress int
	// CountryHeader is the header in which a trusted proxy names the client's country, or "".
	CountryHeader string
	// GeoIPFile is a database of countries or cities in MaxMind's format, "" for the embedded one, or GeoIPOff.
	GeoIPFile string
	// TemporalUIURL and TemporalNamespace make the links into the Temporal UI.
	TemporalUIURL     string
	TemporalNamespace string
	// CallbackAllowCIDRs are the operator's exceptions to rule 53.
	CallbackAllowCIDRs []netip.Prefix
	// OwnParts are our own addresses, which are no exception.
	OwnParts []outbound.OwnPart
	// Resolver looks host names up; nil is the system's.
	Resolver outbound.Resolver
	// DatabaseConns are the connections of each role that requests have, which tenants share.
	DatabaseConns int
	// Traced says that traces are sent somewhere; otherwise requests are not measured for them.
	Traced bool
	// NATSMonitorURL is the stream server's monitoring address, which proves how it syncs.
	NATSMonitorURL string
	// AllowedHosts are names under which the API and its documentation answer, besides the public URL's and
	// loopback; with none listed, others are let pass.
	AllowedHosts []string
	// Refused are the budgets of postbacks that are refused.
	Refused tracking.RefusedBudgets
}

// Server answers HTTP requests. Its exported fields are set once, before Handler.
type Server struct {
	Store    *db.Store
	Keys     *keyring.Keyring
	Stream   *stream.Conn
	Clicks   *stream.ClickPublisher
	Refusals *stream.RefusalPublisher
	Temporal client.Client
	Config   Config
	// Now is the clock that everything stored, decided and shown goes by; nil is time.Now. What takes how long, and when a
	// connection times out, goes by the machine's.
	Now func() time.Time
	// Relay is told that an outbox row was committed; nil where no relay runs in this process.
	Relay interface{ Nudge() }
	// Live bounds the live streams.
	Live LiveLimits
	// Tracking is the public edge, made of Parts; nil where the process has none.
	Tracking *tracking.Edge

	tokens  tokenCache
	running runningKeys
	live    liveStreams
	looked  looks
	synced  syncProofs
	ready   readyLook
	vetting nameLookups
	crowd   crowd
	// exports bounds the CSVs that one token reads at once.
	exports crowd
	// draining says that this process is about to stop.
	draining atomic.Bool
}

// Handler builds the whole surface.
func (s *Server) Handler() (http.Handler, error) {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	// Without this, Gin believes every X-Forwarded-For.
	if err := engine.SetTrustedProxies(s.Config.TrustedProxies); err != nil {
		return nil, err
	}
	engine.HandleMethodNotAllowed = true
	engine.RedirectTrailingSlash = false
	engine.UseRawPath = true // members' ids may hold escaped slashes
	r := newRouter(s, engine)
	if s.Config.Traced {
		engine.Use(otelgin.Middleware("offerflow"))
	}
	engine.Use(r.requestIDs, r.observe, recovery)
	s.Tracking.Strays(engine)
	s.routes(r)
	return hardened(inbound.CloseUnread(tracking.Tolerant(engine))), nil
}
