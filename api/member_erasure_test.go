package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
)

// exported is the tests' own reading of an export.
type exported struct {
	PubMemberID string
	Balance     struct{ Points, PendingPoints string }
	Clicks      []struct {
		ID, PubMemberID, IP, UserAgent string
		PubSubs                        []string
	}
	Postbacks        []struct{ ClickID string }
	HeldPostbacks    []struct{ Params map[string]string }
	Conversions      []struct{ ID, PubMemberID, Revenue, Reward string }
	Transitions      []struct{ ToStatus string }
	LedgerEntries    []struct{ Account, Party, Amount, ConversionID string }
	Deliveries       []struct{ Body json.RawMessage }
	DeliveryAttempts []struct{}
	OfferViews       []struct{ PubMemberID string }
	Jobs             []struct{ Filter map[string][]string }
	AuditLog         []struct{ Noun string }
}

func (b *book) export(member string) (text string, out exported) {
	b.t.Helper()
	answer := b.me.get("/api/v1/members/" + url.PathEscape(member) + "/export")
	answer.into(http.StatusOK, &out)
	return string(answer.body), out
}

func (b *book) erase(member string) (jobID string) {
	b.t.Helper()
	var made struct{ JobID string }
	b.me.send(http.MethodDelete, "/api/v1/members/"+url.PathEscape(member), nil).into(http.StatusAccepted, &made)
	return made.JobID
}

// An export is everything of one member: more pages than one, of another tenant and other members nothing, and
// nothing secret. A readonly token may read it; partners and advertisers may not.
func TestAMembersExport(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	const member, clicks = "anna/ +é", 230
	var last uuid.UUID
	for i := range clicks {
		last = b.click(member, func(c *domain.Click) {
			c.IP, c.UserAgent, c.PubSubs = fmt.Sprintf("203.0.113.%d", i%200), "Annas browser", []string{fmt.Sprint("sub", i)}
		})
	}
	b.click("anna", func(c *domain.Click) { c.IP = "198.51.100.9" })
	require.Equal(t, domain.OutcomeHeld, b.postback(last, eventLevel).Outcome)
	done := b.postback(last, eventInstall)
	b.me.review("approve", nil, *b.postback(last, eventBuy).ConversionID)

	text, out := b.export(member)
	require.Equal(t, member, out.PubMemberID)
	require.Len(t, out.Clicks, clicks)
	require.Equal(t, []string{member, "Annas browser", "sub0"}, []string{out.Clicks[0].PubMemberID, out.Clicks[0].UserAgent, out.Clicks[0].PubSubs[0]})
	require.Equal(t, "203.0.113.0", out.Clicks[0].IP)
	require.GreaterOrEqual(t, len(out.Postbacks), 3)
	require.Len(t, out.Conversions, 3)
	require.Contains(t, text, done.ConversionID.String())
	require.Contains(t, []string{"5.00", "8.00", "10.00"}, out.Conversions[0].Revenue)
	require.GreaterOrEqual(t, len(out.Transitions), 3)
	points := 0
	for _, entry := range out.LedgerEntries {
		if entry.Account == "member_points" {
			require.Equal(t, member, entry.Party)
			points++
		}
	}
	require.Equal(t, 2, points)
	require.Equal(t, "400.00", out.Balance.Points)
	for _, foreign := range []string{"198.51.100.9", b.tenantID.String(), "securityToken", "_micros", "memberKey\":\"m:"} {
		require.NotContains(t, text, foreign)
	}
	_, nobody := b.export("nobody")
	require.Empty(t, nobody.Clicks)
	require.Equal(t, "0.00", nobody.Balance.Points)

	path := "/api/v1/members/" + url.PathEscape(member)
	b.me.token("readonly").get(path+"/export").into(http.StatusOK, nil)
	b.me.token("readonly").send(http.MethodDelete, path, nil).refused(http.StatusForbidden)
	partner := b.me.made("/api/v1/partners", map[string]any{"name": "P"})
	b.me.token("partner", "partnerId", partner).get(path + "/export").refused(http.StatusForbidden)
	_, rival := b.tenant("Rival")
	answer := rival.get(path + "/export")
	require.Equal(t, http.StatusOK, answer.status)
	require.NotContains(t, string(answer.body), "Annas browser")
}

// The document has the lists that are documented, and no other.
func TestTheExportIsAsDocumented(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	text, _ := b.export("nobody")
	var found map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(text), &found))
	var document struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]json.RawMessage }
		}
	}
	b.as("").get("/openapi.json").into(http.StatusOK, &document)
	require.ElementsMatch(t, slices.Collect(maps.Keys(document.Components.Schemas["MemberExport"].Properties)), slices.Collect(maps.Keys(found)))
}

// Erasing is one job however often it is asked for while it runs. Lists, balances and reports show the same
// afterwards, under the pseudonym, and nothing under the member's id.
func TestAMemberIsErased(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	const member = "Anna +/?é"
	click := b.click(member, func(c *domain.Click) { c.IP, c.PubSubs = "203.0.113.7", []string{"annas sub"} })
	conversion := b.postback(click, eventInstall)
	b.postback(b.click("other"), eventInstall)
	report := func() string {
		return string(b.me.get("/api/v1/reports/performance?from=2020-01-01&to=2100-01-01&group_by=offer,country,event").body)
	}
	before := report()
	first, second := b.erase(member), b.erase(member)
	require.Equal(t, first, second, "it is under way")
	var job struct {
		Action, State string
		Total         int
	}
	b.me.get("/api/v1/jobs/"+first).into(http.StatusOK, &job)
	require.Equal(t, []any{"erase", "running", 4}, []any{job.Action, job.State, job.Total})
	b.works(first)
	b.me.get("/api/v1/jobs/"+first).into(http.StatusOK, &job)
	require.Equal(t, "done", job.State)
	require.NotContains(t, string(b.me.get("/api/v1/audit").body), "Anna")
	require.Equal(t, before, report())

	text, out := b.export(member)
	require.Empty(t, out.Clicks)
	require.Empty(t, out.Conversions)
	require.Equal(t, "0.00", out.Balance.Points)
	require.NotContains(t, text, "203.0.113.7")
	var shown struct{ PubMemberID string }
	b.me.get("/api/v1/conversions/"+conversion.ConversionID.String()).into(http.StatusOK, &shown)
	pseudonym := shown.PubMemberID
	require.True(t, domain.IsErased(&pseudonym), pseudonym)
	_, moved := b.export(pseudonym)
	require.Equal(t, "100.00", moved.Balance.Points)
	require.Len(t, moved.Clicks, 1)
	require.Empty(t, moved.Clicks[0].IP)
	require.Empty(t, moved.Clicks[0].PubSubs)
	b.me.get("/api/v1/clicks/"+click.String()).into(http.StatusOK, nil)

	third := b.erase(member)
	require.NotEqual(t, first, third, "a member that may have come anew")
	b.works(third)
	b.me.get("/api/v1/conversions/"+conversion.ConversionID.String()).into(http.StatusOK, &shown)
	require.Equal(t, pseudonym, shown.PubMemberID)
}
