package domain

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Rules 66, 69 and 70: what of an offer members are shown, and in which order.
func TestWallEvents(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change   func(first *Event)
		goalsOff bool
		want     []string
	}{
		"as it is":                 {func(*Event) {}, false, []string{"first", "second", "third"}},
		"rule 66: private":         {func(e *Event) { e.IsPrivate = true }, false, []string{"second", "third"}},
		"rule 69: deleted":         {func(e *Event) { e.Status = GoalStatusDeleted }, false, []string{"second", "third"}},
		"rule 69: goals off":       {func(*Event) {}, true, []string{"first"}},
		"rule 70: only counted":    {func(e *Event) { e.RecordAs = RecordAsClick }, false, []string{"second", "third"}},
		"not for the wall":         {func(e *Event) { e.ShowOnOfferWall = false }, false, []string{"second", "third"}},
		"goals off, and not shown": {func(e *Event) { e.ShowOnOfferWall = false }, true, nil},
	} {
		events := []Event{
			{ID: uuid.New(), Name: "third", DisplayOrder: 3, ShowOnOfferWall: true}, {ID: uuid.New(), Name: "first", DisplayOrder: 1, ShowOnOfferWall: true},
			{ID: uuid.New(), Name: "second", DisplayOrder: 2, ShowOnOfferWall: true},
		}
		c.change(&events[1])
		var got []string
		for _, event := range (&Offer{Events: events}).WallEvents(!c.goalsOff) {
			got = append(got, event.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Rules 35 and 36: the reward that the wall promises is what a decision gives.
func TestPromised(t *testing.T) {
	t.Parallel()
	two, ten, ratio := Micros(2*MicrosPerUnit), Micros(10*MicrosPerUnit), Micros(50*MicrosPerUnit)
	huge := Micros(1 << 62)
	for name, c := range map[string]struct {
		kind   ConversionType
		event  Event
		ratio  *Micros
		reward Micros
		isNone bool
	}{
		"none":                      {ConversionTypeFlatRate, Event{Reward: &ten}, &ratio, 0, false},
		"its own":                   {ConversionTypeFlatRate, Event{HasReward: true, Reward: &ten}, &ratio, ten, false},
		"by the ratio":              {ConversionTypeFlatRate, Event{HasReward: true, UseDefaultRatio: true, Reward: &ten, HasRevenue: true, Revenue: &two}, &ratio, 100 * MicrosPerUnit, false},
		"by the ratio of nothing":   {ConversionTypeFlatRate, Event{HasReward: true, UseDefaultRatio: true, Reward: &ten, Revenue: &two}, &ratio, 0, false},
		"the ratio is not set":      {ConversionTypeFlatRate, Event{HasReward: true, UseDefaultRatio: true, Reward: &ten, HasRevenue: true, Revenue: &two}, nil, ten, false},
		"out of range":              {ConversionTypeFlatRate, Event{HasReward: true, UseDefaultRatio: true, HasRevenue: true, Revenue: &huge}, &ratio, 0, true},
		"a share of a sale":         {ConversionTypeRevShare, Event{HasReward: true, Reward: &ten}, &ratio, 0, true},
		"a share, without a reward": {ConversionTypeRevShare, Event{Reward: &ten}, &ratio, 0, false},
	} {
		c.event.ID = uuid.New()
		offer := &Offer{ConversionType: c.kind, Events: []Event{c.event}}
		got := offer.Promised(&offer.Events[0], c.ratio)
		if (got == nil) != c.isNone || got != nil && *got != c.reward {
			t.Errorf("%s: %v, want %v", name, got, c.reward)
		}
		if c.isNone {
			continue
		}
		facts := Facts{Current: offer, RewardRatio: c.ratio}
		conversion := &NewConversion{}
		if c.event.HasRevenue {
			conversion.Revenue = *c.event.Revenue
		}
		if given, err := facts.reward(&offer.Events[0], conversion); err != nil || given != *got {
			t.Errorf("%s: a decision gives %v, the wall promises %v", name, given, *got)
		}
	}
}

func TestWallTotals(t *testing.T) {
	t.Parallel()
	one, three := Micros(MicrosPerUnit), Micros(3*MicrosPerUnit)
	events := []*Event{
		{HasReward: true, Reward: &one, HasRevenue: true, Revenue: &three, PendingTime: &one}, {Reward: &three, Revenue: &three},
		{HasReward: true, Reward: &three, HasRevenue: true, Revenue: &one, PendingTime: &three}, {PendingTime: &one},
	}
	offer := &Offer{ConversionType: ConversionTypeFlatRate}
	if got := offer.PromisedTotal(events, nil); got == nil || *got != 4*MicrosPerUnit {
		t.Errorf("reward %v", got)
	}
	if got := RevenueTotal(events); got != 4*MicrosPerUnit {
		t.Errorf("revenue %v", got)
	}
	if got := LongestPending(events); got == nil || *got != three {
		t.Errorf("pending %v", got)
	}
	if got := LongestPending(events[1:2]); got != nil {
		t.Errorf("pending %v of none", *got)
	}
	offer.ConversionType = ConversionTypeRevShare
	if got := offer.PromisedTotal(events, nil); got != nil {
		t.Errorf("reward %v of a share", *got)
	}
}

// Rules 5 to 7: something is left to do until each event is live, and for ever where one repeats.
func TestLeftToDo(t *testing.T) {
	t.Parallel()
	once, again := &Event{ID: uuid.New()}, &Event{ID: uuid.New(), AllowRepetitions: true}
	other := &Event{ID: uuid.New()}
	live := func(events ...*Event) func(uuid.UUID) bool {
		return func(id uuid.UUID) bool { return slices.ContainsFunc(events, func(e *Event) bool { return e.ID == id }) }
	}
	for name, c := range map[string]struct {
		events, live []*Event
		want         bool
	}{
		"nothing to show":  {nil, nil, false},
		"not begun":        {[]*Event{once}, nil, true},
		"done":             {[]*Event{once}, []*Event{once}, false},
		"one of two":       {[]*Event{once, other}, []*Event{once}, true},
		"both":             {[]*Event{once, other}, []*Event{once, other}, false},
		"rule 7: repeated": {[]*Event{once, again}, []*Event{once, again}, true},
	} {
		if got := LeftToDo(c.events, live(c.live...)); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestOfferProgress(t *testing.T) {
	t.Parallel()
	first := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
	second := first.Add(time.Hour)
	success, later := EventProgress(StatusSuccess, first), EventProgress(StatusSuccess, second)
	pending, rejected, none := EventProgress(StatusPending, second), EventProgress(StatusRejected, first), WallProgress{}
	for name, c := range map[string]struct {
		events []WallProgress
		want   WallProgress
	}{
		"no events":              {nil, none},
		"not begun":              {[]WallProgress{none, none}, none},
		"one of two":             {[]WallProgress{success, none}, WallProgress{nil, RewardStatusCompleted}},
		"all, at the last one":   {[]WallProgress{later, success}, WallProgress{&second, RewardStatusCompleted}},
		"one waits":              {[]WallProgress{success, pending}, WallProgress{&second, RewardStatusPending}},
		"rejected":               {[]WallProgress{rejected}, WallProgress{nil, RewardStatusRejected}},
		"one rejected, one done": {[]WallProgress{rejected, success}, WallProgress{nil, RewardStatusCompleted}},
	} {
		if got := OfferProgress(c.events); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// Rule 44: featured first, then EPC descending, then id.
func TestRule44Order(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rank := rapid.Custom(func(t *rapid.T) WallRank {
			return WallRank{
				IsFeatured: rapid.Bool().Draw(t, "featured"), EPC: Micros(rapid.Int64Range(0, 3).Draw(t, "epc")),
				ID: uuid.UUID{15: byte(rapid.IntRange(0, 255).Draw(t, "id")), 0: byte(rapid.IntRange(0, 255).Draw(t, "id"))},
			}
		})
		ranks := rapid.SliceOf(rank).Draw(t, "ranks")
		slices.SortFunc(ranks, WallRank.Compare)
		for i := 1; i < len(ranks); i++ {
			a, b := ranks[i-1], ranks[i]
			switch {
			case a.IsFeatured != b.IsFeatured:
				if b.IsFeatured {
					t.Fatalf("featured after what is not: %v", ranks)
				}
			case a.EPC != b.EPC:
				if a.EPC < b.EPC {
					t.Fatalf("EPC: %v", ranks)
				}
			case a.ID.String() > b.ID.String():
				t.Fatalf("id: %v", ranks)
			}
			if a.Compare(b) != -b.Compare(a) {
				t.Fatalf("%v and %v", a, b)
			}
		}
	})
}

// Rule 45: an event that needs one which is capped cannot be done by a newcomer; whoever has done what
// it needs can go on. Equal numbers are siblings, and null waits for nobody (rules 11 to 13).
func TestRule45WhatANewcomerCanDo(t *testing.T) {
	t.Parallel()
	a, b, c, free := goal("A", seq(1)), goal("B", seq(2)), goal("C", seq(2)), goal("free")
	gone := goal("gone", seq(0))
	gone.Status = GoalStatusDeleted
	offer := multiOffer(a, b, c, free, gone)
	names := func(events []*Event) (out []string) {
		for _, e := range events {
			out = append(out, e.Name)
		}
		return out
	}
	for name, c := range map[string]struct {
		full, live []string
		want       []string
	}{
		"nothing is capped":            {nil, nil, []string{"A", "B", "C", "free"}},
		"the first is capped":          {[]string{"A"}, nil, []string{"free"}},
		"capped, but done before":      {[]string{"A"}, []string{"A"}, []string{"B", "C", "free"}},
		"a sibling is capped":          {[]string{"B"}, nil, []string{"A", "C", "free"}},
		"the first and a sibling":      {[]string{"A", "B"}, []string{"A"}, []string{"C", "free"}},
		"only what waits for nobody":   {[]string{"A", "B", "C"}, nil, []string{"free"}},
		"a deleted one is in no order": {[]string{"gone"}, nil, []string{"A", "B", "C", "free"}},
	} {
		in := func(list []string) func(*Event) bool {
			return func(e *Event) bool { return slices.Contains(list, e.Name) }
		}
		full, live := in(c.full), in(c.live)
		got := offer.Doable(true, func(e *Event) bool { return !full(e) }, func(e *Event) bool { return live(e) })
		require.ElementsMatch(t, c.want, names(got), name)
	}
}
