package domain

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRule50WhichNewsIsSent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		events []string
		news   StatusEvent
		want   bool
	}{
		{"Success always", nil, StatusEvent{Status: StatusSuccess}, true},
		{"Pending unasked", []string{"success", "rejected"}, StatusEvent{Status: StatusPending}, false},
		{"Pending asked for", []string{"pending"}, StatusEvent{Status: StatusPending}, true},
		{"Rejected unasked", []string{"pending"}, StatusEvent{Status: StatusRejected}, false},
		{"Rejected asked for", []string{"rejected"}, StatusEvent{Status: StatusRejected}, true},
		{"reversal unasked", nil, StatusEvent{Status: StatusRejected, RewardWasSent: true}, true},
	} {
		if got := WantsEvent(test.events, test.news); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestRule49LaneOrder(t *testing.T) {
	t.Parallel()
	waiting := func(sequence int64, status Status) QueuedDelivery {
		return QueuedDelivery{Sequence: sequence, Status: status, Waiting: true}
	}
	reversal := QueuedDelivery{Sequence: 2, Status: StatusRejected, Reversal: true, Waiting: true}
	ended := func(sequence int64, status Status) QueuedDelivery {
		return QueuedDelivery{Sequence: sequence, Status: status}
	}
	for _, test := range []struct {
		name       string
		lane       []QueuedDelivery
		latest     int64
		superseded []int
		next       int
	}{
		{"empty", nil, 0, nil, -1},
		{"only one", []QueuedDelivery{waiting(1, StatusPending)}, 1, nil, 0},
		{"all ended", []QueuedDelivery{ended(1, StatusPending), ended(2, StatusSuccess)}, 2, nil, -1},
		{"Pending replaced by Success", []QueuedDelivery{waiting(1, StatusPending), waiting(2, StatusSuccess)}, 2, []int{0}, 1},
		{"Pending that comes after its Success was delivered", []QueuedDelivery{waiting(1, StatusPending), ended(2, StatusSuccess)}, 1, []int{0}, -1},
		{"Pending replaced by news that is not sent", []QueuedDelivery{waiting(1, StatusPending)}, 2, []int{0}, -1},
		{"Success and its reversal are both sent", []QueuedDelivery{waiting(1, StatusSuccess), reversal}, 2, nil, 0},
		{"reversal before a revival is sent", []QueuedDelivery{ended(1, StatusSuccess), reversal, waiting(3, StatusSuccess)}, 3, nil, 1},
		{"reversal whose Success is not known here", []QueuedDelivery{reversal, waiting(3, StatusSuccess)}, 3, nil, 0},
		{"plain rejection before a revival is not", []QueuedDelivery{ended(1, StatusPending), waiting(2, StatusRejected), waiting(3, StatusSuccess)}, 3, []int{1}, 2},
		{"what a person sends again is sent", []QueuedDelivery{{Sequence: 1, Status: StatusPending, Waiting: true, Resent: true}, ended(2, StatusSuccess)}, 2, nil, 0},
	} {
		superseded, next := QueueOrder(test.lane, test.latest)
		if !slices.Equal(superseded, test.superseded) || next != test.next {
			t.Errorf("%s: superseded %v, next %d", test.name, superseded, next)
		}
	}
}

func TestRule49NoSuccessNorReversalIsEverSuperseded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		queue := make([]QueuedDelivery, rapid.IntRange(0, 8).Draw(t, "length"))
		for i := range queue {
			queue[i] = QueuedDelivery{
				Sequence: int64(i + 1), Waiting: rapid.Bool().Draw(t, "waiting"), Resent: rapid.Bool().Draw(t, "resent"),
				Reversal: rapid.Bool().Draw(t, "reversal"), Status: rapid.SampledFrom([]Status{StatusPending, StatusSuccess, StatusRejected}).Draw(t, "status"),
			}
		}
		superseded, next := QueueOrder(queue, 0)
		for _, i := range superseded {
			if queue[i].Status == StatusSuccess || queue[i].Reversal || !queue[i].Waiting || i == len(queue)-1 {
				t.Fatalf("superseded %+v of %+v", queue[i], queue)
			}
		}
		for i, event := range queue {
			if event.Waiting && !slices.Contains(superseded, i) && (next < 0 || next > i) {
				t.Fatalf("next is %d although %d waits: %+v", next, i, queue)
			}
		}
	})
}

