package api

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/inbound"
)

// ServiceHandler is the surface of a process that serves no API: health, and metrics for the operator.
func (s *Server) ServiceHandler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(recovery)
	engine.GET("/healthz", s.healthz)
	engine.GET("/readyz", s.readyz)
	engine.GET("/metrics", s.authorize(operatorOnly, true), s.metrics)
	return hardened(inbound.CloseUnread(engine))
}

// MetricsHandler serves /metrics to whoever reaches it: for an address of its own that only those who
// collect metrics can reach.
func (s *Server) MetricsHandler() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.Use(recovery)
	engine.GET("/metrics", s.metrics)
	return hardened(inbound.CloseUnread(engine))
}

// PrintOpenAPI writes the OpenAPI document, indented: it comes from the code and needs no server.
func PrintOpenAPI(out io.Writer) error {
	handler, err := new(Server).Handler()
	if err != nil {
		return err
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://localhost/openapi.json", nil))
	var document json.RawMessage
	if err := json.Unmarshal(answer.Body.Bytes(), &document); err != nil {
		return err
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return err
	}
	_, err = out.Write(append(text, '\n'))
	return err
}
