package api

// Types that answers embed, under names that are exported: the generator of the OpenAPI document leaves
// out the fields of an embedded type whose name is not.
type (
	ConversionView    = conversionView
	ConversionHistory = conversionHistory
	OfferView         = offerView
	FailedMessage     = failedMessage
	JobView           = jobView
	PostbackView      = postbackView
	PostbackAnswer    = postbackAnswer
)
