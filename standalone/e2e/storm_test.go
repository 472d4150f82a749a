package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

const storm = 1000

// n simultaneous postbacks for k slots give min(n, k) conversions: never more, never fewer (rule 30).
func TestCapsAreExact(t *testing.T) {
	s := newShop(t, nil)
	for _, slots := range []int{1, 7, 100, 999} {
		t.Run(fmt.Sprint(slots), func(t *testing.T) {
			t.Parallel()
			offerID, link := s.single(t, map[string]any{"allTimeCap": slots, "budget": 10_000_000})
			clicks := make([]string, storm)
			together(storm, 64, func(i int) { clicks[i] = s.click(t, link, "pub_member_id", fmt.Sprint("member-", slots, "-", i)) })
			begin := time.Now()
			outcomes := s.storm(t, func(i int) (blackbox.Answer, error) { return s.Convert(t.Context(), clicks[i], "") })
			answered := time.Since(begin)
			for made := 0; made < storm; { // as long as it takes on a busy machine, while it goes on
				before := made
				until(t, patience, "the next decision", func() bool { made = s.conversions(t, offerID); return made > before })
			}
			t.Logf("answered within %v, decided within %v: %v", answered, time.Since(begin), outcomes)
			live := s.conversions(t, offerID, "filter.Status", "Success")
			refused := s.conversions(t, offerID, "filter.Status", "Rejected", "filter.RejectionReason", "cap_total")
			if live != slots || refused != storm-slots {
				t.Errorf("%d live and %d refused for %d slots", live, refused, slots)
			}
		})
	}
}

// storm sends all at once and counts the outcomes.
func (s *shop) storm(t *testing.T, send func(i int) (blackbox.Answer, error)) map[string]int {
	t.Helper()
	var mu sync.Mutex
	outcomes := map[string]int{}
	together(storm, storm, func(i int) {
		answer, err := send(i)
		for isOverload(err) { // what every sender does on 503; it may have been recorded all the same
			time.Sleep(time.Second)
			answer, err = send(i)
		}
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Error(err)
			return
		}
		outcomes[strings.TrimSpace(answer.Outcome+" "+answer.Reason)]++
	})
	return outcomes
}

func isOverload(err error) bool {
	var status *blackbox.StatusError
	return errors.As(err, &status) && status.Status == http.StatusServiceUnavailable
}

// The same postback a thousand times at once gives one conversion (rule 9).
func TestOnePostbackAThousandTimes(t *testing.T) {
	s := newShop(t, nil)
	offerID, link := s.single(t, nil)
	clickID := s.click(t, link, "pub_member_id", "member")
	var mu sync.Mutex
	var all []blackbox.Answer
	busy := 0
	outcomes := s.storm(t, func(int) (blackbox.Answer, error) {
		answer, err := s.Convert(t.Context(), clickID, "", "cnv_conversion_id", "order-1")
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			all = append(all, answer)
		} else if isOverload(err) {
			busy++
		}
		return answer, err
	})
	accepted, ids := 0, map[string]bool{}
	for _, answer := range all {
		decided, err := s.Decided(t.Context(), answer.PostbackID)
		check(t, err)
		ids[decided.ConversionID] = true
		if decided.Outcome == "accepted" {
			accepted++
		} else {
			wanted(t, decided, "duplicate duplicate")
		}
	}
	// The accepted one may be a postback that was recorded although its sender heard 503.
	missing := accepted == 0 && busy == 0
	if n := s.conversions(t, offerID); n != 1 || accepted > 1 || missing || len(ids) != 1 {
		t.Errorf("%d conversions, %d accepted, %d heard 503, %d ids: %v", n, accepted, busy, len(ids), outcomes)
	}
}

// A postback may come before the click has left the stream: it is waited for (rule 1).
func TestPostbackRightAfterTheRedirect(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	_, link := s.single(t, nil)
	var mu sync.Mutex
	outcomes := map[string]int{}
	together(500, 8, func(int) {
		clickID, _, err := s.Click(t.Context(), link, nil)
		if err != nil {
			t.Error(err)
			return
		}
		answer, err := s.Convert(t.Context(), clickID, "")
		if err == nil && answer.Outcome == "queued" {
			answer, err = s.Decided(t.Context(), answer.PostbackID)
		}
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		outcomes[strings.TrimSpace(answer.Outcome+" "+answer.Reason)]++
	})
	if outcomes["accepted"] != 500 {
		t.Errorf("%v", outcomes)
	}
}
