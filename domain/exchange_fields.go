package domain

import (
	"slices"
	"strings"
	"sync"
)

// FieldOwner says who may edit a field of a shared offer (rule 57).
type FieldOwner string

// The owners. OwnerNobody's fields are shown and not edited, or are not for shared offers.
const (
	OwnerEither     FieldOwner = "either"
	OwnerAdvertiser FieldOwner = "advertiser"
	OwnerPublisher  FieldOwner = "publisher"
	OwnerNobody     FieldOwner = "nobody"
)

// mayEdit says whether a side may edit the owner's fields.
func (o FieldOwner) mayEdit(side Side) bool { return o == OwnerEither || string(o) == string(side) }

// OfferField is one field of the offer document and its owner. An event's field is
// offerEvents[].<name>; lists of other kinds are edited as a whole.
type OfferField struct {
	Name  string
	Owner FieldOwner
}

// eventPrefix begins the fields of events.
const eventPrefix = "offerEvents[]."

// OfferFields is every field of the offer document in its order: the one place that says who may edit
// what. The refusals, the change log and the table in docs/exchange.md are made from it.
func OfferFields() []OfferField { return slices.Clone(offerFields) }

var offerFields = []OfferField{
	{"id", OwnerNobody},
	{"version", OwnerNobody},
	{"goalId", OwnerNobody},
	{"trackingSystemLink", OwnerAdvertiser},
	{"trackingSystem", OwnerAdvertiser},
	{"shouldSendCostData", OwnerAdvertiser},
	{"costData", OwnerAdvertiser},
	{"name", OwnerEither},
	{"advertiserCampaignName", OwnerAdvertiser},
	{"headline", OwnerEither},
	{"shortDescription", OwnerEither},
	{"keyPoints", OwnerEither},
	{"offerDetails", OwnerEither},
	{"termsAndDisclaimers", OwnerEither},
	{"creatives", OwnerEither},
	{"offerType", OwnerAdvertiser},
	{"conversionType", OwnerAdvertiser},
	{"advertiserId", OwnerAdvertiser},
	{"isFeatured", OwnerPublisher},
	{"isPaused", OwnerEither},
	{"rewardType", OwnerAdvertiser},
	{"revenue", OwnerAdvertiser},
	{"reward", OwnerPublisher},
	{"pendingTime", OwnerAdvertiser},
	{"allowRepetitions", OwnerAdvertiser},
	{"goalStatus", OwnerAdvertiser},
	{"dailyCap", OwnerAdvertiser},
	{"weeklyCap", OwnerAdvertiser},
	{"monthlyCap", OwnerAdvertiser},
	{"allTimeCap", OwnerAdvertiser},
	{"slug", OwnerAdvertiser},
	{"isPrivate", OwnerEither},
	{"isEndPoint", OwnerAdvertiser},
	{"requiresApproval", OwnerAdvertiser},
	{"oncePerSession", OwnerAdvertiser},
	{"recordAs", OwnerAdvertiser},
	{"reference", OwnerEither},
	{"payout", OwnerPublisher},
	{"payoutStructureId", OwnerPublisher},
	{"payoutTiers", OwnerPublisher},
	{"revenueTiers", OwnerNobody},
	{"dedupeSeconds", OwnerAdvertiser},
	{"offerEvents[].id", OwnerNobody},
	{"offerEvents[].name", OwnerEither},
	{"offerEvents[].showOnOfferWall", OwnerPublisher},
	{"offerEvents[].eventId", OwnerAdvertiser},
	{"offerEvents[].displayOrder", OwnerEither},
	{"offerEvents[].sequenceNumber", OwnerAdvertiser},
	{"offerEvents[].minTimeFromPreviousEvent", OwnerAdvertiser},
	{"offerEvents[].deadlineDays", OwnerAdvertiser},
	{"offerEvents[].pendingTime", OwnerAdvertiser},
	{"offerEvents[].hasRevenue", OwnerAdvertiser},
	{"offerEvents[].revenue", OwnerAdvertiser},
	{"offerEvents[].hasReward", OwnerPublisher},
	{"offerEvents[].useDefaultRatio", OwnerPublisher},
	{"offerEvents[].reward", OwnerPublisher},
	{"offerEvents[].allowRepetitions", OwnerAdvertiser},
	{"offerEvents[].status", OwnerAdvertiser},
	{"offerEvents[].dailyCap", OwnerAdvertiser},
	{"offerEvents[].weeklyCap", OwnerAdvertiser},
	{"offerEvents[].monthlyCap", OwnerAdvertiser},
	{"offerEvents[].allTimeCap", OwnerAdvertiser},
	{"offerEvents[].slug", OwnerAdvertiser},
	{"offerEvents[].isPrivate", OwnerEither},
	{"offerEvents[].isEndPoint", OwnerAdvertiser},
	{"offerEvents[].requiresApproval", OwnerAdvertiser},
	{"offerEvents[].oncePerSession", OwnerAdvertiser},
	{"offerEvents[].recordAs", OwnerAdvertiser},
	{"offerEvents[].reference", OwnerEither},
	{"offerEvents[].payout", OwnerPublisher},
	{"offerEvents[].payoutStructureId", OwnerPublisher},
	{"offerEvents[].payoutTiers", OwnerPublisher},
	{"offerEvents[].revenueTiers", OwnerNobody},
	{"offerEvents[].dedupeSeconds", OwnerAdvertiser},
	{"budgetType", OwnerAdvertiser},
	{"budget", OwnerAdvertiser},
	{"launchDate", OwnerEither},
	{"expirationDate", OwnerEither},
	{"ageId", OwnerEither},
	{"categoryIds", OwnerPublisher},
	{"countryIds", OwnerEither},
	{"stateIds", OwnerEither},
	{"zipCodes", OwnerEither},
	{"genderIds", OwnerEither},
	{"placementIds", OwnerPublisher},
	{"showForUnknownGender", OwnerEither},
	{"deviceType", OwnerEither},
	{"initialEpc", OwnerPublisher},
	{"isEpcLocked", OwnerPublisher},
	{"enforceEncryptedTracking", OwnerAdvertiser},
	{"sessionDays", OwnerAdvertiser},
	{"outOfOrderGraceMinutes", OwnerAdvertiser},
	{"trustCompletionTime", OwnerAdvertiser},
	{"trustAdvertiserStatus", OwnerAdvertiser},
	{"overCapPolicy", OwnerAdvertiser},
	{"fallbackUrl", OwnerEither},
	{"minClickToConversionSeconds", OwnerAdvertiser},
}

var offerFieldOwners = sync.OnceValue(func() map[string]FieldOwner {
	owners := map[string]FieldOwner{}
	for _, field := range offerFields {
		owners[field.Name] = field.Owner
	}
	return owners
})

// OwnerOf is who may edit the field at a path as refusals and the change log spell it:
// offerEvents[2].reward, offerEvents[<id>].reward, costData[0].appName.
func OwnerOf(path string) FieldOwner {
	name, rest, _ := strings.Cut(path, "[")
	if name == "offerEvents" {
		_, inner, _ := strings.Cut(rest, "].")
		name = eventPrefix + inner[:len(inner)-len(strings.TrimLeft(inner, letters))]
	} else {
		name, _, _ = strings.Cut(name, ".")
	}
	if owner, known := offerFieldOwners()[name]; known {
		return owner
	}
	return OwnerNobody // a name that the table lacks is edited by neither side until the table says whose it is
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
