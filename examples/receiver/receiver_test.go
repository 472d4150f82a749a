package receiver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/examples/receiver"
)

func TestTheReceiverTakesEachNewsOnce(t *testing.T) {
	t.Parallel()
	secret := domain.NewSigningSecret(domain.SignatureV1, [domain.SigningSeedBytes]byte{1})
	var taken []string
	handler, err := receiver.New(secret, func(m receiver.Message) { taken = append(taken, fmt.Sprint(m.ID, m.Sequence)) })
	if err != nil {
		t.Fatal(err)
	}
	post := func(id string, sequence int, secret string) int {
		body := fmt.Sprintf(`{"id":%q,"sequence":%d,"conversion":{"conversionId":"c","status":"Success"}}`, id, sequence)
		signature, err := domain.SignCallback([]string{secret}, id, time.Now(), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		request := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		request.Header.Set("webhook-id", id)
		request.Header.Set("webhook-timestamp", strconv.FormatInt(time.Now().Unix(), 10))
		request.Header.Set("webhook-signature", signature)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		return answer.Code
	}
	for _, step := range []struct {
		id       string
		sequence int
	}{{"b", 2}, {"b", 2}, {"a", 1}, {"c", 3}} {
		if code := post(step.id, step.sequence, secret); code != http.StatusNoContent {
			t.Errorf("%v: %d", step, code)
		}
	}
	forged := domain.NewSigningSecret(domain.SignatureV1, [domain.SigningSeedBytes]byte{2})
	if code := post("d", 4, forged); code != http.StatusUnauthorized {
		t.Errorf("a forged message: %d", code)
	}
	if !slices.Equal(taken, []string{"b2", "c3"}) {
		t.Errorf("taken: %v", taken)
	}
}
