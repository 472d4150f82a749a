package api_test

import (
	"testing"
	"time"

	"github.com/offerflow/offerflow/api/clocktest"
)

type scheduledChange struct {
	ID, OfferID, EventID, Field, Value, State, CreatedBy, Side, By string
	At                                                             time.Time
}

func TestScheduledChanges(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	var single, multi madeOffer
	s.mine.post(offersPath, s.document(s.mine, nil)).into(201, &single)
	s.mine.post(offersPath, s.document(s.mine, map[string]any{
		"offerType": "MultiEvent", "offerEvents": []any{map[string]any{
			"name": "E", "eventId": "e", "showOnOfferWall": true, "displayOrder": 1, "sequenceNumber": nil, "pendingTime": nil,
			"hasRevenue": true, "revenue": 1, "hasReward": true, "useDefaultRatio": false, "reward": 1,
		}},
	})).into(201, &multi)
	path := "/api/v1/offers/" + single.ID + "/scheduled-changes"
	hour := clocktest.Now().UTC().Truncate(time.Hour).Add(2 * time.Hour)
	body := func(changes map[string]any) map[string]any {
		out := map[string]any{"field": "revenue", "value": "3.25", "at": hour.Format(time.RFC3339)}
		for name, v := range changes {
			out[name] = v
		}
		return out
	}
	for field, value := range map[string]any{
		"field": "budget", "value": "-1", "at": hour.Add(time.Minute).Format(time.RFC3339), "eventId": s.mine.partner,
	} {
		s.mine.post(path, body(map[string]any{field: value})).refused(400, field)
	}
	s.mine.post(path, body(map[string]any{"at": hour.Add(-3 * time.Hour)})).refused(400, "at")
	s.mine.post(path, body(map[string]any{"at": hour.Add(400 * 24 * time.Hour)})).refused(400, "at")
	s.mine.post("/api/v1/offers/"+multi.ID+"/scheduled-changes", body(nil)).refused(400, "eventId")
	s.theirs.post(path, body(nil)).refused(404)
	s.theirs.get(path).refused(404)

	// A whole hour of the zone that it is written in.
	var made scheduledChange
	s.mine.post(path, body(map[string]any{"at": hour.Add(time.Hour).Format("2006-01-02T15") + ":00:00+05:30", "value": 4.5})).refused(400, "at") // passed there
	s.mine.post(path, body(map[string]any{"at": hour.Add(24*time.Hour).Format("2006-01-02T15") + ":00:00+05:30"})).into(201, &made)
	if made.State != "pending" || made.Value != "3.25" || made.OfferID != single.ID || made.At.Minute() != 30 {
		t.Errorf("made %+v", made)
	}
	// At most five wait for one figure, and the same request is one change.
	keyed := s.mine.with("Idempotency-Key", "k")
	for range 3 {
		keyed.post(path, body(nil)).into(201, &made)
	}
	for i := range 3 {
		s.mine.post(path, body(map[string]any{"at": hour.Add(time.Duration(i) * time.Hour)})).into(201, nil)
	}
	s.mine.post(path, body(nil)).refused(400, "field")
	s.mine.post(path, body(map[string]any{"field": "reward"})).into(201, nil)
	s.mine.send("DELETE", path+"/"+made.ID, nil).into(204, nil)
	s.mine.send("DELETE", path+"/"+made.ID, nil).into(204, nil)
	s.mine.send("DELETE", "/api/v1/offers/"+multi.ID+"/scheduled-changes/"+made.ID, nil).refused(404)
	s.mine.post(path, body(nil)).into(201, nil)
	var listed page[scheduledChange]
	s.mine.get(path+"?filter.state=cancelled").into(200, &listed)
	if listed.TotalCount != 1 || listed.Items[0].ID != made.ID {
		t.Errorf("cancelled: %+v", listed)
	}
	s.mine.get(path).into(200, &listed)
	if listed.TotalCount != 7 {
		t.Errorf("%d changes; want 7", listed.TotalCount)
	}
}
