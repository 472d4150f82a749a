package tracking

import (
	"net/http"
	"net/netip"
	"strings"

	"github.com/offerflow/offerflow/domain"
)

// Tolerant mends what proxies and senders write differently and nobody can misread (rule 71), before
// routes and addresses are looked at. The request line as it was sent stays in RequestURI, over which
// signatures are computed.
func Tolerant(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range addressHeaders {
			mendAddresses(r.Header[name])
		}
		if mendable(r.URL.Path) {
			r.URL.Path = mendedPath(r.URL.Path)
			if r.URL.RawPath != "" {
				r.URL.RawPath = mendedPath(r.URL.RawPath)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// addressHeaders are the headers that Gin reads the client's address from.
var addressHeaders = []string{"X-Forwarded-For", "X-Real-Ip"}

// mendAddresses leaves out the ports behind addresses, and the brackets around them: Gin takes a list
// with one that it cannot read for none, and then the proxy's own address for the client's.
func mendAddresses(lines []string) {
	for i, line := range lines {
		if strings.IndexByte(line, ':') < 0 {
			continue
		}
		items := strings.Split(line, ",")
		for n, item := range items {
			items[n] = addressAlone(strings.TrimSpace(item))
		}
		lines[i] = strings.Join(items, ", ")
	}
}

func addressAlone(item string) string {
	if addrPort, err := netip.ParseAddrPort(item); err == nil {
		return addrPort.Addr().String()
	}
	if inner, ok := strings.CutPrefix(item, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			return inner
		}
	}
	return item
}

// trackingPaths are the first segments of tracking's addresses, in lower case.
var trackingPaths = []string{"track", "postback", "c", "pixel", "pixel.gif"}

// longTrackingPaths are those of more than one segment.
var longTrackingPaths = []string{"/api/v1/conversion", "/api/v1/offer-link/redirect", "/api/v1/offer-wall/offer-link-redirect"}

// mendable says whether a path is one of tracking's with a slash too many or at its end.
func mendable(path string) bool {
	return len(path) > 1 && (path[len(path)-1] == '/' || strings.Contains(path, "//")) && isTrackingPath(mendedPath(path))
}

// mendedPath is a path without empty segments.
func mendedPath(path string) string {
	mended := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] == '/' && (len(mended) > 0 && mended[len(mended)-1] == '/') {
			continue
		}
		mended = append(mended, path[i])
	}
	return strings.TrimSuffix(string(mended), "/")
}

// isTrackingPath says whether a path without empty segments is one that a sender may have meant for a
// tracking address.
func isTrackingPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	first = strings.ToLower(first)
	for _, name := range trackingPaths {
		if first == name {
			return true
		}
	}
	if strings.HasPrefix(first, "aff_") || opaqueOf(path) != "" {
		return true
	}
	for _, name := range longTrackingPaths {
		if rest, ok := strings.CutPrefix(strings.ToLower(path), name); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// opaqueOf is the form of an opaque address that a path begins like, or "".
func opaqueOf(path string) domain.OpaqueForm {
	for _, form := range []domain.OpaqueForm{domain.OpaquePostback, domain.OpaqueGoalPostback, domain.OpaquePixel, domain.OpaqueGoalPixel} {
		if rest, ok := strings.CutPrefix(path, "/"+string(form)); ok && rest != "" {
			return form
		}
	}
	return ""
}
