package domain

import (
	"slices"
	"time"

	"github.com/google/uuid"
)

// ScheduledField is the figure of an event that a scheduled change replaces.
type ScheduledField string

// The figures of an event.
const (
	ScheduledRevenue ScheduledField = "revenue"
	ScheduledReward  ScheduledField = "reward"
)

// Limits of scheduled changes.
const (
	ScheduledAhead = 366 * 24 * time.Hour
	// MaxScheduled changes wait for one figure of one event.
	MaxScheduled = 5
)

// CheckScheduled says what is wrong with the time of a change: it is a whole hour as it was
// written, in whatever zone, that lies ahead by at most a year.
func CheckScheduled(at, now time.Time) string {
	switch {
	case at.Minute() != 0 || at.Second() != 0 || at.Nanosecond() != 0:
		return "must be a full hour"
	case !at.After(now):
		return "must be in the future"
	case at.After(now.Add(ScheduledAhead)):
		return "must be at most a year ahead"
	default:
		return ""
	}
}

// WithFigure is the offer with one event's figure replaced, where its document could say so. ratio
// is the tenant's (rule 36). What was converted before keeps its figures (rule 24).
func (o *Offer) WithFigure(eventID uuid.UUID, field ScheduledField, value Micros, ratio *Micros) (Offer, error) {
	changed := *o
	changed.Events = slices.Clone(o.Events)
	event := changed.EventByID(eventID)
	if event == nil {
		return Offer{}, FieldErrors{{"eventId", "the offer has no such event"}}.Err()
	}
	bounds, target := revenueRange(o.ConversionType), &event.Revenue
	if field == ScheduledReward {
		bounds, target = rewardRange(o.ConversionType), &event.Reward
	}
	if reason := figureRefusal(event, field, value, bounds, ratio); reason != "" {
		return Offer{}, FieldErrors{{"value", reason}}.Err()
	}
	*target = &value
	return changed, nil
}

func figureRefusal(event *Event, field ScheduledField, value Micros, bounds docRange, ratio *Micros) string {
	switch {
	case value < bounds.min || value > bounds.max:
		return "must be from " + shortDecimal(bounds.min) + " to " + shortDecimal(bounds.max)
	case field == ScheduledRevenue && !event.HasRevenue:
		return "the event has no revenue"
	case field == ScheduledReward && !event.HasReward:
		return "the event has no reward"
	case field == ScheduledReward && event.UseDefaultRatio && ratio != nil:
		return "the event's reward is its revenue times the tenant's ratio"
	case field == ScheduledRevenue && event.HasReward && event.UseDefaultRatio && ratio != nil:
		if _, err := value.Times(*ratio); err != nil {
			return "times the tenant's reward ratio is out of range"
		}
	}
	return ""
}
