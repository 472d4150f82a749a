package domain

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestCheckScheduled(t *testing.T) {
	now := time.Date(2026, 5, 13, 12, 30, 0, 0, time.UTC)
	india := time.FixedZone("", 5*3600+1800)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{time.Date(2026, 5, 13, 13, 0, 0, 0, time.UTC), ""},
		{time.Date(2026, 5, 13, 19, 0, 0, 0, india), ""}, // 13:30 UTC, a whole hour there
		{time.Date(2026, 5, 13, 13, 30, 0, 0, time.UTC), "full hour"},
		{time.Date(2026, 5, 13, 13, 0, 0, 1, time.UTC), "full hour"},
		{time.Date(2026, 5, 13, 12, 0, 0, 0, time.UTC), "in the future"},
		{time.Date(2027, 5, 13, 12, 0, 0, 0, time.UTC), ""},
		{time.Date(2027, 6, 13, 12, 0, 0, 0, time.UTC), "a year"},
	} {
		got := CheckScheduled(c.at, now)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%v: %q; want %q", c.at, got, c.want)
		}
	}
}

func TestWithFigure(t *testing.T) {
	revenue, reward, ratio := Micros(2*MicrosPerUnit), Micros(100*MicrosPerUnit), Micros(50*MicrosPerUnit)
	id, other := uuid.New(), uuid.New()
	offer := Offer{ConversionType: ConversionTypeFlatRate, Events: []Event{
		{ID: id, HasRevenue: true, Revenue: &revenue, HasReward: true, Reward: &reward},
		{ID: other, UseDefaultRatio: true, HasReward: true},
	}}
	changed, err := offer.WithFigure(id, ScheduledRevenue, 5*MicrosPerUnit, nil)
	require.NoError(t, err)
	require.Equal(t, Micros(5*MicrosPerUnit), *changed.Events[0].Revenue)
	require.Equal(t, revenue, *offer.Events[0].Revenue, "the offer itself was changed")
	changed, err = changed.WithFigure(id, ScheduledReward, 7*MicrosPerUnit, &ratio)
	require.NoError(t, err)
	require.Equal(t, Micros(7*MicrosPerUnit), *changed.Events[0].Reward)
	require.Equal(t, Micros(5*MicrosPerUnit), *changed.Events[0].Revenue)

	for _, c := range []struct {
		event uuid.UUID
		field ScheduledField
		value Micros
		ratio *Micros
		want  string
	}{
		{uuid.New(), ScheduledRevenue, 1, nil, "eventId"},
		{id, ScheduledRevenue, -1, nil, "value: must be from 0"},
		{id, ScheduledReward, rangeMoney.max + 1, nil, "value: must be from 0"},
		{other, ScheduledRevenue, 1, nil, "no revenue"},
		{other, ScheduledReward, 1, &ratio, "times the tenant's ratio"}, // rule 36
	} {
		_, err := offer.WithFigure(c.event, c.field, c.value, c.ratio)
		require.ErrorContains(t, err, c.want)
	}
	_, err = offer.WithFigure(other, ScheduledReward, MicrosPerUnit, nil) // no ratio: the value stands in
	require.NoError(t, err)
	offer.ConversionType = ConversionTypeRevShare
	_, err = offer.WithFigure(id, ScheduledRevenue, 101*MicrosPerUnit, nil)
	require.ErrorContains(t, err, "must be from 0 to 100")
}
