package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

func TestFormsOfAPostback(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.single(t, nil)
	keyed, err := url.Parse(s.advertiser.PostbackURL)
	check(t, err)
	form := func(id string) string { return pairs("gk_click_id", id, "cnv_amount", "1.5").Encode() }
	object := func(id string) string {
		data, err := json.Marshal(map[string]any{"gk_click_id": id, "cnv_amount": 1.5, "cnv_sub_1": "x"})
		check(t, err)
		return string(data)
	}
	for name, send := range map[string]func(id string) blackbox.Answer{
		"query":         func(id string) blackbox.Answer { return s.send(t, http.MethodGet, "/track?"+form(id), "", "") },
		"query, keyed":  func(id string) blackbox.Answer { return s.send(t, http.MethodGet, keyed.Path+"?"+form(id), "", "") },
		"query by POST": func(id string) blackbox.Answer { return s.send(t, http.MethodPost, "/postback?"+form(id), "", "") },
		"other path": func(id string) blackbox.Answer {
			return s.send(t, http.MethodGet, "/api/v1/conversion?"+form(id), "", "")
		},
		"form": func(id string) blackbox.Answer {
			return s.send(t, http.MethodPost, "/track", "application/x-www-form-urlencoded", form(id))
		},
		"JSON": func(id string) blackbox.Answer {
			return s.send(t, http.MethodPost, "/track", "application/json", object(id))
		},
		"JSON, keyed": func(id string) blackbox.Answer {
			return s.send(t, http.MethodPost, keyed.Path, "application/json", object(id))
		},
		"JSON without type": func(id string) blackbox.Answer { return s.send(t, http.MethodPost, "/track", "", object(id)) },
	} {
		t.Run(name, func(t *testing.T) {
			answer := send(s.click(t, link))
			wanted(t, answer, "accepted")
			if answer.HTTPStatus != http.StatusOK || answer.ConversionID == "" || answer.Status != "Success" {
				t.Errorf("%+v", answer)
			}
		})
	}
}

type logged struct {
	ID, Outcome, Reason, Path, SourceIP, ConversionID string
	Query                                             map[string]string
}

func postbacks(t *testing.T, c *blackbox.Client) map[string]logged {
	t.Helper()
	var page blackbox.Page[logged]
	check(t, c.Call(t.Context(), http.MethodGet, "/api/v1/postbacks?page_size=100&orderby=id&order_asc=false", nil, &page))
	found := map[string]logged{}
	for _, one := range page.Items {
		found[one.ID] = one
	}
	return found
}

// With an advertiser's key a postback that matches no click is in its tenant's log, without one in
// the operator's.
func TestUnmatchedPostbacksAreLogged(t *testing.T) {
	s := newShop(t, nil)
	keyed, err := url.Parse(s.advertiser.PostbackURL)
	check(t, err)
	query := "?" + pairs("gk_click_id", uuid.NewString(), "cnv_sub_1", "found").Encode()
	with, without := s.send(t, http.MethodGet, keyed.Path+query, "", ""), s.send(t, http.MethodGet, "/track"+query, "", "")
	for _, answer := range []blackbox.Answer{with, without} {
		wanted(t, answer, "refused unknown_click")
		if answer.HTTPStatus != http.StatusNotFound {
			t.Errorf("%+v", answer)
		}
	}
	until(t, patience, "both log rows", func() bool {
		_, first := postbacks(t, s.Client)[with.PostbackID]
		_, second := postbacks(t, w.operator)[without.PostbackID]
		return first && second
	})
	if _, ok := postbacks(t, s.Client)[without.PostbackID]; ok {
		t.Error("what nobody claims is in a tenant's log")
	}
	if _, ok := postbacks(t, w.operator)[with.PostbackID]; ok {
		t.Error("a tenant's row is in the operator's log")
	}
	malformed := s.send(t, http.MethodGet, "/track?gk_click_id=7", "", "")
	if wanted(t, malformed, "refused malformed"); malformed.HTTPStatus != http.StatusBadRequest {
		t.Errorf("%+v", malformed)
	}
}

func TestSecurityToken(t *testing.T) {
	const token = "e2e-security-token-71ac"
	noteSecrets(token)
	s := newShop(t, map[string]any{"securityToken": token})
	_, link := s.single(t, nil)
	clickID := s.click(t, link)
	for _, more := range [][]string{nil, {"security_token", "wrong"}} {
		answer := s.convert(t, clickID, "", "refused bad_signature", more...)
		if answer.HTTPStatus != http.StatusUnauthorized {
			t.Errorf("%+v", answer)
		}
	}
	answer := s.convert(t, clickID, "", "accepted", "security_token", token)
	if row := postbacks(t, s.Client)[answer.PostbackID]; row.Query["security_token"] != "***" {
		t.Errorf("the log keeps %q", row.Query["security_token"])
	}
}

func TestAddressList(t *testing.T) {
	s := newShop(t, map[string]any{"ipAllowlist": []string{"203.0.113.0/24", "2001:db8::7"}})
	_, link := s.single(t, nil)
	clickID := s.click(t, link)
	path := "/track?" + pairs("gk_click_id", clickID).Encode()
	for _, from := range []string{"", "198.51.100.9", "203.0.114.1"} {
		answer := s.send(t, http.MethodGet, path, "", "", "X-Forwarded-For", from)
		if wanted(t, answer, "refused ip_not_allowed"); answer.HTTPStatus != http.StatusUnauthorized {
			t.Errorf("%+v", answer)
		}
	}
	wanted(t, s.send(t, http.MethodGet, path, "", "", "X-Forwarded-For", "203.0.113.9"), "accepted")
	other := "/track?" + pairs("gk_click_id", s.click(t, link)).Encode()
	wanted(t, s.send(t, http.MethodGet, other, "", "", "X-Forwarded-For", "2001:db8::7"), "accepted")
}

// A decision that takes longer than the sender waits is queued, and its answer is there later.
func TestQueued(t *testing.T) {
	s := newShop(t, nil)
	_, link := s.single(t, nil)
	clickID := s.click(t, link)
	conn, err := pgx.Connect(t.Context(), w.Engine.DatabaseURL)
	check(t, err)
	defer conn.Close(t.Context())
	until(t, patience, "the click's row", func() bool {
		var n int
		check(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM clicks WHERE id = $1", clickID).Scan(&n))
		return n == 1
	})
	tx, err := conn.Begin(t.Context())
	check(t, err)
	_, err = tx.Exec(t.Context(), "SELECT 1 FROM clicks WHERE id = $1 FOR UPDATE", clickID)
	check(t, err)
	begin := time.Now()
	answer, err := s.Convert(t.Context(), clickID, "")
	check(t, err)
	if took := time.Since(begin); answer.Outcome != "queued" || answer.HTTPStatus != http.StatusAccepted || took < 2900*time.Millisecond || took > patience/3 {
		t.Errorf("after %v: %+v", took, answer)
	}
	later, err := s.Postback(t.Context(), "/track/"+answer.PostbackID, nil)
	check(t, err)
	if wanted(t, later, "queued"); later.HTTPStatus != http.StatusAccepted {
		t.Errorf("%+v", later)
	}
	check(t, tx.Rollback(t.Context()))
	later, err = s.Decided(t.Context(), answer.PostbackID)
	check(t, err)
	if wanted(t, later, "accepted"); later.ConversionID == "" || later.HTTPStatus != http.StatusOK {
		t.Errorf("%+v", later)
	}
}
