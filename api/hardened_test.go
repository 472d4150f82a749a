package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever is answered, a browser does not guess what it is: also where there is no route, and where a
// process serves no API. TestEveryAnswerIsAsDocumented has the routes.
func TestNoAnswerIsGuessedAt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, request := range [][2]string{
		{http.MethodGet, "/nothing"}, {http.MethodDelete, "/track"}, {http.MethodPut, "/healthz"}, {"NONSENSE", "/docs"}, {http.MethodGet, "/docs/none.js"},
		{http.MethodGet, "/api/v1/tokens"}, {http.MethodGet, "//"}, {http.MethodOptions, "/api/v1/offers"}, {http.MethodGet, "/"},
	} {
		answer := s.as("").direct().send(request[0], request[1], nil)
		require.Equal(t, "nosniff", answer.header.Get("X-Content-Type-Options"), "%v: %d", request, answer.status)
	}
	service := s.api.ServiceHandler()
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/nothing"} {
		answer := httptest.NewRecorder()
		service.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		require.Equal(t, "nosniff", answer.Header().Get("X-Content-Type-Options"), "%s: %d", path, answer.Code)
	}
}
