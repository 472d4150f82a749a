package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
	"github.com/offerflow/offerflow/stream"
)

// answerWait is how long a sender waits for the decision before it is told `queued`.
const answerWait = 3 * time.Second

// postbackAnswer is what a sender is told. RecordedAs is click for one that was only counted (rule
// 70). Errors name the fields of a malformed one.
type postbackAnswer struct {
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
	return domain.Answer{
		PostbackID: row.ID, Outcome: row.Outcome, Reason: row.Reason, ConversionID: row.ConversionID,
		Status: row.Status, ReleaseAt: row.ReleaseAt,
	}, err
}

// postbackTracked takes a postback in our own form.
func (t *Tracking) postbackTracked(c *gin.Context) { t.take(c, plainForm) }

// take takes a postback or pixel: on disk first, whatever it is worth, then answered.
func (t *Tracking) take(c *gin.Context, form *conversionForm) {
	select {
	case t.inWork <- struct{}{}:
		defer func() { <-t.inWork }()
	default:
		form.busy(c, "Too busy, please send again.")
		return
	}
	body, err := io.ReadAll(io.LimitReader(c.Request.Body, maxPostbackBody+1))
	if err != nil {
		form.busy(c, "The body did not arrive whole, please send again.")
		return
	}
	postback, errs := t.parsePostback(c, form, body)
	t.decide(c, form, postback, errs)
}

// decide puts a postback on disk and waits for its decision where there is one to wait for.
func (t *Tracking) decide(c *gin.Context, form *conversionForm, postback *domain.Postback, errs domain.FieldErrors) {
	message := stream.PostbackMessage{Postback: *postback, Trace: map[string]string{}}
	ctx := c.Request.Context()
	otel.GetTextMapPropagator().Inject(ctx, propagation.MapCarrier(message.Trace))
	var decided <-chan domain.Answer
	if form.waits && postback.Refused == domain.ReasonNone {
		var forget func()
		message.ReplyTo, decided, forget = t.replies.expect(postback.ID)
		defer forget()
	}
	data, err := json.Marshal(message)
	if err == nil {
		// Not cut short by a sender that hangs up: it would not know whether to send again.
		err = t.messages.Publish(context.WithoutCancel(ctx), stream.SubjectPostbacks, postback.ID.String(), data)
	}
	if err != nil {
		slog.WarnContext(ctx, "postback not recorded", "error", err)
		form.busy(c, "Please send again.")
		return
	}
	answer := domain.Answer{PostbackID: postback.ID, Outcome: domain.OutcomeQueued}
	if postback.Refused != domain.ReasonNone {
		answer.Outcome, answer.Reason = domain.OutcomeRefused, postback.Refused
	} else if decided != nil {
		answer = awaitAnswer(ctx, decided, answer)
	}
	form.answer(c, answer, errs)
}

// awaitAnswer is the decision, or otherwise when it takes too long or the sender has gone.
func awaitAnswer(ctx context.Context, decided <-chan domain.Answer, otherwise domain.Answer) domain.Answer {
	timer := time.NewTimer(answerWait)
	defer timer.Stop()
	select {
	case answer := <-decided:
		return answer
	case <-timer.C:
	case <-ctx.Done():
	}
	return otherwise
}

func sendAnswer(c *gin.Context, answer domain.Answer, errs domain.FieldErrors) {
	c.Header("Cache-Control", "no-store")
	c.JSON(domain.HTTPStatus(answer.Outcome, answer.Reason), postbackAnswer{answer, answer.RecordedAs(), errs})
}

// keyedGetTracked is GET /track/{x}. Keys of advertisers are never UUIDs: a UUID asks for the
// answer of an earlier postback, anything else is a postback.
func (t *Tracking) keyedGetTracked(c *gin.Context) {
	if id, ok := canonicalUUID(c.Param("advertiserKey")); ok {
		t.answerLater(c, id)
		return
	}
	t.postbackTracked(c)
}

// answerLater gives the same answer as the postback got, `queued` while it is not decided.
func (t *Tracking) answerLater(c *gin.Context, id uuid.UUID) {
	if !t.keys.Genuine(id) {
		writeProblem(c, notFound())
		return
	}
	answer, err := t.answers.answer(c.Request.Context(), id)
	if errors.Is(err, pgx.ErrNoRows) {
		answer, err = domain.Answer{PostbackID: id, Outcome: domain.OutcomeQueued}, nil
	}
	if err != nil {
		writeError(c, err)
		return
	}
	sendAnswer(c, answer, nil)
}

