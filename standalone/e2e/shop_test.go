package e2e

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// shop is a tenant of its own with an advertiser, so that tests do not meet each other.
type shop struct {
	*blackbox.Client
	advertiser blackbox.Advertiser
	age        string
	// since is before everything that happens here.
	since time.Time
}

func newShop(t *testing.T, advertiser map[string]any) *shop {
	t.Helper()
	return newShopOf(t, map[string]any{"rewardRatio": 10}, advertiser)
}

func newShopOf(t *testing.T, tenantFields, advertiser map[string]any) *shop {
	t.Helper()
	tenant, err := w.operator.NewTenant(t.Context(), tenantFields)
	check(t, err)
	noteSecrets(tenant.Token)
	s := &shop{Client: tenant, since: time.Now().Add(-time.Minute)}
	s.advertiser, err = tenant.NewAdvertiser(t.Context(), advertiser)
	check(t, err)
	if s.advertiser.PostbackURL != "" {
		noteSecrets(path.Base(s.advertiser.PostbackURL)) // its key
	}
	s.age, err = tenant.EveryoneAge(t.Context())
	check(t, err)
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *shop) single(t *testing.T, fields map[string]any) (offerID, link string) {
	t.Helper()
	offerID, link, err := s.NewOffer(t.Context(), blackbox.SingleEvent(s.advertiser.ID, s.age, fields))
	check(t, err)
	return offerID, link
}

func (s *shop) multi(t *testing.T, fields map[string]any, events ...map[string]any) (link string) {
	t.Helper()
	_, link, err := s.NewOffer(t.Context(), blackbox.MultiEvent(s.advertiser.ID, s.age, events, fields))
	check(t, err)
	return link
}

func (s *shop) click(t *testing.T, link string, params ...string) (clickID string) {
	t.Helper()
	clickID, location, err := s.Click(t.Context(), link, pairs(params...))
	check(t, err)
	if clickID == "" {
		t.Fatalf("no click: sent to %s", location)
	}
	return clickID
}

func pairs(params ...string) url.Values {
	values := url.Values{}
	for i := 0; i+1 < len(params); i += 2 {
		values.Set(params[i], params[i+1])
	}
	return values
}

// convert sends a postback and wants an outcome such as "rejected too_soon".
func (s *shop) convert(t *testing.T, clickID, event, want string, more ...string) blackbox.Answer {
	t.Helper()
	answer, err := s.Convert(t.Context(), clickID, event, more...)
	if err == nil && answer.Outcome == "queued" {
		answer, err = s.Decided(t.Context(), answer.PostbackID)
	}
	check(t, err)
	wanted(t, answer, want)
	return answer
}

func wanted(t *testing.T, answer blackbox.Answer, want string) {
	t.Helper()
	if got := strings.TrimSpace(answer.Outcome + " " + answer.Reason); got != want {
		t.Fatalf("postback %s: %d %s, want %s", answer.PostbackID, answer.HTTPStatus, got, want)
	}
}

// send sends a request as it is and reads the answer to a postback.
func (s *shop) send(t *testing.T, method, path, contentType, body string, header ...string) blackbox.Answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	check(t, err)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := s.HTTP.Do(request)
	check(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	check(t, err)
	answer := blackbox.Answer{HTTPStatus: response.StatusCode}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("%s %s: %d %s", method, path, response.StatusCode, text)
	}
	return answer
}

// conversions counts an offer's conversions.
func (s *shop) conversions(t *testing.T, offerID string, filter ...string) int {
	t.Helper()
	query := pairs("user_completed_at_from", s.since.UTC().Format(time.RFC3339), "filter.OfferId", offerID, "page_size", "1",
		"user_completed_at_to", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	maps.Copy(query, pairs(filter...))
	var page blackbox.Page[blackbox.Conversion]
	check(t, s.Call(t.Context(), http.MethodGet, "/api/v1/sdk-conversion-system/conversions?"+query.Encode(), nil, &page))
	return page.TotalCount
}

// until waits for a condition.
func until(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(min(within/500, 500*time.Millisecond)) // seldom where much is waited for
	}
}

const patience = time.Minute

// together runs n calls, at most so many at once, and waits for all.
func together(n, atOnce int, call func(i int)) {
	var all sync.WaitGroup
	places := make(chan struct{}, atOnce)
	for i := range n {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			call(i)
		})
	}
	all.Wait()
}

// as is a duration in an offer document's unit; fractions make real waits short.
func as(unit, d time.Duration) json.Number {
	return json.Number(strconv.FormatFloat(d.Seconds()/unit.Seconds(), 'f', 6, 64))
}
