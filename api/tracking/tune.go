package tracking

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
)

// conversionForm is one spelling of a conversion's address. Whatever the spelling, the same
// domain.Postback comes of it, and it is decided in the same way.
type conversionForm struct {
	// fields are the parameters that it knows, and byName finds them by any name that senders use.
	fields [][]SentField
	byName fieldIndex
	// opaque is set where the path holds a code (rule 65).
	opaque domain.OpaqueForm
	// defaultGoal says that an address without a goal's name means the default one.
	defaultGoal bool
	// isPixel says that pages load it.
	isPixel bool
	// findsClick says that a click without an id may be found by cookie, or by its visitor.
	findsClick bool
	// waits says that the sender is told the decision, and answer how; else it is answered at once.
	waits  bool
	answer func(c *gin.Context, answer domain.Answer, errs domain.FieldErrors)
	// busy is the answer where nothing can be written at the moment.
	busy func(c *gin.Context, what string)
}

// plainForm is our own.
var plainForm = newForm(&conversionForm{fields: [][]SentField{PostbackFields}, waits: true, answer: sendAnswer, busy: tryAgain})

func newForm(form *conversionForm) *conversionForm {
	form.byName = indexFields(form.fields...)
	return form
}

// tunePostback and tunePixel are the two kinds of addresses of the older protocol.
func tunePostback(change func(*conversionForm)) *conversionForm {
	form := &conversionForm{fields: [][]SentField{PostbackFields, TunePostbackFields}, findsClick: true, waits: true, answer: sendTuneAnswer, busy: tryAgain}
	change(form)
	return newForm(form)
}

func tunePixel(change func(*conversionForm)) *conversionForm {
	form := &conversionForm{fields: [][]SentField{PostbackFields, TunePostbackFields}, isPixel: true, findsClick: true, answer: sendPixel, busy: sendLatePixel}
	change(form)
	return newForm(form)
}

var (
	leadPostback       = tunePostback(func(f *conversionForm) { f.defaultGoal = true })
	leadPixel          = tunePixel(func(f *conversionForm) { f.defaultGoal = true })
	goalPostback       = tunePostback(func(*conversionForm) {})
	goalPixel          = tunePixel(func(*conversionForm) {})
	opaquePostback     = tunePostback(func(f *conversionForm) { f.opaque = domain.OpaquePostback })
	opaqueGoalPostback = tunePostback(func(f *conversionForm) { f.opaque = domain.OpaqueGoalPostback })
	opaquePixel        = tunePixel(func(f *conversionForm) { f.opaque = domain.OpaquePixel })
	opaqueGoalPixel    = tunePixel(func(f *conversionForm) { f.opaque = domain.OpaqueGoalPixel })
)

// LeadTracked takes a postback in TUNE's form.
func (t *Edge) LeadTracked(c *gin.Context) { t.take(c, leadPostback) }

// LeadPixelTracked takes a pixel in TUNE's form.
func (t *Edge) LeadPixelTracked(c *gin.Context) { t.take(c, leadPixel) }

// OpaqueTracked takes a postback to an offer's opaque address.
func (t *Edge) OpaqueTracked(c *gin.Context) { t.take(c, opaquePostback) }

// OpaqueGoalTracked takes a postback to a goal's opaque address.
func (t *Edge) OpaqueGoalTracked(c *gin.Context) { t.take(c, opaqueGoalPostback) }

// OpaquePixelTracked takes an offer's opaque pixel.
func (t *Edge) OpaquePixelTracked(c *gin.Context) { t.take(c, opaquePixel) }

// OpaqueGoalPixelTracked takes a goal's opaque pixel.
func (t *Edge) OpaqueGoalPixelTracked(c *gin.Context) { t.take(c, opaqueGoalPixel) }

// GoalTracked is a goal's postback, or its pixel with a=l.
func (t *Edge) GoalTracked(c *gin.Context) {
	if strings.EqualFold(queryValue(c.Request.URL.RawQuery, "a"), "l") {
		t.take(c, goalPixel)
		return
	}
	t.take(c, goalPostback)
}

// sentBy says how a postback came (rule 78): by an advertiser's key, which goes no further than here.
func (form *conversionForm) sentBy(key string) string {
	switch {
	case form.isPixel:
		return domain.SentByPixel
	case key != "":
		return domain.SentByKey(key)
	default:
		return domain.SentWithoutKey
	}
}

