// Package receiver shows what a receiver of Offerflow's callbacks has to do: verify the signature,
// take each message once, and drop news that is older than what it knows.
package receiver

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Message is the part of a callback that most receivers need.
type Message struct {
	ID         string `json:"id"`
	Sequence   int64  `json:"sequence"`
	Conversion struct {
		ConversionID    string  `json:"conversionId"`
		Status          string  `json:"status"`
		RejectionReason *string `json:"rejectionReason"`
		PubMemberID     *string `json:"pubMemberId"`
		OfferName       string  `json:"offerName"`
		EventName       string  `json:"eventName"`
		RewardPoints    string  `json:"rewardPoints"`
		IsTest          bool    `json:"isTest"`
	} `json:"conversion"`
}

// maxBody is far above any callback.
const maxBody = 1 << 20

// Receiver is an http.Handler for the callback endpoint. It remembers in memory what it has seen;
// a real one keeps message ids and the newest sequence of each conversion in its database, in the
// transaction that credits the reward.
type Receiver struct {
	hook *standardwebhooks.Webhook
	take func(Message)

	mu     sync.Mutex
	seen   map[string]bool
	newest map[string]int64
}

// New makes a receiver with the signing secret (whsec_…) that PUT /api/v1/callback-endpoint showed.
// take is called once for each piece of news, one at a time.
func New(secret string, take func(Message)) (*Receiver, error) {
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return nil, err
	}
	return &Receiver{hook: hook, take: take, seen: map[string]bool{}, newest: map[string]int64{}}, nil
}

// ServeHTTP answers 204 to every genuine message, also to one it drops: anything else would bring
// it again.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, maxBody))
	if err != nil {
		http.Error(w, "body not read", http.StatusBadRequest)
		return
	}
	// The signature is over the bytes as they came: verify before decoding.
	if err := r.hook.Verify(body, request.Header); err != nil {
		http.Error(w, "bad signature", http.StatusUnauthorized)
		return
	}
	var message Message
	if err := json.Unmarshal(body, &message); err != nil {
		http.Error(w, "not JSON", http.StatusBadRequest)
		return
	}
	r.accept(message)
	w.WriteHeader(http.StatusNoContent)
}

func (r *Receiver) accept(message Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	conversion := message.Conversion.ConversionID
	if r.seen[message.ID] || message.Sequence <= r.newest[conversion] {
		return
	}
	r.seen[message.ID], r.newest[conversion] = true, message.Sequence
	r.take(message)
}
