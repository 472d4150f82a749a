package tracking

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/db/dbtest"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// accepting decides that everything is accepted.
func (e *edge) accepting() {
	e.decide = func(p domain.Postback) *domain.Answer {
		return &domain.Answer{PostbackID: p.ID, Outcome: domain.OutcomeAccepted, Status: domain.StatusSuccess, ConversionID: &p.ID}
	}
}

// last is the postback that was put on disk last.
func (e *edge) last(t *testing.T) domain.Postback {
	t.Helper()
	require.NotEmpty(t, e.posted)
	return e.posted[len(e.posted)-1].Postback
}

// code is an opaque address of the edge's offer.
func (e *edge) code(form domain.OpaqueForm, goalID uuid.UUID) string {
	return "/" + string(form) + e.keys.Opaque(string(form), form.Content(e.offer.ID, goalID))
}

func TestTuneClick(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.link.PartnerID = nil // the offer's default link is nobody's
	e.load(t)
	second := dbgen.Partner{TenantID: e.tenant.TenantID, ID: uuid.Must(uuid.NewV7()), Status: "active"}
	e.offers.PutPartner(second)
	own, placed := e.link, e.link
	own.ID, own.IsDefault, own.PartnerID = uuid.Must(uuid.NewV7()), false, &e.partner.ID
	// A link for a certain place is not the pair's.
	placed.ID, placed.IsDefault, placed.PartnerID, placed.PlacementID = uuid.Must(uuid.NewV7()), false, &second.ID, &second.ID
	e.offers.PutLink(&placed)
	e.offers.PutLink(&own)
	for name, c := range map[string]struct {
		partner *uuid.UUID
		link    uuid.UUID
	}{
		"the partner's own link":             {&e.partner.ID, own.ID},
		"the default link with this partner": {&second.ID, e.link.ID},
		"without a partner":                  {nil, e.link.ID},
	} {
		path := "/aff_c?offer_id=" + e.offer.ID.String() + "&aff_sub=a%20b&aff_sub2=two&aff_sub5=five&source=news+letter&aff_click_id=theirs&pub_member_id=m&aff_sub6=no"
		if c.partner != nil {
			path += "&aff_id=" + c.partner.String()
		}
		before := len(e.click)
		w := e.get(path, "User-Agent", iPhone)
		require.Equal(t, http.StatusFound, w.Code, name)
		click := e.click[before]
		require.Equal(t, c.partner, click.PartnerID, name)
		require.Equal(t, c.link, click.LinkID, name)
		require.Equal(t, []string{"a b", "two", "", "", "five"}, click.PubSubs, name)
		require.Equal(t, []string{"news letter", "theirs", "m"}, []string{click.Source, click.PubClickID, *click.PubMemberID}, name)
		to, err := url.Parse(w.Header().Get("Location"))
		require.NoError(t, err)
		require.Equal(t, click.ID.String(), to.Query().Get("s"), name)
		if c.partner != nil {
			require.Equal(t, c.partner.String(), to.Query().Get("p"), name)
		}
	}
	require.Nil(t, e.link.PartnerID, "the link in memory stays as it is")
}

// What does not exist is the same page for all, and no click. The database is asked only for what
// memory does not know.
func TestTuneClickOfNothing(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	store, err := db.Open(t.Context(), dbtest.New(t), 2)
	require.NoError(t, err)
	t.Cleanup(store.Close)
	e.offers = offercache.New(store, e.keys)
	e.load(t)
	foreign := dbgen.Partner{TenantID: uuid.Must(uuid.NewV7()), ID: uuid.Must(uuid.NewV7()), Status: "active"}
	e.offers.PutPartner(foreign)
	offer, partner := e.offer.ID.String(), e.partner.ID.String()
	for name, query := range map[string]string{
		"unknown partner":          "offer_id=" + offer + "&aff_id=" + uuid.Must(uuid.NewV7()).String(),
		"another tenant's partner": "offer_id=" + offer + "&aff_id=" + foreign.ID.String(),
		"no partner's id":          "offer_id=" + offer + "&aff_id=7",
		"the zero id":              "offer_id=" + offer + "&aff_id=" + uuid.Nil.String(),
		"unknown offer":            "offer_id=" + uuid.Must(uuid.NewV7()).String() + "&aff_id=" + partner,
		"no offer's id":            "offer_id=7&aff_id=" + partner,
		"nothing":                  "",
	} {
		w := e.get("/aff_c?"+query, "User-Agent", iPhone)
		require.Equal(t, http.StatusNotFound, w.Code, name)
		require.Contains(t, w.Body.String(), "not available", name)
		require.Empty(t, w.Header().Values("Set-Cookie"), name)
	}
	require.Empty(t, e.click)
	// Blocked, it is a partner all the same: recorded with its reason (rule 46).
	e.partner.Status = "blocked"
	e.load(t)
	e.get("/aff_c?offer_id="+offer+"&aff_id="+partner, "User-Agent", iPhone)
	require.Equal(t, domain.ReasonPartnerBlocked, e.click[0].RefusedReason)
}

