package tracking

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

var mutations = flag.Int("mutations", 20_000, "how many mutations of signed postbacks TestRule67Mutations makes")

// judge says of each postback that the edge lets through whether its signature would be believed,
// as the decision does but for the nonce, which is used once only.
type judge struct {
	*edge
	secret   []byte
	believed *domain.Postback
	text     string
}

func (j *judge) Publish(_ context.Context, _, _ string, data []byte) error {
	var message stream.PostbackMessage
	if err := json.Unmarshal(data, &message); err != nil {
		return err
	}
	if message.ReplyTo != "" {
		reply, _ := json.Marshal(domain.Answer{PostbackID: message.Postback.ID, Outcome: domain.OutcomeAccepted})
		j.replies.heard(message.ReplyTo, reply)
	}
	p := message.Postback
	if p.Refused != domain.ReasonNone || p.Signed == nil || !p.Signed.Fresh(p.ReceivedAt) {
		return nil
	}
	text, err := j.keys.Open(p.Signed.SealedText)
	if err != nil {
		return err
	}
	if domain.SignatureMatches(j.secret, string(text), p.Signed.Signature) {
		j.believed, j.text = &p, string(text)
	}
	return nil
}

// serveRaw reads a request as the server would and serves it; err is the server's refusal to.
func (j *judge) serveRaw(raw []byte) error {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return err
	}
	r.RemoteAddr = "192.0.2.1:1234"
	j.believed, j.text = nil, ""
	j.engine.ServeHTTP(httptest.NewRecorder(), r)
	_, _ = io.Copy(io.Discard, r.Body)
	return nil
}

// meaning is what a postback says, without what differs from one receipt to the next.
func meaning(p *domain.Postback) domain.Postback {
	m := *p
	m.ID, m.Params, m.Signed = uuid.Nil, nil, nil
	return m
}

// signedSamples are genuinely signed requests of every shape: by headers, by parameters, with a form,
// with JSON, to plain and to opaque addresses.
func (j *judge) signedSamples() [][]byte {
	click, goal := j.keys.NewID(keyring.KindClick, j.at.Add(-time.Hour)).String(), uuid.Must(uuid.NewV7())
	plain := "cnv_amount=2.50&cnv_event_id=level%205&cnv_sub_1=a%2Bb&gk_click_id=" + click
	compatible := "transaction_id=" + click + "&amount=2.50&adv_sub=a+b&goal_name=level-5&aff_id=7"
	multipart := "--b0\r\nContent-Disposition: form-data; name=\"cnv_amount\"\r\n\r\n9\r\n--b0--\r\n"
	var all [][]byte
	for _, r := range []request{
		{method: "GET", path: "/track/key", query: plain},
		{method: "GET", path: "/aff_lsr", query: compatible},
		{method: "GET", path: "/aff_goal", query: "a=lsr&" + compatible},
		{method: "GET", path: j.code(domain.OpaquePostback, goal), query: compatible},
		{method: "GET", path: j.code(domain.OpaqueGoalPostback, goal), query: "transaction_id=" + click},
		{method: "POST", path: "/track", query: "gk_click_id=" + click, body: `{"cnv_amount":2.50,"cnv_event_id":"level 5","cnv_sub_2":null}`},
		{method: "POST", path: "/track/key", body: plain + "&security_token=t"},
		{method: "POST", path: "/aff_lsr", query: "transaction_id=" + click, body: "amount=2.50&adv_sub2=x"},
		{method: "POST", path: "/track", query: "gk_click_id=" + click, body: multipart},
	} {
		all = append(all, r.signedAt(string(j.secret), j.at, uuid.NewString()).raw())
	}
	// By parameters of the query.
	stamp := fmt.Sprint(j.at.Unix())
	query := compatible + "&of_timestamp=" + stamp + "&of_nonce=12345678"
	text := domain.CanonicalPostback("GET", "/aff_lsr", query, nil, stamp, "12345678")
	return append(all, request{method: "GET", path: "/aff_lsr", query: query + "&of_signature=" + domain.SignPostback(j.secret, text)}.raw())
}

// raw is a request as it goes over the wire.
func (r request) raw() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s?%s HTTP/1.1\r\nHost: offers.example\r\nContent-Type: application/x-www-form-urlencoded\r\n", r.method, r.path, r.query)
	for _, name := range []string{"of_timestamp", "of_nonce", "of_signature"} {
		if value := r.headers[name]; value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", strings.ReplaceAll(name, "_", "-"), value)
		}
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(r.body), r.body)
	return b.Bytes()
}

// Rule 67: whatever is done to a genuinely signed request, it is believed only where what was signed
// is the same to the byte, and then it means the same.
func TestRule67Mutations(t *testing.T) {
	t.Parallel()
	j := &judge{edge: newEdge(t), secret: []byte("s3cret")}
	j.messages = j
	samples := j.signedSamples()
	texts, meanings := make([]string, len(samples)), make([]domain.Postback, len(samples))
	for i, raw := range samples {
		if err := j.serveRaw(raw); err != nil || j.believed == nil {
			t.Fatalf("genuine, and not believed: %v %q", err, raw)
		}
		texts[i], meanings[i] = j.text, meaning(j.believed)
	}
	seed := uint64(time.Now().UnixNano())
	random := mutator{rand.New(rand.NewPCG(seed, 1)), samples}
	unread, same := 0, 0
	began := time.Now()
	for n := range *mutations {
		i := random.IntN(len(samples))
		raw := slices.Clone(samples[i])
		for range 1 + random.IntN(3) {
			raw = random.mutate(raw)
		}
		if err := j.serveRaw(raw); err != nil {
			unread++
			continue
		}
		if j.believed == nil {
			continue
		}
		same++
		// Spliced from several samples, it may have become another of them.
		i = slices.Index(texts, j.text)
		if i < 0 || !reflect.DeepEqual(meaning(j.believed), meanings[i]) {
			t.Fatalf("seed %d, mutation %d is believed:\n%q\nsigned %q\nmeans %+v", seed, n, raw, j.text, meaning(j.believed))
		}
	}
	t.Logf("%d mutations in %s: %d are no requests, %d are canonically the same, %d refused; seed %d",
		*mutations, time.Since(began).Round(time.Millisecond), unread, same, *mutations-unread-same, seed)
	if same == 0 || same > *mutations/2 {
		t.Errorf("%d of %d mutations leave what was signed as it is: the mutations test nothing", same, *mutations)
	}
}

// The judge would see a signature that proves nothing.
func TestRule67MutationsAreJudged(t *testing.T) {
	t.Parallel()
	j := &judge{edge: newEdge(t), secret: []byte("s3cret")}
	j.messages = j
	raw := j.signedSamples()[0]
	forged := bytes.Replace(raw, []byte("cnv_amount=2.50"), []byte("cnv_amount=9.50"), 1)
	if err := errors.Join(j.serveRaw(forged)); err != nil || j.believed != nil {
		t.Fatalf("forged and believed: %v", err)
	}
	j.secret = nil
	if err := j.serveRaw(raw); err != nil || j.believed != nil {
		t.Fatalf("believed without a secret: %v", err)
	}
}
