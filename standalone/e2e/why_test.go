package e2e

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// Why was it refused? Its sender is told at once and when it asks later, and the tenant reads it in the log:
// the field, the nearest event, what a held one waits for and until when, how long is missing, which cap and
// when it is reset. A stranger learns no event's name by it.
func TestWhyAPostbackMadeNothing(t *testing.T) {
	const token = "why-was-it-refused-1"
	s := newShop(t, map[string]any{"securityToken": token})
	link := s.multi(t, nil,
		blackbox.Event("install", 1, map[string]any{"dailyCap": 1}),
		blackbox.Event("purchase", 2, map[string]any{"minTimeFromPreviousEvent": 1}),
		blackbox.Event("review", nil, nil))
	click, berts := s.click(t, link, "pub_member_id", "anna"), s.click(t, link, "pub_member_id", "bert")
	const instant = `20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ`
	for _, c := range []struct{ event, want, says string }{
		{"purchas", "refused unknown_event", `^cnv_event_id "purchas" is not an event of this offer\. Closest match: "purchase"\.$`},
		{"purchase", "held", `^Held until ` + instant + `: an event that must be completed first is missing\. Missing: "install"\.$`},
		{"install", "accepted", `^$`},
		{"purchase", "rejected too_soon", `^Completed at ` + instant + `, (1h|59m\d+s) too soon: it counts from ` + instant + ` on, 1h after ` + instant + `\.$`},
		{"", "refused missing_event", `^The offer has several events: cnv_event_id must name one of them\. They are: "install", "purchase", "review"\.$`},
	} {
		answer := s.convert(t, click, c.event, c.want, "security_token", token)
		s.requireDetail(t, answer, c.want, c.says)
	}
	second := s.convert(t, berts, "install", "rejected cap_daily", "security_token", token)
	s.requireDetail(t, second, "rejected cap_daily", `^The daily cap is reached; the cap resets at `+instant+`\. The cap is 1 for the event "install"\.$`)

	unread := s.send(t, http.MethodGet, "/track?gk_click_id=%7Bclick_id%7D", "", "")
	s.requireDetail(t, unread, "refused malformed", `^gk_click_id is required, and is the macro \{click_id\}, which the sender did not replace\.$`)

	stranger := s.convert(t, click, "purchas", "refused bad_signature")
	if strings.Contains(stranger.Detail, "install") || strings.Contains(stranger.Detail, `"purchase"`) {
		t.Errorf("a stranger is told: %s", stranger.Detail)
	}
	var log blackbox.Page[struct{ ID, Detail string }]
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/postbacks?filter.pubMemberId=bert", nil, &log))
	if len(log.Items) != 1 || log.Items[0].ID != second.PostbackID || log.Items[0].Detail != second.Detail {
		t.Errorf("the log of a member: %+v, want %s", log.Items, second.Detail)
	}
	var clicks blackbox.Page[struct{ ID, RefusedReason string }]
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/clicks?filter.pubMemberId=anna", nil, &clicks))
	if len(clicks.Items) != 1 || clicks.Items[0].ID != click {
		t.Errorf("the clicks of a member: %+v", clicks.Items)
	}
}

// requireDetail looks at what was said, and asks for it again. What was held may have another end by then.
func (s *shop) requireDetail(t *testing.T, answer blackbox.Answer, want, says string) {
	t.Helper()
	if !regexp.MustCompile(says).MatchString(answer.Detail) {
		t.Errorf("%s: %q, want %s", want, answer.Detail, says)
	}
	if want == "held" {
		return
	}
	later, err := s.Decided(t.Context(), answer.PostbackID)
	check(t, err)
	if later.Detail != answer.Detail {
		t.Errorf("%s: asked later %q, at once %q", want, later.Detail, answer.Detail)
	}
}
