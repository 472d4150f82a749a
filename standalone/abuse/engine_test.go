package abuse

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/temporalserver"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/workflows"
)

// soon bounds every wait of these tests.
const soon = 60 * time.Second

// The parts of the engine are for Offerflow alone: whoever else is on this machine has no login.
func TestTheEngineTakesNoStrangers(t *testing.T) {
	at, err := url.Parse(w.Engine.NATSURL)
	require.NoError(t, err)
	_, err = nats.Connect("nats://" + at.Host)
	require.ErrorIs(t, err, nats.ErrAuthorization)
	stranger, err := client.Dial(client.Options{HostPort: w.Engine.TemporalAddress, Namespace: w.Engine.Namespace})
	if err == nil {
		defer stranger.Close()
		_, err = stranger.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
			WorkflowID: "click/x", UpdateName: workflows.UpdatePostback, Args: []any{domain.Postback{}}, WaitForStage: client.WorkflowUpdateStageAccepted,
		})
	}
	require.ErrorContains(t, err, "unauthorized")

	// The control: who has the tokens is served.
	nc, err := nats.Connect(w.Engine.NATSURL)
	require.NoError(t, err)
	nc.Close()
	ours, err := client.Dial(w.Engine.TemporalOptions())
	require.NoError(t, err)
	defer ours.Close()
	_, err = ours.DescribeTaskQueue(t.Context(), workflows.TaskQueue, 1)
	require.NoError(t, err)
}

// target is what somebody would like to be paid for: a member's click on an offer of an advertiser whose
// postbacks need a token.
type target struct {
	*shop
	link, token string
}

func newTarget(t *testing.T, fields map[string]any) *target {
	t.Helper()
	v := &target{token: "the-advertiser's-token-" + uuid.NewString()}
	v.shop = newShop(t, map[string]any{"securityToken": v.token})
	_, v.link = v.offer(t, fields)
	return v
}

// click is one of a new member's.
func (v *target) click(t *testing.T) (clickID uuid.UUID, member string) {
	t.Helper()
	member = uuid.NewString()
	id, _, err := v.Click(t.Context(), v.link, url.Values{"pub_member_id": {member}})
	require.NoError(t, err)
	return uuid.MustParse(id), member
}

func (v *target) isPaid(t *testing.T, member string) bool {
	t.Helper()
	balance, err := v.Balance(t.Context(), member)
	require.NoError(t, err)
	points, err := domain.ParseMicros(balance.Points)
	require.NoError(t, err)
	return points > 0
}

// insider has every login of the engine, and no key.
type insider struct {
	t  *testing.T
	nc *nats.Conn
	js jetstream.JetStream
}

func newInsider(t *testing.T) *insider {
	t.Helper()
	nc, err := nats.Connect(w.Engine.NATSURL)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	return &insider{t, nc, js}
}

func (i *insider) publish(subject, seal string, message any) {
	i.t.Helper()
	data, err := json.Marshal(message)
	require.NoError(i.t, err)
	msg := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	if seal != "" {
		msg.Header.Set("Offerflow-Seal", seal)
	}
	_, err = i.js.PublishMsg(i.t.Context(), msg)
	require.NoError(i.t, err)
}

// genuine is the newest postback that an API wrote for a click, with its seal.
func (i *insider) genuine(clickID uuid.UUID) (message stream.PostbackMessage, seal string) {
	i.t.Helper()
	all, err := i.js.Stream(i.t.Context(), stream.Postbacks)
	require.NoError(i.t, err)
	info, err := all.Info(i.t.Context())
	require.NoError(i.t, err)
	for at := info.State.LastSeq; at >= info.State.FirstSeq; at-- {
		raw, err := all.GetMsg(i.t.Context(), at)
		require.NoError(i.t, err)
		message = stream.PostbackMessage{}
		if json.Unmarshal(raw.Data, &message) == nil && message.Postback.ClickID != nil && *message.Postback.ClickID == clickID {
			return message, raw.Header.Get("Offerflow-Seal")
		}
	}
	i.t.Fatal("no postback of the click")
	return message, ""
}

func newPostback(clickID uuid.UUID, change func(*domain.Postback)) stream.PostbackMessage {
	p := domain.Postback{
		ID: uuid.Must(uuid.NewV7()), ReceivedAt: time.Now().UTC(), Method: "POST", Path: "/track", SourceIP: "127.0.0.1",
		Params: map[string]string{}, ClickID: &clickID,
	}
	change(&p)
	return stream.PostbackMessage{Postback: p}
}

