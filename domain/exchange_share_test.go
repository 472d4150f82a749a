package domain

import (
	"testing"

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
		for _, e := range CheckShare(by, c.with, c.side, c.listed) {
			fields = append(fields, e.Field)
		}
		require.Equal(t, c.refused, fields, name)
	}
}

// Rule 55: the shared offer starts as a copy, and is a document of its own.
func TestRule55SharedCopy(t *testing.T) {
	t.Parallel()
	figure, ten, twenty := Micros(5*MicrosPerUnit), 10, 20
	known, own, structure := firstCategory(t), uuid.New(), uuid.New()
	event := Event{
		ID: uuid.New(), EventID: "buy", Name: "Buy", HasRevenue: true, Revenue: &figure, HasReward: true, UseDefaultRatio: true,
		GoalSettings: GoalSettings{
			Slug: "buy", Payout: &figure, PayoutStructureID: &structure,
			PayoutTiers: map[string]Micros{uuid.NewString(): figure}, RevenueTiers: map[string]Micros{uuid.NewString(): figure},
		},
	}
	source := Offer{
		ID: uuid.New(), TenantID: uuid.New(), Version: 7, AdvertiserID: uuid.New(), Name: "Coin Game", Budget: figure, Events: []Event{event},
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

	require.Equal(t, id, shared.ID)
	require.EqualValues(t, 1, shared.Version)
	require.NotEqual(t, event.ID, shared.Events[0].ID, "counters and conversions go by the event's id")
	require.Empty(t, shared.Targeting.PlacementIDs)
	require.Equal(t, []uuid.UUID{known}, shared.Targeting.CategoryIDs, "the advertiser's own category is nothing to the publisher")
	require.Equal(t, []any{&ten, &twenty}, []any{shared.Targeting.MinAge, shared.Targeting.MaxAge})
	require.True(t, shared.Events[0].UseDefaultRatio)

	expected := source
	expected.ID, expected.Version, expected.Targeting.PlacementIDs, expected.Targeting.CategoryIDs = id, 1, []uuid.UUID{}, []uuid.UUID{known}
	copied := event
	copied.ID, copied.Payout, copied.PayoutStructureID, copied.PayoutTiers, copied.RevenueTiers = shared.Events[0].ID, nil, nil, nil, nil
	expected.Events = []Event{copied}
	require.Equal(t, expected, shared, "all else is the source's")

	unrewarded := SharedCopy(&source, id, ExchangeTenant{}, uuid.New).Events[0]
	require.False(t, unrewarded.HasReward || unrewarded.UseDefaultRatio, "a ratio that the publisher has not rewards nothing (rule 36)")
}

func firstCategory(t *testing.T) uuid.UUID {
	t.Helper()
	items, ok := Lookup("categories")
	require.True(t, ok)
	return items[0].ID
}
