package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// Rule 53: our own parts are never called, although the operator allows their range: not by any spelling of
// their address, not by a name, and not where a receiver sends us on to them.
func TestRule53OwnPartsAreNeverCalled(t *testing.T) {
	t.Parallel()
	port, connections := countingListener(t)
	part, ok := ParseOwnPart("127.0.0.1:" + port)
	if !ok {
		t.Fatal("no part")
	}
	caller := New([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}, fakeNames(map[string][]netip.Addr{
		"localhost": addrs("127.0.0.1", "::1"), "own.example": addrs("127.0.0.1"), "mapped.example": addrs("::ffff:127.0.0.1"), "any.example": addrs("0.0.0.0"),
	}), part)
	hosts := []string{
		"127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "LOCALHOST.", "own.example", "mapped.example", "any.example", "[::1]", "[::]",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
	}
	for _, own := range thisMachinesAddresses(t) {
		hosts = append(hosts, strings.TrimSuffix(net.JoinHostPort(own.String(), ""), ":"))
	}
	for _, host := range hosts {
		for _, scheme := range []string{"http", "https"} {
			raw := scheme + "://" + host + ":" + port + "/jetstream"
			if err := caller.CheckURL(t.Context(), raw); !errors.Is(err, errURLOwn) {
				t.Errorf("%s may be saved: %v", raw, err)
			}
			if answer := caller.Post(t.Context(), raw, nil, nil); answer.StatusCode != 0 || answer.Error != errURLOwn.Error() {
				t.Errorf("%s was called: %+v", raw, answer)
			}
		}
	}
	if err := caller.control(t.Context(), "tcp", "127.0.0.1:"+port, nil); !errors.Is(err, errURLOwn) {
		t.Errorf("the last look lets it through: %v", err)
	}
	redirecting := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:"+port+"/", http.StatusTemporaryRedirect))
	defer redirecting.Close()
	if answer := caller.Post(t.Context(), redirecting.URL, nil, nil); answer.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("a receiver beside it is not called: %+v", answer)
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

// thisMachinesAddresses are the addresses of its interfaces.
func thisMachinesAddresses(t *testing.T) (all []netip.Addr) {
	t.Helper()
	found, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range found {
		if prefix, err := netip.ParsePrefix(of.String()); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
			all = append(all, prefix.Addr())
		}
	}
	return all
}

// A name that led to a receiver when it was saved, and leads to one of our parts when it is called, is not
// called; a part is known by the addresses that its name has at that moment, and one whose name does not
// resolve lets nobody through to its port.
func TestRule53OwnPartsByName(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	caller := New([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, func(context.Context, string) ([]netip.Addr, error) {
		if asked.Add(1) == 1 {
			return addrs("10.0.0.6"), nil
		}
		return addrs("10.0.0.5"), nil
	}, OwnPart{Host: "db.internal", Port: 5432}, OwnPart{Host: "gone.internal", Port: 4222})
	caller.resolveOwn = fakeNames(map[string][]netip.Addr{"db.internal": addrs("10.0.0.4", "10.0.0.5")})
	if err := caller.CheckURL(t.Context(), "http://moving.example:5432/"); err != nil {
		t.Fatal(err)
	}
	if answer := caller.Post(t.Context(), "http://moving.example:5432/", nil, nil); answer.Error != errURLOwn.Error() {
		t.Errorf("called: %+v", answer)
	}
	for raw, own := range map[string]bool{
		"http://10.0.0.5:5432/": true, "http://10.0.0.4:5432/": true, "http://10.0.0.7:5432/": false, "http://10.0.0.5:5433/": false,
		"http://10.9.9.9:4222/": true,
	} {
		if err := caller.CheckURL(t.Context(), raw); errors.Is(err, errURLOwn) != own {
			t.Errorf("%s: %v", raw, err)
		}
	}
	caller.resolveOwn = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no name server") }
	if err := caller.CheckURL(t.Context(), "http://10.9.9.9:4222/"); !errors.Is(err, errURLOwn) {
		t.Errorf("a part whose name does not resolve: %v", err)
	}
}

// Settings of parts are URLs or host:port, one or several.
func TestOwnPartsOf(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]string{
		"": "", "127.0.0.1:8080": "127.0.0.1:8080", ":8080": ":8080", "[::1]:9": "::1:9", "nats://token@10.0.0.1:4222,nats://b": "10.0.0.1:4222 b:4222",
		"https://temporal.example": "temporal.example:443", "smtp://u:p@mail.example:587?starttls=never": "mail.example:587", "127.0.0.1:0": "", "%": "",
	} {
		var got []string
		for _, part := range OwnPartsOf(setting, map[string]uint16{"https": 443, "nats": 4222}) {
			got = append(got, part.Host+":"+strconv.Itoa(int(part.Port)))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v", setting, got)
		}
	}
}

// A refusal that the operator can lift says by which setting.
func TestRule53RefusalsNameTheSetting(t *testing.T) {
	t.Parallel()
	caller := New(nil, fakeNames(map[string][]netip.Addr{"receiver.example": addrs("10.0.0.1"), "example.com": {public}}))
	for _, raw := range []string{"http://127.0.0.1:3000/callback", "https://[::1]/", "https://receiver.example/", "http://example.com/"} {
		err := caller.CheckURL(t.Context(), raw)
		if err == nil || !strings.Contains(err.Error(), "OFFERFLOW_CALLBACK_ALLOW_CIDRS") {
			t.Errorf("%s: %v", raw, err)
		}
	}
}
