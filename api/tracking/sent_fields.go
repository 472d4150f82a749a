package tracking

// SentField is one parameter of a tracking form: what senders may call it, and what becomes of it where
// it cannot be read. The tables below are what the reader goes by and what the OpenAPI document shows.
type SentField struct {
	// Name is the parameter's in this form, and Means our name of the same where that is another.
	Name  string
	Means string
	// Limit is how many bytes a value may have.
	Limit int
	// Strict is for what decides whose conversion it is and of what, and for money: two different values
	// are malformed, and so is one that is too long. Of any other field the first value counts, and what
	// cannot be read is left out with a warning (rule 71).
	Strict bool
	// Money is Strict, but read by the decision: it says what is wrong with a long one (rule 35).
	Money bool
	Doc   string
}

// ours is our own name for a field.
func (f *SentField) ours() string {
	if f.Means != "" {
		return f.Means
	}
	return f.Name
}

// Fields of postbacks.
var (
	// PostbackFields are those of our own form.
	PostbackFields = []SentField{
		{Name: "gk_click_id", Limit: 128, Strict: true, Doc: "The click id that was passed to the destination. Required."},
		{Name: "cnv_event_id", Limit: 255, Strict: true, Doc: "The event's `eventId`, byte for byte; for MultiEvent offers it, `goal_id` or `goal_name` is required."},
		{Name: "goal_id", Limit: 64, Strict: true, Doc: "The goal by its id."},
		{Name: "goal_name", Limit: 255, Strict: true, Doc: "The goal by its slug."},
		{Name: "adv_id", Limit: 64, Strict: true, Doc: "The advertiser of the goal in `goal_name`."},
		{Name: "cnv_amount", Limit: 255, Strict: true, Money: true, Doc: "The sale amount; required for revenue share. A decimal number with a point, without grouping or currency."},
		{Name: "cnv_currency", Limit: 16, Strict: true, Money: true, Doc: "The amount's currency; default: the tenant's."},
		{Name: "cnv_conversion_id", Limit: 255, Strict: true, Doc: "The advertiser's own id of this conversion; distinguishes a retry from a repeat."},
		{Name: "cnv_status", Limit: 255, Strict: true, Doc: "The advertiser's verdict: `approved`, `pending` or `rejected` (also `declined`, `cancelled`, `reversed`, `chargeback`)."},
		{Name: "cnv_completed_at", Limit: 64, Doc: "Completion time: RFC 3339, or Unix time in seconds or milliseconds."},
		{Name: "cnv_conversion_ip_address", Limit: 64, Doc: "Logged."},
		{Name: "cnv_email", Limit: 320, Doc: "Logged without the name before the @."},
		{Name: "cnv_user_id", Limit: 255, Doc: "Logged."},
		{Name: "cnv_sub_1", Limit: 1024, Doc: "Stored, and sent in callbacks."},
		{Name: "cnv_sub_2", Limit: 1024, Doc: "Stored, and sent in callbacks."},
		{Name: "cnv_sub_3", Limit: 1024, Doc: "Stored, and sent in callbacks."},
		{Name: "cnv_sub_4", Limit: 1024, Doc: "Stored, and sent in callbacks."},
		{Name: "cnv_sub_5", Limit: 1024, Doc: "Stored, and sent in callbacks."},
		{Name: "security_token", Limit: 1024, Doc: "Required if the advertiser has one; replaced by a keyed hash before anything is stored."},
	}
	// TunePostbackFields are those that TUNE's forms and all pixels know beside PostbackFields.
	TunePostbackFields = []SentField{
		{Name: "transaction_id", Means: "gk_click_id", Limit: 128, Strict: true, Doc: "As gk_click_id."},
		{Name: "amount", Means: "cnv_amount", Limit: 255, Strict: true, Money: true, Doc: "As cnv_amount."},
		{Name: "currency", Means: "cnv_currency", Limit: 16, Strict: true, Money: true, Doc: "As cnv_currency."},
		{Name: "status", Means: "cnv_status", Limit: 255, Strict: true, Doc: "As cnv_status."},
		{Name: "adv_sub", Means: "cnv_sub_1", Limit: 1024, Doc: "As cnv_sub_1."},
		{Name: "adv_sub2", Means: "cnv_sub_2", Limit: 1024, Doc: "As cnv_sub_2."},
		{Name: "adv_sub3", Means: "cnv_sub_3", Limit: 1024, Doc: "As cnv_sub_3."},
		{Name: "adv_sub4", Means: "cnv_sub_4", Limit: 1024, Doc: "As cnv_sub_4."},
		{Name: "adv_sub5", Means: "cnv_sub_5", Limit: 1024, Doc: "As cnv_sub_5."},
		{Name: "offer_id", Limit: 128, Strict: true, Doc: "The offer; used only without a click id."},
		{Name: "aff_id", Limit: 128, Strict: true, Doc: "The partner; used only without a click id."},
		{Name: "format", Limit: 16, Doc: "`json` for an answer in JSON (postbacks only)."},
	}
	// TuneGoalFields are those of /aff_goal beside TunePostbackFields.
	TuneGoalFields = []SentField{{Name: "a", Limit: 16, Doc: "`l` for the pixel, `lsr` or nothing for the postback."}}
)

