package tracking

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/keyring"
)

// Rule 71: in every form of a postback, and in every field that may be left out, a word for nothing and a macro that
// was not filled in count as left out, and the warnings name them. Where a field is needed the refusal names it.
func TestRule71WhatSaysNothingIsLeftOut(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.accepting()
	click := e.keys.NewID(keyring.KindClick, e.at)
	nothing := []string{"N/A", "null", "undefined", "{macro}", "(null)", "${x}", "#price#"}
	optional := []string{"cnv_amount", "cnv_currency", "cnv_conversion_id", "cnv_status", "cnv_completed_at", "cnv_sub_1", "cnv_sub_5", "goal_id", "goal_name",
		"adv_id", "cnv_user_id", "cnv_conversion_ip_address"}
	for _, form := range senderForms(e) {
		send := func(query url.Values) *domain.Postback {
			before := len(e.posted)
			form.send(e, query.Encode())
			require.Len(t, e.posted, before+1, form.name)
			return &e.posted[before].Postback
		}
		for i, field := range optional {
			value := nothing[i%len(nothing)]
			where := form.name + ": " + field + "=" + value
			p := send(url.Values{form.clickName: {click.String()}, "cnv_event_id": {"buy"}, field: {" " + value + " "}})
			require.Empty(t, p.Refused, where)
			goal := p.GoalID
			if p.Address != nil && p.Address.GoalID != nil { // an opaque address names it
				goal = ""
			}
			require.Empty(t, p.Amount+p.Currency+p.ConversionID+p.Status+p.GoalName+p.AdvID+goal, where)
			require.Empty(t, p.Subs, where)
			require.Nil(t, p.CompletedAt, where)
			require.Len(t, p.Warnings, 1, where)
			require.Equal(t, field, p.Warnings[0].Field, where)
			require.Contains(t, p.Warnings[0].Reason, value+", which", where)
			require.Contains(t, p.Warnings[0].Reason, "was ignored", where)
		}
		p := send(url.Values{form.clickName: {"{transaction_id}"}, "cnv_event_id": {"buy"}})
		require.Equal(t, domain.ReasonMalformed, p.Refused, form.name)
		require.Contains(t, p.Detail, form.clickName+" is required, and is the macro {transaction_id}, which the sender did not replace", form.name)
		p = send(url.Values{form.clickName: {click.String()}, "cnv_event_id": {"N/A"}, "security_token": {"null"}})
		require.Empty(t, p.Refused, form.name)
		require.Equal(t, "N/A", p.EventID, "%s: whether an event is called so, the decision knows", form.name)
		require.NotEmpty(t, p.TokenHashes, "%s: a secret is compared as it is", form.name)
	}
}

// What was not filled in beside what was: the value counts, in whatever order they come.
func TestRule71WhatSaysNothingContradictsNothing(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.accepting()
	click := e.keys.NewID(keyring.KindClick, e.at).String()
	for _, query := range []string{
		"gk_click_id={x}&GK_CLICK_ID=" + click + "&cnv_amount=null&CNV_AMOUNT=5&cnv_conversion_id=c1",
		"gk_click_id=" + click + "&cnv_amount=5&CNV_AMOUNT=N/A&cnv_conversion_id=c1&cnv_conversion_id={id}",
	} {
		before := len(e.posted)
		require.Equal(t, http.StatusOK, e.get("/track?"+query).Code)
		p := &e.posted[before].Postback
		require.Equal(t, []string{click, "5", "c1"}, []string{p.ClickID.String(), p.Amount, p.ConversionID}, query)
	}
	before := len(e.posted)
	require.Equal(t, http.StatusOK, e.post("/track", "application/json", `{"gk_click_id":"`+click+`","cnv_amount":null,"cnv_conversion_id":"{0193b7a8-7c1e-7000-8000-000000000000}"}`).Code)
	p := e.posted[before].Postback
	require.Empty(t, p.Warnings, "JSON's null is nothing sent")
	require.Equal(t, "{0193b7a8-7c1e-7000-8000-000000000000}", p.ConversionID, "an id in braces is an id")
}

// Rules 71 and 72: the same of a click's parameters that identify nobody; whose member it is is not guessed at.
func TestRule71ClickParametersThatSayNothing(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.link.PartnerID = nil
	e.offer.TrackingSystemLink = "https://adv.example/?m={pub_member_id}&c={pub_click_id}&x={pub_sub_1}&y={pub_sub_2}&o={source}"
	e.load(t)
	for _, path := range []string{"/c/" + e.link.ID.String() + "?", "/aff_c?offer_id=" + e.offer.ID.String() + "&", "/wall?offerId=" + e.offer.ID.String() + "&"} {
		before := len(e.click)
		w := e.get(path + "pub_member_id=null&pub_click_id=%7Bclick_id%7D&pub_sub_1=N/A&PUB_SUB_1=spring&aff_sub2=undefined&source=%7B%7Bsource%7D%7D&pub_session_id=NULL&pub_age=N%2FA&pub_geo_country=NA")
		require.Equal(t, http.StatusFound, w.Code, path)
		click := e.click[before]
		require.Equal(t, []string{"null", "", "", "", ""}, []string{*click.PubMemberID, click.PubClickID, click.Source, click.PubSessionID, click.PubAge}, path)
		require.Equal(t, "spring", strings.Join(click.PubSubs, ","), path)
		require.Equal(t, "NA", click.PubGeoCountry, "Namibia")
		to, err := url.Parse(w.Header().Get("Location"))
		require.NoError(t, err)
		require.Equal(t, "m=null&c=&x=spring&y=&o=", to.RawQuery, path)
	}
}
