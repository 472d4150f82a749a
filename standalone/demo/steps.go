package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// patience is how long the story waits for anything that happens behind the answers.
const patience = 30 * time.Second

// expect sends a postback and checks what its sender is told.
func (s *Story) expect(ctx context.Context, clickID, event, outcome, reason string) (blackbox.Answer, error) {
	answer, err := s.tenant.ConvertBy(ctx, s.poster, clickID, event)
	if err != nil {
		return answer, err
	}
	if answer.Outcome == "queued" {
		if answer, err = s.tenant.Decided(ctx, answer.PostbackID); err != nil {
			return answer, err
		}
	}
	s.note("%d %s", answer.HTTPStatus, strings.TrimSpace(answer.Outcome+" "+answer.Reason+" "+answer.Status))
	if answer.Outcome != outcome || answer.Reason != reason {
		return answer, fmt.Errorf("%q was to be %s %s", event, outcome, reason)
	}
	return answer, nil
}

// until asks again until ok, with patience.
func until(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		done, err := ok()
		if err != nil || done {
			return err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%s did not happen within %v", what, patience)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decidedHeld waits until a held postback has an end state.
func (s *Story) decidedHeld(ctx context.Context, postbackID string) (answer blackbox.Answer, err error) {
	err = until(ctx, "the decision of the held event", func() (bool, error) {
		answer, err = s.tenant.Postback(ctx, "/track/"+postbackID, nil)
		return answer.Outcome != "held", err
	})
	if err == nil && (answer.Outcome != "accepted" || answer.ReleaseAt == nil) {
		err = fmt.Errorf("the held event became %s %s", answer.Outcome, answer.Reason)
	}
	return answer, err
}

// callback waits until the app has heard of a conversion's status.
func (s *Story) callback(ctx context.Context, conversionID, status string) error {
	err := until(ctx, "the callback", func() (bool, error) { return s.app.heard(conversionID, status), nil })
	if err == nil {
		s.note("signed callback received: %s", status)
	}
	return err
}

// fallback clicks until the redirect has heard of the cap.
func (s *Story) fallback(ctx context.Context, link string) error {
	var location string
	err := until(ctx, "the fallback", func() (bool, error) {
		_, to, err := s.tenant.Click(ctx, link, url.Values{"pub_member_id": {"member-44"}})
		location = to
		return strings.HasPrefix(to, "https://coins.example/"), err
	})
	if err == nil {
		s.note("302 to %s; no click id is given away", location)
	}
	return err
}

func (s *Story) review(ctx context.Context, action, conversionID, status string) error {
	reviewed, err := s.tenant.Review(ctx, action, conversionID)
	if err != nil {
		return err
	}
	if len(reviewed.Results) != 1 || reviewed.Results[0].Status != status || reviewed.Results[0].Error != "" {
		return fmt.Errorf("%s: %+v", action, reviewed)
	}
	s.note("%s; money effect: revenue %s, reward %s", status, reviewed.Totals.Revenue, reviewed.Totals.Reward)
	return nil
}

func (s *Story) balanceIs(ctx context.Context, points, pending string) error {
	balance, err := s.tenant.Balance(ctx, s.member)
	if err != nil {
		return err
	}
	s.note("%s has %s points, %s pending", s.member, balance.Points, balance.PendingPoints)
	if balance.Points != points || balance.PendingPoints != pending {
		return fmt.Errorf("the balance was to be %s and %s pending", points, pending)
	}
	return nil
}

// ending shows the member's ledger, the trace, and where to look further.
func (s *Story) ending(ctx context.Context, address, temporalUI string) error {
	fmt.Fprintf(s.out, "\nThe ledger of %s\n", s.member)
	var ledger blackbox.Page[struct {
		At        time.Time `json:"at"`
		Points    string    `json:"points"`
		OfferName string    `json:"offerName"`
		EventName string    `json:"eventName"`
	}]
	if err := s.tenant.Call(ctx, http.MethodGet, "/api/v1/members/"+s.member+"/ledger?page_size=100", nil, &ledger); err != nil {
		return err
	}
	for _, entry := range ledger.Items {
		fmt.Fprintf(s.out, "     %s %10s  %s, %s\n", entry.At.Format(time.TimeOnly), entry.Points, entry.OfferName, entry.EventName)
	}
	fmt.Fprint(s.out, "\nThe trace of the click\n")
	var trace map[string]json.RawMessage
	if err := s.tenant.Call(ctx, http.MethodGet, "/api/v1/clicks/"+s.clickID, nil, &trace); err != nil {
		return err
	}
	for _, part := range []string{"postbacks", "conversions", "ledger", "deliveries"} {
		var rows []json.RawMessage
		if err := json.Unmarshal(trace[part], &rows); err != nil {
			return fmt.Errorf("%s of the trace: %w", part, err)
		}
		fmt.Fprintf(s.out, "     %-12s %d\n", part, len(rows))
	}
	fmt.Fprintf(s.out, `
Look around
     Temporal UI  %s/namespaces/default/workflows
     this click   %s/namespaces/default/workflows/click%%2F%s
     API page     %s/docs
     the API      token=%s
                  curl -H "Authorization: ApiToken $token" %s/api/v1/clicks/%s
     the tour     README.md and docs/tour.md, which make tenants of their own
`, temporalUI, temporalUI, s.clickID, address, s.tenant.Token, address, s.clickID)
	return nil
}