// Lengths of what a publisher may send with a click (rule 72).
const (
	maxMemberID   = 512
	maxClickParam = 255
	MaxClickID    = 2048
)

// Fields of clicks.
var (
	// ClickFields are those of /c/{linkId} and of every other form of a click. One that identifies
	// something and is too long is refused, of which the member is told; any other is left out.
	ClickFields = append([]SentField{
		{Name: "pub_member_id", Limit: maxMemberID, Strict: true, Doc: "The publisher's id of the member, stored exactly as sent."},
		{Name: "pub_click_id", Limit: MaxClickID, Strict: true, Doc: "The publisher's own id of the click."},
		{Name: "pub_session_id", Limit: MaxClickID, Strict: true, Doc: "The publisher's own id of the session."},
		{Name: "pub_gender", Limit: maxClickParam, Doc: "Used for targeting, like the following fields."},
		{Name: "pub_age", Limit: maxClickParam, Doc: "In years."},
		{Name: "pub_geo_country", Limit: maxClickParam, Doc: "ISO 3166-1, or a common name."},
		{Name: "pub_geo_state", Limit: maxClickParam, Doc: "ISO 3166-2, or its last part."},
		{Name: "pub_postal_code", Limit: maxClickParam, Doc: "Within the country."},
		{Name: "pub_device", Limit: maxClickParam, Doc: "IOS, Android, MacOS or Browser."},
		{Name: "source", Limit: MaxClickID, Strict: true, Doc: "The traffic source; returned as {source}."},
		{Name: "viewId", Limit: maxClickParam, Doc: "The viewId of the offer-details answer."},
		{Name: "creativeOrder", Limit: maxClickParam, Doc: "The order of the creative that the member saw."},
	}, pubSubFields()...)
	// TuneClickFields are those of /aff_c beside ClickFields.
	TuneClickFields = []SentField{
		{Name: "offer_id", Limit: 128, Strict: true, Doc: "The offer. Required."},
		{Name: "aff_id", Limit: 128, Strict: true, Doc: "The partner; without it the click belongs to the offer's own link."},
		{Name: "aff_click_id", Means: "pub_click_id", Limit: MaxClickID, Strict: true, Doc: "As pub_click_id."},
		{Name: "aff_sub", Means: "pub_sub_1", Limit: MaxClickID, Strict: true, Doc: "As pub_sub_1."},
		{Name: "aff_sub2", Means: "pub_sub_2", Limit: MaxClickID, Strict: true, Doc: "As pub_sub_2."},
		{Name: "aff_sub3", Means: "pub_sub_3", Limit: MaxClickID, Strict: true, Doc: "As pub_sub_3."},
		{Name: "aff_sub4", Means: "pub_sub_4", Limit: MaxClickID, Strict: true, Doc: "As pub_sub_4."},
		{Name: "aff_sub5", Means: "pub_sub_5", Limit: MaxClickID, Strict: true, Doc: "As pub_sub_5."},
	}
	// WallClickFields are the fields that /api/v1/offer-wall/offer-link-redirect takes in addition to ClickFields.
	WallClickFields = []SentField{{Name: "offerId", Limit: 128, Strict: true, Doc: "The offer; default: the view's."}}
)

func pubSubFields() []SentField {
	fields := make([]SentField, PubSubs)
	for n := range fields {
		fields[n] = SentField{Name: PubSubName(n), Limit: MaxClickID, Strict: true, Doc: "The publisher's own value; returned as a macro of the same name."}
	}
	return fields
}

// fieldIndex finds fields by name, in lower case.
type fieldIndex map[string]*SentField

func indexFields(tables ...[]SentField) fieldIndex {
	index := fieldIndex{}
	for _, table := range tables {
		for i := range table {
			index[NormalName(table[i].Name)] = &table[i]
		}
	}
	return index
}