func TestRule51Backoff(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	want := []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
	var total time.Duration
	for i, wait := range want {
		at, giveUp := NextAttempt(i+1, now, nil)
		if giveUp || at.Sub(now) != wait {
			t.Errorf("after %d failures: %s, %v", i+1, at.Sub(now), giveUp)
		}
		total += wait
		late, _ := NextAttempt(i+1, now, func(n time.Duration) time.Duration { return n - 1 })
		if extra := late.Sub(at); extra <= 0 || extra > wait/10 {
			t.Errorf("jitter after %d failures: %s", i+1, extra)
		}
	}
	if total <= 75*time.Hour {
		t.Errorf("the schedule ends after %s", total)
	}
	if _, giveUp := NextAttempt(len(want)+1, now, nil); !giveUp {
		t.Error("the tenth failure is not the last")
	}
}

func TestRule51Verdicts(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]Verdict{
		0: VerdictRetry, 101: VerdictRetry, 200: VerdictDelivered, 204: VerdictDelivered, 299: VerdictDelivered,
		301: VerdictRetry, 302: VerdictRetry, 308: VerdictRetry, 400: VerdictStop, 401: VerdictRetry, 403: VerdictRetry, 404: VerdictRetry,
		405: VerdictStop, 406: VerdictStop, 408: VerdictRetry, 409: VerdictRetry, 410: VerdictDisable, 413: VerdictStop, 414: VerdictStop,
		415: VerdictStop, 422: VerdictStop, 425: VerdictRetry, 429: VerdictRetry, 499: VerdictStop,
		500: VerdictRetry, 503: VerdictRetry, 599: VerdictRetry, 999: VerdictRetry,
	} {
		if got := JudgeAnswer(status); got != want {
			t.Errorf("%d: %s, not %s", status, got, want)
		}
	}
}

func TestRule51RetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"120": 2 * time.Minute, " 7 ": 7 * time.Second, "0": 0, "86400": 24 * time.Hour, "86401": 24 * time.Hour,
		"99999999999999999999999":                       24 * time.Hour,
		now.Add(time.Hour).Format(http.TimeFormat):      time.Hour,
		now.Add(72 * time.Hour).Format(http.TimeFormat): 24 * time.Hour,
	} {
		if got := RetryAfter(header, now); got.Sub(now) != want {
			t.Errorf("%q: %s, not %s", header, got.Sub(now), want)
		}
	}
	for _, header := range []string{"", "soon", "-5", "1.5", "1e3", "\x00", now.Add(-time.Hour).Format(http.TimeFormat)} {
		if got := RetryAfter(header, now); !got.IsZero() {
			t.Errorf("%q: %s", header, got)
		}
	}
}

func TestCallbackHeaders(t *testing.T) {
	t.Parallel()
	for _, good := range [][2]string{{"", ""}, {"X-Api-Key", "secret"}, {"Authorization", "Bearer a.b-c_d=="}, {"x", "with\ttab and space"}} {
		if err := CheckCallbackHeader(good[0], good[1]); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	long := string(make([]byte, 5000))
	for _, bad := range [][2]string{
		{"", "value"}, {"X Api", "v"}, {"X:Api", "v"}, {"X\r\nY", "v"}, {"Ä", "v"}, {"Host", "v"}, {"content-length", "0"},
		{"Webhook-Id", "v"}, {"webhook-signature", "v"}, {"Transfer-Encoding", "chunked"}, {"Proxy-Authorization", "v"},
		{"X", "a\r\nb: c"}, {"X", "a\nb"}, {"X", "a\x00b"}, {"X", "é"}, {"X", long},
	} {
		if CheckCallbackHeader(bad[0], bad[1]) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
