package api

import (
	_ "embed" // the page at /docs
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
)

// describe fills in what the OpenAPI document says beside its operations.
func describe(doc *huma.OpenAPI) {
	doc.Info.Description = "Offers, tracking, conversions, rewards, callbacks and the exchange. " +
		"JSON is camelCase, times are RFC 3339 in UTC, money and points are decimal strings, ids are UUIDs. " +
		"Every refusal is a problem of RFC 9457. An Idempotency-Key is honoured on every POST with a token. " +
		"Lists take filter.<Field>=<value>, repeated for any of several; an unknown field is refused with the names that there are."
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"ApiToken": {Type: "apiKey", In: "header", Name: "Authorization", Description: "`ApiToken <token>`"},
		"Bearer":   {Type: "http", Scheme: "bearer"},
	}
}

// openAPIDocument serves the document that the route table makes.
func (s *Server) openAPIDocument(doc *huma.OpenAPI) gin.HandlerFunc {
	marshal := sync.OnceValues(doc.MarshalJSON)
	return func(c *gin.Context) {
		text, err := marshal()
		if err != nil {
			writeError(c, err)
			return
		}
		c.Data(http.StatusOK, "application/json", text)
	}
}

//go:embed docs.html
var docsPage []byte

// docs is a page of our own that reads /openapi.json: nothing comes from another host.
func (s *Server) docs(c *gin.Context) {
	c.Header("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'")
	c.Header("X-Content-Type-Options", "nosniff")
	c.Data(http.StatusOK, "text/html; charset=utf-8", docsPage)
}
