package domain

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// CallbackMessage is the body of a callback (http.md).
type CallbackMessage struct {
	// ID is the message's, the same on every attempt.
	ID       uuid.UUID `json:"id"`
	SentAt   time.Time `json:"sentAt"`
	Sequence int64     `json:"sequence"`
	// Conversion is the conversion as it stood at the transition.
	Conversion json.RawMessage `json:"conversion"`
}

// StatusEvent is what the callback rules need to know of one transition.
type StatusEvent struct {
	Status Status
	// RewardWasSent says that Success was reached before this transition.
	RewardWasSent bool
}

// CallbackEvents are the statuses that a tenant may ask for. Success is always sent (rule 50).
var CallbackEvents = []string{"success", "pending", "rejected"}

// WantsEvent says whether an event is sent to an endpoint that asked for these events (rule 50): Success
// always, Pending and Rejected on request, the reversal of a Success always.
func WantsEvent(events []string, event StatusEvent) bool {
	switch {
	case event.Status == StatusSuccess:
		return true
	case event.Status == StatusRejected && event.RewardWasSent:
		return true
	default:
		return slices.Contains(events, strings.ToLower(string(event.Status)))
	}
}

// QueuedDelivery is one message of a queue: the event of one conversion for one endpoint (rule 49).
type QueuedDelivery struct {
	Sequence int64
	Status   Status
	// Reversal says that it takes a Success back.
	Reversal bool
	// Waiting says that it is neither delivered, given up nor superseded.
	Waiting bool
	// Resent says that a person asked for it again: such a message is never superseded.
	Resent bool
}

// QueueOrder decides what becomes of a queue's waiting messages (rule 49): which are superseded, and
// which one goes next. queue is in order of sequence; latest is the sequence of the conversion's
// newest transition that is known, sent or not. next is -1 when nothing waits.
func QueueOrder(queue []QueuedDelivery, latest int64) (superseded []int, next int) {
	next = -1
	if len(queue) > 0 {
		latest = max(latest, queue[len(queue)-1].Sequence)
	}
	for i, event := range queue {
		switch {
		case !event.Waiting:
		case isReplaced(event, latest):
			superseded = append(superseded, i)
		case next < 0:
			next = i
		}
	}
	return superseded, next
}

// isReplaced: a later status replaces an undelivered event, but Success and its reversal are both sent.
func isReplaced(event QueuedDelivery, latest int64) bool {
	return latest > event.Sequence && event.Status != StatusSuccess && !event.Reversal && !event.Resent
}

// callbackBackoff is rule 51: the wait after the first failed attempt, the second, and so on.
var callbackBackoff = [...]time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// jitterShare is the most that jitter adds, as a divisor of the wait. It only ever adds, so that
// the whole schedule stays above its 75 hours.
const jitterShare = 10

// NextAttempt is when a message is tried again after so many failed attempts (rule 51), or that it
// is given up. jitter returns a duration in [0, n); nil is none.
func NextAttempt(failures int, now time.Time, jitter func(n time.Duration) time.Duration) (at time.Time, giveUp bool) {
	if failures > len(callbackBackoff) {
		return time.Time{}, true
	}
	wait := callbackBackoff[max(failures, 1)-1]
	if jitter != nil {
		wait += jitter(wait / jitterShare)
	}
	return now.Add(wait), false
}

// Verdict is what an attempt's answer means for its message (rule 51).
type Verdict string

// The verdicts.
const (
	VerdictDelivered Verdict = "delivered"
	VerdictRetry     Verdict = "retry"
	// VerdictDisable ends the message and disables its endpoint.
	VerdictDisable Verdict = "disable"
	// VerdictStop ends the message without another attempt.
	VerdictStop Verdict = "stop"
)

// retriedStatuses are the 4xx that may pass: a receiver that is being set up or deployed, a proxy in front of
// it, a key that is being replaced. Others say that the message itself is wrong, which no retry mends.
var retriedStatuses = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusRequestTimeout, http.StatusConflict,
	http.StatusTooEarly, http.StatusTooManyRequests,
}

// JudgeAnswer is the verdict on a status code; 0 stands for no answer at all: a network error or a
// timeout. Redirects are not followed and count as not delivered.
func JudgeAnswer(statusCode int) Verdict {
	switch {
	case statusCode >= 200 && statusCode <= 299:
		return VerdictDelivered
	case statusCode == http.StatusGone:
		return VerdictDisable
	case slices.Contains(retriedStatuses, statusCode):
		return VerdictRetry
	case statusCode >= 400 && statusCode <= 499:
		return VerdictStop
	default:
		return VerdictRetry
	}
}

// maxRetryAfter bounds what a receiver may ask for: the longest wait of the schedule.
const maxRetryAfter = 24 * time.Hour

// RetryAfter reads the header of an answer: seconds or an HTTP date. It is the earliest instant at
// which the receiver wants to hear again, at most a day away; zero when the header says nothing.
func RetryAfter(header string, now time.Time) time.Time {
	header = strings.TrimSpace(header)
	if header == "" {
		return time.Time{}
	}
	latest := now.Add(maxRetryAfter)
	if strings.Trim(header, "0123456789") == "" {
		seconds, err := strconv.ParseInt(header, 10, 64)
		if err != nil || seconds > int64(maxRetryAfter/time.Second) {
			return latest
		}
		return now.Add(time.Duration(seconds) * time.Second)
	}
	at, err := http.ParseTime(header)
	switch {
	case err != nil, !at.After(now):
		return time.Time{}
	case at.After(latest):
		return latest
	default:
		return at.UTC()
	}
}
