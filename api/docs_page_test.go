package api_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api"
)

// The page at /docs works without the network: every file is this server's, the policy lets it ask
// nobody else, and what its library could ask other hosts for is off.
func TestDocsPageNeedsNoOtherHost(t *testing.T) {
	t.Parallel()
	handler, err := new(api.Server).Handler()
	require.NoError(t, err)
	get := func(path, encoding string) *http.Response {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		request.Header.Set("Accept-Encoding", encoding)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer.Result()
	}
	home := get("/", "")
	require.Equal(t, http.StatusFound, home.StatusCode)
	require.Equal(t, "/docs", home.Header.Get("Location"))

	page := get("/docs", "")
	html, err := io.ReadAll(page.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, page.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", page.Header.Get("Content-Type"))
	require.Equal(t, "no-cache", page.Header.Get("Cache-Control"))
	require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; "+
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'", page.Header.Get("Content-Security-Policy"))
	require.Empty(t, regexp.MustCompile(`(?i)https?://|src="//|@import|url\(`).FindAllString(string(html), -1))

	scripts := regexp.MustCompile(`src="(/docs/(reference|setup)-[0-9a-f]{16}\.js)"`).FindAllStringSubmatch(string(html), -1)
	require.Len(t, scripts, 2)
	for _, script := range scripts {
		plain, packed := get(script[1], "br"), get(script[1], "gzip, br")
		require.Equal(t, http.StatusOK, plain.StatusCode)
		require.Equal(t, "text/javascript; charset=utf-8", plain.Header.Get("Content-Type"))
		require.Equal(t, "public, max-age=31536000, immutable", plain.Header.Get("Cache-Control"))
		require.Empty(t, plain.Header.Get("Content-Encoding"))
		text, err := io.ReadAll(plain.Body)
		require.NoError(t, err)
		sent, err := io.ReadAll(packed.Body)
		require.NoError(t, err)
		if script[2] == "reference" {
			require.Equal(t, "gzip", packed.Header.Get("Content-Encoding"))
			reader, err := gzip.NewReader(bytes.NewReader(sent))
			require.NoError(t, err)
			sent, err = io.ReadAll(reader)
			require.NoError(t, err)
			require.Contains(t, string(text), "createApiReference")
		} else {
			for _, off := range []string{"withDefaultFonts: false", "telemetry: false", "agent: { disabled: true }", "mcp: { disabled: true }", "hideClientButton: true"} {
				require.Contains(t, string(text), off)
			}
			require.NotContains(t, string(text), "proxyUrl")
		}
		require.True(t, bytes.Equal(text, sent))
	}
	require.Equal(t, http.StatusNotFound, get("/docs/reference-0000000000000000.js", "").StatusCode)
}
