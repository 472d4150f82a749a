package api_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api"
	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/keyring"
)

const (
	publicURL     = "https://offers.example.com"
	operatorToken = "operator-token-of-the-tests"
	testMaxConns  = 8
)

// site is one server on a database of its own, as a client sees it.
type site struct {
	t     testing.TB
	url   string
	store *db.Store
	api   *api.Server
	// database is the superuser's address.
	database string
	// conform looks at every answer, where a test sets its check.
	conform *watcher
}

// watcher is shared by all copies of a site.
type watcher struct {
	check func(method, address string, a *answer)
}

func newSite(t *testing.T, change ...func(*api.Server)) *site {
	t.Helper()
	database := dbtest.New(t)
	return newSiteOn(t, database, database, change...)
}

// newSiteOn is a site on a database that is there, which it reaches by an address of its own.
func newSiteOn(t *testing.T, database, address string, change ...func(*api.Server)) *site {
	t.Helper()
	store, err := db.Open(t.Context(), address, testMaxConns)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	keys, err := keyring.Parse(keyring.Generate())
	require.NoError(t, err)
	server := &api.Server{Store: store, Keys: keys, Now: clocktest.Now, Config: api.Config{
		PublicURL: publicURL, OperatorTokenHash: keys.Hash(operatorToken),
	}}
	for _, f := range change {
		f(server)
	}
	handler, err := server.Handler()
	require.NoError(t, err)
	web := httptest.NewServer(handler)
	t.Cleanup(web.Close)
	return &site{t: t, url: web.URL, store: store, api: server, database: database, conform: &watcher{}}
}

// exec runs SQL as the superuser.
func (s *site) exec(sql string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.database)
	require.NoError(s.t, err)
	defer conn.Close(s.t.Context())
	_, err = conn.Exec(s.t.Context(), sql)
	require.NoError(s.t, err)
}

// caller sends requests with one token.
type caller struct {
	*site
	t       testing.TB
	headers map[string]string
	// stays follows no redirects.
	stays bool
}

// direct is the caller that follows no redirects.
func (c *caller) direct() *caller {
	out := c.with()
	out.stays = true
	return out
}

func (s *site) as(token string, headers ...string) *caller {
	c := &caller{site: s, t: s.t, headers: map[string]string{}}
	if token != "" {
		c.headers["Authorization"] = "ApiToken " + token
	}
	return c.with(headers...)
}

// with adds headers, given as names and values in turn.
func (c *caller) with(headers ...string) *caller {
	out := &caller{site: c.site, t: c.t, headers: map[string]string{}}
	for name, value := range c.headers {
		out.headers[name] = value
	}
	for i := 0; i < len(headers); i += 2 {
		out.headers[headers[i]] = headers[i+1]
	}
	return out
}

// in is the caller within a subtest.
func (c *caller) in(t testing.TB) *caller {
	out := c.with()
	out.t = t
	return out
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// send takes a body as a string, as it is, or as anything else, as JSON.
func (c *caller) send(method, path string, body any) *answer {
	c.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		require.NoError(c.t, err)
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, reader)
	require.NoError(c.t, err)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.headers {
		request.Header.Set(name, value)
	}
	client := http.DefaultClient
	if c.stays {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	response, err := client.Do(request)
	require.NoError(c.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	got := &answer{t: c.t, status: response.StatusCode, header: response.Header, body: text}
	if c.conform.check != nil {
		c.conform.check(method, path, got)
	}
	return got
}

func (c *caller) get(path string) *answer            { c.t.Helper(); return c.send("GET", path, nil) }
func (c *caller) post(path string, body any) *answer { c.t.Helper(); return c.send("POST", path, body) }
func (c *caller) put(path string, body any) *answer  { c.t.Helper(); return c.send("PUT", path, body) }

// into checks the status and reads the body.
func (a *answer) into(status int, v any) {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.body)
	if v != nil {
		require.NoError(a.t, json.Unmarshal(a.body, v), "%s", a.body)
	}
}

// refusal is the tests' own reading of RFC 9457.
type refusal struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Field  string `json:"field"`
		Reason string `json:"reason"`
	} `json:"errors"`
}

// refused checks that the answer is a problem of this status, naming exactly these fields.
func (a *answer) refused(status int, fields ...string) refusal {
	a.t.Helper()
	var p refusal
	a.into(status, &p)
	require.Equal(a.t, "application/problem+json", a.header.Get("Content-Type"))
	require.Equal(a.t, status, p.Status)
	require.NotEmpty(a.t, p.Type)
	require.Equal(a.t, http.StatusText(status), p.Title)
	named := []string{}
	for _, e := range p.Errors {
		named = append(named, e.Field)
		require.NotEmpty(a.t, e.Reason)
	}
	require.ElementsMatch(a.t, fields, named, "%s", a.body)
	return p
}

// page is the tests' own reading of a list.
type page[T any] struct {
	IndexFrom          int     `json:"indexFrom"`
	PageIndex          int     `json:"pageIndex"`
	PageSize           int     `json:"pageSize"`
	TotalCount         int     `json:"totalCount"`
	TotalCountIsCapped bool    `json:"totalCountIsCapped"`
	TotalPages         int     `json:"totalPages"`
	Next               *string `json:"next"`
	Items              []T     `json:"items"`
}

// tenant makes a tenant and returns a caller with its management token.
func (s *site) tenant(name string) (id string, management *caller) {
	s.t.Helper()
	var out struct{ ID, APIToken string }
	s.as(operatorToken).post("/api/v1/tenants", map[string]any{
		"name": name, "product": "publisher", "email": "ops@example.com",
	}).into(http.StatusCreated, &out)
	return out.ID, s.as(out.APIToken)
}

// token makes a token of a scope and returns a caller with it.
func (c *caller) token(scope string, more ...any) *caller {
	c.t.Helper()
	body := map[string]any{"name": scope, "scope": scope}
	for i := 0; i < len(more); i += 2 {
		body[more[i].(string)] = more[i+1]
	}
	var out struct{ ID, Token string }
	c.post("/api/v1/tokens", body).into(http.StatusCreated, &out)
	return c.as(out.Token)
}

// made posts and returns the new id.
func (c *caller) made(path string, body any) string {
	c.t.Helper()
	var out struct{ ID string }
	c.post(path, body).into(http.StatusCreated, &out)
	require.NotEmpty(c.t, out.ID)
	return out.ID
}
