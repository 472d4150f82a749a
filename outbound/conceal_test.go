package outbound

import (
	"bufio"
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Rule 53: of an answer 64 KiB are kept, counted after the secrets that a receiver echoed are replaced.
func TestRule53EchoedSecretsAreReplacedBeforeTheCut(t *testing.T) {
	t.Parallel()
	secret := `Bearer s3cr3t/"x"&<ü> é`
	for name, echo := range map[string]func(secret string) string{
		"over and over":       func(s string) string { return strings.Repeat(s, 2*maxAnswerBytes/len(s)) },
		"across the border":   func(s string) string { return strings.Repeat("x", maxAnswerBytes-len(s)/2) + s + "tail" },
		"at the end of reads": func(s string) string { return strings.Repeat(s, 2000) + strings.Repeat("y", maxAnswerBytes) },
		"as JSON":             func(s string) string { return strings.Repeat(formsOf(s)[1]+formsOf(s)[3], 3000) },
		"as HTML":             func(s string) string { return strings.Repeat(formsOf(s)[4], 3000) },
		"in an address":       func(s string) string { return strings.Repeat(strings.Join(formsOf(s)[5:], "\n"), 3000) },
	} {
		for _, s := range []string{"a", "ab", secret, strings.Repeat("long-", 800)} {
			body := echo(s)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }))
			caller := New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
			kept := caller.Call(t.Context(), http.MethodPost, server.URL, nil, nil, s).Body
			server.Close()
			require.LessOrEqual(t, len(kept), maxAnswerBytes, "%s %.10s", name, s)
			require.True(t, utf8.ValidString(kept), name)
			rest := strings.ReplaceAll(kept, Concealed, "")
			for n := range Concealed { // the last one may be cut
				rest = strings.TrimSuffix(rest, Concealed[:n])
			}
			for _, form := range formsOf(s) {
				require.NotContains(t, rest, form, "%s %.10s", name, s)
				if len(form) > 8 {
					require.NotContains(t, rest, form[:8], "the beginning of it: %s %.10s", name, s)
				}
			}
		}
	}
	require.Equal(t, "echo: [header value] [header value]!", concealerOf([]string{"abc"}).conceal([]byte("echo: abc abc!"), false, 100))
	require.Equal(t, "no secret, cut s", concealerOf([]string{""}).conceal([]byte("no secret, cut short"), true, 16))
}

// Rule 53: what a receiver sends in place of an answer is in no error, and neither is a secret in it, be it
// echoed whole or torn apart.
func TestRule53ErrorsQuoteNoSecrets(t *testing.T) {
	t.Parallel()
	const secret = "Bearer abcdefghijklmnopqrstuvwxyz"
	var sent atomic.Value
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = conn.Write([]byte(sent.Load().(string)))
			_ = conn.Close()
		}
	}()
	caller := New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, nil)
	call := func(answer string) Answer {
		sent.Store(answer)
		return caller.Call(t.Context(), http.MethodPost, "http://"+listener.Addr().String(), http.Header{"Authorization": {secret}}, nil, secret)
	}
	for _, torn := range []string{
		secret + "\r\n\r\n", "x" + secret[7:] + "\r\n\r\n", "HTTP/1.1 " + secret + "\r\n\r\n", secret[7:] + " 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\n" + secret[7:] + "\r\n\r\n", "HTTP/1.1 200 OK\r\n " + secret + "\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret[:20] + "\r\n\r\n",
		strings.Repeat("x", maxErrorBytes-90) + secret[7:] + "\r\n\r\n",
	} {
		answer := call(torn)
		require.Zero(t, answer.StatusCode, torn)
		require.Equal(t, errNotHTTP, answer.Error, torn)
	}
	require.Contains(t, call("").Error, "EOF", "the control: what is not quoted is said")
	require.Equal(t, "yes", call("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes").Body, "the control")
}

// Rule 53: a receiver that takes a header apart echoes the token without its scheme, or the login that it
// stands for.
func TestRule53PartsOfSecretsAreReplaced(t *testing.T) {
	t.Parallel()
	basic := base64.StdEncoding.EncodeToString([]byte("anna:swordfish"))
	for secret, echo := range map[string]string{
		"Bearer abcdefghijkl": `{"token":"abcdefghijkl"}`, "Basic " + basic: "unknown: anna:swordfish", "basic  " + basic: basic, "Token token=abcdefghijkl": "token=abcdefghijkl",
	} {
		kept := concealerOf([]string{secret}).conceal([]byte(echo), false, 100)
		require.Contains(t, kept, Concealed, secret)
		require.NotContains(t, kept, "abcdefghijkl", secret)
		require.NotContains(t, kept, "swordfish", secret)
		require.NotContains(t, kept, basic, secret)
	}
	require.Equal(t, "Bearer of the day", concealerOf([]string{"Bearer of secrets-1"}).conceal([]byte("Bearer of the day"), false, 100), "the control: words are words")
}

func FuzzConceal(f *testing.F) {
	f.Add("abc", []byte("xxabcxxab"), true)
	f.Add("/", []byte("%2f%2F/"), false)
	f.Fuzz(func(t *testing.T, secret string, body []byte, cutShort bool) {
		kept := concealerOf([]string{secret}).conceal(body, cutShort, 64)
		require.LessOrEqual(t, len(kept), 64)
		require.True(t, utf8.ValidString(kept))
		if len(secret) > len(Concealed) && utf8.ValidString(secret) {
			require.NotContains(t, kept, secret)
		}
	})
}
