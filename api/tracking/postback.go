package tracking

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/inbound"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// answerWait is how long a sender waits for the decision before it is told `queued`.
const answerWait = 3 * time.Second

// PostbackAnswer is what a sender is told. RecordedAs is click for one that was only counted (rule
// 70). Errors name the fields of a malformed one.
type PostbackAnswer struct {
	domain.Answer
	RecordedAs domain.RecordAs    `json:"recordedAs,omitempty"`
	Errors     domain.FieldErrors `json:"errors,omitempty"`
}

// answerSource finds decisions that were made earlier.
type answerSource interface {
	answer(ctx context.Context, id uuid.UUID) (domain.Answer, error)
}

type storedAnswers struct{ store *db.Store }

func (s storedAnswers) answer(ctx context.Context, id uuid.UUID) (domain.Answer, error) {
	row, err := dbgen.New().SystemPostbackAnswer(ctx, s.store.SystemPool(), id)
	if err != nil {
		return domain.Answer{}, err
	}
	answer := domain.Answer{
		PostbackID: row.ID, Outcome: row.Outcome, Reason: row.Reason, ConversionID: row.ConversionID,
		Status: row.Status, ReleaseAt: row.ReleaseAt, Detail: row.Detail,
	}
	answer.Warnings, err = domain.ReadWarnings(row.Warnings)
	return answer, err
}

// PostbackTracked takes a postback in our own form.
func (t *Edge) PostbackTracked(c *gin.Context) { t.take(c, plainForm) }

// take takes a postback or pixel: on disk first, whatever it is worth, then answered.
func (t *Edge) take(c *gin.Context, form *conversionForm) { t.takeUnless(c, form, nil) }

// takeUnless is take, for what is refused as malformed where wrong is set. A place is held neither
// while the body is read nor while the answer is written: a client decides how long these take.
func (t *Edge) takeUnless(c *gin.Context, form *conversionForm, wrong *domain.FieldError) {
	body, err := readPostback(c)
	if err != nil {
		form.busy(c, "The body did not arrive completely, please send again.")
		return
	}
	source := inbound.ParseSource(c.ClientIP())
	if !t.waiting.Enter(source) {
		form.busy(c, "Too busy, please send again.")
		return
	}
	answer, errs, err := t.takeInPlace(c, form, body, wrong, source)
	var spent errSpent
	if errors.As(err, &spent) {
		shed(c, form, spent)
		return
	}
	if errors.Is(err, errCrowded) {
		form.busy(c, "Too many postbacks of this click are waiting for their decision, please send again.")
		return
	}
	if err != nil {
		postbacksUnavailable.Inc()
		slog.WarnContext(c.Request.Context(), "postback not recorded", "error", err)
		form.busy(c, "Please send again.")
		return
	}
	form.answer(c, answer, errs)
}

// takeInPlace does what a place is held for, and gives it back.
func (t *Edge) takeInPlace(c *gin.Context, form *conversionForm, body []byte, wrong *domain.FieldError, source netip.Addr) (
	domain.Answer, domain.FieldErrors, error) {
	defer t.waiting.Leave(source)
	postback, errs := t.parsePostback(c, form, body)
	if wrong != nil {
		errs = append(domain.FieldErrors{*wrong}, errs...)
		postback.Refused, postback.Detail = domain.ReasonMalformed, domain.ErrorsDetail(errs)
	}
	answer, err := t.publishAndAwait(c.Request.Context(), form, postback)
	return answer, errs, err
}

// publishAndAwait puts a postback on disk and waits for its decision where there is one to wait for.
func (t *Edge) publishAndAwait(ctx context.Context, form *conversionForm, postback *domain.Postback) (domain.Answer, error) {
	if postback.Refused != domain.ReasonNone {
		return t.refuse(ctx, postback)
	}
	if budget := t.spending.futile(form, postback, t.now()); budget != "" {
		return domain.Answer{}, errSpent(budget)
	}
	message := stream.PostbackMessage{Postback: *postback, Trace: map[string]string{}}
	otel.GetTextMapPropagator().Inject(ctx, propagation.MapCarrier(message.Trace))
	wait, ok := t.replies.expect(postback.ID, postback.ClickKey())
	if !ok {
		return domain.Answer{}, errCrowded
	}
	defer wait.done()
	message.ReplyTo = wait.replyTo
	data, err := json.Marshal(message)
	if err == nil {
		// Not cut short by a sender that hangs up: it would not know whether to send again.
		err = t.messages.Publish(context.WithoutCancel(ctx), stream.SubjectPostbacks, postback.ID.String(), data)
	}
	if err != nil {
		return domain.Answer{}, err
	}
	wait.isSent = true
	answer := queued(postback.ID)
	answer.Warnings = postback.Warnings
	if form.waits {
		answer = awaitAnswer(ctx, wait.decided, answer)
		t.spending.spend(postback, &answer, t.now())
	}
	answer.Verdict = postback.Verdict()
	return answer, nil
}

