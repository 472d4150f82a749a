// Package demo plays the story of a rewarded offer against a running Offerflow, step by step, and
// checks every step: it is a demonstration and the widest test at the same time.
package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

// Story is one telling: its cast, and what has happened so far.
type Story struct {
	out      io.Writer
	operator *blackbox.Client
	// tenant calls the API for the publisher; app is its server, which receives callbacks.
	tenant     *blackbox.Client
	app        *app
	advertiser blackbox.Advertiser
	// poster is the advertiser whose server posts.
	poster  blackbox.Advertiser
	age     string
	member  string
	clickID string
	mails   Mails
	step    int
}

// Play tells the story to out. Callbacks go to a receiver on loopback, which must be within
// OFFERFLOW_CALLBACK_ALLOW_CIDRS; mails are what has been sent. It returns an error at the first step that does not turn out as
// it should.
func Play(ctx context.Context, out io.Writer, address, operatorToken, temporalUI string, mails Mails) error {
	s := &Story{out: out, operator: blackbox.New(address, operatorToken), member: "member-42", mails: mails}
	for _, chapter := range []func(context.Context) error{
		s.cast, s.levelsOffer, s.wrongTurns, s.caps, s.approvalAndReversal, s.exchange,
	} {
		if err := chapter(ctx); err != nil {
			s.close()
			return fmt.Errorf("step %d: %w", s.step, err)
		}
	}
	defer s.close()
	return s.ending(ctx, address, temporalUI)
}

func (s *Story) close() {
	if s.app != nil {
		s.app.close()
	}
}

// say prints one step.
func (s *Story) say(format string, args ...any) {
	s.step++
	fmt.Fprintf(s.out, "%3d  %s\n", s.step, fmt.Sprintf(format, args...))
}

// note prints what came of it.
func (s *Story) note(format string, args ...any) {
	fmt.Fprintf(s.out, "       → %s\n", fmt.Sprintf(format, args...))
}

// cast makes the tenant, its app, and the advertiser.
func (s *Story) cast(ctx context.Context) (err error) {
	fmt.Fprint(s.out, "\nThe cast\n")
	s.say("The operator makes a publisher tenant: the loyalty app \"Coins\".")
	if s.tenant, err = s.operator.NewTenant(ctx, map[string]any{"name": "Coins", "rewardRatio": 10, "postbackSecurity": "keyed"}); err != nil {
		return err
	}
	s.note("tenant %s, its token is shown once", s.tenant.TenantID)
	s.say("The app registers its callback address and gets a signing secret.")
	if s.app, err = openApp(ctx, s.tenant); err != nil {
		return err
	}
	s.note("%s verifies every signature and drops repeats", s.app.url)
	s.say("The game studio becomes an advertiser, with a postback address of its own.")
	if s.advertiser, err = s.tenant.NewAdvertiser(ctx, map[string]any{"name": "Bingo Studio", "email": "growth@bingo.example"}); err != nil {
		return err
	}
	s.note("%s", s.advertiser.PostbackURL)
	s.note("it is a secret: members see click ids, and without it nobody can post their conversions")
	s.poster = s.advertiser
	s.age, err = s.tenant.EveryoneAge(ctx)
	return err
}

// as makes the story's waits short: durations in an offer take fractions, to a millionth.
func as(unit, d time.Duration) json.Number {
	return json.Number(strconv.FormatFloat(d.Seconds()/unit.Seconds(), 'f', 6, 64))
}

const (
	// gap is the minimum time between Install and Level 3 in the story.
	gap = 4 * time.Second
	// pendingFor is how long Level 7 stays Pending.
	pendingFor = 5 * time.Second
)

// levelsOffer tells of the offer, the click, and the events in order.
func (s *Story) levelsOffer(ctx context.Context) error {
	fmt.Fprint(s.out, "\nThe offer: Download our game and reach Level 7 to earn 100 coins\n")
	s.say("The app publishes the offer: Install → Level 3 → Level 7.")
	_, link, err := s.tenant.NewOffer(ctx, blackbox.MultiEvent(s.advertiser.ID, s.age, []map[string]any{
		blackbox.Event("Install", 1, map[string]any{"revenue": 1, "reward": 5}),
		blackbox.Event("Level 3", 2, map[string]any{"revenue": 2, "reward": 20, "minTimeFromPreviousEvent": as(time.Hour, gap)}),
		blackbox.Event("Level 7", 3, map[string]any{"revenue": 5, "reward": 100, "pendingTime": as(24*time.Hour, pendingFor)}),
	}, map[string]any{"name": "Bingo Blitz", "headline": "Download our game and reach Level 7 to earn 100 coins"}))
	if err != nil {
		return err
	}
	s.note("tracking link %s", s.tenant.URL+link)
	s.say("A member follows the link.")
	clickID, location, err := s.tenant.Click(ctx, link, url.Values{"pub_member_id": {s.member}, "pub_sub_1": {"home-banner"}})
	if err != nil {
		return err
	}
	s.clickID = clickID
	s.note("302 to %s", location)
	s.note("the click was on disk before the redirect; its workflow click/%s is parked", clickID)
	s.say("The advertiser posts Install.")
	install, err := s.expect(ctx, clickID, "Install", "accepted", "")
	if err != nil {
		return err
	}
	return s.callback(ctx, install.ConversionID, "Success")
}

