package e2e

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// span is what the test reads of a span.
type span struct{ scope, name, id, parent string }

// collector takes traces by OTLP over HTTP.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	traces map[string][]span
	// texts are the spans whole, as text: names, attributes, events, states.
	texts map[string][]string
}

func newCollector() *collector {
	c := &collector{traces: map[string][]span{}, texts: map[string][]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(c.take))
	return c
}

func (c *collector) take(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	var request coltrace.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &request) != nil {
		http.Error(out, "not OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range request.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, one := range scope.Spans {
				id := hex.EncodeToString(one.TraceId)
				c.texts[id] = append(c.texts[id], one.String())
				c.traces[id] = append(c.traces[id], span{scope.Scope.Name, one.Name, hex.EncodeToString(one.SpanId), hex.EncodeToString(one.ParentSpanId)})
			}
		}
	}
}

func (c *collector) spans(traceID string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]span{}, c.traces[traceID]...)
}

// One trace goes from the request through the stream and the workflow to the database.
func TestOneTrace(t *testing.T) {
	const traceID, parentID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	s := newShop(t, nil)
	_, link := s.single(t, nil)
	path := "/track?" + pairs("gk_click_id", s.click(t, link)).Encode()
	wanted(t, s.send(t, http.MethodGet, path, "", "", "traceparent", "00-"+traceID+"-"+parentID+"-01"), "accepted")
	parts := []struct{ what, scope, name string }{
		{"request", "go.opentelemetry.io/contrib/instrumentation/github.com/gin-gonic/gin/otelgin", ""},
		{"stream", "github.com/offerflow/offerflow/worker", "offerflow.postbacks process"},
		{"workflow", "temporal-sdk-go", "HandleUpdate:postback"},
		{"activity", "temporal-sdk-go", "RunActivity:Decide"},
		{"database", "github.com/exaring/otelpgx", ""},
	}
	var chain []string
	until(t, patience, "all parts in one trace", func() bool {
		spans := w.collector.spans(traceID)
		chain = chainOf(spans, parentID, "github.com/exaring/otelpgx", "RunActivity:Decide")
		for _, part := range parts {
			if !hasSpan(spans, part.scope, part.name) {
				return false
			}
		}
		return len(chain) > 0
	})
	t.Logf("%d spans; from the database's upwards: %q", len(w.collector.spans(traceID)), chain)
}

// What a request carries is in none of the spans: no path, query, address, token, member or words of an
// error that quote them, and no baggage of the sender's.
func TestTracesCarryNobodysData(t *testing.T) {
	const traceID, parentID = "5bf92f3577b34da6a3ce929d0e0e4737", "00f067aa0ba902b8"
	s := newShop(t, nil)
	_, link := s.single(t, nil)
	click := s.click(t, link)
	traced := []string{"traceparent", "00-" + traceID + "-" + parentID + "-01", "User-Agent", "agent-in-no-trace", "baggage", "word=baggage-in-no-trace", "X-Forwarded-For", "203.0.113.77"}
	wanted(t, s.send(t, http.MethodGet, "/track?"+pairs("gk_click_id", click, "cnv_email", "mail-in-no-trace@example.com", "cnv_sub_1", "sub-in-no-trace").Encode(), "", "", traced...), "accepted")
	for _, path := range []string{
		link + "?pub_member_id=member-in-no-trace", "/api/v1/members/member-in-no-trace/balance?x=query-in-no-trace", "/path-in-no-trace?x=query-in-no-trace",
		"/api/v1/advertisers?filter.id=query-in-no-trace", "/track/token-in-no-trace?gk_click_id=" + click,
	} {
		_ = s.Call(t.Context(), http.MethodGet, path, nil, nil, traced...) // refusals too
	}
	var texts []string
	until(t, patience, "the spans of all requests", func() bool {
		w.collector.mu.Lock()
		defer w.collector.mu.Unlock()
		texts = append([]string{}, w.collector.texts[traceID]...)
		all := strings.Join(texts, "\n")
		return strings.Contains(all, "/api/v1/members/") && strings.Contains(all, "RunActivity:Decide") && strings.Contains(all, "/api/v1/advertisers")
	})
	for _, text := range texts {
		for _, secret := range []string{"in-no-trace", "203.0.113.77", s.Token, "gk_click_id="} {
			if strings.Contains(text, secret) {
				t.Errorf("a span holds %q: %s", secret, text)
			}
		}
	}
}

func hasSpan(spans []span, scope, name string) bool {
	for _, one := range spans {
		if one.scope == scope && (name == "" || one.name == name) {
			return true
		}
	}
	return false
}

// chainOf is the way up from a span of a scope, below a span of the name through, to the root.
func chainOf(spans []span, root, scope, through string) []string {
	byID := map[string]span{}
	for _, one := range spans {
		byID[one.id] = one
	}
	for _, one := range spans {
		var names []string
		passed := false
		for at, ok := one, one.scope == scope; ok; at, ok = byID[at.parent] {
			names = append(names, at.name)
			passed = passed || at.name == through
			if at.parent == root && passed {
				return names
			}
		}
	}
	return nil
}
