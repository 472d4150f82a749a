package api

// The generator of the OpenAPI document leaves out the fields of an embedded type whose name is not
// exported: answers embed these types under exported names.
type (
	// ConversionView is a conversion as the lists show it.
	ConversionView = conversionView
	// ConversionHistory is a conversion with its transitions.
	ConversionHistory = conversionHistory
	// ReviewTotals are sums over conversions.
	ReviewTotals = reviewTotals
	// OfferView is an offer with what the document does not hold.
	OfferView = offerView
	// FailedMessage is a message that no retry mends.
	FailedMessage = failedMessage
	// JobView is a job with its progress.
	JobView = jobView
	// ClickView is a click as the list and the trace show it.
	ClickView = clickView
	// PostbackView is a row of the postback log.
	PostbackView = postbackView
	// AdvertiserDocument is an advertiser.
	AdvertiserDocument = advertiserDocument
)
