package domain

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// Rules 38 and 60: who may share what with whom, by the field that is in the way.
func TestRule60CheckShare(t *testing.T) {
	t.Parallel()
	by := ExchangeTenant{ID: uuid.New(), Product: ProductAdvertiser, Currency: "USD"}
	with := ExchangeTenant{ID: uuid.New(), Product: ProductPublisher, Currency: "USD"}
	changed := func(change func(*ExchangeTenant)) ExchangeTenant {
		c := with
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		with    ExchangeTenant
		side    Side
		listed  bool
		refused []string
	}{
		"a publisher of the directory": {with, SideOwner, true, nil},
		"a network":                    {changed(func(t *ExchangeTenant) { t.Product = ProductAffNetwork }), SideOwner, true, nil},
		"not listed":                   {with, SideOwner, false, []string{"publisherTenantId"}},
		"an advertiser":                {changed(func(t *ExchangeTenant) { t.Product = ProductAdvertiser }), SideOwner, true, []string{"publisherTenantId"}},
		"another currency":             {changed(func(t *ExchangeTenant) { t.Currency = "EUR" }), SideOwner, true, []string{"publisherTenantId"}},
		"itself":                       {by, SideOwner, true, []string{"publisherTenantId"}},
		"a shared offer":               {with, SideAdvertiser, true, []string{"offerId"}},
		"another's offer":              {with, SidePublisher, true, []string{"offerId"}},
		"both wrong":                   {with, SidePublisher, false, []string{"offerId", "publisherTenantId"}},
	} {
		var fields []string
		for _, e := range CheckShare(by, c.with, c.side, c.listed, &Offer{}, time.Unix(1e9, 0)) {
			fields = append(fields, e.Field)
		}
		require.Equal(t, c.refused, fields, name)
	}
}

// Rule 55: an offer that has expired is not shared; one that is paused or to be launched is.
func TestRule55AnExpiredOfferIsNotShared(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	later := at.Add(time.Second)
	by, with := ExchangeTenant{ID: uuid.New(), Currency: "USD"}, ExchangeTenant{ID: uuid.New(), Currency: "USD"}
	for name, c := range map[string]struct {
		offer   Offer
		refused []string
	}{
		"ends this instant": {Offer{ExpiresAt: &at}, []string{"offerId"}},
		"ends later":        {Offer{ExpiresAt: &later}, nil},
		"never ends":        {Offer{}, nil},
		"paused":            {Offer{IsPaused: true}, nil},
		"launches later":    {Offer{LaunchAt: later}, nil},
	} {
		require.Equal(t, c.refused, fieldsNamed(CheckShare(by, with, SideOwner, true, &c.offer, at)), name)
	}
}

