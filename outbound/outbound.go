// Package outbound is the only way out to addresses that tenants choose (rule 53): it resolves,
// vets every address, dials a vetted one, follows no redirect and keeps 64 KiB of the answer. Mail
// goes to the operator's server alone.
package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/offerflow/offerflow/db/txmark"
)

// Timeout bounds one request from the look-up of the name to the end of the answer (rule 51).
const Timeout = 15 * time.Second

// Limits of one request (rule 53).
const (
	dialTimeout       = 5 * time.Second
	maxAnswerBytes    = 64 << 10
	maxAnswerHeader   = 64 << 10
	maxErrorBytes     = 500
	maxAddressesTried = 4
	idleConnections   = 256
	idlePerHost       = 32
	idleTimeout       = 30 * time.Second
)

// Caller calls what CheckURL lets pass.
type Caller struct {
	allow   []netip.Prefix
	own     []OwnPart
	resolve Resolver
	// resolveOwn answers the names of our own parts as this process does when it connects to them.
	resolveOwn Resolver
	clients    map[string]*http.Client
}

// Answer is what came of one request. StatusCode is 0 when there was no answer; Error says why.
type Answer struct {
	StatusCode int
	RetryAfter string
	// Body is at most 64 KiB of valid text without NUL: PostgreSQL's text takes no other.
	Body    string
	Error   string
	At      time.Time
	Latency time.Duration
}

// New makes the way out. allow are the operator's exceptions, inside which http and any
// port are allowed, but for our own parts; resolve nil is the system's resolver.
func New(allow []netip.Prefix, resolve Resolver, own ...OwnPart) *Caller {
	o := newCaller(allow, resolve, nil)
	o.own = own
	return o
}

func newCaller(allow []netip.Prefix, resolve Resolver, tlsConfig *tls.Config) *Caller {
	if resolve == nil {
		resolve = systemResolver
	}
	o := &Caller{resolve: resolve, resolveOwn: systemResolver}
	for _, prefix := range allow {
		o.allow = append(o.allow, prefix.Masked())
	}
	o.clients = map[string]*http.Client{"http": o.client("http", nil), "https": o.client("https", tlsConfig)}
	return o
}

// client makes one client per scheme, because what a dial may reach depends on the scheme.
func (o *Caller) client(scheme string, tlsConfig *tls.Config) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			// No Proxy: one from the environment would resolve and dial in our place.
			DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
				return o.dial(ctx, scheme, address)
			},
			TLSClientConfig: tlsConfig,
			// What is not unpacked cannot burst.
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxAnswerHeader,
			MaxIdleConns:           idleConnections,
			MaxIdleConnsPerHost:    idlePerHost,
			IdleConnTimeout:        idleTimeout,
			TLSHandshakeTimeout:    Timeout,
		},
	}
}

// dial connects to an address that was vetted in this very call: a name that has changed its
// answer since it was saved is judged by the new one.
func (o *Caller) dial(ctx context.Context, scheme, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, errURLMalformed
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, errURLMalformed
	}
	t := target{host: host, port: uint16(number), usual: scheme == "https" && (port == "443" || port == "8443")}
	addrs, err := o.vet(ctx, t)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: dialTimeout, ControlContext: o.control}
	for _, addr := range addrs[:min(len(addrs), maxAddressesTried)] {
		var conn net.Conn
		conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// control is the last look, at the address that the kernel is about to be given.
func (o *Caller) control(ctx context.Context, _, address string, _ syscall.RawConn) error {
	bound, err := netip.ParseAddrPort(address)
	if err != nil {
		return errURLNotPublic
	}
	addr := bound.Addr()
	if o.isOwn(ctx, addr.Unmap(), bound.Port()) {
		return errURLOwn
	}
	if addr.Zone() == "" && within(o.allow, addr.Unmap()) || isPublic(addr) {
		return nil
	}
	return errURLNotPublic
}

// Post is Call with the method POST.
func (o *Caller) Post(ctx context.Context, raw string, header http.Header, body []byte) Answer {
	return o.Call(ctx, http.MethodPost, raw, header, body)
}

// Call sends one request and always returns an Answer: a failure is an answer without a status. A receiver
// may echo what it gets, so secrets that the request carries are replaced in what is kept of the answer.
func (o *Caller) Call(ctx context.Context, method, raw string, header http.Header, body []byte, secrets ...string) Answer {
	begin := time.Now()
	answer := o.call(ctx, method, raw, header, body, secrets)
	answer.At, answer.Latency = begin.UTC(), time.Since(begin)
	return answer
}

func (o *Caller) call(ctx context.Context, method, raw string, header http.Header, body []byte, secrets []string) Answer {
	if err := txmark.Check(ctx, "sending a request"); err != nil {
		return Answer{Error: err.Error()}
	}
	if _, err := checkForm(raw, maxCalledBytes); err != nil {
		return Answer{Error: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, raw, bytes.NewReader(body))
	if err != nil {
		return Answer{Error: errURLMalformed.Error()}
	}
	request.Header = header.Clone()
	if request.Header == nil {
		request.Header = http.Header{}
	}
	// Not sent. It tells the transport that the request may be repeated when the receiver closed an
	// idle connection at that very moment: a receiver goes by the message's id.
	request.Header["Idempotency-Key"] = nil
	response, err := o.clients[request.URL.Scheme].Do(request)
	if err != nil {
		return Answer{Error: concealerOf(secrets).conceal([]byte(errorText(err)), false, maxErrorBytes)}
	}
	defer response.Body.Close()
	// The status decides. A body that breaks off or never ends takes nothing back.
	hidden := concealerOf(secrets)
	most := maxAnswerBytes + hidden.longest
	text, err := io.ReadAll(io.LimitReader(response.Body, int64(most)))
	return Answer{
		StatusCode: response.StatusCode, RetryAfter: response.Header.Get("Retry-After"),
		Body: hidden.conceal(text, err != nil || len(text) == most, maxAnswerBytes),
	}
}

// errNotHTTP stands for an answer that cannot be read. The library's own words quote pieces of it, in which a
// secret that was echoed cannot be told any more.
const errNotHTTP = "the answer is not valid HTTP, or its headers are too long"

// errorText says what went wrong without the URL, whose query may hold a secret of the tenant's. It is not cut
// yet: secrets have to be replaced first.
func errorText(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Sprintf("no answer within %s", Timeout)
	}
	var ofNetwork *net.OpError
	isRead := strings.Contains(err.Error(), "transport connection broken")
	if isRead && !errors.As(err, &ofNetwork) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return errNotHTTP
	}
	return err.Error()
}

// errEnough ends a replacement whose rest would be cut off.
var errEnough = errors.New("enough was written")

// storable makes text that PostgreSQL takes from bytes that a stranger sent.
func storable(raw []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(raw), "\uFFFD"), "\x00", "\uFFFD")
}

// cleanText is storable of at most limit bytes.
func cleanText(raw []byte, limit int) string { return cutText(storable(raw), limit) }

// cutText cuts text between two characters.
func cutText(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