// queued is the answer for a postback that is on disk and not decided yet.
func queued(id uuid.UUID) domain.Answer {
	return domain.Answer{PostbackID: id, Outcome: domain.OutcomeQueued, Detail: "Received but not decided yet: GET /track/" + id.String() + " returns the answer later."}
}

// awaitAnswer is the decision, or otherwise when it takes too long or the sender has gone.
func awaitAnswer(ctx context.Context, decided <-chan domain.Answer, otherwise domain.Answer) domain.Answer {
	timer := time.NewTimer(answerWait)
	defer timer.Stop()
	select {
	case answer := <-decided:
		return answer
	case <-timer.C:
		postbacksLate.Inc()
	case <-ctx.Done():
	}
	return otherwise
}

var (
	postbacksLate = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_postbacks_late_total",
		Help: "Postbacks of any format answered queued because their decision took longer than their sender waits.",
	})
	postbacksUnavailable = promauto.NewCounter(prometheus.CounterOpts{
		Name: "offerflow_postbacks_unavailable_total",
		Help: "Postbacks of any format answered 503 because they could not be stored.",
	})
)

func sendAnswer(c *gin.Context, answer domain.Answer, errs domain.FieldErrors) {
	c.Header("Cache-Control", "no-store")
	c.JSON(domain.HTTPStatus(answer.Outcome, answer.Reason), PostbackAnswer{answer, answer.RecordedAs(), errs})
}

// KeyedGetTracked is GET /track/{x}. Keys of advertisers are never UUIDs: a UUID asks for the
// answer of an earlier postback, anything else is a postback.
func (t *Edge) KeyedGetTracked(c *gin.Context) {
	if id, ok := canonicalUUID(c.Param("advertiserKey")); ok {
		t.answerLater(c, id)
		return
	}
	t.PostbackTracked(c)
}

// answerLater gives the same answer as the postback got, `queued` while it is not decided.
func (t *Edge) answerLater(c *gin.Context, id uuid.UUID) {
	if !t.keys.Genuine(keyring.KindPostback, id) {
		problem.Write(c, problem.NotFound())
		return
	}
	leave, ok := t.asked.Enter(c.Request.Context(), c)
	if !ok {
		problem.Write(c, problem.New(http.StatusServiceUnavailable, "Too many requests for answers. Try again after Retry-After.").RetryAfter(2*time.Second))
		return
	}
	defer leave()
	answer, err := t.answers.answer(c.Request.Context(), id)
	if errors.Is(err, pgx.ErrNoRows) {
		answer, err = queued(id), nil
	}
	if err != nil {
		problem.WriteError(c, err)
		return
	}
	sendAnswer(c, answer, nil)
}

// parsePostback reads what was sent. Refused is set when no decision is needed: malformed, with
// the fields named, or a click id that we never minted (rule 1).
func (t *Edge) parsePostback(c *gin.Context, form *conversionForm, body []byte) (*domain.Postback, domain.FieldErrors) {
	at := t.now()
	r := c.Request
	path, _, _ := strings.Cut(r.RequestURI, "?")
	p := &domain.Postback{
		ID: t.keys.NewID(keyring.KindPostback, at), ReceivedAt: at, Method: r.Method, Path: loggedPath(r.URL.Path),
		SourceIP: c.ClientIP(), AdvertiserKey: form.sentBy(cmp.Or(c.Param("advertiserKey"), strayKey(r.URL.Path))),
	}
	sent, misshapen := readPairs(r, body)
	p.Params = logged(sent.all())
	p.Signed = readSignature(r, path, sent.query, body, t.keys)
	read := readFields(form.byName, sent.all(), signatureField(r, sent.query, domain.SignatureParam) != "")
	errs := append(read.errs, t.locate(c, form, read.values, p)...)
	errs = append(errs, fill(p, read)...)
	if misshapen != nil {
		errs = append(errs, *misshapen)
	}
	if token := read.values["security_token"]; token != "" {
		p.TokenHashes = t.keys.Hashes(token)
	}
	errs = form.inItsNames(errs, read)
	switch {
	case len(errs) > 0:
		p.Refused, p.Detail = domain.ReasonMalformed, domain.ErrorsDetail(errs)
	case p.ClickID != nil && !t.keys.Genuine(keyring.KindClick, *p.ClickID):
		p.Refused = domain.ReasonUnknownClick
	}
	return p, errs
}

