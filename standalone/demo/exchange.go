package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// exchange tells the second act: the studio, with a tenant of its own, and the app on one live offer.
func (s *Story) exchange(ctx context.Context) error {
	fmt.Fprint(s.out, "\nSecond act, the Exchange: two tenants, one live offer\n")
	studio, offerID, err := s.studio(ctx)
	if err != nil {
		return err
	}
	s.say("The studio shares its offer with Coins. Nothing is to be set up there.")
	shared, err := studio.Share(ctx, offerID, s.tenant.TenantID)
	if err != nil {
		return err
	}
	offer, err := s.tenant.Offer(ctx, shared.SharedOfferID)
	if err != nil {
		return err
	}
	link, err := url.Parse(offer.RedirectLink)
	if err != nil {
		return err
	}
	s.note("Coins' own link: %s", offer.RedirectLink)
	if err := s.onTheWall(ctx, shared.SharedOfferID); err != nil {
		return err
	}
	if err := s.editsFromBothSides(ctx, studio, shared.SharedOfferID); err != nil {
		return err
	}
	if err := s.mailed(ctx); err != nil {
		return err
	}
	conversionID, err := s.seenByBoth(ctx, studio, link.Path)
	if err != nil {
		return err
	}
	s.say("The studio takes the conversion back: the status follows into Coins' book.")
	if _, err := studio.Review(ctx, "reverse", conversionID); err != nil {
		return err
	}
	if err := s.callback(ctx, conversionID, "Rejected"); err != nil {
		return err
	}
	return s.reconciled(ctx, studio, shared.PartnershipID)
}

// onTheWall waits until members are shown the shared offer, which is at most a second.
func (s *Story) onTheWall(ctx context.Context, offerID string) error {
	return until(ctx, "the shared offer on the wall", func() (bool, error) {
		offers, err := s.tenant.Wall(ctx, s.member, nil)
		for i, offer := range offers {
			if offer.ID == offerID {
				s.note("number %d of %d on the wall of %s: %s, %s points", i+1, len(offers), s.member, offer.Name, offer.Reward)
				return true, nil
			}
		}
		return false, err
	})
}

// studio makes the advertiser's tenant with an offer; and Coins lists itself in the directory.
func (s *Story) studio(ctx context.Context) (studio *blackbox.Client, offerID string, err error) {
	s.say("Coins lists itself in the directory; Bingo Studio opens a tenant and makes an offer.")
	if err := s.tenant.List(ctx, "Rewards for playing", "partners@coins.example"); err != nil {
		return nil, "", err
	}
	if studio, err = s.operator.NewTenant(ctx, map[string]any{
		"name": "Bingo Studio", "product": "advertiser", "email": "growth@bingo.example", "postbackSecurity": "keyed",
	}); err != nil {
		return nil, "", err
	}
	advertiser, err := studio.NewAdvertiser(ctx, map[string]any{"name": "Bingo Studio"})
	if err != nil {
		return nil, "", err
	}
	s.poster = advertiser
	offerID, _, err = studio.NewOffer(ctx, blackbox.SingleEvent(advertiser.ID, s.age, map[string]any{
		"name": "Bingo Tour", "headline": "Finish the tour", "revenue": 4, "reward": 40,
	}))
	return studio, offerID, err
}

