package tracking

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// keyed makes the tenant one whose postbacks need more than a click id.
func (g *guarded) keyed() {
	g.t.Helper()
	require.NoError(g.t, g.decisions.Store.Tenant(g.t.Context(), g.tenant.TenantID, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "UPDATE tenants SET postback_security = 'keyed'")
		return err
	}))
}

// Rule 78 in every form: by its click id alone a postback counts nowhere, whatever a member calls.
func TestRule78InEveryForm(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, nil)
	g.keyed()
	plain, opaque := g.everyForm(g.newClick())
	for name := range opaque {
		plain[name] = opaque[name]
	}
	for name := range plain {
		t.Run(name, func(t *testing.T) {
			plain, opaque := g.everyForm(g.newClick())
			r, ok := plain[name]
			if !ok {
				r = opaque[name]
			}
			isPixel := strings.Contains(name, "pixel") || name == "/aff_l" || name == "/SL" || name == "/GL"
			isSafe := name == "/track/{key}" || name == "/SP" || name == "/GP"
			answer := g.sent(r)
			switch {
			case isSafe:
				require.Equal(t, domain.StatusSuccess, answer.Status, answer.Reason)
			case isPixel:
				require.Equal(t, []any{domain.OutcomeAccepted, domain.StatusPending}, []any{answer.Outcome, answer.Status})
				require.Nil(t, answer.ReleaseAt, "a person decides")
			default:
				require.Equal(t, []any{domain.OutcomeRefused, domain.ReasonKeyRequired}, []any{answer.Outcome, answer.Reason})
				require.Contains(t, answer.Detail, "/track/{advertiserKey}")
			}
			if !isPixel && !isSafe { // the advertiser's own security is as good
				g.set("ip_allowlist = '{192.0.2.1}'")
				require.Equal(t, domain.StatusSuccess, g.sent(r).Status)
				g.set("ip_allowlist = '{}'")
			}
		})
	}
	wrong := request{method: "GET", path: "/track/another", query: "gk_click_id=" + g.newClick().String()}
	require.Equal(t, domain.ReasonKeyRequired, g.sent(wrong).Reason)
}

// The senders of TUNE's forms are told in their own way, and by JSON what to do.
func TestRule78IsToldInTunesForm(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, nil)
	g.keyed()
	path := "/aff_lsr?transaction_id=" + g.newClick().String()
	w := g.serve(httptest.NewRequest("GET", path, nil))
	require.Equal(t, "success=false; err_msg=key_required;", w.Body.String())
	var told struct {
		Success bool
		Reason  string
		Detail  string
	}
	w = g.serve(httptest.NewRequest("GET", path+"&format=json", nil))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &told))
	require.False(t, told.Success)
	require.Equal(t, "key_required", told.Reason)
	require.Contains(t, told.Detail, "/SP")
}

// A key goes no further than the edge: neither it nor its beginning is in what the stream is given.
func TestRule78KeysStayAtTheEdge(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.accepting()
	const key = "k3yk3yk3yk3yk3yk3yk3yk3yk3yk3y22"
	click := e.keys.NewID(keyring.KindClick, e.at).String()
	for _, path := range []string{"/track/" + key + "?gk_click_id=" + click, "//track//" + key + "/?gk_click_id=" + click, "/track/" + key, "/track/" + key + "/more",
		"/track/" + strings.ToUpper(key) + "?gk_click_id=" + click} {
		before := len(e.posted)
		e.get(path)
		require.Len(t, e.posted, before+1, path)
		message, err := json.Marshal(e.posted[before])
		require.NoError(t, err)
		require.NotContains(t, strings.ToLower(string(message)), key[:6], path)
		require.Equal(t, domain.SentByKey(key), e.last(t).AdvertiserKey, path)
		require.Equal(t, "/track/***", e.last(t).Path, path)
	}
}
