package outbound

import (
	"context"
	"net/netip"
	"strings"
	"testing"
)

// public stands for any public address; no test connects to it.
var public = netip.MustParseAddr("93.184.216.34")

// fakeNames answers from a table; what is not in it does not resolve.
func fakeNames(names map[string][]netip.Addr) Resolver {
	return func(_ context.Context, host string) ([]netip.Addr, error) {
		return names[strings.TrimSuffix(strings.ToLower(host), ".")], nil
	}
}

func addrs(texts ...string) []netip.Addr {
	out := make([]netip.Addr, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParseAddr(text)
	}
	return out
}

// hostileNames are names whose owner points them inwards.
var hostileNames = map[string][]netip.Addr{
	"example.com":              {public},
	"loopback.example":         addrs("127.0.0.1"),
	"localhost":                addrs("127.0.0.1", "::1"),
	"mixed.example":            append(addrs("10.0.0.1"), public),
	"mixed-behind.example":     append([]netip.Addr{public}, addrs("::1")...),
	"mapped.example":           addrs("::ffff:169.254.169.254"),
	"nat64.example":            addrs("64:ff9b::7f00:1"),
	"zoned.example":            addrs("fe80::1%eth0"),
	"xn--lcalhost-n4a.example": addrs("127.0.0.1"),
	"127.0.0.1.nip.example":    addrs("127.0.0.1"),
	"metadata.google.internal": addrs("169.254.169.254"),
}

var hostileURLs = strings.Fields(`
	https://127.0.0.1/ https://127.0.0.2/ https://127.255.255.254/ https://127.0.0.1:8443/ https://127.0.0.1./
	https://127.1/ https://127.0.1/ https://2130706433/ https://2130706433./ https://0x7f000001/ https://0x7f.0.0.1/ https://0x7f.1/
	https://0X7F.0x0.0x0.0x1/ https://0177.0.0.1/ https://0177.0.0.01/ https://017700000001/ https://00000177.0.0.1/
	https://127.0.0.01/ https://127.0.0.0x1/ https://127.0x0.0.1/ https://0x0/ https://0/ https://0.0.0.0/ https://0.1.2.3/ https://00/
	https://10.0.0.1/ https://10.255.255.255/ https://012.0.0.1/ https://167772161/ https://172.16.0.1/ https://172.31.255.255/
	https://192.168.0.1/ https://192.168.1/ https://3232235521/ https://0xc0a80001/ https://169.254.169.254/ https://2852039166/
	https://0xa9fea9fe/ https://0251.0376.0251.0376/ https://0xa9.0xfe.0xa9.0xfe/ https://169.254.43518/ https://425.510.425.510/
	https://100.64.0.1/ https://100.100.100.200/ https://100.127.255.255/ https://168.63.129.16/ https://192.0.0.1/ https://192.0.0.192/
	https://192.0.2.1/ https://192.88.99.1/ https://198.18.0.1/ https://198.19.255.255/ https://198.51.100.7/ https://203.0.113.9/
	https://224.0.0.1/ https://239.255.255.255/ https://240.0.0.1/ https://255.255.255.255/ https://192.31.196.1/ https://192.52.193.1/
	https://192.175.48.1/ https://4294967295/ https://4294967296/ https://256.256.256.256/ https://1.2.3.4.5/
	https://[::1]/ https://[::]/ https://[0:0:0:0:0:0:0:1]/ https://[0000::0001]:8443/ https://[::127.0.0.1]/ https://[::7f00:1]/
	https://[::ffff:127.0.0.1]/ https://[::ffff:7f00:1]/ https://[0:0:0:0:0:ffff:127.0.0.1]/ https://[::ffff:10.0.0.1]/
	https://[::ffff:169.254.169.254]/ https://[::ffff:0:127.0.0.1]/ https://[64:ff9b::127.0.0.1]/ https://[64:ff9b::a9fe:a9fe]/
	https://[64:ff9b:1::1]/ https://[2002:7f00:1::]/ https://[2002:a9fe:a9fe::1]/ https://[2001::1]/ https://[2001:0:7f00:1::]/
	https://[2001:db8::1]/ https://[2001:10::1]/ https://[2001:20::1]/ https://[3fff::1]/ https://[5f00::1]/ https://[100::1]/
	https://[100:0:0:1::1]/ https://[fc00::1]/ https://[fd00:ec2::254]/ https://[fe80::1]/ https://[fe80::1%25eth0]/ https://[fe80::1%25lo]/
	https://[::1%25lo]/ https://[2606:2800::1%25eth0]/ https://[fec0::1]/ https://[ff02::1]/ https://[2620:4f:8000::1]/ https://[4000::1]/
	https://[2606:2800:220:1:0:5efe:7f00:1]/ https://[2606:2800:220:1:200:5efe:a00:1]/
	https://localhost/ https://LOCALHOST/ https://localhost./ https://loopback.example/ https://LoopBack.Example./ https://mixed.example/
	https://mixed-behind.example/ https://mapped.example/ https://nat64.example/ https://zoned.example/ https://unknown.example/
	https://xn--lcalhost-n4a.example/ https://127.0.0.1.nip.example/ https://metadata.google.internal/computeMetadata/v1/
	https://user@example.com/ https://user:pass@example.com/ https://@example.com/ https://:@example.com/ https://example.com@127.0.0.1/
	https://example.com%40127.0.0.1/ https://127.0.0.1#@example.com/ https://127.0.0.1?@example.com/ https://example.com:443@127.0.0.1/
	http://example.com/ http://example.com:443/ http://example.com:8443/ HTTP://example.com/ https://example.com:80/ https://example.com:22/
	https://example.com:0/ https://example.com:/ https://example.com:0443/ https://example.com:65979/ https://example.com:+443/
	https://example.com:443:443/ https://example.com:99999999999/ ftp://example.com/ file:///etc/passwd gopher://127.0.0.1:6379/_x
	unix:///var/run/docker.sock javascript:alert(1) data:text/plain,x ws://example.com/ //example.com/ /relative example.com https:/example.com
	https:example.com https:// https:/// https://?x https://#x https://. https://.. https://exa%6dple.com%00.evil/ https://127.0.0.1%2f@example.com/
	https://example.com\@127.0.0.1/ https://example.com\.evil/ https://①②⑦.⓪.⓪.①/ https://１２７.0.0.1/ https://127。0。0。1/ https://ⓛocalhost/
	https://lоcalhost/ https://ex%E2%80%8Dample.com/ https://[::1 https://::1/ https://[::1]x/ https://[127.0.0.1]/ https://[]/ https://[v1.fe80::a]/
`)