// wrongTurns tells of a duplicate, an early event, and one too soon; and how the early one is
// decided when its predecessor lands.
func (s *Story) wrongTurns(ctx context.Context) error {
	fmt.Fprint(s.out, "\nWrong turns\n")
	s.say("The advertiser's server sends Install again.")
	if _, err := s.expect(ctx, s.clickID, "Install", "duplicate", "duplicate"); err != nil {
		return err
	}
	s.say("Level 7 comes before Level 3: it is held, durably, for its grace.")
	early, err := s.expect(ctx, s.clickID, "Level 7", "held", "")
	if err != nil {
		return err
	}
	s.say("Level 3 comes at once: nobody plays that fast.")
	if _, err := s.expect(ctx, s.clickID, "Level 3", "rejected", "too_soon"); err != nil {
		return err
	}
	s.say("Level 3 again, after its minimum time: a rejection that heals blocks nothing.")
	if err := pause(ctx, gap); err != nil {
		return err
	}
	if _, err := s.expect(ctx, s.clickID, "Level 3", "accepted", ""); err != nil {
		return err
	}
	s.say("With Level 3 live, the held Level 7 is decided by itself: Pending until its release.")
	decided, err := s.decidedHeld(ctx, early.PostbackID)
	if err != nil {
		return err
	}
	s.note("conversion %s, release at %s", decided.ConversionID, decided.ReleaseAt.Format(time.TimeOnly))
	s.say("Its timer fires: the reward is credited and the app hears of it.")
	return s.callback(ctx, decided.ConversionID, "Success")
}

// caps tells of an offer with one slot a day.
func (s *Story) caps(ctx context.Context) error {
	fmt.Fprint(s.out, "\nA cap of one a day\n")
	s.say("A survey offer takes one conversion a day; further clicks go to a fallback.")
	_, link, err := s.tenant.NewOffer(ctx, blackbox.SingleEvent(s.advertiser.ID, s.age, map[string]any{
		"name": "Short survey", "dailyCap": 1, "reward": 30, "fallbackUrl": "https://coins.example/more-offers",
	}))
	if err != nil {
		return err
	}
	var clicks [2]string
	for i, member := range []string{s.member, "member-43"} {
		if clicks[i], _, err = s.tenant.Click(ctx, link, url.Values{"pub_member_id": {member}}); err != nil {
			return err
		}
	}
	s.say("Two members clicked before; the first one's conversion takes the slot.")
	if _, err := s.expect(ctx, clicks[0], "", "accepted", ""); err != nil {
		return err
	}
	s.say("The second is over the cap: rejected, with the reason, to its sender's face.")
	if _, err := s.expect(ctx, clicks[1], "", "rejected", "cap_daily"); err != nil {
		return err
	}
	s.say("A third member's click goes along the fallback chain.")
	return s.fallback(ctx, link)
}

// approvalAndReversal tells of finance.
func (s *Story) approvalAndReversal(ctx context.Context) error {
	fmt.Fprint(s.out, "\nFinance decides\n")
	s.say("A credit-card offer pays only what a person approves.")
	_, link, err := s.tenant.NewOffer(ctx, blackbox.SingleEvent(s.advertiser.ID, s.age, map[string]any{
		"name": "Gold card", "rewardType": "Manual", "revenue": 40, "reward": 500,
	}))
	if err != nil {
		return err
	}
	clickID, _, err := s.tenant.Click(ctx, link, url.Values{"pub_member_id": {s.member}})
	if err != nil {
		return err
	}
	card, err := s.expect(ctx, clickID, "", "accepted", "")
	if err != nil {
		return err
	}
	if err := s.balanceIs(ctx, "155.00", "500.00"); err != nil {
		return err
	}
	s.say("Finance approves it.")
	if err := s.review(ctx, "approve", card.ConversionID, "Success"); err != nil {
		return err
	}
	if err := s.callback(ctx, card.ConversionID, "Success"); err != nil {
		return err
	}
	if err := s.balanceIs(ctx, "655.00", "0.00"); err != nil {
		return err
	}
	s.say("The bank reports fraud: finance reverses it. The ledger gets a negative entry, the app a callback.")
	if err := s.review(ctx, "reverse", card.ConversionID, "Rejected"); err != nil {
		return err
	}
	if err := s.callback(ctx, card.ConversionID, "Rejected"); err != nil {
		return err
	}
	return s.balanceIs(ctx, "155.00", "0.00")
}
