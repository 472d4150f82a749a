package blackbox

import (
	"maps"
	"time"
)

// documentFields is a piece of an offer document as clients send it.
type documentFields = map[string]any

// SingleEvent is a valid document of an offer with one goal; more replaces fields.
func SingleEvent(advertiserID, ageID string, more map[string]any) map[string]any {
	document := documentFields{
		"trackingSystemLink": "https://advertiser.example/track?sub1={gk_click_id}", "trackingSystem": "CustomTracking",
		"name": "Install the game", "headline": "Install and open the game", "offerDetails": "Download our game and open it once.",
		"creatives": []any{documentFields{"order": 1, "url": "https://cdn.example/banner.png"}},
		"offerType": "SingleEvent", "conversionType": "FlatRate", "advertiserId": advertiserID, "isPaused": false,
		"budgetType": "Total", "budget": 1000000, "launchDate": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339),
		"ageId": ageID, "categoryIds": []any{}, "countryIds": []any{}, "initialEpc": "0.5", "isEpcLocked": false,
		"revenue": 2, "reward": 100, "rewardType": "Automatic", "pendingTime": 0,
	}
	maps.Copy(document, more)
	return document
}

// Event is one event of a MultiEvent offer; more replaces fields.
func Event(eventID string, sequence any, more map[string]any) map[string]any {
	event := documentFields{
		"name": eventID, "showOnOfferWall": true, "eventId": eventID, "displayOrder": 1, "sequenceNumber": sequence,
		"pendingTime": nil, "hasRevenue": true, "revenue": 1, "hasReward": true, "useDefaultRatio": false, "reward": 10,
	}
	maps.Copy(event, more)
	return event
}

// MultiEvent is a valid document of an offer with events, shown in the order given.
func MultiEvent(advertiserID, ageID string, events []map[string]any, more map[string]any) map[string]any {
	document := SingleEvent(advertiserID, ageID, nil)
	for _, name := range []string{"revenue", "reward", "rewardType", "pendingTime"} {
		delete(document, name)
	}
	list := make([]any, len(events))
	for i, event := range events {
		event["displayOrder"] = i + 1
		list[i] = event
	}
	document["offerType"], document["offerEvents"] = "MultiEvent", list
	maps.Copy(document, more)
	return document
}