// failed are the failed messages of a kind that nobody sealed, by the error they show.
func failed(t *testing.T, source string) (ids []string) {
	t.Helper()
	var page struct {
		Items []struct{ ID, State, Error string } `json:"items"`
	}
	require.NoError(t, w.operator.Call(t.Context(), http.MethodGet,
		"/api/v1/operator/failed-messages?page_size=100&filter.state=failed&filter.source="+source, nil, &page))
	for _, one := range page.Items {
		if strings.Contains(one.Error, "not sealed") {
			ids = append(ids, one.ID)
		}
	}
	return ids
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, soon, 50*time.Millisecond, what)
}

// Rule 67: a message of the postbacks' stream is no upload, no test, and has no advertiser's token because
// it says so. Who can write to the stream and has no key is believed nothing.
func TestForgedPostbacksAreNotCredited(t *testing.T) {
	v, evil := newTarget(t, nil), newInsider(t)
	used, member := v.click(t)
	answer, err := v.Convert(t.Context(), used.String(), "", "security_token", v.token)
	require.NoError(t, err)
	require.Equal(t, "accepted", answer.Outcome, "the control: %s", answer.Reason)
	eventually(t, "the control's points", func() bool { return v.isPaid(t, member) })

	theirs, seal := evil.genuine(used)
	require.NotEmpty(t, theirs.Postback.TokenHashes)
	reward := domain.Micros(999_000 * domain.MicrosPerUnit)
	forgeries := map[string]struct {
		seal   string
		change func(*domain.Postback)
	}{
		"an upload":             {"", func(p *domain.Postback) { p.Upload = &domain.Upload{Actor: "admin", Reward: &reward} }},
		"a test":                {"", func(p *domain.Postback) { p.IsTest = true }},
		"another's token":       {"", func(p *domain.Postback) { p.TokenHashes = theirs.Postback.TokenHashes }},
		"another's seal":        {seal, func(p *domain.Postback) { p.TokenHashes = theirs.Postback.TokenHashes }},
		"a postback of earlier": {"", func(p *domain.Postback) { p.Upload, p.ReceivedAt = &domain.Upload{Actor: "admin"}, time.Unix(0, 0) }},
	}
	kept := len(failed(t, "postbacks"))
	clicks, members := map[string]uuid.UUID{}, map[string]string{}
	for name, forgery := range forgeries {
		clicks[name], members[name] = v.click(t)
		evil.publish(stream.SubjectPostbacks, forgery.seal, newPostback(clicks[name], forgery.change))
	}
	eventually(t, "all of them are kept for the operator", func() bool { return len(failed(t, "postbacks")) == kept+len(forgeries) })

	// Sent again by the operator they are what they were.
	var resent struct{ Count int }
	require.NoError(t, w.operator.Call(t.Context(), http.MethodPost, "/api/v1/operator/failed-messages/resend", map[string]any{"source": "postbacks"}, &resent))
	require.GreaterOrEqual(t, resent.Count, len(forgeries))
	eventually(t, "they are kept again", func() bool { return len(failed(t, "postbacks")) == kept+len(forgeries) })
	for name, id := range clicks {
		var trace struct{ Conversions, Postbacks []any }
		require.NoError(t, v.Call(t.Context(), http.MethodGet, "/api/v1/clicks/"+id.String(), nil, &trace))
		require.Empty(t, trace.Conversions, name)
		require.Empty(t, trace.Postbacks, name)
		require.False(t, v.isPaid(t, members[name]), name)
	}

	// The control: a person's own upload needs no token, and is credited.
	file := fmt.Sprintf("ClickId,Reward\n%s,7\n", clicks["an upload"])
	job, err := v.Upload(t.Context(), strings.NewReader(file), "")
	require.NoError(t, err)
	_, err = v.JobDone(t.Context(), job)
	require.NoError(t, err)
	eventually(t, "the upload's points", func() bool { return v.isPaid(t, members["an upload"]) })
}

