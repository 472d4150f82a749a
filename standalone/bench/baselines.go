package main

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/workflows"
)

// The baselines are what one would write without Offerflow: a Gin handler that redirects, and
// before that records nothing, one row, or one workflow.

const destination = "https://advertiser.example/track?sub1="

// serveGin serves one handler at /c/:link and returns its address.
func serveGin(ctx context.Context, handler gin.HandlerFunc) (address string, stop func(), err error) {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.GET("/c/:link", handler)
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: router, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

// bare redirects and records nothing.
func (w *world) bare(c *gin.Context) {
	c.Redirect(http.StatusFound, destination+w.record(time.Now()).ID.String())
}

const insertClick = `INSERT INTO clicks (tenant_id, id, clicked_at, link_id, offer_id, offer_version, advertiser_id, pub_member_id,
  pub_subs, ip, user_agent, device, os, browser, session_ends_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`

// oneInsert writes the click's row before it redirects.
func (w *world) oneInsert(c *gin.Context) {
	r := w.record(time.Now())
	_, err := w.rows.Exec(c.Request.Context(), insertClick, r.TenantID, r.ID, r.ClickedAt, r.LinkID, r.OfferID, r.OfferVersion,
		r.AdvertiserID, c.Query("pub_member_id"), r.PubSubs, c.ClientIP(), c.Request.UserAgent(), r.Device, r.OS, r.Browser, r.SessionEndsAt)
	if err != nil {
		c.Status(http.StatusServiceUnavailable)
		return
	}
	c.Redirect(http.StatusFound, destination+r.ID.String())
}

// oneWorkflow starts the click's workflow before it redirects.
func (w *world) oneWorkflow(c *gin.Context) {
	r := w.record(time.Now())
	if err := w.park(c.Request.Context(), r.ClickedAt); err != nil {
		c.Status(http.StatusServiceUnavailable)
		return
	}
	c.Redirect(http.StatusFound, destination+r.ID.String())
}

// park starts one parked workflow exactly as the worker does.
func (w *world) park(ctx context.Context, now time.Time) error {
	click := w.record(now)
	in := workflows.AttributionInput{TenantID: click.TenantID, ClickID: click.ID, SessionEndsAt: click.SessionEndsAt}
	_, err := w.temporal.ExecuteWorkflow(ctx, workflows.ParkedOptions(click, now), workflows.AttributionName, in)
	return err
}
