package tracking

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// Rule 77 in every form, from the request to the row and back to the answer: an authenticated rejection
// takes back what was paid, an approval gives it again, and both answer success where the form says so.
func TestRule77InEveryForm(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, nil)
	g.set("ip_allowlist = '{192.0.2.1}'") // where these requests come from
	plain, opaque := g.everyForm(g.newClick())
	for _, names := range []map[string]request{plain, opaque} {
		for name := range names {
			t.Run(name, func(t *testing.T) {
				click := g.newClick()
				plain, opaque := g.everyForm(click)
				r, ok := plain[name]
				if !ok {
					r = opaque[name]
				}
				status := "status"
				if strings.HasPrefix(r.path, "/track") {
					status = "cnv_status"
				}
				says := func(verdict string) (domain.Answer, string) {
					in := httptest.NewRequest(r.method, r.path+"?"+r.query+"&"+status+"="+verdict, strings.NewReader(r.body))
					before := len(g.answers)
					w := g.serve(in)
					require.Equal(t, 200, w.Code)
					require.Len(t, g.answers, before+1)
					return g.answers[before], w.Body.String()
				}
				for i, step := range []struct {
					verdict string
					status  domain.Status
					reason  domain.Reason
				}{
					{"", domain.StatusSuccess, domain.ReasonNone}, {"Rejected", domain.StatusRejected, domain.ReasonReversed},
					{"chargeback", domain.StatusRejected, domain.ReasonReversed}, {"approved", domain.StatusSuccess, domain.ReasonNone},
				} {
					answer, body := says(step.verdict)
					require.Equal(t, []any{step.status, step.reason}, []any{answer.Status, answer.Reason}, "step %d", i)
					require.Equal(t, g.answers[len(g.answers)-1].ConversionID, answer.ConversionID)
					if strings.HasPrefix(body, "success=") {
						require.Equal(t, "success=true;", body, "a verdict that was carried out, step %d", i)
					}
				}
				_, body := says("maybe")
				if strings.HasPrefix(body, "success=") {
					require.Equal(t, "success=false; err_msg=duplicate;", body, "one that nobody can read was not")
				}
			})
		}
	}
}

// A sender of TUNE's protocol that is not authenticated is believed nothing, and loses nothing.
func TestRule77NobodysWordTakesNothingBack(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, nil)
	plain, _ := g.everyForm(g.newClick())
	r := plain["/aff_lsr"]
	require.Equal(t, domain.StatusSuccess, g.sent(r).Status)
	r.query += "&status=rejected"
	answer := g.sent(r)
	require.Equal(t, []any{domain.OutcomeDuplicate, domain.StatusSuccess}, []any{answer.Outcome, answer.Status})
	require.Equal(t, "The sender of status is not authenticated: nothing was changed, and a person must check it.", answer.Detail)

	twice := request{method: "GET", path: r.path, query: r.query + "&STATUS=approved"}
	require.Equal(t, domain.ReasonMalformed, g.sent(twice).Reason, "rule 71: two verdicts are none")
}

// An opaque postback address is the advertiser's own, and authenticates its verdicts without anything else.
// A pixel's stands on a public page.
func TestRule77AnOpaquePostbackAddressIsBelieved(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, nil)
	for name, want := range map[string][]any{
		"/SP": {domain.OutcomeRejected, domain.StatusRejected}, "/GP": {domain.OutcomeRejected, domain.StatusRejected},
		"/SL": {domain.OutcomeDuplicate, domain.StatusSuccess}, "/GL": {domain.OutcomeDuplicate, domain.StatusSuccess},
	} {
		_, opaque := g.everyForm(g.newClick())
		r := opaque[name]
		require.Equal(t, domain.StatusSuccess, g.sent(r).Status, name)
		r.query += "&status=rejected"
		answer := g.sent(r)
		require.Equal(t, want, []any{answer.Outcome, answer.Status}, name)
	}
}
