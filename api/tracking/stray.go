package tracking

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/domain"
)

// Strays answers what no route is for. A postback to an address that is almost one of ours is a
// conversion that somebody misses: it is refused like any other that cannot be read, and in the log.
func (t *Edge) Strays(engine *gin.Engine) {
	engine.NoRoute(func(c *gin.Context) {
		wrong := domain.FieldError{Field: "path", Reason: "is not a postback address"}
		if form := strayForm(c); form != nil {
			t.takeUnless(c, form, &wrong)
			return
		}
		problem.Write(c, problem.NotFound())
	})
	engine.NoMethod(func(c *gin.Context) {
		wrong := domain.FieldError{Field: "method", Reason: "must be GET or POST"}
		if form := strayForm(c); form != nil {
			t.takeUnless(c, form, &wrong)
			return
		}
		problem.Write(c, problem.New(http.StatusMethodNotAllowed, ""))
	})
}

// strayPostback and strayTune are the forms of what was sent to a wrong address.
var (
	strayPostback = newForm(&conversionForm{fields: [][]SentField{PostbackFields}, answer: sendAnswer, busy: tryAgain})
	strayTune     = tunePostback(func(f *conversionForm) { f.findsClick = false })
)

// strayForm is the form that a sender meant by a wrong address, or nil where it meant none: clicks and
// pixels come from browsers, and whoever asks whether an address is there sends no conversion.
func strayForm(c *gin.Context) *conversionForm {
	method, path := c.Request.Method, c.Request.URL.Path
	if method == http.MethodHead || method == http.MethodOptions {
		return nil
	}
	first, rest, deeper := strings.Cut(strings.TrimPrefix(strings.ToLower(mendedPath(path)), "/"), "/")
	switch {
	case first == "track", first == "postback", first == "api" && strings.HasPrefix(rest+"/", "v1/conversion/"):
		return strayPostback
	case strings.HasPrefix(first, "aff_lsr"), strings.HasPrefix(first, "aff_goal"), opaqueOf(path) != "" && (deeper || method != http.MethodGet):
		return strayTune
	default:
		return nil
	}
}

// strayKey is the advertiser's key in a wrong address below one of ours, so that its tenant's log has it.
func strayKey(path string) string {
	path = mendedPath(path)
	for _, prefix := range []string{"/track/", "/postback/", "/api/v1/conversion/"} {
		if len(path) > len(prefix) && strings.EqualFold(path[:len(prefix)], prefix) {
			key, _, _ := strings.Cut(path[len(prefix):], "/")
			return key
		}
	}
	return ""
}

// loggedPath is a request's path as the log keeps it: a code only so far as it tells codes apart, an
// advertiser's key not at all.
func loggedPath(path string) string {
	if form := opaqueOf(path); form != "" {
		return "/" + string(form) + maskedCode(strings.TrimPrefix(path, "/"+string(form)))
	}
	if strayKey(path) != "" {
		path = domain.PathWithoutKey(mendedPath(path))
	}
	return domain.Truncated(path, 255)
}
