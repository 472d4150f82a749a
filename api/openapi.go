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
		"- Every refusal is a problem of RFC 9457 and names the field.\n" +
		"- An `Idempotency-Key` is honoured on every POST with a token.\n" +
		"- Lists take `filter.<Field>=<value>`, repeated for any of several; an unknown field is refused with the names that there are.\n" +
		"- A date in a bound of time (`from`, `to`, `…_from`, `…_to`) is a whole day of `tz`, else of the tenant's zone, both ends included; an instant as the end is exclusive. Answers say what was read.\n" +
		"- Every list and report answers in CSV too: `format=csv`, or `Accept: text/csv`.\n" +
		"- The id of something that is another tenant's is answered with 404 in a path and with 400 in a body."
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
