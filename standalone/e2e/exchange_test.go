package e2e

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// partners are an advertiser and a publisher on one live offer, and a stranger.
type partners struct {
	studio, stranger *blackbox.Client
	coins            *shop
	shared           blackbox.Shared
	link             string
}

func newPartners(t *testing.T, fields map[string]any) *partners {
	t.Helper()
	p := &partners{coins: newShop(t, nil)}
	check(t, p.coins.List(t.Context(), "rewards for playing", "partners@coins.example"))
	var err error
	p.studio, err = w.operator.NewTenant(t.Context(), map[string]any{"name": "Studio", "product": "advertiser"})
	check(t, err)
	p.stranger, err = w.operator.NewTenant(t.Context(), map[string]any{"name": "Stranger"})
	check(t, err)
	noteSecrets(p.studio.Token, p.stranger.Token)
	advertiser, err := p.studio.NewAdvertiser(t.Context(), nil)
	check(t, err)
	offerID, _, err := p.studio.NewOffer(t.Context(), blackbox.SingleEvent(advertiser.ID, p.coins.age, fields))
	check(t, err)
	p.shared, err = p.studio.Share(t.Context(), offerID, p.coins.TenantID)
	check(t, err)
	offer, err := p.coins.Offer(t.Context(), p.shared.SharedOfferID)
	check(t, err)
	link, err := url.Parse(offer.RedirectLink)
	check(t, err)
	p.link = link.Path
	return p
}

// statusOf is the status that a refused request was answered with, and the answer.
func statusOf(t *testing.T, err error) (int, string) {
	t.Helper()
	var refused *blackbox.StatusError
	if !errors.As(err, &refused) {
		t.Fatalf("was to be refused: %v", err)
	}
	return refused.Status, refused.Body
}

// Rules 55 to 57: one row that both edit, under a version, each its own fields.
func TestRule55OneLiveOffer(t *testing.T) {
	p := newPartners(t, map[string]any{"revenue": 4, "reward": 40, "fallbackUrl": "https://coins.example/more"})
	id := p.shared.SharedOfferID
	offer, err := p.coins.SharedOffer(t.Context(), id)
	check(t, err)
	if offer.Side != "publisher" || offer.Version != 1 {
		t.Fatalf("%+v", offer)
	}
	edited, err := p.studio.Edit(t.Context(), id, 1, map[string]any{"revenue": 5, "headline": "Play more"})
	check(t, err)
	if edited.Version != 2 || edited.Headline != "Play more" {
		t.Fatalf("%+v", edited)
	}
	_, err = p.coins.Edit(t.Context(), id, 1, map[string]any{"revenue": 1})
	if status, body := statusOf(t, err); status != http.StatusPreconditionFailed || !strings.Contains(body, "Play more") {
		t.Fatalf("a stale version is looked at first, and answered with the document: %d %s", status, body)
	}
	_, err = p.coins.Edit(t.Context(), id, 2, map[string]any{"revenue": 1, "headline": "Mine"})
	if status, body := statusOf(t, err); status != http.StatusForbidden || !strings.Contains(body, `"revenue"`) {
		t.Fatalf("%d %s", status, body)
	}
	check(t, p.coins.Call(t.Context(), http.MethodPatch, "/api/v1/sdk-offer-management/offers/"+id+"/pause", nil, nil))
	until(t, patience, "the redirect sees the pause", func() bool {
		_, location, err := p.coins.Click(t.Context(), p.link, nil)
		return err == nil && strings.HasPrefix(location, "https://coins.example/")
	})
	for _, side := range []*blackbox.Client{p.coins.Client, p.studio} {
		changes, err := side.Changes(t.Context(), id)
		check(t, err)
		if len(changes) != 3 || changes[0].Field != "isPaused" || changes[0].Side != "publisher" {
			t.Fatalf("%+v", changes)
		}
	}
	_, err = p.stranger.Changes(t.Context(), id)
	if status, _ := statusOf(t, err); status != http.StatusNotFound {
		t.Fatalf("rule 60: %d", status)
	}
}

