package abuse

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// ordinaryAnswer is long, and short enough to be kept whole.
var ordinaryAnswer = strings.Repeat("thank you ", 6_000)

// echoes answers 2 MB of what it was sent, each header in the ways that programs write text; at /torn a
// line of secrets in place of an answer. At /ordinary it answers as receivers do.
func echoes(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch r.URL.Path {
	case "/ordinary":
		_, _ = io.WriteString(w, ordinaryAnswer)
		return
	case "/torn":
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_, _ = io.WriteString(conn, strings.Repeat(r.Header.Get("Authorization"), 100)+"\r\n\r\n")
			_ = conn.Close()
		}
		return
	}
	inJSON, _ := json.Marshal(r.Header)
	var echo strings.Builder
	for name, values := range r.Header {
		for _, value := range values {
			echo.WriteString(name + ": " + value + "\n" + url.QueryEscape(value) + "\n")
			w.Header().Add("Echo-"+name, value)
			if _, token, found := strings.Cut(value, " "); found {
				echo.WriteString("token: " + token + "\n")
			}
		}
	}
	echo.Write(inJSON)
	echo.Write(body)
	_, _ = io.WriteString(w, strings.Repeat(echo.String(), 2<<20/echo.Len()+1))
}

// A callback's receiver answers everything that it was sent, for 2 MB: at most 64 KiB are stored, without
// the tenant's secret header, nor the beginning of it where the answer is cut. The control is an ordinary
// receiver, whose answer is stored whole.
func TestAnEchoingReceiverStoresNoSecrets(t *testing.T) {
	s := newShop(t, nil)
	receiver := httptest.NewServer(http.HandlerFunc(echoes))
	defer receiver.Close()
	db, err := pgx.Connect(t.Context(), w.Config.DatabaseURL)
	require.NoError(t, err)
	defer db.Close(t.Context())
	rounds := 3
	if *long {
		rounds = 64
	}
	const most = 64 << 10
	for _, path := range []string{"/ordinary", "/echo", "/torn"} {
		for n := range rounds { // secrets of other lengths are cut at other places
			secret := "Bearer s3cr3t/" + strings.Repeat("k3y+", 5+n)
			err := s.Call(t.Context(), http.MethodPut, "/api/v1/callback-endpoint",
				map[string]any{"url": receiver.URL + path, "headerName": "Authorization", "headerValue": secret}, nil)
			require.NoError(t, err)
			answer, failure, shown := s.tested(t, db)
			for where, text := range map[string]string{"answer": answer, "error": failure, "shown": shown} {
				for _, form := range []string{"s3cr3t/k3y+", "s3cr3t%2F", `s3cr3t\/`} {
					require.NotContains(t, text, form, "%s of %s", where, path)
				}
			}
			require.LessOrEqual(t, len(answer), most, path)
			require.LessOrEqual(t, len(failure), 1_000, path)
			switch path {
			case "/ordinary":
				require.Equal(t, ordinaryAnswer, answer, "the control")
			case "/echo":
				require.Greater(t, len(answer), most/2, "what there is room for, less what secrets leave")
				require.Contains(t, answer, "[header value]", "it did echo")
			case "/torn":
				require.Contains(t, failure, "not valid HTTP")
			}
		}
	}
}

// tested sends a test callback and returns what is stored of the attempt, and the whole of what the log shows.
func (s *shop) tested(t *testing.T, db *pgx.Conn) (answer, failure, shown string) {
	t.Helper()
	var sent struct{ ID string }
	require.NoError(t, s.Call(t.Context(), http.MethodPost, "/api/v1/callback-endpoint/test", nil, &sent))
	eventually(t, "the attempt", func() bool {
		return db.QueryRow(t.Context(), "SELECT answer, error FROM delivery_attempts WHERE delivery_id = $1", sent.ID).Scan(&answer, &failure) == nil
	})
	var log json.RawMessage
	require.NoError(t, s.Call(t.Context(), http.MethodGet, "/api/v1/deliveries?filter.id="+sent.ID, nil, &log))
	require.Contains(t, string(log), sent.ID)
	return answer, failure, string(log)
}
