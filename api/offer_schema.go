package api

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/offerflow/offerflow/domain"
)

// The offer document of requests, field by field, for the OpenAPI document. It describes and does not
// decide: domain.ParseOffer takes names of any case, and says of every field what is wrong with it.

func textSchema(atMost int) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, MaxLength: &atMost}
}
func urlSchema() *huma.Schema  { return &huma.Schema{Type: huma.TypeString, Format: "uri"} }
func flagSchema() *huma.Schema { return &huma.Schema{Type: huma.TypeBoolean} }
func idSchema() *huma.Schema   { return &huma.Schema{Type: huma.TypeString, Format: "uuid"} }

func intSchema(least, most float64) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most}
}

// figureSchema is money, points, percent or a duration: a number, or the same in a string.
func figureSchema(most float64) *huma.Schema {
	least := 0.0
	return &huma.Schema{OneOf: []*huma.Schema{{Type: huma.TypeNumber, Minimum: &least, Maximum: &most}, {Type: huma.TypeString, Pattern: decimalPattern}}}
}

const decimalPattern = `^\s*\+?[0-9]*\.?[0-9]*([eE][+-]?[0-9]+)?\s*$`

func wordsSchema[T ~string](words ...T) *huma.Schema {
	schema := &huma.Schema{Type: huma.TypeString}
	for _, word := range words {
		schema.Enum = append(schema.Enum, string(word))
	}
	return schema
}

func listSchema(least, most int, items *huma.Schema) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, MinItems: &least, MaxItems: &most, Items: items}
}

// orNull is a schema that null satisfies besides.
func orNull(schema *huma.Schema) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{schema, {Type: "null"}}}
}

// said is a schema with a sentence on what the field means.
func said(schema *huma.Schema, meaning string) *huma.Schema {
	schema.Description = meaning
	return schema
}

func objectSchema(required []string, fields map[string]*huma.Schema) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Required: required, Properties: fields, AdditionalProperties: true}
}

const (
	mostMoney  = 1_000_000_000
	mostDays   = 3_650
	mostCap    = 1_000_000_000
	mostSecond = 30 * 86_400
)

// goalFields are those of an event, and of a SingleEvent offer's only goal.
func goalFields() map[string]*huma.Schema {
	return map[string]*huma.Schema{
		"revenue":           said(orNull(figureSchema(mostMoney)), "Money, or percent of the sale if conversionType is RevShare."),
		"reward":            said(orNull(figureSchema(mostMoney)), "Points, or percent of the sale."),
		"hasRevenue":        said(flagSchema(), "Required of an event."),
		"hasReward":         said(flagSchema(), "Required of an event."),
		"useDefaultRatio":   said(flagSchema(), "reward is revenue by the tenant's ratio. Required of an event."),
		"pendingTime":       said(orNull(figureSchema(mostDays)), "Days. Required; null means none."),
		"dailyCap":          orNull(intSchema(1, mostCap)),
		"weeklyCap":         orNull(intSchema(1, mostCap)),
		"monthlyCap":        orNull(intSchema(1, mostCap)),
		"allTimeCap":        orNull(intSchema(1, mostCap)),
		"allowRepetitions":  said(flagSchema(), "The same member may convert again; default: false."),
		"slug":              said(textSchema(100), "Unique within the offer; usable as goal_name. Default: made from the name."),
		"isPrivate":         said(flagSchema(), "Hidden from partners, without payout."),
		"isEndPoint":        said(flagSchema(), "Ends the session. Never on the default goal."),
		"requiresApproval":  said(flagSchema(), "Waits for a person."),
		"oncePerSession":    flagSchema(),
		"recordAs":          wordsSchema(domain.RecordAsConversion, domain.RecordAsClick),
		"reference":         said(textSchema(255), "Sent to partners as {goal_ref}."),
		"payout":            said(orNull(figureSchema(mostMoney)), "To the partner."),
		"payoutStructureId": orNull(idSchema()),
		"payoutTiers":       said(&huma.Schema{Type: huma.TypeObject, AdditionalProperties: figureSchema(mostMoney)}, "Payouts by the id of a partner tier."),
		"revenueTiers":      said(&huma.Schema{Type: huma.TypeObject, AdditionalProperties: figureSchema(mostMoney)}, "Revenues by the id of a partner tier."),
		"dedupeSeconds":     said(figureSchema(mostSecond), "Default: 10."),
	}
}

func eventSchema() *huma.Schema {
	fields := goalFields()
	for name, schema := range map[string]*huma.Schema{
		"id":                       said(idSchema(), "Our id; generated if omitted."),
		"name":                     textSchema(255),
		"eventId":                  said(textSchema(255), "The advertiser's name of the event: the postback's cnv_event_id must equal it byte for byte. Unique in the offer."),
		"showOnOfferWall":          flagSchema(),
		"displayOrder":             said(intSchema(1, 10_000), "Presentation only."),
		"sequenceNumber":           said(orNull(&huma.Schema{Type: huma.TypeInteger}), "Order of completion. Required; null means independent."),
		"minTimeFromPreviousEvent": said(orNull(figureSchema(24*mostDays)), "Hours."),
		"deadlineDays":             said(orNull(figureSchema(mostDays)), "Days after the click."),
		"status":                   wordsSchema(domain.GoalStatusActive, domain.GoalStatusDeleted),
	} {
		fields[name] = schema
	}
	return objectSchema([]string{
		"name", "eventId", "showOnOfferWall", "displayOrder", "sequenceNumber", "pendingTime", "hasRevenue", "revenue", "hasReward", "useDefaultRatio", "reward",
	}, fields)
}