// hostileRaw are the ones that white space would cut.
var hostileRaw = []string{
	"", " ", " https://example.com/", "https://example.com/ ", "https://exa mple.com/", "https://example.com/\r\nX: y", "https://example.com\n",
	"https://example.com/\x00", "https://\x7f.example.com/", "ht\ttps://example.com/", "https://example.com/" + strings.Repeat("a", 2048),
}

func TestRule53HostileURLs(t *testing.T) {
	t.Parallel()
	caller := New(nil, fakeNames(hostileNames))
	all := append(append([]string{}, hostileURLs...), hostileRaw...)
	if len(all) < 100 {
		t.Fatalf("only %d URLs", len(all))
	}
	for _, raw := range all {
		if caller.CheckURL(t.Context(), raw) == nil {
			t.Errorf("%q may be called", raw)
		}
	}
}

func TestRule53PublicURLs(t *testing.T) {
	t.Parallel()
	caller := New(nil, fakeNames(hostileNames))
	for _, raw := range []string{
		"https://example.com", "https://example.com/", "https://EXAMPLE.com:443/hook?x=1&y=%20", "https://example.com:8443/a/b", "https://example.com./",
		"https://93.184.216.34/", "https://[2606:2800:220:1:248:1893:25c8:1946]/", "https://[2606:2800:220:1::1]:8443/", "HTTPS://example.com/",
		"https://[::ffff:93.184.216.34]/",
	} {
		if err := caller.CheckURL(t.Context(), raw); err != nil {
			t.Errorf("%q: %v", raw, err)
		}
	}
}

func TestRule53OperatorsRanges(t *testing.T) {
	t.Parallel()
	caller := New([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("fd00::/8")}, fakeNames(map[string][]netip.Addr{
		"inside.example": addrs("127.0.0.1", "fd00::1"), "half.example": append(addrs("127.0.0.1"), public),
		"half-private.example": addrs("127.0.0.1", "10.0.0.1"),
	}))
	for raw, want := range map[string]bool{
		"http://127.0.0.1:1234/": true, "http://127.9.9.9/": true, "https://127.0.0.1:1/": true, "http://[fd00::1]:80/": true,
		"http://[::ffff:127.0.0.1]:99/": true, "http://inside.example:8080/": true,
		"http://half.example/": false, "https://half.example/": true, "https://half-private.example/": false,
		"http://10.0.0.1/": false, "https://10.0.0.1/": false, "http://user@127.0.0.1/": false, "http://127.1/": false, "ftp://127.0.0.1/": false,
	} {
		if got := caller.CheckURL(t.Context(), raw) == nil; got != want {
			t.Errorf("%s may be called: %v", raw, got)
		}
	}
}