// Rule 50: news of a conversion that nobody decided reaches no tenant's server, where it would be
// credited; and a click that no redirect made is no click.
func TestForgedNewsAndClicksAreNotBelieved(t *testing.T) {
	v, evil := newTarget(t, nil), newInsider(t)
	var mu sync.Mutex
	told := map[string]bool{}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var message struct {
			Conversion struct{ ConversionID string }
		}
		_ = json.NewDecoder(r.Body).Decode(&message)
		mu.Lock()
		defer mu.Unlock()
		told[message.Conversion.ConversionID] = true
	}))
	defer receiver.Close()
	hears := func(id string) bool {
		mu.Lock()
		defer mu.Unlock()
		return told[id]
	}
	require.NoError(t, v.Call(t.Context(), http.MethodPut, "/api/v1/callback-endpoint", map[string]any{"url": receiver.URL, "events": []string{"success"}}, nil))

	clicked, member := v.click(t)
	forged := stream.ConversionEvent{
		ID: uuid.Must(uuid.NewV7()), TenantID: uuid.MustParse(v.TenantID), ConversionID: uuid.Must(uuid.NewV7()), ClickID: clicked, Sequence: 1,
		Status: domain.StatusSuccess, At: time.Now().UTC(), Actor: "postback",
	}
	forged.Conversion = json.RawMessage(fmt.Sprintf(`{"conversionId":%q,"status":"Success","rewardPoints":"999000","pubMemberId":%q}`, forged.ConversionID, member))
	click := domain.Click{
		ID: uuid.Must(uuid.NewV7()), TenantID: forged.TenantID, ClickedAt: time.Now().UTC(), OfferID: uuid.New(), AdvertiserID: uuid.New(),
		OfferVersion: 1, SessionEndsAt: time.Now().Add(time.Hour).UTC(), IsTest: true,
	}
	news, clicks := len(failed(t, "callbacks")), len(failed(t, "clicks"))
	evil.publish(stream.SubjectConversion, "", forged)
	evil.publish(stream.SubjectClicks, "", []domain.Click{click})
	eventually(t, "both are kept for the operator", func() bool {
		return len(failed(t, "callbacks")) == news+1 && len(failed(t, "clicks")) == clicks+1
	})
	answer, err := v.Convert(t.Context(), clicked.String(), "", "security_token", v.token)
	require.NoError(t, err)
	require.Equal(t, "accepted", answer.Outcome, "the control: %s", answer.Reason)
	eventually(t, "the control's callback", func() bool { return hears(answer.ConversionID) })
	require.False(t, hears(forged.ConversionID.String()))
	var refused *blackbox.StatusError
	require.ErrorAs(t, v.Call(t.Context(), http.MethodGet, "/api/v1/clicks/"+click.ID.String(), nil, nil), &refused)
	require.Equal(t, http.StatusNotFound, refused.Status)
	require.NoError(t, v.Call(t.Context(), http.MethodGet, "/api/v1/clicks/"+clicked.String(), nil, nil), "the control's")
}

