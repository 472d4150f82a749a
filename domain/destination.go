package domain

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Schemes of destinations beside http and https (rule 73): those of stores and apps that everybody may
// use, and those that would run or show something in the member's browser, which nobody may.
var (
	appSchemes       = []string{"market", "intent", "itms", "itms-apps", "itms-appss"}
	forbiddenSchemes = []string{"javascript", "data", "file", "blob", "vbscript", "about"}
	schemeForm       = regexp.MustCompile(`^[a-z][a-z0-9+.-]{0,31}$`)
)

// CheckScheme says why a tenant may not list a scheme of its own, in lower case, or nil.
func CheckScheme(scheme string) error {
	switch {
	case !schemeForm.MatchString(scheme):
		return errors.New("must be a scheme such as myapp: a letter, then at most 31 letters, digits, dots, plus signs or hyphens")
	case slices.Contains(forbiddenSchemes, scheme):
		return errors.New("must not be a scheme that runs or shows something in a browser")
	default:
		return nil
	}
}

// CheckDestination says why members cannot be sent to an address, or nil (rule 73): http or https, a
// store's or an app's, or of one of the schemes that the tenant lists. Macros may stand anywhere but in
// scheme and host.
func CheckDestination(raw string, schemes []string) error {
	scheme, rest, _ := strings.Cut(raw, ":")
	scheme = strings.ToLower(scheme)
	switch {
	case scheme == "http" || scheme == "https":
		return checkURL(raw, true)
	case !slices.Contains(appSchemes, scheme) && !slices.Contains(schemes, scheme), slices.Contains(forbiddenSchemes, scheme):
		return errors.New("must be an absolute http or https URL, a store or app URL (market, intent, itms, itms-apps, itms-appss), " +
			"or have a scheme that the settings list in destinationSchemes")
	case strings.Trim(rest, "/") == "":
		return errors.New("must have more than a scheme")
	case strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c == 0x7f || strings.ContainsRune("\\<>\"", c) }):
		return errors.New("must not contain spaces, control characters, backslashes, quotes or angle brackets")
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(rest, "//"), "?")
	host, _, _ = strings.Cut(host, "/")
	if strings.HasPrefix(rest, "//") && strings.ContainsAny(host, "{}%@") {
		return errors.New("must not contain macros or a user name in its host")
	}
	return checkIntent(scheme, rest)
}

// checkIntent looks into an intent of Android, which names further schemes.
func checkIntent(scheme, rest string) error {
	if scheme != "intent" {
		return nil
	}
	_, fragment, _ := strings.Cut(rest, "#")
	for part := range strings.SplitSeq(fragment, ";") {
		name, value, _ := strings.Cut(part, "=")
		value, err := url.QueryUnescape(value)
		inner, _, _ := strings.Cut(strings.ToLower(value), ":")
		switch {
		case err != nil:
			return errors.New("has a broken percent sign in its intent")
		case name == "scheme" && slices.Contains(forbiddenSchemes, inner):
			return fmt.Errorf("must not lead to the scheme %s", inner)
		case name == "S.browser_fallback_url" && inner != "http" && inner != "https":
			return errors.New("must have a http or https address as its S.browser_fallback_url")
		}
	}
	return nil
}

// destination is an address that members are sent to; empty when absent or wrong. One that stood there
// before may stay, whoever edits the rest: its scheme is one that the offer's tenant listed.
func (f *docFields) destination(name string, required bool, before string) string {
	raw := f.text(name, required, maxURL)
	if raw == "" || raw == before {
		return raw
	}
	if err := CheckDestination(raw, f.terms.DestinationSchemes); err != nil {
		f.fail(f.at(name), "%s", err)
		return ""
	}
	return raw
}

// before is the version that is replaced, or an empty one.
func (r *docReader) before() *Offer {
	if r.terms.Previous == nil {
		return &Offer{}
	}
	return r.terms.Previous
}
