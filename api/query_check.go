package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/domain"
)

// Go drops what it cannot read of a query: a pair with a bad escape, a pair with a semicolon, a name
// that no handler asks for. A filter that is dropped finds everything, and a misspelt dryRun decides.
// So a request with a token is refused for all of these before its handler sees it. Tracking routes
// have no token and stay tolerant (rule 71).

// openQuery is for routes whose callers add parameters of their own: a wall passes on those of the
// click to come, and attribution providers send what their set-up holds.
var openQuery option = func(r *route) { r.openQuery = true }

// checkedQuery refuses a query that would not be read as it was meant.
func checkedQuery(op *huma.Operation, line route, handler gin.HandlerFunc) gin.HandlerFunc {
	if line.who == public && line.portalOf == "" {
		return handler
	}
	return func(c *gin.Context) {
		if c.Request.URL.RawQuery != "" {
			if errs := wrongQuery(op, line.openQuery, c.Request.URL.RawQuery); len(errs) > 0 {
				problem.WriteError(c, errs)
				return
			}
		}
		handler(c)
	}
}

// wrongQuery names every parameter that cannot be read, is unknown, or is given twice with different
// values where only one counts.
func wrongQuery(op *huma.Operation, open bool, query string) (errs domain.FieldErrors) {
	first := map[string]string{}
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, reason := queryPair(pair)
		if reason == "" {
			reason = unknownParameter(op, open, name)
		}
		if earlier, known := first[name]; reason == "" && known && earlier != value && !isRepeatable(op, name) {
			reason = tracking.TwiceReason
		}
		if reason != "" && !slices.ContainsFunc(errs, func(e domain.FieldError) bool { return e.Field == name }) {
			errs = append(errs, domain.FieldError{Field: name, Reason: reason})
		}
		if _, known := first[name]; !known {
			first[name] = value
		}
	}
	return errs
}

// queryPair decodes one pair, or says why it cannot.
func queryPair(pair string) (name, value, reason string) {
	sentName, sentValue, _ := strings.Cut(pair, "=")
	name, err := url.QueryUnescape(sentName)
	if err != nil {
		return domain.Truncated(strings.ToValidUTF8(sentName, "\uFFFD"), 64), "", "is not correctly percent-encoded"
	}
	name = domain.Truncated(strings.ToValidUTF8(name, "\uFFFD"), 64)
	if value, err = url.QueryUnescape(sentValue); err != nil {
		return name, "", "is not correctly percent-encoded: write % as %25"
	}
	if strings.Contains(pair, ";") {
		return name, "", "has a semicolon: write it as %3B, and & between parameters"
	}
	return name, value, ""
}

// unknownParameter is why a name is refused, or "". Which filters a list has, the list knows itself.
func unknownParameter(op *huma.Operation, open bool, name string) string {
	names, takesFilters := queryParameters(op)
	filter := strings.HasPrefix(name, filterPrefix)
	switch {
	case slices.Contains(names, name):
		return ""
	case filter && takesFilters:
		return ""
	case filter || len(name) >= len(filterPrefix) && strings.EqualFold(name[:len(filterPrefix)-1], "filter"):
		if takesFilters {
			return "is not a valid filter: write filter.<Field>="
		}
		return "this route has no filters"
	case open:
		return likeParameter(names, name)
	case op.Method == http.MethodGet && (len(names) == 0 || name == "page" || name == "page_size"):
		return "" // nothing is selected that could be widened; the answer comes whole
	case len(names) == 0:
		return "is unknown; this route has no query parameters"
	}
	return "is unknown; the parameters are: " + strings.Join(names, ", ")
}

// queryParameters are the names that an operation takes in its query, and whether it takes filters.
func queryParameters(op *huma.Operation) (names []string, takesFilters bool) {
	for _, param := range op.Parameters {
		if param.In != "query" {
			continue
		}
		takesFilters = takesFilters || param.Name == "group_by" || param.Name == "page_size" || strings.HasPrefix(param.Name, filterPrefix)
		names = append(names, param.Name)
	}
	return names, takesFilters
}

// likeParameter finds a name that was written in another way.
func likeParameter(names []string, name string) string {
	for _, known := range names {
		if !strings.HasPrefix(known, "pub_") && plainName(known) == plainName(name) { // a click's are read in any case
			return "is unknown; write it as " + known
		}
	}
	return ""
}

var plainNames = strings.NewReplacer("_", "", "-", "", ".", "")

func plainName(name string) string { return plainNames.Replace(strings.ToLower(name)) }

// isRepeatable says whether several values of a parameter mean something.
func isRepeatable(op *huma.Operation, name string) bool {
	if strings.HasPrefix(name, filterPrefix) {
		return true
	}
	return slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool {
		return p.In == "query" && p.Name == name && p.Schema != nil && p.Schema.Type == huma.TypeArray
	})
}