// editsFromBothSides tells of who may edit what, of a version that is old, and of what each hears.
func (s *Story) editsFromBothSides(ctx context.Context, studio *blackbox.Client, offerID string) error {
	heard := s.listen(ctx, s.tenant)
	defer heard.stop()
	if err := heard.opened(ctx); err != nil {
		return err
	}
	s.say("The studio raises what it pays, from 4 to 5; Coins' screens hear of it live.")
	offer, err := studio.SharedOffer(ctx, offerID)
	if err != nil {
		return err
	}
	old := offer.Version
	if offer, err = studio.Edit(ctx, offerID, old, map[string]any{"revenue": 5}); err != nil {
		return err
	}
	if err := until(ctx, "the live event", func() (bool, error) { return heard.has("change"), nil }); err != nil {
		return err
	}
	s.note("live event \"change\"; version %d", offer.Version)
	s.say("Coins edits the version before: refused, with the current document.")
	if err := refused(http.StatusPreconditionFailed, func() error {
		_, err := s.tenant.Edit(ctx, offerID, old, map[string]any{"reward": 50})
		return err
	}); err != nil {
		return err
	}
	s.note("412")
	s.say("Coins raises the reward on the current one; what the studio pays is not Coins' to edit.")
	if offer, err = s.tenant.Edit(ctx, offerID, offer.Version, map[string]any{"reward": 50}); err != nil {
		return err
	}
	if err := refused(http.StatusForbidden, func() error {
		_, err := s.tenant.Edit(ctx, offerID, offer.Version, map[string]any{"revenue": 9})
		return err
	}); err != nil {
		return err
	}
	s.note("403")
	changes, err := studio.Changes(ctx, offerID)
	if err != nil {
		return err
	}
	for _, change := range changes {
		s.note("version %d, %s: %s %s → %s", change.Version, change.Side, change.Field, change.Old, change.New)
	}
	return nil
}

// seenByBoth tells of one conversion in two books.
func (s *Story) seenByBoth(ctx context.Context, studio *blackbox.Client, link string) (conversionID string, err error) {
	s.say("A member of Coins clicks; the studio posts the conversion, once.")
	clickID, _, err := s.tenant.Click(ctx, link, url.Values{"pub_member_id": {s.member}})
	if err != nil {
		return "", err
	}
	answer, err := s.expect(ctx, clickID, "", "accepted", "")
	if err != nil {
		return "", err
	}
	if err := s.callback(ctx, answer.ConversionID, "Success"); err != nil {
		return "", err
	}
	his, err := studio.Conversion(ctx, answer.ConversionID)
	if err != nil {
		return "", err
	}
	ours, err := s.tenant.Conversion(ctx, answer.ConversionID)
	if err != nil {
		return "", err
	}
	s.note("the studio reads %s, cost %s; Coins reads %s, revenue %s, reward %s", his.Status, his.Cost, ours.Status, ours.Revenue, ours.Reward)
	if his.Status != ours.Status || his.Cost != ours.Revenue || ours.Reward != "50.00" {
		return "", errors.New("the books differ")
	}
	return answer.ConversionID, nil
}

// reconciled tells of the comparison that runs each day.
func (s *Story) reconciled(ctx context.Context, studio *blackbox.Client, partnershipID string) error {
	s.say("Both books are compared, as they are every day.")
	if err := studio.Reconcile(ctx, partnershipID); err != nil {
		return err
	}
	var found []blackbox.Reconciliation
	err := until(ctx, "the reconciliation", func() (ok bool, err error) {
		found, err = s.tenant.Reconciliations(ctx, partnershipID)
		return len(found) > 0, err
	})
	if err != nil {
		return err
	}
	if !found[0].IsEqual || len(found[0].Differences) > 0 {
		return fmt.Errorf("the books differ: %+v", found[0])
	}
	s.note("equal; no differences")
	return nil
}

// refused wants a request to be answered with a status.
func refused(status int, request func() error) error {
	err := request()
	var answer *blackbox.StatusError
	if !errors.As(err, &answer) || answer.Status != status {
		return fmt.Errorf("was to be refused with %d: %w", status, err)
	}
	return nil
}

// ear listens to a tenant's live stream.
type ear struct {
	stop context.CancelFunc
	open chan struct{}

	mu    sync.Mutex
	names []string
	err   error
}

func (s *Story) listen(ctx context.Context, tenant *blackbox.Client) *ear {
	ctx, stop := context.WithCancel(ctx)
	e := &ear{stop: stop, open: make(chan struct{})}
	go func() {
		err := tenant.Live(ctx, "", func() { close(e.open) }, func(event blackbox.LiveEvent) bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.names = append(e.names, event.Name)
			return true
		})
		e.mu.Lock()
		defer e.mu.Unlock()
		e.err = err
	}()
	return e
}

func (e *ear) opened(ctx context.Context) error {
	return until(ctx, "the live stream", func() (bool, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		select {
		case <-e.open:
			return true, nil
		default:
			return false, e.err
		}
	})
}

func (e *ear) has(name string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, heard := range e.names {
		if heard == name {
			return true
		}
	}
	return false
}
