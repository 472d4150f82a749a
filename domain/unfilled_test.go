package domain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Rule 71: what stands for nothing, and what only looks like it.
func TestSaysNothing(t *testing.T) {
	for _, value := range []string{
		"N/A", "n/a", "#N/A", "null", "NULL", "Null", "(null)", "undefined", "Undefined",
		"{click_id}", "{CLICK_ID}", "{{aff_sub}}", "${sub_id}", "{cl?YOUR_NETWORK_NAME}", "{ currency }", "{event.name}", "%7Bclick_id%7D", "%7btime%7d",
		"{sub1}", "{conversion-id}", "${(name)!}",
	} {
		require.True(t, SaysNothing(value), value)
	}
	for _, system := range trackingSystems() {
		for _, m := range system.Macros {
			require.True(t, SaysNothing(m.Macro), "%s of %s", m.Macro, system.Name)
		}
	}
	for _, value := range []string{
		"", "0", "NA", "na", "none", "None", "nil", "nullable", "n/a/x", "not null", "-", "{}", "{ }", "{123}", "{0193b7a8-7c1e-7000-8000-000000000000}",
		"{0193B7A87C1E70008000000000000000}", `{"a":1}`, "{a:1}", "{a}{b}", "x{a}", "{a}x", "[a]", "(a)", "$5", "#1", "%", "%7B%7D", "$", "{", "}", "{a", "a}", "{naïve}",
		"USD", "{" + string(make([]byte, 200)) + "}",
	} {
		require.False(t, SaysNothing(value), "%q", value)
	}
}

// An event may be called as it likes: only where the offer has none of that name does the name say nothing.
func TestRule71EventThatSaysNothing(t *testing.T) {
	post := func(event string, with ...func(*Postback)) func(*play) Decision {
		return func(p *play) Decision { return p.post(0, event, with...) }
	}
	offer := multiOffer(goal("install"), goal("null"))
	runRules(t, []ruleCase{
		{"rule 3: an event called null", offer, post("null"), OutcomeAccepted, ReasonNone},
		{"rule 71: an unfilled event", offer, post("{event_name}"), OutcomeRefused, ReasonMissingEvent},
		{"rule 71: N/A", offer, post("N/A"), OutcomeRefused, ReasonMissingEvent},
		{"rule 71: an unfilled event beside the goal's id", offer, post("{event_name}", goalID("install")), OutcomeAccepted, ReasonNone},
		{"rule 3: byte for byte", offer, post("NULL"), OutcomeRefused, ReasonMissingEvent},
		{"rule 3: another name", offer, post("instal"), OutcomeRefused, ReasonUnknownEvent},
	})
	p := newPlay(offer)
	d := p.post(0, "{event_name}")
	f := p.facts
	f.Postback = p.posted
	require.Equal(t, "The offer has several events, but cnv_event_id, which must name one of them, is the macro {event_name}, which the sender did not replace.", f.Explain(&d).Detail)
}
