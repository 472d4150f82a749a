package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/offerflow/offerflow/examples/receiver"
	"github.com/offerflow/offerflow/standalone/blackbox"
)

// mail is the server of all tenants' callback endpoints. It outlives what is killed.
type mail struct {
	server  *httptest.Server
	mu      sync.Mutex
	inboxes map[string]*inbox
}

func openMail(t *testing.T) *mail {
	m := &mail{inboxes: map[string]*inbox{}}
	m.server = httptest.NewServer(m)
	t.Cleanup(m.server.Close)
	return m
}

// open sets a tenant's endpoint and gives it an inbox.
func (m *mail) open(ctx context.Context, tenant *blackbox.Client) (*inbox, error) {
	secret, err := putEndpoint(ctx, tenant, m.server.URL+"/"+tenant.TenantID)
	if err != nil {
		return nil, err
	}
	box := &inbox{
		answer: failSome, bodies: map[string]string{}, ids: map[string]string{},
		tries: map[string]int{}, effects: map[string]int{}, newest: map[string]receiver.Message{},
	}
	if box.app, err = receiver.New(secret, box.take); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inboxes[tenant.TenantID] = box
	return box, nil
}

func (m *mail) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	box := m.inboxes[strings.TrimPrefix(r.URL.Path, "/")]
	m.mu.Unlock()
	if box == nil {
		http.NotFound(w, r)
		return
	}
	box.ServeHTTP(w, r)
}

// inbox is one endpoint: the example receiver, with a record of everything that reached it.
type inbox struct {
	app http.Handler
	// answer is a status other than 2xx for this try of a message, or 0 to take it.
	answer func(id string, try int) int

	mu sync.Mutex
	// bodies by message id, ids by news (a conversion and its sequence): each has one.
	bodies, ids map[string]string
	tries       map[string]int
	effects     map[string]int
	newest      map[string]receiver.Message
	wrong       []string
	// hears is told of every try that is not refused; may be nil.
	hears func(body []byte)
}

// failSome answers 500 to the first try of every sixth message.
func failSome(id string, try int) int {
	hash := fnv.New32()
	_, _ = io.WriteString(hash, id)
	if try == 1 && hash.Sum32()%6 == 0 {
		return http.StatusInternalServerError
	}
	return 0
}

func (b *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut short by a kill
	}
	if status := b.note(r.Header.Get("Webhook-Id"), body); status != 0 {
		w.WriteHeader(status)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	recorder := httptest.NewRecorder()
	b.app.ServeHTTP(recorder, r)
	if recorder.Code/100 != 2 {
		b.isWrong("message %s: %d %s", r.Header.Get("Webhook-Id"), recorder.Code, recorder.Body)
	}
	w.WriteHeader(recorder.Code)
}

// note records one try: invariant 7 from the outside.
func (b *inbox) note(id string, body []byte) (status int) {
	var message receiver.Message
	if err := json.Unmarshal(body, &message); err != nil {
		b.isWrong("message %s is not JSON", id)
	}
	news := fmt.Sprint(message.Conversion.ConversionID, " ", message.Sequence)
	b.mu.Lock()
	defer b.mu.Unlock()
	if before, again := b.bodies[id]; again && before != string(body) {
		b.wrong = append(b.wrong, "message "+id+" came with two bodies")
	}
	if before, again := b.ids[news]; again && before != id {
		b.wrong = append(b.wrong, fmt.Sprintf("news %s came as messages %s and %s", news, before, id))
	}
	if message.ID != id {
		b.wrong = append(b.wrong, "message "+id+" calls itself "+message.ID)
	}
	b.bodies[id], b.ids[news] = string(body), id
	b.tries[id]++
	if status = b.answer(id, b.tries[id]); status == 0 && b.hears != nil {
		b.hears(body)
	}
	return status
}

// take is the effect of a message on the app.
func (b *inbox) take(message receiver.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.effects[message.ID]++
	b.newest[message.Conversion.ConversionID] = message
}

func (b *inbox) isWrong(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}