// Every form becomes the same postback.
func TestTuneForms(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.accepting()
	click, goalID := e.keys.NewID(keyring.KindClick, e.at), uuid.Must(uuid.NewV7())
	id := "transaction_id=" + click.String()
	plain := func(defaultGoal bool) *domain.Address {
		if !defaultGoal {
			return nil
		}
		return &domain.Address{DefaultGoal: true}
	}
	opaque := &domain.Address{OfferID: &e.offer.ID, Opaque: true}
	opaqueGoal := &domain.Address{OfferID: &e.offer.ID, Opaque: true, GoalID: &goalID}
	secret := &domain.Address{OfferID: &e.offer.ID, Opaque: true, OfAdvertiser: true}
	secretGoal := &domain.Address{OfferID: &e.offer.ID, Opaque: true, OfAdvertiser: true, GoalID: &goalID}
	for path, want := range map[string]domain.Postback{
		"/aff_lsr?" + id: {Address: plain(true)},
		"/aff_lsr?amount=2.50&adv_sub=one&adv_sub3=three&security_token=t&" + id: {
			Address: plain(true), Amount: "2.50", Subs: []string{"one", "", "three"}, TokenHashes: e.keys.Hashes("t")},
		"/aff_lsr?gk_click_id=" + click.String() + "&cnv_conversion_id=c": {Address: plain(true), ConversionID: "c"},
		"/aff_lsr?offer_id=7&aff_id=8&" + id:                              {Address: plain(true)}, // rule 2: they override nothing
		"/aff_goal?a=lsr&goal_id=" + goalID.String() + "&" + id:           {GoalID: goalID.String()},
		"/aff_goal?a=lsr&goal_name=level-5&adv_id=9&" + id:                {GoalName: "level-5", AdvID: "9"},
		"/aff_goal?a=l&goal_name=level-5&" + id:                           {GoalName: "level-5"},
		"/aff_l?" + id:                                                    {Address: plain(true)},
		e.code(domain.OpaquePostback, goalID) + "?" + id:                  {Address: secret},
		e.code(domain.OpaquePixel, goalID) + "?" + id:                     {Address: opaque},
		e.code(domain.OpaqueGoalPostback, goalID) + "?amount=1&" + id:     {Address: secretGoal, GoalID: goalID.String(), Amount: "1"},
		e.code(domain.OpaqueGoalPixel, goalID) + "?" + id:                 {Address: opaqueGoal, GoalID: goalID.String()},
		"/pixel.gif?cnv_event_id=x&gk_click_id=" + click.String():         {EventID: "x"},
		"/pixel?cnv_event_id=x&amount=3&transaction_id=" + click.String(): {EventID: "x", Amount: "3"},
	} {
		w := e.get(path)
		require.Equal(t, http.StatusOK, w.Code, path)
		got := e.last(t)
		require.Equal(t, &click, got.ClickID, path)
		require.Empty(t, got.Refused, path)
		require.True(t, e.keys.Genuine(keyring.KindPostback, got.ID), path)
		got = domain.Postback{
			EventID: got.EventID, GoalID: got.GoalID, GoalName: got.GoalName, AdvID: got.AdvID, Amount: got.Amount,
			ConversionID: got.ConversionID, Subs: got.Subs, Address: got.Address, Visitor: got.Visitor, TokenHashes: got.TokenHashes,
		}
		require.Equal(t, want, got, path)
	}
}

// A form or JSON may be posted to the postback forms, too.
func TestTunePost(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.accepting()
	click := e.keys.NewID(keyring.KindClick, e.at)
	for _, path := range []string{"/aff_lsr", "/aff_goal?a=lsr", e.code(domain.OpaquePostback, uuid.Nil), e.code(domain.OpaqueGoalPostback, uuid.Must(uuid.NewV7()))} {
		for contentType, body := range map[string]string{
			"application/x-www-form-urlencoded": "transaction_id=" + click.String() + "&amount=5",
			"application/json":                  `{"transaction_id":"` + click.String() + `","amount":5}`,
		} {
			require.Equal(t, "success=true;", e.post(path, contentType, body).Body.String(), path)
			require.Equal(t, "5", e.last(t).Amount, path)
		}
	}
}

func TestTuneAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outcome domain.Outcome
		reason  domain.Reason
		text    string
	}{
		{domain.OutcomeAccepted, "", "success=true;"},
		{domain.OutcomeHeld, "", "success=true;"},
		{domain.OutcomeQueued, "", "success=true;"},
		{domain.OutcomeDuplicate, domain.ReasonDuplicate, "success=false; err_msg=duplicate;"},
		{domain.OutcomeRejected, domain.ReasonTooSoon, "success=false; err_msg=too_soon;"},
		{domain.OutcomeRefused, domain.ReasonGoalMismatch, "success=false; err_msg=goal_mismatch;"},
		{domain.OutcomeRefused, domain.ReasonBadSignature, "success=false; err_msg=bad_signature;"},
	} {
		e := newEdge(t)
		e.decide = func(p domain.Postback) *domain.Answer {
			return &domain.Answer{PostbackID: p.ID, Outcome: c.outcome, Reason: c.reason}
		}
		query := "?transaction_id=" + e.keys.NewID(keyring.KindClick, e.at).String()
		for _, path := range []string{"/aff_lsr" + query, "/aff_goal" + query + "&a=lsr", e.code("SP", uuid.Nil) + query, e.code("GP", uuid.Must(uuid.NewV7())) + query} {
			w := e.get(path)
			require.Equal(t, http.StatusOK, w.Code, path)
			require.Equal(t, c.text, w.Body.String(), path)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			w = e.get(path + "&format=json")
			require.Equal(t, http.StatusOK, w.Code, path)
			var told struct {
				Success    bool
				ErrMsg     string `json:"err_msg"`
				PostbackID uuid.UUID
				Outcome    domain.Outcome
				Reason     domain.Reason
			}
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &told))
			require.Equal(t, strings.HasPrefix(c.text, "success=true"), told.Success, w.Body)
			require.Equal(t, []any{string(c.reason), e.last(t).ID, c.outcome, c.reason}, []any{told.ErrMsg, told.PostbackID, told.Outcome, told.Reason})
		}
	}
}

// What the edge refuses is kept whole in the log with its reason, and nothing half.
func TestTuneRefusedAtTheEdge(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	click, goalID := e.keys.NewID(keyring.KindClick, e.at).String(), uuid.Must(uuid.NewV7())
	sp := e.code(domain.OpaquePostback, goalID)
	another := newEdge(t)
	for name, c := range map[string]struct {
		path, field string
		reason      domain.Reason
	}{
		"no id":            {"/aff_lsr", "transaction_id", "malformed"},
		"no id, an offer":  {"/aff_lsr?offer_id=" + e.offer.ID.String(), "transaction_id", "malformed"},
		"no id, a partner": {"/aff_lsr?aff_id=" + e.partner.ID.String(), "transaction_id", "malformed"},
		"unfilled":         {"/aff_lsr?transaction_id=%7Btransaction_id%7D", "transaction_id", "malformed"},
		"forged":           {"/aff_lsr?transaction_id=" + uuid.NewString(), "", "unknown_click"},
		"two ids":          {"/aff_lsr?transaction_id=" + click + "&transaction_id=" + uuid.NewString(), "transaction_id", "malformed"},
		"two names of it":  {"/aff_lsr?transaction_id=" + click + "&gk_click_id=" + uuid.NewString(), "transaction_id", "malformed"},
		"two amounts":      {"/aff_lsr?amount=1&amount=2&transaction_id=" + click, "amount", "malformed"},
		"a hidden amount":  {"/aff_lsr?amount=1&%61mount=2&transaction_id=" + click, "amount", "malformed"},
		"another name":     {"/aff_lsr?amount=1&cnv_amount=2&transaction_id=" + click, "amount", "malformed"},
		"two goals":        {"/aff_goal?a=lsr&goal_id=1&goal_id=2&transaction_id=" + click, "goal_id", "malformed"},
		"two offers":       {"/aff_lsr?offer_id=1&offer_id=2", "offer_id", "malformed"},
		"two partners":     {"/aff_lsr?offer_id=" + e.offer.ID.String() + "&aff_id=1&aff_id=2", "aff_id", "malformed"},
		"long goal":        {"/aff_goal?a=lsr&goal_name=" + strings.Repeat("x", 256) + "&transaction_id=" + click, "goal_name", "malformed"},
		"long query":       {"/aff_lsr?transaction_id=" + click + "&x=" + strings.Repeat("x", maxPostbackQuery), "query", "malformed"},
		"no code":          {"/SPAAAA?transaction_id=" + click, "code", "malformed"},
		"another's code":   {another.code(domain.OpaquePostback, goalID) + "?transaction_id=" + click, "code", "malformed"},
		"a pixel's code":   {"/SP" + strings.TrimPrefix(e.code(domain.OpaquePixel, goalID), "/SL") + "?transaction_id=" + click, "code", "malformed"},
		"an offer's code":  {"/GP" + strings.TrimPrefix(sp, "/SP") + "?transaction_id=" + click, "code", "malformed"},
		"a longer code":    {sp + "A?transaction_id=" + click, "code", "malformed"},
		"a code cut short": {sp[:len(sp)-1] + "?transaction_id=" + click, "code", "malformed"},
		"a long code":      {"/SP" + strings.Repeat("A", 4000) + "?transaction_id=" + click, "code", "malformed"},
	} {
		before := len(e.posted)
		w := e.get(c.path + map[bool]string{true: "&", false: "?"}[strings.Contains(c.path, "?")] + "format=json")
		require.Equal(t, http.StatusOK, w.Code, name)
		var told struct {
			Success bool
			ErrMsg  string `json:"err_msg"`
			Outcome domain.Outcome
			Errors  []struct{ Field string }
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &told), "%s: %s", name, w.Body)
		require.Equal(t, []any{false, string(c.reason), domain.OutcomeRefused}, []any{told.Success, told.ErrMsg, told.Outcome}, "%s: %s", name, w.Body)
		if c.field != "" {
			fields := []string{}
			for _, e := range told.Errors {
				fields = append(fields, e.Field)
			}
			require.Contains(t, fields, c.field, "%s: %s", name, w.Body)
		}
		require.Len(t, e.posted, before+1, name)
		require.Equal(t, c.reason, e.last(t).Refused, name)
		require.LessOrEqual(t, len(e.last(t).Path), 64, name)
	}
	// The code is not in the log: it is what the address is protected by.
	e.get(sp + "?transaction_id=" + click)
	require.NotContains(t, e.last(t).Path, strings.TrimPrefix(sp, "/SP")[6:])
	require.Contains(t, e.last(t).Path, "/SP")
}

