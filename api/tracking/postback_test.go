package tracking

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// told is the wire form of an answer.
type told struct {
	PostbackID   string
	Outcome      string
	Reason       string
	ConversionID string
	Status       string
	RecordedAs   string
	Errors       []struct{ Field, Reason string }
}

func tellOf(t *testing.T, w *httptest.ResponseRecorder) told {
	t.Helper()
	var answer told
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return answer
}

func (e *edge) post(path, contentType, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return e.serve(r)
}

func TestPostbackIsDecided(t *testing.T) {
	t.Parallel()
	for outcome, c := range map[domain.Outcome]struct {
		reason domain.Reason
		code   int
	}{
		domain.OutcomeAccepted: {"", 200}, domain.OutcomeDuplicate: {domain.ReasonDuplicate, 200},
		domain.OutcomeRejected: {domain.ReasonTooSoon, 200}, domain.OutcomeHeld: {"", 202},
		domain.OutcomeRefused: {domain.ReasonUnknownEvent, 422},
	} {
		e := newEdge(t)
		e.decide = func(p domain.Postback) *domain.Answer {
			return &domain.Answer{PostbackID: p.ID, Outcome: outcome, Reason: c.reason, ConversionID: &p.ID}
		}
		w := e.get("/track/somekey?gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String())
		answer, message := tellOf(t, w), e.posted[0].Postback
		if w.Code != c.code || answer.Outcome != string(outcome) || answer.Reason != string(c.reason) ||
			answer.PostbackID != message.ID.String() || answer.ConversionID != message.ID.String() {
			t.Errorf("%s: %d %+v", outcome, w.Code, answer)
		}
		if message.AdvertiserKey != domain.SentByKey("somekey") || !e.keys.Genuine(keyring.KindPostback, message.ID) || message.Refused != "" {
			t.Errorf("%s: %+v", outcome, message)
		}
		if len(e.replies.waits) != 0 {
			t.Errorf("%s: still waiting", outcome)
		}
	}
}

// Rule 70: a postback that is only counted says so, then and later.
func TestPostbackIsCounted(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.decide = func(p domain.Postback) *domain.Answer {
		return &domain.Answer{PostbackID: p.ID, Outcome: domain.OutcomeAccepted}
	}
	w := e.get("/track?gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String())
	answer := tellOf(t, w)
	if w.Code != http.StatusOK || answer.Outcome != "accepted" || answer.RecordedAs != "click" || answer.ConversionID != "" || answer.Status != "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	id := uuid.MustParse(answer.PostbackID)
	e.stored[id] = domain.Answer{PostbackID: id, Outcome: domain.OutcomeAccepted}
	if later := e.get("/track/" + answer.PostbackID); tellOf(t, later).RecordedAs != "click" {
		t.Errorf("later: %s", later.Body)
	}
	e.decide = func(p domain.Postback) *domain.Answer {
		return &domain.Answer{PostbackID: p.ID, Outcome: domain.OutcomeAccepted, ConversionID: &p.ID, Status: domain.StatusSuccess}
	}
	if w := e.get("/track?gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String()); strings.Contains(w.Body.String(), "recordedAs") {
		t.Errorf("a conversion: %s", w.Body)
	}
}

func TestPostbackUndecidedIsQueued(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	w := e.get("/track?gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String())
	answer := tellOf(t, w)
	if w.Code != http.StatusAccepted || answer.Outcome != "queued" {
		t.Fatalf("%d %+v", w.Code, answer)
	}
	later := e.get("/track/" + answer.PostbackID)
	if later.Code != http.StatusAccepted || tellOf(t, later).Outcome != "queued" {
		t.Errorf("later: %d %s", later.Code, later.Body)
	}
	id := uuid.MustParse(answer.PostbackID)
	e.stored[id] = domain.Answer{PostbackID: id, Outcome: domain.OutcomeAccepted, Status: domain.StatusSuccess}
	later = e.get("/track/" + answer.PostbackID)
	if later.Code != http.StatusOK || tellOf(t, later).Status != "Success" {
		t.Errorf("decided: %d %s", later.Code, later.Body)
	}
	if forged := e.get("/track/" + uuid.NewString()); forged.Code != http.StatusNotFound {
		t.Errorf("forged: %d", forged.Code)
	}
}

// What the edge can tell by itself is written all the same, and answered at once.
func TestPostbackRefusedAtTheEdge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		query, contentType, body string
		code                     int
		reason                   domain.Reason
		field                    string
	}{
		"no click id":     {"cnv_event_id=x", "", "", 400, "malformed", "gk_click_id"},
		"no uuid":         {"gk_click_id=123", "", "", 400, "malformed", "gk_click_id"},
		"unfilled":        {"gk_click_id=%7Bgk_click_id%7D", "", "", 400, "malformed", "gk_click_id"},
		"forged":          {"gk_click_id=" + uuid.NewString(), "", "", 404, "unknown_click", ""},
		"two goals":       {"gk_click_id=CLICK&goal_name=a&goal_name=b", "", "", 400, "malformed", "goal_name"},
		"long goal":       {"gk_click_id=CLICK&goal_id=" + strings.Repeat("x", 65), "", "", 400, "malformed", "goal_id"},
		"two amounts":     {"gk_click_id=CLICK&cnv_amount=1&cnv_amount=100", "", "", 400, "malformed", "cnv_amount"},
		"hidden second":   {"gk_click_id=CLICK&cnv_amount=1&cnv%5Famount=100", "", "", 400, "malformed", "cnv_amount"},
		"long event":      {"gk_click_id=CLICK&cnv_event_id=" + strings.Repeat("x", 256), "", "", 400, "malformed", "cnv_event_id"},
		"long query":      {"gk_click_id=CLICK&x=" + strings.Repeat("x", maxPostbackQuery), "", "", 400, "malformed", "query"},
		"long body":       {"gk_click_id=CLICK", "", strings.Repeat("x", maxPostbackBody+1), 400, "malformed", "body"},
		"many parameters": {"gk_click_id=CLICK" + strings.Repeat("&a=1", 201), "", "", 400, "malformed", "query"},
		"not JSON":        {"gk_click_id=CLICK", "application/json", "{", 400, "malformed", "body"},
		"a JSON list":     {"gk_click_id=CLICK", "application/json", "[]", 400, "malformed", "body"},
		"two in JSON":     {"gk_click_id=CLICK", "application/json", `{"cnv_amount":1,"cnv_amount":2}`, 400, "malformed", "cnv_amount"},
	} {
		e := newEdge(t)
		w := e.post("/track?"+strings.ReplaceAll(c.query, "CLICK", e.keys.NewID(keyring.KindClick, e.at).String()), c.contentType, c.body)
		answer := tellOf(t, w)
		if w.Code != c.code || answer.Outcome != "refused" || answer.Reason != string(c.reason) {
			t.Errorf("%s: %d %+v", name, w.Code, answer)
		}
		if c.field != "" && (len(answer.Errors) == 0 || answer.Errors[len(answer.Errors)-1].Field != c.field) {
			t.Errorf("%s: errors %+v", name, answer.Errors)
		}
		if len(e.posted) != 1 || e.posted[0].Postback.Refused != c.reason || e.posted[0].ReplyTo != "" {
			t.Errorf("%s: posted %+v", name, e.posted)
		}
	}
}

func TestPostbackParameters(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	click := e.keys.NewID(keyring.KindClick, e.at).String()
	parse := func(path, contentType, body string) *domain.Postback {
		before := len(e.posted)
		e.decide = func(p domain.Postback) *domain.Answer { return &domain.Answer{PostbackID: p.ID, Outcome: "accepted"} }
		if w := e.post(path, contentType, body); w.Code != http.StatusOK {
			t.Fatalf("%s %s: %d %s", path, body, w.Code, w.Body)
		}
		return &e.posted[before].Postback
	}
	form := "gk_click_id=" + click + "&cnv_event_id=+Buy%2B&cnv_amount=02.50&cnv_currency=usd&cnv_conversion_id=c1" +
		"&cnv_sub_2=two&cnv_completed_at=2026-05-13T13:30:00%2B02:00"
	wantAt := time.Date(2026, 5, 13, 11, 30, 0, 0, time.UTC)
	check := func(name string, p *domain.Postback) {
		if p.ClickID.String() != click || p.EventID != "Buy+" || p.Amount != "02.50" || p.Currency != "USD" || p.ConversionID != "c1" ||
			len(p.Subs) != 2 || p.Subs[1] != "two" || p.CompletedAt == nil || !p.CompletedAt.Equal(wantAt) {
			t.Errorf("%s: %+v", name, p)
		}
	}
	check("query", parse("/track?"+form, "", ""))
	check("form", parse("/track", "application/x-www-form-urlencoded", form))
	check("untyped", parse("/track", "", form))
	check("plus unescaped", parse("/track?"+strings.ReplaceAll(form, "00%2B02", "00+02"), "", ""))
	object := `{"gk_click_id":"` + click + `","cnv_event_id":" Buy+","cnv_amount":"02.50","cnv_currency":"USD","cnv_conversion_id":"c1",
		"cnv_sub_2":"two","cnv_completed_at":1778671800,"cnv_sub_1":null,"more":{"a":[1]}}`
	check("JSON", parse("/track", "application/json", object))
	check("JSON by its look", parse("/track", "text/plain", object))
	check("query before body", parse("/track?"+form, "application/json", `{"cnv_sub_2":"another"}`))
	if p := parse("/track?gk_click_id="+click, "application/json", `{"cnv_amount":12.340}`); p.Amount != "12.340" {
		t.Errorf("digits of a number: %q", p.Amount)
	}
	if p := parse("/track?gk_click_id="+click+"&cnv_event_id=x%00&cnv_amount=10%", "", ""); p.EventID != "x\uFFFD" || p.Amount != "10%" {
		t.Errorf("unclean: %+v", p)
	}
	goal := uuid.Must(uuid.NewV7()).String()
	if p := parse("/track?gk_click_id="+click+"&goal_id=+"+goal+"&goal_name=first-purchase", "application/json", `{"adv_id":"`+click+`"}`); p.GoalID != goal ||
		p.GoalName != "first-purchase" || p.AdvID != click || p.Params["goal_name"] != "first-purchase" {
		t.Errorf("goal (rule 62): %+v", p)
	}
	if p := parse("/track?gk_click_id="+click+"&cnv_completed_at=1778671800123", "", ""); p.CompletedAt.UnixMilli() != 1778671800123 {
		t.Errorf("milliseconds: %v", p.CompletedAt)
	}
}

// Rule 67: nothing secret leaves the edge.
func TestPostbackSecrets(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.decide = func(p domain.Postback) *domain.Answer { return &domain.Answer{PostbackID: p.ID, Outcome: "accepted"} }
	path := "/track?gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String() +
		"&security%5Ftoken=hush-hush&of_signature=hush-sig&my_password=hush&cnv_email=jane@example.com&plain=seen"
	e.post(path, "application/json", `{"data":{"security_token":"hush-nested"}}`, "Of-Timestamp", "1778671800", "Of-Nonce", "12345678")
	message, _ := json.Marshal(e.posted[0])
	if strings.Contains(string(message), "hush-hush") || strings.Contains(string(message), "hush-nested") || strings.Contains(string(message), "jane") {
		t.Fatalf("secret in %s", message)
	}
	p := e.posted[0].Postback
	if p.Params["security_token"] != replaced || p.Params["my_password"] != replaced || p.Params["cnv_email"] != "***@example.com" || p.Params["plain"] != "seen" {
		t.Errorf("params %+v", p.Params)
	}
	if len(p.TokenHashes) != 1 || p.TokenHashes[0] != e.keys.Hash("hush-hush") {
		t.Errorf("hashes %v", p.TokenHashes)
	}
}

func TestPostbackSignature(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.decide = func(p domain.Postback) *domain.Answer { return &domain.Answer{PostbackID: p.ID, Outcome: "accepted"} }
	secret, click := []byte("a secret"), e.keys.NewID(keyring.KindClick, e.at).String()
	opened := func() (text string, signed *domain.Signed) {
		signed = e.posted[len(e.posted)-1].Postback.Signed
		if !signed.Complete() {
			return "", signed
		}
		plain, err := e.keys.Open(signed.SealedText)
		if err != nil {
			t.Fatal(err)
		}
		return string(plain), signed
	}
	query := "cnv_amount=2%2e5&gk_click_id=" + click
	signature := domain.SignPostback(secret, domain.CanonicalPostback("POST", "/track/k%41y", query, []byte("a=1"), "1778671800", "n-123456"))
	e.post("/track/k%41y?"+query, "", "a=1", "of_timestamp", "1778671800", "of-nonce", "n-123456", "of_signature", signature)
	if text, signed := opened(); signed == nil || !domain.SignatureMatches(secret, text, signed.Signature) || !signed.Fresh(time.Unix(1778671800, 0)) {
		t.Errorf("by headers: %q %+v", text, signed)
	}
	query += "&of_nonce=n-123456&of_timestamp=1778671800"
	signature = domain.SignPostback(secret, domain.CanonicalPostback("POST", "/track", query, nil, "1778671800", "n-123456"))
	e.post("/track?of_signature="+signature+"&"+query, "", "")
	if text, signed := opened(); signed == nil || !domain.SignatureMatches(secret, text, signed.Signature) {
		t.Errorf("by parameters: %q %+v", text, signed)
	}
	for name, incomplete := range map[string]string{
		"no nonce": "of_timestamp=1778671800&of_signature=00", "short nonce": "of_timestamp=1778671800&of_nonce=1&of_signature=00",
		"no time": "of_timestamp=x&of_nonce=12345678&of_signature=00", "no signature": "of_timestamp=1778671800&of_nonce=12345678",
	} {
		e.post("/track?gk_click_id="+click+"&"+incomplete, "", "")
		if _, signed := opened(); signed.Complete() || signed == nil { // what is wrong with it is known to the decision
			t.Errorf("%s: %+v", name, signed)
		}
	}
}

func TestPostbackNotRecorded(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.failed = errors.New("stream is full")
	for _, query := range []string{"gk_click_id=" + e.keys.NewID(keyring.KindClick, e.at).String(), "gk_click_id=bad"} {
		if w := e.get("/track?" + query); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
	for e.waiting.EnterAny() {
	}
	e.failed = nil
	if w := e.get("/track?gk_click_id=bad"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("overload: %d", w.Code)
	}
}

func FuzzParsePostback(f *testing.F) {
	f.Add("gk_click_id=1&cnv_amount=%zz", "application/json", []byte(`{"cnv_sub_1":[1,{"security_token":"x"}]}`))
	f.Add("gk_click_id=0197&goal_id=%7Bgoal_id%7D&goal_name=first-purchase&adv_id=12", "application/json", []byte(`{"goal_id":7,"goal_name":null,"adv_id":["x"]}`))
	f.Add("goal_name=a&goal_name=b&goal_id=+0197+", "", []byte("adv_id=%00"))
	f.Add("security_token=a", "multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"cnv_email\"\r\n\r\nx\r\n--b--"))
	f.Fuzz(func(t *testing.T, query, contentType string, body []byte) {
		r := &http.Request{Method: http.MethodPost, URL: &url.URL{Path: "/track", RawQuery: query}, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(""))}
		sent, _ := readPairs(r, body)
		for name, value := range logged(sent.all()) {
			if len(value) > 3*maxPostbackField || value != domain.Storable(value) || name != domain.Storable(name) {
				t.Fatalf("%q=%q", name, value)
			}
			if strings.Contains(strings.ToLower(name), "token") && value != "" && strings.Trim(value, "*, ") != "" {
				t.Fatalf("secret %q=%q", name, value)
			}
		}
		for _, form := range []*conversionForm{plainForm, goalPostback} {
			read := readFields(form.byName, sent.all(), false)
			for name, value := range read.values {
				if limit := form.byName[name].Limit; len(value) > limit+len("…") {
					t.Fatalf("%q is too long and not refused", name)
				}
			}
			p := &domain.Postback{}
			if len(read.errs)+len(fill(p, read)) == 0 && p.ClickID == nil {
				t.Fatal("no click id and no error")
			}
			for _, said := range append(read.errs, read.warnings...) {
				if said.Field == "" || said.Field != domain.Storable(said.Field) || said.Reason == "" {
					t.Fatalf("%+v", said)
				}
			}
			if text, err := json.Marshal(p); err != nil || strings.Contains(string(text), `\u0000`) {
				t.Fatalf("%s %v", text, err)
			}
			// What is tolerated changes nothing: the same in capitals, with amp; and blanks.
			loud := make([]pair, len(sent.all()))
			for i, one := range sent.all() {
				loud[i] = pair{" AMP;" + strings.ToUpper(one.name), one.value + " "}
			}
			for name, value := range read.values {
				if again := readFields(form.byName, loud, false).values[name]; again != value {
					t.Fatalf("%s: %q became %q", name, value, again)
				}
			}
		}
	})
}
