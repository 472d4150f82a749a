package api_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
)

type imported struct {
	ConcurrencyRequestID                                         string
	CreatedOffers, UpdatedOffers, NotChangedOffers, FailedOffers []importedItem
}

type importedItem struct {
	ExternalID, ID string
	Messages       []string
}

// outcome is which offers came to what, in the order of the list.
func (i imported) outcome() string {
	var parts []string
	for _, group := range []struct {
		name  string
		items []importedItem
	}{{"created", i.CreatedOffers}, {"updated", i.UpdatedOffers}, {"same", i.NotChangedOffers}, {"failed", i.FailedOffers}} {
		for _, item := range group.items {
			parts = append(parts, group.name+" "+item.ExternalID)
		}
	}
	return strings.Join(parts, ", ")
}

const importPath = "/api/v1/integrations/offer-providers/custom/offers"

func feedItem(externalID string, document map[string]any) map[string]any {
	return map[string]any{"externalId": externalID, "offerData": document}
}

func importBody(operation string, offers ...any) map[string]any {
	return map[string]any{"concurrencyRequestId": uuid.NewString(), "operation": operation, "offers": offers}
}

func TestImportSynchronizeAndInsert(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	doc := func(name string) map[string]any { return s.document(s.mine, map[string]any{"name": name}) }
	flat := doc("C") // the document may stand beside the id, and a feed may call the link offerLink
	flat["externalId"], flat["offerLink"] = "c", flat["trackingSystemLink"]
	delete(flat, "trackingSystemLink")
	bad := doc("D")
	bad["budget"], bad["headline"] = -1, ""
	steps := []struct {
		name, operation string
		offers          []any
		want            string
	}{
		{"first", "Insert", []any{feedItem("a", doc("A")), feedItem("b", doc("B")), flat, feedItem("d", bad)},
			"created a, created b, created c, failed d"},
		{"the same again", "Insert", []any{feedItem("a", doc("A")), map[string]any{"ExternalID": "b", "OfferData": []any{doc("B")}}}, "same a, same b"},
		{"insert leaves the others", "Insert", []any{feedItem("b", doc("B2"))}, "updated b"},
		{"twice in one list", "Insert", []any{feedItem("a", doc("A")), feedItem("a", doc("A2"))}, "same a, failed a"},
		{"synchronize pauses the others", "Synchronize", []any{feedItem("b", doc("B2")), feedItem("e", doc("E"))}, "created e, updated a, updated c, same b"},
		{"a listed one that is not valid is not paused", "Synchronize", []any{feedItem("b", bad), feedItem("e", doc("E"))}, "same e, failed b"},
		{"back again", "Synchronize", []any{feedItem("a", doc("A")), feedItem("b", doc("B2")), feedItem("c", doc("C")), feedItem("e", doc("E"))},
			"updated a, updated c, same b, same e"},
	}
	ids := map[string]string{}
	for _, step := range steps {
		var answer imported
		s.mine.post(importPath, importBody(step.operation, step.offers...)).into(200, &answer)
		if got := answer.outcome(); got != step.want {
			t.Fatalf("%s: %s; want %s (%v)", step.name, got, step.want, answer.FailedOffers)
		}
		for _, item := range append(append(answer.CreatedOffers, answer.UpdatedOffers...), answer.NotChangedOffers...) {
			if known := ids[item.ExternalID]; known != "" && known != item.ID {
				t.Errorf("%s: %s is %s and was %s", step.name, item.ExternalID, item.ID, known)
			}
			ids[item.ExternalID] = item.ID
		}
		for _, item := range answer.FailedOffers {
			if len(item.Messages) == 0 || (item.ExternalID != "a" && !strings.Contains(strings.Join(item.Messages, ";"), "budget: ")) {
				t.Errorf("%s: %v", step.name, item)
			}
		}
		for external, paused := range map[string]bool{"a": step.name != "synchronize pauses the others" && !strings.Contains(step.name, "not paused"), "b": true} {
			var shown shownOffer
			s.mine.get(offersPath+"/"+ids[external]).into(200, &shown)
			if shown.IsPaused == paused {
				t.Errorf("%s: %s paused: %v", step.name, external, shown.IsPaused)
			}
		}
	}
	s.theirs.get(offersPath + "/" + ids["a"]).refused(404)
}