// 503 stays 503: nothing was put on disk, and the sender must send again.
func TestTuneNotRecorded(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.failed = errors.New("stream is full")
	id := "?transaction_id=" + e.keys.NewID(keyring.KindClick, e.at).String()
	for _, path := range []string{"/aff_lsr", "/aff_goal", "/aff_l", "/pixel.gif", "/pixel", e.code("SP", uuid.Nil), e.code("GP", uuid.Must(uuid.NewV7())), e.code("SL", uuid.Nil), e.code("GL", uuid.Must(uuid.NewV7()))} {
		for _, query := range []string{id, ""} {
			w := e.get(path + query)
			require.Equal(t, http.StatusServiceUnavailable, w.Code, path)
			require.NotEmpty(t, w.Header().Get("Retry-After"), path)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"), path)
		}
	}
	require.Empty(t, e.posted)
}

// The older protocol without a click id: offer and partner name the visitor's last click, for the
// decision to find. What is signed must name its click itself.
func TestTuneVisitor(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.accepting()
	pair := "offer_id=" + e.offer.ID.String() + "&aff_id=" + e.partner.ID.String()
	want := &domain.Visitor{OfferID: e.offer.ID, PartnerID: e.partner.ID, UserAgent: iPhone}
	for _, path := range []string{"/aff_lsr?" + pair, "/aff_l?" + pair, "/aff_goal?a=lsr&" + pair, "/pixel?" + pair, e.code("SP", uuid.Nil) + "?aff_id=" + e.partner.ID.String()} {
		require.Equal(t, http.StatusOK, e.get(path, "User-Agent", iPhone, "X-Forwarded-For", "203.0.113.7").Code)
		got := e.last(t)
		require.Equal(t, want, got.Visitor, path)
		require.Nil(t, got.ClickID)
		require.Equal(t, []any{domain.ReasonNone, "203.0.113.7"}, []any{got.Refused, got.SourceIP}, path)
	}
	for name, headers := range map[string][]string{
		"nobody's User-Agent": {},
		"signed":              {"User-Agent", iPhone, "of_timestamp", "1778671800", "of_nonce", "12345678", "of_signature", "00"},
	} {
		require.Equal(t, "success=false; err_msg=malformed;", e.get("/aff_lsr?"+pair, headers...).Body.String(), name)
		require.Nil(t, e.last(t).Visitor, name)
	}
	require.Equal(t, http.StatusBadRequest, e.get("/track?"+pair, "User-Agent", iPhone).Code, "our own form names its click")
}
