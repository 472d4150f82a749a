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

	"github.com/offerflow/offerflow/api/tracking"
)

// healthz says that the process answers; it asks nobody else, so that a database that is down does
// not get every process restarted.
func (s *Server) healthz(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) }

// metrics are this process's, for Prometheus.
func (s *Server) metrics(c *gin.Context) { promhttp.Handler().ServeHTTP(c.Writer, c.Request) }

// dependency is one part that this process works with.
type dependency struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	// Detail is our own words: what a driver says may hold addresses. Of countries it says what tells them.
	Detail string `json:"detail,omitempty"`
}

type readiness struct {
	Status string `json:"status"`
	// Degraded names what does not answer, whether or not requests are taken without it, and "countries" where
	// nothing tells them.
	Degraded []string `json:"degraded"`
	// Dependencies are for the operator: a stranger need not know what this process is made of.
	Dependencies []dependency `json:"dependencies,omitempty" doc:"Details of each dependency; only with the operator's token."`
}

// The words of readiness. A degraded process takes requests.
const (
	statusOK       = "ok"
	statusDegraded = "degraded"
	statusFailing  = "failing"
	statusDraining = "draining"
)

const (
	// readyFor is how long one look is good for.
	readyFor = time.Second
	// neededWithin and otherWithin bound a look at what this process cannot work without, and at the rest:
	// a probe must not time out over a part that is not needed.
	neededWithin = 3 * time.Second
	otherWithin  = time.Second
)

// readyLook is the latest look at the dependencies.
type readyLook struct {
	mu     sync.Mutex
	at     time.Time
	answer readiness
}

// Drain says that this process is about to stop: it is not ready any more, and answers as before.
func (s *Server) Drain() { s.draining.Store(true) }

// readyz is 200 where requests may be sent: to an API that can redirect, to a worker that can decide.
func (s *Server) readyz(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	if s.draining.Load() {
		c.JSON(http.StatusServiceUnavailable, readiness{Status: statusDraining, Degraded: []string{}})
		return
	}
	answer := s.readiness(context.WithoutCancel(c.Request.Context()))
	if token, ok := tokenOf(c.Request); !ok || !s.isOperator(token) {
		answer.Dependencies = nil
	}
	status := http.StatusOK
	if answer.Status == statusFailing {
		status = http.StatusServiceUnavailable
	}
	c.JSON(status, answer)
}

// readiness is the latest look, made anew when it is too old. Those who ask while it is made wait for
// it: however many ask, the dependencies are asked once a second.
func (s *Server) readiness(ctx context.Context) readiness {
	s.ready.mu.Lock()
	defer s.ready.mu.Unlock()
	if time.Since(s.ready.at) >= readyFor {
		s.ready.answer = s.lookReady(ctx)
		s.ready.at = time.Now()
	}
	return s.ready.answer
}

// readyCheck is a look at one dependency; needed says that this process can do nothing without it.
type readyCheck struct {
	name   string
	needed bool
	check  func(context.Context) error
}

// lookReady asks every dependency at the same time. Clicks and postbacks are taken by the stream server
// and what is in memory: an API needs nothing else. A worker decides in the database besides.
func (s *Server) lookReady(ctx context.Context) readiness {
	isAPI := s.Tracking != nil
	checks := []readyCheck{{"postgres", !isAPI, s.Store.Ping}, {"nats", true, s.streamReady}, {"temporal", false, s.temporalReady}}
	answer := readiness{Status: statusOK, Degraded: []string{}, Dependencies: make([]dependency, len(checks))}
	var all sync.WaitGroup
	for i, one := range checks {
		all.Go(func() {
			within := otherWithin
			if one.needed {
				within = neededWithin
			}
			ctx, cancel := context.WithTimeout(ctx, within)
			defer cancel()
			answer.Dependencies[i] = dependencyOf(ctx, one.name, one.check(ctx))
		})
	}
	all.Wait()
	if isAPI {
		checks = append(checks, readyCheck{name: "countries"})
		answer.Dependencies = append(answer.Dependencies, countriesReady(s.Tracking.Places()))
	}
	for i, one := range answer.Dependencies {
		if one.Status == statusOK {
			continue
		}
		answer.Degraded = append(answer.Degraded, one.Name)
		switch {
		case checks[i].needed:
			answer.Status = statusFailing
		case answer.Status == statusOK:
			answer.Status = statusDegraded
		}
	}
	return answer
}

// countriesReady is the part of readiness that says what tells countries.
func countriesReady(places *tracking.GeoIP) dependency {
	if missing := places.Missing(); missing != "" {
		return dependency{Name: "countries", Status: statusFailing, Detail: missing}
	}
	return dependency{Name: "countries", Status: statusOK, Detail: places.Source()}
}

// errNotReady is a failing in words that anybody may read.
type errNotReady string

func (e errNotReady) Error() string { return string(e) }

func dependencyOf(ctx context.Context, name string, err error) dependency {
	if err == nil {
		return dependency{Name: name, Status: statusOK}
	}
	slog.WarnContext(ctx, "a dependency does not answer", "dependency", name, "error", err)
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