// offerRequestSchema is the whole document.
func offerRequestSchema() *huma.Schema {
	codes := func(meaning string) *huma.Schema { return said(listSchema(0, 6_000, textSchema(64)), meaning) }
	fields := goalFields()
	for name, schema := range map[string]*huma.Schema{
		"trackingSystemLink":     said(&huma.Schema{Type: huma.TypeString}, "The advertiser's destination, with macros."),
		"trackingSystem":         said(wordsSchema(domain.TrackingSystems()...), "Any case."),
		"shouldSendCostData":     said(flagSchema(), "To Singular or AppsFlyer."),
		"costData":               said(listSchema(0, 50, objectSchema(nil, map[string]*huma.Schema{"costModel": wordsSchema("CPI", "CPA"), "appName": textSchema(255), "storeId": textSchema(255)})), "Required with shouldSendCostData."),
		"name":                   textSchema(255),
		"advertiserCampaignName": said(textSchema(255), "Required with shouldSendCostData."),
		"headline":               textSchema(1_000),
		"shortDescription":       textSchema(20_000),
		"keyPoints":              said(textSchema(50_000), "HTML, which is sanitised."),
		"offerDetails":           said(textSchema(50_000), "HTML, which is sanitised."),
		"termsAndDisclaimers":    textSchema(20_000),
		"creatives": listSchema(1, 50, objectSchema([]string{"order", "url"}, map[string]*huma.Schema{
			"order": intSchema(0, 10_000), "url": urlSchema(), "metadata": orNull(textSchema(20_000)),
		})),
		"offerType":            wordsSchema(domain.OfferTypeSingleEvent, domain.OfferTypeMultiEvent),
		"conversionType":       said(wordsSchema(domain.ConversionTypeFlatRate, domain.ConversionTypeRevShare), "RevShare figures are percent of the sale."),
		"advertiserId":         idSchema(),
		"isFeatured":           flagSchema(),
		"isPaused":             flagSchema(),
		"offerEvents":          said(listSchema(0, 200, eventSchema()), "Required on MultiEvent offers. They have the goals' fields here and must not have offer-level caps."),
		"rewardType":           said(wordsSchema("Automatic", "Manual"), "Required on SingleEvent. Manual waits for a person."),
		"goalStatus":           wordsSchema(domain.GoalStatusActive, domain.GoalStatusDeleted),
		"budgetType":           wordsSchema(domain.BudgetTypeDaily, domain.BudgetTypeTotal),
		"budget":               said(figureSchema(999_999_999_999), "Maximum revenue of conversions; greater than 0."),
		"launchDate":           said(&huma.Schema{Type: huma.TypeString}, "ISO 8601; the offer is not active before."),
		"expirationDate":       said(orNull(&huma.Schema{Type: huma.TypeString}), "ISO 8601, after launchDate."),
		"ageId":                idSchema(),
		"categoryIds":          listSchema(0, 6_000, idSchema()),
		"countryIds":           codes("Lookup ids, or ISO 3166 alpha-2, alpha-3 or numeric codes; empty means everywhere."),
		"stateIds":             codes("Lookup ids, or ISO 3166-2 codes."),
		"zipCodes":             listSchema(0, 20_000, textSchema(16)),
		"genderIds":            codes("Lookup ids, or names."),
		"placementIds":         listSchema(0, 6_000, idSchema()),
		"showForUnknownGender": flagSchema(),
		"deviceType": said(&huma.Schema{OneOf: []*huma.Schema{
			wordsSchema("IOS", "Android", "MacOS", "Browser", "All"), listSchema(0, 5, wordsSchema("IOS", "Android", "MacOS", "Browser", "All")),
		}}, "One value or a list; not case-sensitive."),
		"initialEpc":                  figureSchema(mostMoney),
		"isEpcLocked":                 flagSchema(),
		"enforceEncryptedTracking":    flagSchema(),
		"sessionDays":                 said(figureSchema(mostDays), "Attribution window of events without a deadline; default: 30."),
		"outOfOrderGraceMinutes":      said(figureSchema(10_080), "Default: 60."),
		"trustCompletionTime":         flagSchema(),
		"overCapPolicy":               wordsSchema(domain.OverCapPolicyReject, domain.OverCapPolicyPending),
		"fallbackUrl":                 said(&huma.Schema{Type: huma.TypeString}, "Destination of clicks that cannot convert."),
		"minClickToConversionSeconds": figureSchema(mostSecond),
	} {
		fields[name] = schema
	}
	schema := objectSchema([]string{
		"trackingSystemLink", "trackingSystem", "name", "headline", "offerDetails", "creatives", "offerType", "conversionType", "advertiserId", "isPaused",
		"budgetType", "budget", "launchDate", "ageId", "categoryIds", "countryIds", "initialEpc", "isEpcLocked",
	}, fields)
	return said(schema, "Field names are not case-sensitive; unknown fields are ignored and listed in the warnings. The answer of GET can be sent back.")
}

// takesOffer describes the body of a route that takes an offer document; a part of one where it only
// changes fields.
func takesOffer(r *router, method, path string) {
	schemas := r.api.OpenAPI().Components.Schemas.Map()
	if schemas["OfferRequest"] == nil {
		schemas["OfferRequest"] = offerRequestSchema()
		edit := *offerRequestSchema()
		edit.Required = nil
		schemas["OfferEdit"] = &edit
	}
	name := "OfferRequest"
	if method == patch {
		name = "OfferEdit"
	}
	r.documented(method, path).RequestBody.Content["application/json"].Schema = &huma.Schema{Ref: "#/components/schemas/" + name}
}
