package domain

import "time"

// UniqueClick says whether a click opens its member's only session on an offer: no other click of
// the same member came within the session window before it. previous is the latest of those; nil
// without one, or without a member. It is told, and decides nothing: every click is a session.
func (o *Offer) UniqueClick(at time.Time, previous *time.Time) bool {
	return previous == nil || at.Sub(*previous) >= o.SessionDays.Days()
}