// parsePostback reads what was sent. Refused is set when no decision is needed: malformed, with
// the fields named, or a click id that we never minted (rule 1).
func (t *Tracking) parsePostback(c *gin.Context, form *conversionForm, body []byte) (*domain.Postback, domain.FieldErrors) {
	at := t.now()
	r := c.Request
	path, _, _ := strings.Cut(r.RequestURI, "?")
	p := &domain.Postback{
		ID: t.keys.NewID(at), ReceivedAt: at, Method: r.Method, Path: truncated(r.URL.Path, 255),
		SourceIP: c.ClientIP(), AdvertiserKey: truncated(c.Param("advertiserKey"), 64),
	}
	sent, misshapen := readPairs(r, body)
	p.Params = logged(sent.all())
	values, errs := known(form.renamed(sent.query), form.renamed(sent.body))
	p.Signed = readSignature(r, path, sent.query, body, t.keys)
	errs = append(errs, t.locate(c, form, sent, values, p)...)
	errs = append(errs, fill(p, values)...)
	if misshapen != nil {
		errs = append(errs, *misshapen)
	}
	if token := values["security_token"]; token != "" {
		p.TokenHashes = t.keys.Hashes(token)
	}
	switch {
	case len(errs) > 0:
		p.Refused = domain.ReasonMalformed
	case p.ClickID != nil && !t.keys.Genuine(*p.ClickID):
		p.Refused = domain.ReasonUnknownClick
	}
	return p, form.inItsNames(errs)
}

// fill reads the fields that the rules know.
func fill(p *domain.Postback, values map[string]string) domain.FieldErrors {
	var errs domain.FieldErrors
	id, ok := canonicalUUID(strings.TrimSpace(values["gk_click_id"]))
	switch {
	case ok:
		p.ClickID = &id
	case values["gk_click_id"] == "" && p.Visitor != nil: // found later, or not
	case values["gk_click_id"] == "":
		errs = append(errs, domain.FieldError{Field: "gk_click_id", Reason: "is required"})
	default:
		errs = append(errs, domain.FieldError{Field: "gk_click_id", Reason: "is not a click id"})
	}
	p.EventID = cleanText(values["cnv_event_id"])
	p.GoalID = strings.TrimSpace(cleanText(values["goal_id"]))
	p.GoalName = strings.TrimSpace(cleanText(values["goal_name"]))
	p.AdvID = strings.TrimSpace(cleanText(values["adv_id"]))
	p.Amount = cleanText(values["cnv_amount"])
	p.Currency = strings.ToUpper(strings.TrimSpace(cleanText(values["cnv_currency"])))
	p.ConversionID = cleanText(values["cnv_conversion_id"])
	if text := strings.TrimSpace(values["cnv_completed_at"]); text != "" {
		if at, ok := parseInstant(text); ok {
			p.CompletedAt = &at
		} else {
			errs = append(errs, domain.FieldError{Field: "cnv_completed_at", Reason: "must be RFC 3339, or Unix time in seconds or milliseconds"})
		}
	}
	for n, name := range []string{"cnv_sub_1", "cnv_sub_2", "cnv_sub_3", "cnv_sub_4", "cnv_sub_5"} {
		if values[name] != "" {
			p.Subs = append(p.Subs, make([]string, n+1-len(p.Subs))...)
			p.Subs[n] = cleanText(values[name])
		}
	}
	return errs
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

// firstMillis is where a Unix time is taken for milliseconds: as seconds it would be in the year
// 5138, as milliseconds it is in 1973.
const firstMillis = 100_000_000_000

// parseInstant reads RFC 3339, or Unix time in seconds or milliseconds. A plus sign that a query
// turned into a space is mended.
func parseInstant(text string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339Nano, strings.ReplaceAll(text, " ", "+"))
	if n, notNumber := strconv.ParseInt(text, 10, 64); notNumber == nil {
		at, err = time.Unix(n, 0), nil
		if n >= firstMillis {
			at = time.UnixMilli(n)
		}
	}
	if err != nil || at.Year() < 1971 || at.Year() > 9999 {
		return time.Time{}, false
	}
	return at.UTC().Truncate(time.Microsecond), true
}

// nonceForm is what a nonce may look like.
var nonceForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{8,128}$`)

// readSignature reads what a signed postback proves itself with (domain.CanonicalPostback). An
// incomplete or misshapen signature is none: whether one is needed is known to the decision only.
func readSignature(r *http.Request, path string, query []pair, body []byte, keys *keyring.Keyring) *domain.Signed {
	timestamp, nonce := signatureField(r, query, "of_timestamp"), signatureField(r, query, "of_nonce")
	signature := signatureField(r, query, domain.SignatureParam)
	at, ok := parseInstant(timestamp)
	if !ok || !nonceForm.MatchString(nonce) || signature == "" || len(signature) > 128 {
		return nil
	}
	text := domain.CanonicalPostback(r.Method, path, r.URL.RawQuery, body, timestamp, nonce)
	return &domain.Signed{Timestamp: at, Nonce: nonce, Signature: cleanText(signature), SealedText: keys.Seal([]byte(text))}
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