// Rules 58 to 60: decided once, in two books, and for both after the end too.
func TestRule58TwoBooks(t *testing.T) {
	p := newPartners(t, map[string]any{"revenue": "4.000001", "reward": 70, "rewardType": "Manual", "fallbackUrl": "https://coins.example/more"})
	clicks := [2]string{p.coins.click(t, p.link, "pub_member_id", "ada", "pub_sub_1", "banner"), p.coins.click(t, p.link, "pub_member_id", "bob")}
	pending := p.coins.convert(t, clicks[0], "", "accepted")
	p.same(t, pending.ConversionID, "Pending")
	reviewed, err := p.coins.Review(t.Context(), "approve", pending.ConversionID)
	check(t, err)
	if len(reviewed.Results) != 1 || !strings.Contains(reviewed.Results[0].Error, "advertiser") {
		t.Fatalf("rule 58: the publisher may ask, not decide: %+v", reviewed)
	}
	_, err = p.studio.Review(t.Context(), "approve", pending.ConversionID)
	check(t, err)
	p.same(t, pending.ConversionID, "Success")
	balance, err := p.coins.Balance(t.Context(), "ada")
	check(t, err)
	if balance.Points != "40.00001" { // the revenue times the publisher's ratio of 10, not the advertiser's reward
		t.Fatalf("%+v", balance)
	}
	check(t, p.studio.End(t.Context(), p.shared.PartnershipID, "the campaign is over"))
	until(t, patience, "new clicks go along the fallback chain", func() bool {
		_, location, err := p.coins.Click(t.Context(), p.link, nil)
		return err == nil && strings.HasPrefix(location, "https://coins.example/")
	})
	late := p.coins.convert(t, clicks[1], "", "accepted")
	p.same(t, late.ConversionID, "Pending")
	_, err = p.coins.Edit(t.Context(), p.shared.SharedOfferID, 2, map[string]any{"headline": "again"})
	if status, _ := statusOf(t, err); status != http.StatusConflict {
		t.Fatalf("an ended partnership's offer is not edited: %d", status)
	}
	_, err = p.stranger.Conversion(t.Context(), late.ConversionID)
	if status, _ := statusOf(t, err); status != http.StatusNotFound {
		t.Fatalf("rule 60: %d", status)
	}
	check(t, p.studio.Reconcile(t.Context(), p.shared.PartnershipID))
	until(t, patience, "the reconciliation", func() bool {
		found, err := p.coins.Reconciliations(t.Context(), p.shared.PartnershipID)
		check(t, err)
		return len(found) == 1 && found[0].IsEqual
	})
}

// same waits until the publisher's book shows a conversion as the advertiser's does.
func (p *partners) same(t *testing.T, id, status string) {
	t.Helper()
	begun := time.Now()
	until(t, patience, "the publisher's book follows", func() bool {
		ours, err := p.coins.Conversion(t.Context(), id)
		return err == nil && ours.Status == status
	})
	t.Logf("%s was %s in the publisher's book after %v", id, status, time.Since(begun))
	ours, err := p.coins.Conversion(t.Context(), id)
	check(t, err)
	var theirs map[string]any
	check(t, p.studio.Call(t.Context(), http.MethodGet, "/api/v1/conversions/"+id, nil, &theirs))
	if theirs["status"] != ours.Status || theirs["cost"] != ours.Revenue || theirs["clickId"] != ours.ClickID {
		t.Fatalf("%v, and %+v", theirs, ours)
	}
	if _, has := theirs["revenue"]; has {
		t.Fatalf("the advertiser reads cost: %v", theirs)
	}
	for _, name := range []string{"ada", "bob", "banner", p.coins.advertiser.ID} {
		for key, value := range theirs {
			if value == name {
				t.Fatalf("rule 57: %s tells the advertiser %q", key, name)
			}
		}
	}
}

// Rules 55 and 56: a share waits until the publisher accepts it, and an edit of the source is applied to its shares
// by a job of the real worker: to the one that is live, and not to the one that waits.
func TestRule55AcceptedAndApplied(t *testing.T) {
	p := newPartners(t, nil)
	waiting := newShop(t, nil)
	check(t, waiting.Call(t.Context(), http.MethodPut, "/api/v1/exchange/profile", map[string]any{"listed": true, "acceptSharesFirst": true}, nil))
	var source struct{ SourceOfferID string }
	check(t, p.studio.Call(t.Context(), http.MethodGet, "/api/v1/exchange/partnerships/"+p.shared.PartnershipID, nil, &source))
	second, err := p.studio.Share(t.Context(), source.SourceOfferID, waiting.TenantID)
	check(t, err)
	apply := func(headline string) blackbox.Job {
		var made struct{ JobID string }
		check(t, p.studio.Call(t.Context(), http.MethodPost, "/api/v1/exchange/offers/"+source.SourceOfferID+"/apply",
			map[string]any{"fields": map[string]any{"headline": headline}}, &made))
		job, err := p.studio.JobDone(t.Context(), made.JobID)
		check(t, err)
		return job
	}
	if job := apply("Before"); job.Total != 2 || job.Changed != 1 || job.Failed != 1 {
		t.Fatalf("%+v", job)
	}
	check(t, waiting.Call(t.Context(), http.MethodPost, "/api/v1/exchange/partnerships/"+second.PartnershipID+"/accept", nil, nil))
	if job := apply("After"); job.Total != 2 || job.Changed != 2 || job.Failed != 0 {
		t.Fatalf("%+v", job)
	}
	for id, publisher := range map[string]*blackbox.Client{p.shared.SharedOfferID: p.coins.Client, second.SharedOfferID: waiting.Client} {
		offer, err := publisher.SharedOffer(t.Context(), id)
		check(t, err)
		if offer.Headline != "After" || offer.Version != 3 {
			t.Fatalf("%+v", offer)
		}
	}
}