func TestImportOnce(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	body := importBody("Insert", feedItem("a", s.document(s.mine, nil)), feedItem("b", s.document(s.mine, nil)))
	var all sync.WaitGroup
	answers := make([]string, 8)
	for i := range answers {
		all.Go(func() {
			var answer imported
			s.mine.post(importPath, body).into(200, &answer)
			answers[i] = fmt.Sprint(answer)
		})
	}
	all.Wait()
	for _, answer := range answers {
		if answer != answers[0] || !strings.Contains(answer, "a") {
			t.Errorf("the same request was answered %s and %s", answers[0], answer)
		}
	}
	if n := s.count(`SELECT count(*) FROM feed_offers WHERE tenant_id = $1`, s.mine.id); n != 2 {
		t.Errorf("%d offers of 2", n)
	}
	body["operation"] = "Synchronize"
	s.mine.post(importPath, body).refused(422, "concurrencyRequestId")
	// Another tenant's request and ids are its own.
	var theirs imported
	s.theirs.post(importPath, map[string]any{
		"concurrencyRequestId": body["concurrencyRequestId"], "operation": "Insert",
		"offers": []any{feedItem("a", s.document(s.theirs, nil))},
	}).into(200, &theirs)
	if theirs.outcome() != "created a" {
		t.Errorf("the other tenant's import: %s", theirs.outcome())
	}
}

func TestImportRefused(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	valid := feedItem("a", s.document(s.mine, nil))
	for field, change := range map[string]any{
		"concurrencyRequestId": "x", "operation": "Replace", "offers": []any{},
	} {
		body := importBody("Insert", valid)
		body[field] = change
		s.mine.post(importPath, body).refused(400, field)
	}
	for want, item := range map[string]any{
		"externalId":   map[string]any{"offerData": valid["offerData"]},
		"offerData":    map[string]any{"externalId": "a", "offerData": []any{1, 2}},
		"advertiserId": feedItem("a", s.document(s.theirs, nil)),
	} {
		var answer imported
		s.mine.post(importPath, importBody("Insert", item)).into(200, &answer)
		if len(answer.FailedOffers) != 1 || !strings.Contains(fmt.Sprint(answer.FailedOffers), want) {
			t.Errorf("%s: %+v", want, answer)
		}
	}
	if n := s.count(`SELECT count(*) FROM offers WHERE tenant_id = $1`, s.mine.id); n != 0 {
		t.Errorf("%d offers were stored", n)
	}
}

// Synchronize pauses what is absent from the feed. An item that failed without saying which offer it is
// may be any of those that seem absent: then none is paused, and the answer says so.
func TestSynchronizePausesNothingForAnItemThatFailed(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	doc := func(name string) map[string]any { return s.document(s.mine, map[string]any{"name": name}) }
	var first imported
	s.mine.post(importPath, importBody("Insert", feedItem("7", doc("A")), feedItem("b", doc("B")))).into(200, &first)
	ids := map[string]string{}
	for _, item := range first.CreatedOffers {
		ids[item.ExternalID] = item.ID
	}
	unpaused := func(name string) {
		t.Helper()
		var shown shownOffer
		s.mine.get(offersPath+"/"+ids["7"]).into(200, &shown)
		if shown.IsPaused {
			t.Fatalf("%s: an offer was paused whose item merely failed", name)
		}
	}
	for name, broken := range map[string]map[string]any{
		"a number for an id": {"externalId": 7, "offerData": doc("A")}, "an id that is too long": feedItem(strings.Repeat("7", 300), doc("A")), "no id": {"offerData": doc("A")},
	} {
		var answer imported
		s.mine.post(importPath, importBody("Synchronize", broken, feedItem("b", doc("B")))).into(200, &answer)
		if len(answer.FailedOffers) != 1 || !strings.Contains(strings.Join(answer.FailedOffers[0].Messages, ";"), "No offer was paused") {
			t.Errorf("%s: %+v", name, answer.FailedOffers)
		}
		unpaused(name)
	}
	s.mine.post(importPath, importBody("Synchronize", feedItem("7", map[string]any{}), feedItem("b", doc("B")))).into(200, nil)
	unpaused("listed, and not valid")
}
