package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

const signingSecret = "bench-signing-secret-of-32-bytes-or-more"

// form is one way in which a conversion comes in.
type form struct {
	name string
	// link is whose clicks it converts, path the request for one of them.
	link string
	path func(click string) string
	// says is what an accepted one's answer contains; a pixel's answer says nothing.
	says  string
	rates []float64
}

// measureForms is how many postbacks per second are decided in each form, against /track.
func measureForms(ctx context.Context, w *world, r *report) error {
	forms, err := w.forms(ctx)
	if err != nil {
		return err
	}
	for pair := range w.pairs {
		for i := range forms {
			f := forms[(i+pair)%len(forms)]
			rate, err := w.formRate(ctx, f)
			if err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
			f.rates = append(f.rates, rate)
		}
	}
	r.section("Conversions by every form, against /track",
		fmt.Sprintf("%d a turn, %d at once, each for an offer of its own, median of %d turns.", w.postbacks, updatesAtOnce, w.pairs),
		"form", "decided", "ratio", "from–to", "target")
	for _, f := range forms {
		ratios := ratiosOf(f.rates, forms[0].rates)
		ratio, verdict := versus(median(append([]float64{}, ratios...)), "≥", 0.9)
		if f == forms[0] {
			verdict = ""
		}
		r.row(f.name, number(median(append([]float64{}, f.rates...)))+"/s", ratio, spread(ratios), verdict)
	}
	return nil
}

// goal is the one goal of an offer, as the manage list shows it.
type goal struct {
	ID          string `json:"id"`
	OpaqueCodes struct{ Postback, Pixel string }
	link        string
}

// newGoal makes an offer, so that no form waits for another's budget.
func (w *world) newGoal(ctx context.Context, advertiser string) (g goal, err error) {
	offer, link, err := w.tenant.NewOffer(ctx, blackbox.SingleEvent(advertiser, w.age, nil))
	if err != nil {
		return g, err
	}
	var list struct{ Items []goal }
	if err := w.tenant.Call(ctx, http.MethodGet, "/api/v1/offers/"+offer+"/goals", nil, &list); err != nil {
		return g, err
	}
	if len(list.Items) != 1 {
		return g, fmt.Errorf("offer %s shows %d goals", offer, len(list.Items))
	}
	g = list.Items[0]
	g.link = link
	return g, nil
}

// forms are /track first, then the others.
func (w *world) forms(ctx context.Context) ([]*form, error) {
	strict, err := w.tenant.NewAdvertiser(ctx, map[string]any{"signingSecret": signingSecret})
	if err != nil {
		return nil, err
	}
	goals := make([]goal, 7)
	for i := range goals {
		advertiser := w.advertiser
		if i == 1 {
			advertiser = strict.ID
		}
		if goals[i], err = w.newGoal(ctx, advertiser); err != nil {
			return nil, err
		}
	}
	with := func(before string) func(string) string { return func(click string) string { return before + click } }
	return []*form{
		{name: "/track", link: goals[0].link, says: `"accepted"`, path: with("/track?gk_click_id=")},
		{name: "/track, signed", link: goals[1].link, says: `"accepted"`, path: signedPath},
		{name: "/aff_lsr", link: goals[2].link, says: "success=true", path: with("/aff_lsr?transaction_id=")},
		{name: "/aff_goal", link: goals[3].link, says: "success=true", path: with("/aff_goal?a=lsr&goal_id=" + goals[3].ID + "&transaction_id=")},
		{name: "opaque postback", link: goals[4].link, says: "success=true", path: with(pathOf(goals[4].OpaqueCodes.Postback) + "?transaction_id=")},
		{name: "opaque pixel", link: goals[5].link, path: with(pathOf(goals[5].OpaqueCodes.Pixel) + "?transaction_id=")},
		{name: "/pixel.gif", link: goals[6].link, path: with("/pixel.gif?gk_click_id=")},
	}, nil
}

// pathOf is an address without its host.
func pathOf(address string) string { return address[strings.LastIndex(address, "/"):] }

// signedPath is a postback as an advertiser with a signing secret sends it.
func signedPath(click string) string {
	timestamp, nonce := strconv.FormatInt(time.Now().Unix(), 10), uuid.NewString()
	query := "gk_click_id=" + click + "&of_timestamp=" + timestamp + "&of_nonce=" + nonce
	text := domain.CanonicalPostback(http.MethodGet, "/track", query, nil, timestamp, nonce)
	return "/track?" + query + "&of_signature=" + domain.SignPostback([]byte(signingSecret), text)
}

// formRate sends one conversion for each of many parked clicks, and waits until all are decided: a
// pixel is answered before its decision.
func (w *world) formRate(ctx context.Context, f *form) (float64, error) {
	clicks, err := w.parkedClicks(ctx, w.postbacks, f.link)
	if err != nil {
		return 0, err
	}
	before, err := w.conversions(ctx)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	err = atOnce(ctx, updatesAtOnce, len(clicks), func(ctx context.Context, i int) error { return w.sent(ctx, f, clicks[i]) })
	if err != nil {
		return 0, err
	}
	err = until(ctx, func() (bool, error) {
		now, err := w.conversions(ctx)
		return now-before >= int64(len(clicks)), err
	})
	return float64(len(clicks)) / time.Since(begin).Seconds(), err
}

func (w *world) conversions(ctx context.Context) (n int64, err error) {
	err = w.rows.QueryRow(ctx, "SELECT count(*) FROM conversions WHERE status <> 'Rejected'").Scan(&n)
	return n, err
}

func (w *world) sent(ctx context.Context, f *form, click string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address+f.path(click), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	queued := strings.Contains(string(body), `"queued"`)
	if response.StatusCode >= 300 || (!queued && !strings.Contains(string(body), f.says)) {
		return fmt.Errorf("answered %d %q", response.StatusCode, body)
	}
	return nil
}
