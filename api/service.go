package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.temporal.io/sdk/client"
)

// healthz says that the process answers; it asks nobody else, so that a database that is down does
// not get every process restarted.
func (s *Server) healthz(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) }

// metrics are this process's, for Prometheus.
func (s *Server) metrics(c *gin.Context) { promhttp.Handler().ServeHTTP(c.Writer, c.Request) }

// dependency is one part that must answer before requests are sent here.
type dependency struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	// Detail is our own words: what a driver says may hold addresses.
	Detail string `json:"detail,omitempty"`
}

type readiness struct {
	Status       string       `json:"status"`
	Dependencies []dependency `json:"dependencies"`
}

const (
	statusOK      = "ok"
	statusFailing = "failing"
	readyTimeout  = 3 * time.Second
)

// readyz asks every dependency at the same time.
func (s *Server) readyz(c *gin.Context) {
	ctx, cancel := context.WithTimeout(c.Request.Context(), readyTimeout)
	defer cancel()
	checks := []struct {
		name  string
		check func(context.Context) error
	}{{"postgres", s.Store.Ping}, {"nats", s.streamReady}, {"temporal", s.temporalReady}}
	answer := readiness{Status: statusOK, Dependencies: make([]dependency, len(checks))}
	var all sync.WaitGroup
	for i, one := range checks {
		all.Go(func() { answer.Dependencies[i] = dependencyOf(ctx, one.name, one.check(ctx)) })
	}
	all.Wait()
	status := http.StatusOK
	for _, one := range answer.Dependencies {
		if one.Status != statusOK {
			answer.Status, status = statusFailing, http.StatusServiceUnavailable
		}
	}
	c.JSON(status, answer)
}

// errNotReady is a failing in words that anybody may read.
type errNotReady string

func (e errNotReady) Error() string { return string(e) }

func dependencyOf(ctx context.Context, name string, err error) dependency {
	if err == nil {
		return dependency{Name: name, Status: statusOK}
	}
	slog.WarnContext(ctx, "not ready", "dependency", name, "error", err)
	detail := "does not answer"
	var public errNotReady
	if errors.As(err, &public) {
		detail = public.Error()
	}
	return dependency{Name: name, Status: statusFailing, Detail: detail}
}

func (s *Server) temporalReady(ctx context.Context) error {
	if s.Temporal == nil {
		return errNotReady("is not connected")
	}
	_, err := s.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
	return err
}