// Rule 55: the shared offer starts as a copy but for what is the publisher's, and is a document of its own.
func TestRule55SharedCopy(t *testing.T) {
	t.Parallel()
	figure, ten, twenty := Micros(5*MicrosPerUnit), 10, 20
	known, own, structure := firstCategory(t), uuid.New(), uuid.New()
	event := Event{
		ID: uuid.New(), EventID: "buy", Name: "Buy", ShowOnOfferWall: true, HasRevenue: true, Revenue: &figure, HasReward: true, Reward: &figure,
		GoalSettings: GoalSettings{
			Slug: "buy", Payout: &figure, PayoutStructureID: &structure,
			PayoutTiers: map[string]Micros{uuid.NewString(): figure}, RevenueTiers: map[string]Micros{uuid.NewString(): figure},
		},
	}
	source := Offer{
		ID: uuid.New(), TenantID: uuid.New(), Version: 7, AdvertiserID: uuid.New(), Name: "Coin Game", OfferType: OfferTypeMultiEvent,
		Budget: figure, Events: []Event{event}, IsFeatured: true, InitialEPC: 9 * MicrosPerUnit, IsEPCLocked: true,
		Targeting: Targeting{
			AgeID: own, MinAge: &ten, MaxAge: &twenty, PlacementIDs: []uuid.UUID{uuid.New()}, CategoryIDs: []uuid.UUID{own, known},
			Countries: []string{"DE"},
		},
	}
	before := source
	ratio := Micros(100 * MicrosPerUnit)
	id := uuid.New()
	shared := SharedCopy(&source, id, ExchangeTenant{RewardRatio: &ratio}, uuid.New)
	require.Equal(t, before, source, "the offer that is shared stays as it is")
	require.Equal(t, event, source.Events[0])
	require.NotEqual(t, event.ID, shared.Events[0].ID, "counters and conversions go by the event's id")

	expected := source
	expected.ID, expected.Version, expected.Targeting.PlacementIDs, expected.Targeting.CategoryIDs = id, 1, []uuid.UUID{}, []uuid.UUID{}
	expected.IsFeatured, expected.InitialEPC, expected.IsEPCLocked = false, MicrosPerUnit, false
	copied := event
	copied.ID, copied.Payout, copied.PayoutStructureID, copied.PayoutTiers, copied.RevenueTiers = shared.Events[0].ID, nil, nil, nil, nil
	copied.HasReward, copied.UseDefaultRatio, copied.Reward = true, true, nil
	expected.Events = []Event{copied}
	require.Equal(t, expected, shared, "all else is the source's")

	unrewarded := SharedCopy(&source, id, ExchangeTenant{}, uuid.New).Events[0]
	require.False(t, unrewarded.HasReward || unrewarded.UseDefaultRatio, "a ratio that the publisher has not rewards nothing (rule 36)")
	require.Nil(t, unrewarded.Reward)
}

// Rules 36 and 55: what a shared offer rewards at first is revenue times the publisher's ratio, whatever
// the advertiser rewards. A SingleEvent offer has no flag for that: its reward is that figure.
func TestRule55RewardByThePublishersRatio(t *testing.T) {
	t.Parallel()
	units := func(n int64) *Micros { return new(Micros(n * MicrosPerUnit)) }
	ratio := units(100)
	huge := new(Micros(1 << 62))
	for name, c := range map[string]struct {
		kind   OfferType
		event  Event
		ratio  *Micros
		reward *Micros
		has    bool
		byRule bool
	}{
		"of a step that the advertiser does not reward": {OfferTypeMultiEvent, Event{HasRevenue: true, Revenue: units(2)}, ratio, nil, true, true},
		"of a step without revenue":                     {OfferTypeMultiEvent, Event{HasReward: true, Reward: units(7)}, ratio, nil, false, false},
		"of a private goal (rule 66)":                   {OfferTypeMultiEvent, Event{HasRevenue: true, Revenue: units(2), GoalSettings: GoalSettings{IsPrivate: true}}, ratio, nil, false, false},
		"of a product that is out of range":             {OfferTypeMultiEvent, Event{HasRevenue: true, Revenue: huge}, ratio, nil, false, false},
		"of a SingleEvent offer":                        {OfferTypeSingleEvent, Event{HasRevenue: true, Revenue: units(2), HasReward: true, Reward: units(7)}, ratio, units(200), true, false},
		"without a ratio":                               {OfferTypeSingleEvent, Event{HasRevenue: true, Revenue: units(2), HasReward: true, Reward: units(7)}, nil, units(0), true, false},
		"of a SingleEvent offer out of range":           {OfferTypeSingleEvent, Event{HasRevenue: true, Revenue: huge, HasReward: true, Reward: units(7)}, ratio, units(0), true, false},
	} {
		shared := SharedCopy(&Offer{OfferType: c.kind, ConversionType: ConversionTypeFlatRate, Events: []Event{c.event}}, uuid.New(), ExchangeTenant{RewardRatio: c.ratio}, uuid.New)
		got := shared.Events[0]
		require.Equal(t, []any{c.reward, c.has, c.byRule}, []any{got.Reward, got.HasReward, got.UseDefaultRatio}, name)
	}
}

func firstCategory(t *testing.T) uuid.UUID {
	t.Helper()
	items, ok := Lookup("categories")
	require.True(t, ok)
	return items[0].ID
}
