package domain

import (
	_ "embed" // the table of presets
	"net/url"
	"slices"
	"strings"
	"sync"
)

// TrackingSystem is an attribution provider's preset: how its links carry our click id, and with
// which macros of its own it fills our postback.
type TrackingSystem struct {
	// Name is the canonical spelling.
	Name string
	// Link is an example of its links, without the click id; what is to be replaced is in capitals.
	Link string
	// ClickParameter carries the click id in the link.
	ClickParameter string
	// Macros are the provider's own, as it writes them, in the order of PostbackURL. It has none for
	// what is not among them.
	Macros []PostbackMacro
	// PerEvent says that the provider takes a URL for each event; else its macro names the event.
	PerEvent bool
	// Certainty is how the macro names are known.
	Certainty Certainty
	// Notes are for whoever sets it up.
	Notes string
	// Installs is what its event macro says of an install: "" the event's own name as of any event, InstallsNameless
	// nothing. Where it is not the event's own name, installs are given a URL of their own.
	Installs string
	// Rejection is nil where the provider is not known to post what it rejects.
	Rejection *PostbackOfRejections
}

// PostbackOfRejections is how a provider posts what it has rejected. It is given a URL of its own, so that
// each of its reasons means the same verdict (rule 77).
type PostbackOfRejections struct {
	// ReasonMacro is filled with the provider's reason, for the log; empty where its name is not known.
	ReasonMacro string
	Certainty   Certainty
}

// PostbackMacro is one of our postback's parameters and the provider's macro that fills it.
type PostbackMacro struct {
	Parameter string
	Macro     string
}

// Certainty is how the names in a preset are known.
type Certainty string

// The certainties: by the provider's public documentation; by that of others who integrate with it,
// in part at least; or by nothing that could be looked up.
const (
	CertaintyDocumented  Certainty = "documented"
	CertaintyReported    Certainty = "reported"
	CertaintyUnconfirmed Certainty = "unconfirmed"
)

// Parameters of the postback that presets fill.
const (
	ParamClickID       = "gk_click_id"
	ParamEventID       = "cnv_event_id"
	ParamAmount        = "cnv_amount"
	ParamCurrency      = "cnv_currency"
	ParamConversionID  = "cnv_conversion_id"
	ParamStatus        = "cnv_status"
	ParamReason        = "cnv_sub_5"
	ParamSecurityToken = "security_token"

	tokenPlaceholder = "YOUR_SECURITY_TOKEN"
)

// InstallsNameless is a provider whose event macro is empty at an install.
const InstallsNameless = "nameless"

// InstallEventID is what an install is called where no offer says otherwise.
const InstallEventID = "install"

// installNames are the names that an offer's install event may have, in lower case.
var installNames = []string{InstallEventID, "installs", "_install", "app_install", "app install", "first_open"}

// IsInstall says whether an event is the install, by the advertiser's name of it.
func (e *Event) IsInstall() bool { return slices.Contains(installNames, strings.ToLower(e.EventID)) }

// The presets, a line for each of the 44 values that an offer may name, in the order of the source's
// table: name, link, click parameter, macros of click id, event, amount, currency and conversion id,
// certainty, whether a URL per event is set, notes; of those that post what they reject, how that is
// known, and the macro of the reason; and what the event's macro says of an install.
//
//go:embed tracking_systems.tsv
var trackingSystemTable string

var trackingSystems = sync.OnceValue(func() []TrackingSystem {
	var systems []TrackingSystem
	for _, row := range tableRows(trackingSystemTable) {
		system := TrackingSystem{
			Name: row[0], Link: row[1], ClickParameter: row[2], Certainty: Certainty(row[8]), PerEvent: row[9] == "per_event", Notes: row[10],
			Installs: row[13],
		}
		for n, parameter := range []string{ParamClickID, ParamEventID, ParamAmount, ParamCurrency, ParamConversionID} {
			if macro := row[3+n]; macro != "" {
				system.Macros = append(system.Macros, PostbackMacro{parameter, macro})
			}
		}
		if row[11] != "" {
			system.Rejection = &PostbackOfRejections{Certainty: Certainty(row[11]), ReasonMacro: row[12]}
		}
		systems = append(systems, system)
	}
	return systems
})

// TrackingSystems are the canonical spellings of the 44 attribution providers.
func TrackingSystems() []string {
	var names []string
	for _, system := range trackingSystems() {
		names = append(names, system.Name)
	}
	return names
}

