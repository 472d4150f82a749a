package delivery

import (
	"bytes"
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	htmltemplate "html/template"
	"strings"
	texttemplate "text/template"
	"time"
	"unicode"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
)

//go:embed mails
var mailFiles embed.FS

var (
	noticeHTML = htmltemplate.Must(htmltemplate.ParseFS(mailFiles, "mails/notice.html.tmpl"))
	noticeText = texttemplate.Must(texttemplate.New("notice.txt.tmpl").Funcs(texttemplate.FuncMap{"indent": indent}).
			ParseFS(mailFiles, "mails/notice.txt.tmpl"))
)

// Lengths of what others typed, in characters. The whole is in the change log.
const (
	maxSubjectPart = 80
	maxLine        = 300
	maxValue       = 2000
	// maxSubjectFields is how many fields a subject names.
	maxSubjectFields = 3
)

// noticeView is what both templates fill in. All of it that others typed has been cleaned.
type noticeView struct {
	Brand            string
	Subject, Heading string
	Facts            []noticeFact
	Changes          []changeView
	LinkText, Link   string
	Footer           string
}

type noticeFact struct{ Label, Value string }

// changeView is a field with its values as people read them.
type changeView struct {
	Field, Old, New string
	// HadNone and HasNone say that there was, or is, nothing.
	HadNone, HasNone bool
}

// mail writes the notice. publicURL is what its link begins with.
func (n *notice) mail(publicURL string) (outbound.Mail, error) {
	view := n.view(publicURL)
	var text, html bytes.Buffer
	if err := noticeText.Execute(&text, view); err != nil {
		return outbound.Mail{}, err
	}
	if err := noticeHTML.Execute(&html, view); err != nil {
		return outbound.Mail{}, err
	}
	return outbound.Mail{Subject: view.Subject, Text: text.String(), HTML: html.String()}, nil
}

func (n *notice) view(publicURL string) noticeView {
	if n.Endpoint != nil {
		return n.Endpoint.view(publicURL)
	}
	name, who := oneLine(n.OfferName, maxSubjectPart), oneLine(n.SideName, maxSubjectPart)
	view := noticeView{
		Brand: "OFFERFLOW EXCHANGE",
		Facts: []noticeFact{
			{"Offer", oneLine(n.OfferName, maxLine)},
			{"By", oneLine(n.By, maxLine)},
			{"Side", string(n.Side)},
			{"When", mailTime(n.At)},
		},
		LinkText: "Change log",
		Link:     fmt.Sprintf("%s/api/v1/exchange/offers/%s/changes", publicURL, n.OfferID),
		Footer: "You get this mail because you share this offer as its " + string(n.Recipient) +
			". It goes to the contact of your Exchange profile; without one, to your account's address.",
	}
	switch {
	case n.Request != nil:
		n.viewRequest(&view, publicURL, who, name)
	case n.Proposal != nil:
		n.viewProposal(&view, publicURL, who, name)
	case n.State != "":
		n.viewState(&view, who, name)
	case n.Ended && n.WasRequested:
		view.Heading = fmt.Sprintf("%s %s %s", who, map[domain.Side]string{
			domain.SidePublisher: "declined your offer", domain.SideAdvertiser: "withdrew its offer",
		}[n.Side], name)
		view.Subject = view.Heading
		view.Facts = append(view.Facts, noticeFact{"Reason", readable(n.EndReason, maxValue)})
	case n.Ended:
		view.Heading = fmt.Sprintf("%s ended the partnership on %s", who, name)
		view.Subject = view.Heading
		view.Facts = append(view.Facts, noticeFact{"Reason", readable(n.EndReason, maxValue)})
	default:
		view.Heading = fmt.Sprintf("%s changed %s", who, name)
		view.Subject = view.Heading + ": " + n.fieldNames()
	}
	if n.Version != 0 {
		view.Facts = append(view.Facts, noticeFact{"Version", fmt.Sprint(n.Version)})
		view.Link += fmt.Sprintf("?filter.version=%d", n.Version)
	}
	if n.PartnershipID != nil {
		view.LinkText, view.Link = "Partnership", fmt.Sprintf("%s/api/v1/exchange/partnerships/%s", publicURL, *n.PartnershipID)
	}
	for _, change := range n.Changes {
		view.Changes = append(view.Changes, change.view())
	}
	return view
}

func mailTime(at time.Time) string { return at.UTC().Format("2 January 2006, 15:04:05 MST") }

// viewRequest is what a publisher asks for about a conversion. The decision is the advertiser's.
func (n *notice) viewRequest(view *noticeView, publicURL, who, name string) {
	request := n.Request
	view.Heading = fmt.Sprintf("%s asks you to %s a conversion of %s", who, request.Action, name)
	view.Subject = view.Heading
	view.Facts = append(view.Facts,
		noticeFact{"Conversion", request.ConversionID.String()}, noticeFact{"Asked for", string(request.Action)},
		noticeFact{"Reason", readable(request.Reason, maxValue)})
	view.LinkText, view.Link = "Conversion", fmt.Sprintf("%s/api/v1/conversions/%s", publicURL, request.ConversionID)
	view.Footer = "Nothing has changed yet: decide with a review. " + view.Footer
}