// inItsNames gives errors the names that the sender used, else those that the form's senders know.
func (form *conversionForm) inItsNames(errs domain.FieldErrors, read *sentValues) domain.FieldErrors {
	for i := range errs {
		if said := read.said[errs[i].Field]; said != "" {
			errs[i].Field = said
			continue
		}
		if read.values[errs[i].Field] != "" {
			continue
		}
		for _, table := range form.fields {
			for _, field := range table {
				if field.Means != "" && errs[i].Field == field.Means {
					errs[i].Field = field.Name
				}
			}
		}
	}
	return errs
}

// locate reads what the address says itself, and finds the click where no id of one was sent: the
// one in the browser's cookie for the offer, else whatever the visitor's last one turns out to be.
// A signed postback must name its click in what is signed.
func (t *Edge) locate(c *gin.Context, form *conversionForm, values map[string]string, p *domain.Postback) domain.FieldErrors {
	offerID, errs := t.readAddress(c, form, values, p)
	if p.Address != nil && p.Address.GoalID != nil && values["goal_id"] == "" {
		values["goal_id"] = p.Address.GoalID.String()
	}
	if !form.findsClick || len(errs) > 0 || values["gk_click_id"] != "" || p.Signed.Complete() {
		return errs
	}
	if click, offer, ok := t.clickOfCookie(c.Request, offerID); ok {
		values["gk_click_id"] = click.String()
		if p.Address == nil {
			p.Address = &domain.Address{}
		}
		p.Address.OfferID = &offer
		return nil
	}
	partnerID, _ := domain.ParseSentID(values["aff_id"])
	userAgent := domain.Truncated(c.Request.UserAgent(), maxHeaderText)
	if offerID != uuid.Nil && partnerID != uuid.Nil && userAgent != "" {
		p.Visitor = &domain.Visitor{OfferID: offerID, PartnerID: partnerID, UserAgent: userAgent}
	}
	return nil
}

// readAddress sets what the address says, and returns the offer that it or a parameter names.
func (t *Edge) readAddress(c *gin.Context, form *conversionForm, values map[string]string, p *domain.Postback) (uuid.UUID, domain.FieldErrors) {
	if form.opaque != "" {
		content, _ := t.keys.OpenOpaque(string(form.opaque), c.Param("code"))
		offerID, goalID, ok := form.opaque.Read(content)
		if !ok {
			return uuid.Nil, domain.FieldErrors{{Field: "code", Reason: "is not an issued code"}}
		}
		p.Address = &domain.Address{OfferID: &offerID, Opaque: true, OfAdvertiser: !form.opaque.IsPixel()}
		if goalID != uuid.Nil {
			p.Address.GoalID = &goalID
		}
		return offerID, nil
	}
	if form.defaultGoal {
		p.Address = &domain.Address{DefaultGoal: true}
	}
	if !form.findsClick {
		return uuid.Nil, nil
	}
	// It only helps to find the click, so that one that is no id finds none.
	offerID, _ := domain.ParseSentID(values["offer_id"])
	return offerID, nil
}

// maskedCode keeps what tells codes apart in the log, and not what they can be used by.
func maskedCode(code string) string { return domain.Truncated(code, 6) + replaced }

// TuneAnswer is the JSON form of the older protocol's answer, with ours beside it.
type TuneAnswer struct {
	Success bool   `json:"success"`
	ErrMsg  string `json:"err_msg,omitempty"`
	PostbackAnswer
}

// sendTuneAnswer tells success or its reason with 200 whatever was decided: senders of that protocol
// expect nothing else. Success is what needs nothing more of the sender.
func sendTuneAnswer(c *gin.Context, answer domain.Answer, errs domain.FieldErrors) {
	told := TuneAnswer{PostbackAnswer: PostbackAnswer{answer, answer.RecordedAs(), errs}}
	switch {
	case answer.Outcome == domain.OutcomeAccepted, answer.Outcome == domain.OutcomeHeld, answer.Outcome == domain.OutcomeQueued, answer.CarriedOut():
		told.Success = true
	default:
		told.ErrMsg = string(answer.Reason)
	}
	c.Header("Cache-Control", "no-store")
	switch {
	case strings.EqualFold(queryValue(c.Request.URL.RawQuery, "format"), "json"):
		c.JSON(http.StatusOK, told)
	case told.Success:
		c.String(http.StatusOK, "success=true;")
	default:
		c.String(http.StatusOK, "success=false; err_msg=%s;", told.ErrMsg)
	}
}