// fill reads the fields that the rules know.
func fill(p *domain.Postback, read *sentValues) domain.FieldErrors {
	var errs domain.FieldErrors
	values := read.values
	id, ok := domain.ParseSentID(values["gk_click_id"])
	switch {
	case ok:
		p.ClickID = &id
	case p.Visitor != nil:
	case values["gk_click_id"] == "":
		missing := domain.FieldError{Field: "gk_click_id", Reason: "is required"}
		if sent := read.nothing["gk_click_id"]; sent != "" {
			missing.Reason += ", and " + domain.NothingSaid(sent)
		}
		errs = append(errs, missing)
	default:
		errs = append(errs, domain.FieldError{Field: "gk_click_id", Reason: domain.WhyNoID(values["gk_click_id"])})
	}
	p.EventID = domain.Storable(values["cnv_event_id"])
	p.GoalID, p.GoalName, p.AdvID = idText(values["goal_id"]), domain.Storable(values["goal_name"]), idText(values["adv_id"])
	p.Amount = domain.Storable(values["cnv_amount"])
	p.Currency = strings.ToUpper(domain.Storable(values["cnv_currency"]))
	p.ConversionID = domain.Storable(values["cnv_conversion_id"])
	p.Status = strings.TrimSpace(domain.Storable(values["cnv_status"]))
	for n, name := range []string{"cnv_sub_1", "cnv_sub_2", "cnv_sub_3", "cnv_sub_4", "cnv_sub_5"} {
		if values[name] != "" {
			p.Subs = append(p.Subs, make([]string, n+1-len(p.Subs))...)
			p.Subs[n] = domain.Storable(values[name])
		}
	}
	p.Warnings = append(read.warnings, fillCompletion(p, read)...)
	if len(read.said) > 0 {
		p.Said = read.said
	}
	return errs
}

// fillCompletion reads when the sender says that it was completed. A time that cannot be read never
// costs the conversion (rule 71): the receipt counts then, as without one.
func fillCompletion(p *domain.Postback, read *sentValues) domain.FieldErrors {
	text := read.values["cnv_completed_at"]
	if text == "" {
		return nil
	}
	at, zoned, ok := domain.ParseSentTime(text)
	name := cmp.Or(read.said["cnv_completed_at"], "cnv_completed_at")
	if !ok {
		return domain.FieldErrors{{Field: name, Reason: "is neither RFC 3339 nor Unix time in seconds or milliseconds and was ignored"}}
	}
	p.CompletedAt = &at
	if !zoned {
		return domain.FieldErrors{{Field: name, Reason: "has no time zone and was taken as UTC"}}
	}
	return nil
}

// idText is an id of ours in its usual form, or what was sent where it is none.
func idText(text string) string {
	if id, ok := domain.ParseSentID(text); ok {
		return id.String()
	}
	return domain.Storable(text)
}

// canonicalUUID reads the usual form with hyphens only: the other spellings that a UUID may have
// are not ids that we gave away.
func canonicalUUID(text string) (uuid.UUID, bool) {
	if len(text) != 36 {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(text)
	return id, err == nil
}

// maxSignature is more than an HMAC-SHA256 has in any of its spellings.
const maxSignature = 128

// nonceForm is what a nonce may look like.
var nonceForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{8,128}$`)

// readSignature reads what a signed postback proves itself with (domain.CanonicalPostback); nil where
// nothing of it was sent. What is missing or misshapen is left out: whether a signature is needed is known
// to the decision only, which says then what was wrong with it.
func readSignature(r *http.Request, path string, query []pair, body []byte, keys *keyring.Keyring) *domain.Signed {
	timestamp, nonce := signatureField(r, query, "of_timestamp"), signatureField(r, query, "of_nonce")
	signature := signatureField(r, query, domain.SignatureParam)
	if timestamp == "" && nonce == "" && signature == "" {
		return nil
	}
	signed := &domain.Signed{}
	if at, zoned, ok := domain.ParseSentTime(timestamp); ok && zoned {
		signed.Timestamp = at
	}
	if nonceForm.MatchString(nonce) {
		signed.Nonce = nonce
	}
	if len(signature) <= maxSignature {
		signed.Signature = domain.Storable(signature)
	}
	if signed.Complete() {
		signed.SealedText = keys.Seal([]byte(domain.CanonicalPostback(r.Method, path, r.URL.RawQuery, body, timestamp, nonce)))
	}
	return signed
}

// signatureField is a header, in either spelling, or else a parameter of the query.
func signatureField(r *http.Request, query []pair, name string) string {
	for _, header := range []string{name, strings.ReplaceAll(name, "_", "-")} {
		if value := r.Header.Get(header); value != "" {
			return value
		}
	}
	for _, p := range query {
		if p.name == name {
			return p.value
		}
	}
	return ""
}