// Rules 23 and 67: an Update of a workflow is a postback or a review because a process with our keys sent
// it. Who has the engine's token and no key moves nothing.
func TestForgedUpdatesAreNotBelieved(t *testing.T) {
	v := newTarget(t, map[string]any{"pendingTime": 7})
	ours, err := client.Dial(w.Engine.TemporalOptions())
	require.NoError(t, err)
	defer ours.Close()
	update := func(workflowID, name string, argument any) error {
		handle, err := ours.UpdateWorkflow(t.Context(), client.UpdateWorkflowOptions{
			WorkflowID: workflowID, UpdateName: name, Args: []any{argument}, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err != nil {
			return err
		}
		return handle.Get(t.Context(), nil)
	}
	reward := domain.Micros(999_000 * domain.MicrosPerUnit)
	clicked, _ := v.click(t)
	forged := newPostback(clicked, func(p *domain.Postback) { p.Upload = &domain.Upload{Actor: "admin", Reward: &reward} }).Postback
	eventually(t, "the click's workflow", func() bool {
		_, err := ours.DescribeWorkflowExecution(t.Context(), workflows.ClickWorkflowID(*forged.ClickID), "")
		return err == nil
	})
	require.ErrorContains(t, update(workflows.ClickWorkflowID(*forged.ClickID), workflows.UpdatePostback, forged), "not sealed")

	other, member := v.click(t)
	answer, err := v.Convert(t.Context(), other.String(), "", "security_token", v.token)
	require.NoError(t, err)
	require.Equal(t, "Pending", answer.Status, "the control: %s", answer.Reason)
	conversion := uuid.MustParse(answer.ConversionID)
	workflowID := workflows.ConversionWorkflowID(conversion)
	eventually(t, "the conversion's workflow", func() bool {
		_, err := ours.DescribeWorkflowExecution(t.Context(), workflowID, "")
		return err == nil
	})
	request := attribution.TransitionRequest{
		TenantID: uuid.MustParse(v.TenantID), ConversionID: conversion, Action: domain.ActionApprove, RequestID: uuid.NewString(), Actor: "admin",
	}
	require.ErrorContains(t, update(workflowID, workflows.UpdateReview, request), "not sealed")
	request.Action = domain.ActionRelease
	require.NoError(t, update(workflowID, workflows.UpdateReview, request), "it is not due")
	now, err := v.Conversion(t.Context(), answer.ConversionID)
	require.NoError(t, err)
	require.Equal(t, "Pending", now.Status)
	require.False(t, v.isPaid(t, member))

	// The control: a person's review by the API.
	reviewed, err := v.Review(t.Context(), "approve", answer.ConversionID)
	require.NoError(t, err)
	require.Equal(t, "Success", reviewed.Results[0].Status, "%+v", reviewed)
	require.True(t, v.isPaid(t, member))
}

// A page of somebody else's that makes its own name lead here (DNS rebinding) reads neither the engine's
// UI nor the API. Customers' domains lead to tracking, and go on to.
func TestAReboundNameReadsNothing(t *testing.T) {
	v := newTarget(t, nil)
	as := func(host, address, path string) (status int) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+path, nil)
		require.NoError(t, err)
		request.Host = host
		request.Header.Set("Authorization", "ApiToken "+v.Token)
		request.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1")
		response, err := v.HTTP.Transport.RoundTrip(request)
		if address == w.Engine.TemporalUIURL {
			response, err = http.DefaultTransport.RoundTrip(request)
		}
		require.NoError(t, err)
		_ = response.Body.Close()
		return response.StatusCode
	}
	rebound := "rebound.example.com"
	for _, path := range []string{"/api/v1/settings", "/api/v1/offer-wall/offers?pub_member_id=x", "/openapi.json", "/docs", "/"} {
		require.Equal(t, http.StatusMisdirectedRequest, as(rebound, w.URL, path), path)
		require.Less(t, as("localhost:8080", w.URL, path), 400, path)
		require.Less(t, as("127.0.0.1", w.URL, path), 400, path)
	}
	for path, want := range map[string]int{
		v.link: http.StatusFound, "/api/v1/offer-link/redirect" + strings.TrimPrefix(v.link, "/c"): http.StatusFound,
		"/healthz": http.StatusOK, "/pixel.gif": http.StatusOK, "/track": http.StatusBadRequest, "/api/v1/conversion": http.StatusBadRequest,
	} {
		require.Equal(t, want, as(rebound, w.URL, path), path)
	}
	for _, path := range []string{"/", "/api/v1/namespaces/default/workflows"} {
		require.Equal(t, http.StatusMisdirectedRequest, as(rebound, w.Engine.TemporalUIURL, path), path)
		require.Equal(t, http.StatusOK, as("127.0.0.1:8233", w.Engine.TemporalUIURL, path), path)
	}
}

// The engine's UI shows, and changes nothing unless the operator asked for that.
func TestTheEnginesUIChangesNothing(t *testing.T) {
	v := newTarget(t, nil)
	clicked, _ := v.click(t)
	workflowID := workflows.ClickWorkflowID(clicked)
	ours, err := client.Dial(w.Engine.TemporalOptions())
	require.NoError(t, err)
	defer ours.Close()
	eventually(t, "the click's workflow", func() bool {
		_, err := ours.DescribeWorkflowExecution(t.Context(), workflowID, "")
		return err == nil
	})
	path := "/api/v1/namespaces/" + temporalserver.Namespace + "/workflows/" + url.PathEscape(workflowID)
	for _, action := range []string{"/terminate", "/cancel", "/update/postback", "/signal/x"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.Engine.TemporalUIURL+path+action, strings.NewReader("{}"))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		_ = response.Body.Close()
		require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode, action)
	}
	answer, err := v.Convert(t.Context(), clicked.String(), "", "security_token", v.token)
	require.NoError(t, err)
	require.Equal(t, "accepted", answer.Outcome, "the control: %s", answer.Reason)
}
