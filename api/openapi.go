package api

import (
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/api/problem"
)

// describe fills in what the OpenAPI document says beside its operations.
func describe(doc *huma.OpenAPI) {
	doc.Info.Description = "Offers, tracking, conversions, rewards, callbacks and the exchange.\n\n" +
		"- JSON is camelCase, times are RFC 3339 in UTC, money and points are decimal strings, ids are UUIDs.\n" +
		"- Every error is an RFC 9457 problem that names the field.\n" +
		"- Every POST with a token accepts an `Idempotency-Key`.\n" +
		"- Lists take `filter.<Field>=<value>`; repeat it to match any of several values. The answer to an unknown field lists the valid ones.\n" +
		"- A date in a period (`from`, `to`, `…_from`, `…_to`) is a whole day in `tz` (default: the tenant's time zone), both ends included; an instant as the end is exclusive. Answers have the resolved period.\n" +
		"- Every list and report is also available as CSV: `format=csv`, or `Accept: text/csv`.\n" +
		"- Another tenant's id is 404 in a path and 400 in a body."
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"ApiToken": {Type: "apiKey", In: "header", Name: "Authorization", Description: "`ApiToken <token>`"},
		"Bearer":   {Type: "http", Scheme: "bearer"},
	}
}

// openAPIDocument serves the document that the route table makes.
func (s *Server) openAPIDocument(doc *huma.OpenAPI) gin.HandlerFunc {
	marshal := sync.OnceValues(func() ([]byte, error) { return documentOf(doc) })
	return func(c *gin.Context) {
		text, err := marshal()
		if err != nil {
			problem.WriteError(c, err)
			return
		}
		c.Data(http.StatusOK, "application/json", text)
	}
}
