package domain

import "time"

// clockSkew is how far an advertiser's clock may be from ours (rule 19).
const clockSkew = 60 * time.Second

// completion is done(e): the advertiser's time if it is trusted, else the receipt (rule 19). It is
// trusted only from an authenticated sender, or where the offer says so, and only between the
// click and the receipt; a time outside them within the skew counts as the nearer of them.
func (f *Facts) completion() (done time.Time, trusted bool) {
	claimed, received := f.Postback.CompletedAt, f.Postback.ReceivedAt
	if claimed == nil || !(f.Authenticated || f.AtClick.TrustCompletionTime) {
		return received, false
	}
	clicked := f.Click.ClickedAt
	switch {
	case claimed.Before(clicked.Add(-clockSkew)) || claimed.After(received.Add(clockSkew)):
		return received, false
	case claimed.After(received):
		return received, true
	case claimed.Before(clicked):
		return clicked, true
	default:
		return *claimed, true
	}
}

// deadlinePassed says whether the event was completed after its window (rule 18). Proof of timely
// completion is taken until seven days after the window (rule 19).
func (f *Facts) deadlinePassed(t timing) bool {
	end := f.Click.ClickedAt.Add(t.offer.Window(t.event))
	return t.done.After(end) || f.Postback.ReceivedAt.After(end.Add(LateProof))
}

// sessionClosed says whether the session's end point was reached before this event (rule 63). An
// event that is proved to have been completed before it still counts.
func (f *Facts) sessionClosed(t timing) bool {
	for _, c := range f.Session {
		if c.ClosesSession && c.Status.Live() && !(t.trusted && c.CompletionTrusted && t.done.Before(c.CompletedAt)) {
			return true
		}
	}
	return false
}