// TrackingSystemByName finds a preset, whatever the case of name.
func TrackingSystemByName(name string) (TrackingSystem, bool) {
	for _, system := range trackingSystems() {
		if strings.EqualFold(system.Name, strings.TrimSpace(name)) {
			return system, true
		}
	}
	return TrackingSystem{}, false
}

// ParseTrackingSystem finds a provider's canonical spelling, whatever the case of name.
func ParseTrackingSystem(name string) (string, bool) {
	system, ok := TrackingSystemByName(name)
	return system.Name, ok
}

// TrackingLink is a destination with the provider's parameter for the click id in it: a link of the
// provider, or its example for "". A parameter of that name that is there already is left as it is
// when it holds the click id, and filled when not.
func (s TrackingSystem) TrackingLink(link string) string {
	if link == "" {
		link = s.Link
	}
	const macro = "{gk_click_id}"
	address, fragment, hasFragment := strings.Cut(link, "#")
	base, query, _ := strings.Cut(address, "?")
	pairs, found := []string{}, false
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil && decoded == s.ClickParameter && !found {
			found = true
			if !CompileTemplate(value).Has(ParamClickID, "transaction_id") {
				pair = name + "=" + macro
			}
		}
		if pair != "" {
			pairs = append(pairs, pair)
		}
	}
	if !found {
		pairs = append(pairs, s.ClickParameter+"="+macro)
	}
	link = base + "?" + strings.Join(pairs, "&")
	if hasFragment {
		link += "#" + fragment
	}
	return link
}

// PostbackForm is what a postback URL is made for.
type PostbackForm struct {
	// Address is the address of ours, without a query.
	Address string
	// EventID, where it is not empty, stands in place of the event's macro.
	EventID string
	// WithToken leaves a place for the advertiser's token.
	WithToken bool
	// WithoutMoney leaves amount and currency out: an offer at a flat rate needs neither, and a purchase in another
	// currency would be rejected (rule 38).
	WithoutMoney bool
}

// MacrosFor are the macros of a postback URL.
func (s TrackingSystem) MacrosFor(form PostbackForm) []PostbackMacro {
	return slices.DeleteFunc(slices.Clone(s.Macros), func(m PostbackMacro) bool {
		isMoney := m.Parameter == ParamAmount || m.Parameter == ParamCurrency
		return form.WithoutMoney && isMoney || form.EventID != "" && m.Parameter == ParamEventID
	})
}

// PostbackURL is what the provider is given: an address of ours with its macros in their places. The
// macros are as the provider wants them, not escaped.
func (s TrackingSystem) PostbackURL(form PostbackForm) string {
	var pairs []string
	for _, m := range s.MacrosFor(form) {
		pairs = append(pairs, m.Parameter+"="+m.Macro)
	}
	if form.EventID != "" {
		pairs = append(pairs, ParamEventID+"="+url.QueryEscape(form.EventID))
	}
	if form.WithToken {
		pairs = append(pairs, ParamSecurityToken+"="+tokenPlaceholder)
	}
	return form.Address + "?" + strings.Join(pairs, "&")
}

// RejectionURL is the PostbackURL for what the provider rejects; empty where it is not known to post that.
func (s TrackingSystem) RejectionURL(form PostbackForm) string {
	if s.Rejection == nil {
		return ""
	}
	link := s.PostbackURL(form) + "&" + ParamStatus + "=" + string(VerdictRejected)
	if s.Rejection.ReasonMacro != "" {
		link += "&" + ParamReason + "=" + s.Rejection.ReasonMacro
	}
	return link
}

// NamesEvent says whether a URL for this event must name it: where the provider takes a URL for each event,
// and for installs where its macro does not say the event's own name.
func (s TrackingSystem) NamesEvent(e *Event) bool {
	return s.PerEvent || s.Installs != "" && e.IsInstall() && !strings.EqualFold(s.Installs, e.EventID)
}

// Advice is the notes, with what is to be checked.
func (s TrackingSystem) Advice() string {
	check := map[Certainty]string{
		CertaintyReported:    "Not all macro names are from the provider's own documentation: check them in its console.",
		CertaintyUnconfirmed: "The names of the parameter and the macros are not confirmed: check them in the provider's console before use.",
	}[s.Certainty]
	return strings.TrimSpace(s.Notes + " " + check)
}