// viewState is a share that waits to be accepted, or that was.
func (n *notice) viewState(view *noticeView, who, name string) {
	if n.State == stream.PartnershipRequested {
		view.Heading = fmt.Sprintf("%s wants to share %s with you", who, name)
		view.Footer = "It goes live when you accept it. " + view.Footer
	} else {
		view.Heading = fmt.Sprintf("%s accepted your offer %s", who, name)
		view.Footer = "It is now live. " + view.Footer
	}
	view.Subject = view.Heading
}

// viewProposal is an edit that a side proposes, for the other to accept or decline; or one that was declined.
func (n *notice) viewProposal(view *noticeView, publicURL, who, name string) {
	proposal := n.Proposal
	view.Heading = fmt.Sprintf("%s proposes a change of %s", who, name)
	footer := "Nothing has changed yet: accept or decline it. "
	if proposal.State != domain.ProposalOpen {
		view.Heading = fmt.Sprintf("%s %s your proposal for %s", who, proposal.State, name)
		view.Facts = append(view.Facts, noticeFact{"Reason", readable(proposal.Reason, maxValue)})
		footer = "Nothing has changed. "
	}
	view.Subject = view.Heading + ": " + n.fieldNames()
	view.Facts = append(view.Facts, noticeFact{"Proposal", proposal.ID.String()}, noticeFact{"From version", fmt.Sprint(proposal.From)})
	view.LinkText = "Proposals"
	view.Link = fmt.Sprintf("%s/api/v1/exchange/offers/%s/proposals?filter.id=%s", publicURL, n.OfferID, proposal.ID)
	view.Footer = footer + view.Footer
}

// fieldNames are those of an edit, the first few.
func (n *notice) fieldNames() string {
	var names []string
	for _, change := range n.Changes[:min(len(n.Changes), maxSubjectFields)] {
		names = append(names, oneLine(change.label(), maxSubjectPart))
	}
	out := strings.Join(names, ", ")
	if rest := len(n.Changes) - len(names); rest > 0 {
		out += fmt.Sprintf(" and %d more", rest)
	}
	return out
}

func (c noticeChange) label() string { return cmp.Or(c.Label, c.Field) }

func (c noticeChange) view() changeView {
	view := changeView{Field: oneLine(c.label(), maxLine)}
	view.Old, view.HadNone = humanValue(c.Old)
	view.New, view.HasNone = humanValue(c.New)
	return view
}

// humanValue is a value of the change log as people read it; isNone says that there is none.
func humanValue(raw json.RawMessage) (text string, isNone bool) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if len(raw) == 0 || decoder.Decode(&value) != nil || value == nil {
		return "nothing", true
	}
	switch value := value.(type) {
	case []any:
		if len(value) == 0 {
			return "none", true
		}
		if joined, ok := joinScalars(value); ok {
			return readable(joined, maxValue), false
		}
	case map[string]any:
	default:
		text = scalar(value)
		return readable(text, maxValue), text == ""
	}
	var indented bytes.Buffer
	if json.Indent(&indented, raw, "", "  ") != nil {
		return "nothing", true
	}
	return readable(indented.String(), maxValue), false
}

func joinScalars(values []any) (string, bool) {
	texts := make([]string, len(values))
	for i, value := range values {
		switch value.(type) {
		case []any, map[string]any:
			return "", false
		}
		texts[i] = scalar(value)
	}
	return strings.Join(texts, ", "), true
}

func scalar(value any) string {
	switch value := value.(type) {
	case nil:
		return "nothing"
	case bool:
		if value {
			return "yes"
		}
		return "no"
	default:
		return fmt.Sprint(value)
	}
}

// oneLine is text that others typed as one line, cut to a length: it ends no header and begins no line.
func oneLine(text string, limit int) string {
	return activities.Shorten(strings.Join(strings.Fields(strings.Map(visible, text)), " "), limit)
}

// readable is text of several lines, cut to a length; "empty" where there is none.
func readable(text string, limit int) string {
	text = strings.Map(visible, strings.ReplaceAll(text, "\r\n", "\n"))
	if strings.TrimSpace(text) == "" {
		return "empty"
	}
	return activities.Shorten(text, limit)
}

// visible leaves out what is not text but acts on it: control characters, and those that turn the
// direction of what follows.
func visible(r rune) rune {
	switch {
	case r == '\n' || r == '\t':
		return r
	case r == '\r' || r == '\u2028' || r == '\u2029' || r == '\u0085' || r == '\v' || r == '\f':
		return '\n'
	case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Bidi_Control, r), r == '\uFEFF':
		return -1
	default:
		return r
	}
}

// indent keeps the lines of a value apart from the text's own: none but the first begins at its left.
func indent(text string, by int) string {
	return strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", by))
}
