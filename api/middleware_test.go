package api

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/problem"
)

// Not parallel: it changes the process's logger.
func TestPanicsAndLogs(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(before)
	engine := gin.New()
	r := newRouter(&Server{}, engine)
	engine.Use(r.requestIDs, r.observe, recovery)
	raw(r, get, "/panic/{key}", "panics", public, "Panic", func(*gin.Context) { panic("boom") })
	raw(r, get, "/fine", "answers", public, "Answer", func(c *gin.Context) { c.Status(http.StatusNoContent) })
	raw(r, get, "/quiet/{status}", "sheds", public, "Answer as told", func(c *gin.Context) {
		status, err := strconv.Atoi(c.Param("status"))
		require.NoError(t, err)
		c.Status(status)
	}, quiet)
	send := func(path string) *httptest.ResponseRecorder {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		request.Header.Set("Authorization", "ApiToken of_s3cret")
		answer := httptest.NewRecorder()
		engine.ServeHTTP(answer, request)
		return answer
	}
	answer := send("/panic/k3y?security_token=hush")
	require.Equal(t, http.StatusInternalServerError, answer.Code)
	require.Equal(t, problem.MediaType, answer.Header().Get("Content-Type"))
	require.NotContains(t, answer.Body.String(), "boom")
	require.Contains(t, answer.Body.String(), answer.Header().Get("X-Request-ID"))
	require.Contains(t, log.String(), `"panic":"boom"`)
	send("/fine?security_token=hush")
	require.Contains(t, log.String(), `"route":"/fine"`)
	for _, secret := range []string{"hush", "s3cret", "k3y"} {
		require.NotContains(t, log.String(), secret)
	}
	require.Equal(t, 2, strings.Count(log.String(), `"msg":"request"`))
	for path, level := range map[string]string{"/quiet/200": "DEBUG", "/quiet/404": "DEBUG", "/quiet/500": "INFO", "/quiet/503": "DEBUG"} {
		log.Reset()
		send(path)
		require.Contains(t, log.String(), `"level":"`+level+`"`, "%s: strangers do not fill the log", path)
	}
}
