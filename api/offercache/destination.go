package offercache

import (
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/offerflow/offerflow/domain"
)

// compiledDestination is an address that members are sent to, taken apart, its host as browsers and
// resolvers know it: international names go out as punycode (rule 73).
func compiledDestination(address string) domain.Template {
	return domain.CompileTemplate(withASCIIHost(address))
}

// withASCIIHost leaves alone what has no host, or one that is no name.
func withASCIIHost(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		return address
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	host, port := rest[:end], ""
	if colon := strings.LastIndexByte(host, ':'); colon >= 0 {
		host, port = host[:colon], host[colon:]
	}
	if isASCII(host) {
		return address
	}
	ascii, err := idna.Lookup.ToASCII(host)
	if err != nil {
		return address
	}
	return scheme + "://" + ascii + port + rest[end:]
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(c rune) bool { return c > unicode.MaxASCII }) < 0
}
