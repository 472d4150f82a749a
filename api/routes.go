package api

import "net/http"

// The methods, short enough for a table.
const (
	get    = http.MethodGet
	post   = http.MethodPost
	put    = http.MethodPut
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

// routes is the whole surface: method, path, who may call it, what it does, its handler, options.
func (s *Server) routes(r *router) {
	r.group("Operator and set-up")
	handle(r, post, "/api/v1/tenants", operatorOnly, "Make a tenant", s.createTenant, created)
	handle(r, get, "/api/v1/tenants", operatorOnly, "List tenants", s.listTenants)
	handle(r, post, "/api/v1/tokens", manage, "Make an API token", s.createToken, created)
	handle(r, get, "/api/v1/tokens", manage, "List API tokens", s.listTokens)
	handle(r, remove, "/api/v1/tokens/{id}", manage, "Revoke an API token", s.revokeToken)
	handle(r, post, "/api/v1/advertisers", manage, "Make an advertiser", s.createAdvertiser, created)
	handle(r, get, "/api/v1/advertisers", read, "List advertisers", s.listAdvertisers)
	handle(r, get, "/api/v1/advertisers/{id}", read, "Get an advertiser", s.getAdvertiser)
	handle(r, put, "/api/v1/advertisers/{id}", manage, "Change an advertiser", s.updateAdvertiser)
	handle(r, post, "/api/v1/partners", manage, "Make a partner", s.createPartner, created)
	handle(r, get, "/api/v1/partners", read, "List partners", s.listPartners)
	handle(r, get, "/api/v1/partners/{id}", read, "Get a partner", s.getPartner)
	handle(r, put, "/api/v1/partners/{id}", manage, "Change a partner", s.updatePartner)
	handle(r, post, "/api/v1/partner-tiers", manage, "Make a partner tier", s.createPartnerTier, created)
	handle(r, get, "/api/v1/partner-tiers", read, "List partner tiers", s.listPartnerTiers)
	handle(r, get, "/api/v1/partner-tiers/{id}", read, "Get a partner tier", s.getPartnerTier)
	handle(r, put, "/api/v1/partner-tiers/{id}", manage, "Change a partner tier", s.updatePartnerTier)
	handle(r, post, "/api/v1/payout-structures", manage, "Make a payout structure", s.createPayoutStructure, created)
	handle(r, get, "/api/v1/payout-structures", read, "List payout structures", s.listPayoutStructures)
	handle(r, get, "/api/v1/payout-structures/{id}", read, "Get a payout structure", s.getPayoutStructure)
	handle(r, put, "/api/v1/payout-structures/{id}", manage, "Change a payout structure", s.updatePayoutStructure)
	handle(r, post, "/api/v1/partner-payouts", manage, "Make a custom payout", s.createPartnerPayout, created)
	handle(r, get, "/api/v1/partner-payouts", read, "List custom payouts", s.listPartnerPayouts, forPartners(r, s.listPartnerPayoutsForPartner))
	handle(r, get, "/api/v1/partner-payouts/{id}", read, "Get a custom payout with its versions", s.getPartnerPayout, forPartners(r, s.getPartnerPayoutForPartner))
	handle(r, put, "/api/v1/partner-payouts/{id}", manage, "Change a custom payout", s.updatePartnerPayout)
	handle(r, post, "/api/v1/placements", manage, "Make a placement", s.createPlacement, created)
	handle(r, get, "/api/v1/placements", read, "List placements", s.listPlacements)
	handle(r, get, "/api/v1/placements/{id}", read, "Get a placement", s.getPlacement)
	handle(r, put, "/api/v1/placements/{id}", manage, "Change a placement", s.updatePlacement)
	handle(r, get, "/api/v1/lookups/{kind}", read, "Get a whole lookup list", s.getLookup)
	handle(r, post, "/api/v1/lookups/ages", manage, "Add an age range", s.createAge, created)
	handle(r, post, "/api/v1/lookups/categories", manage, "Add a category", s.createCategory, created)
	handle(r, get, "/api/v1/tracking-systems/{name}", read, "Get an attribution provider's preset", s.getTrackingSystem)
	handle(r, get, "/api/v1/settings", read, "Get the tenant's settings", s.getSettings)
	handle(r, put, "/api/v1/settings", manage, "Change the tenant's settings", s.updateSettings)

	r.group("Offers")
	handle(r, post, "/api/v1/sdk-offer-management/{product}/offers", manage, "Make an offer", s.createOffer, created, maxBody(offerMaxBody))
	handle(r, get, "/api/v1/sdk-offer-management/{product}/offers", read, "List offers", s.listOffers, forPartners(r, s.listOffersForPartner))
	handle(r, get, "/api/v1/sdk-offer-management/{product}/offers/{id}", read, "Get an offer", s.getOffer, forPartners(r, s.getOfferForPartner))
	handle(r, put, "/api/v1/sdk-offer-management/{product}/offers/{id}", manage, "Replace an offer", s.updateOffer, maxBody(offerMaxBody))
	handle(r, patch, "/api/v1/sdk-offer-management/offers/{id}/pause", manage, "Pause an offer", s.pauseOffer)
	handle(r, patch, "/api/v1/sdk-offer-management/offers/{id}/resume", manage, "Resume an offer", s.resumeOffer)
	handle(r, post, "/api/v1/offers/{id}/links", manage, "Make a tracking link", s.createLink, created)
	handle(r, get, "/api/v1/offers/{id}/links", read, "List an offer's tracking links", s.listLinks, forPartners(r, s.listLinksForPartner))
	handle(r, get, "/api/v1/offers/{id}/goals", read, "List an offer's goals", s.listGoals)
	handle(r, post, "/api/v1/offers/{id}/scheduled-changes", manage, "Schedule a change of revenue or reward", s.scheduleChange, created, repeatable)
	handle(r, get, "/api/v1/offers/{id}/scheduled-changes", read, "List an offer's scheduled changes", s.listScheduledChanges)
	handle(r, remove, "/api/v1/offers/{id}/scheduled-changes/{changeId}", manage, "Cancel a scheduled change", s.cancelChange)
	handle(r, post, "/api/v1/integrations/offer-providers/custom/offers", manage, "Import the offers of a feed", s.importOffers, maxBody(importMaxBody))

	r.group("Tracking")
	raw(r, get, "/c/{linkId}", public, "Click a tracking link", s.Tracking.clickTracked, lean)
	raw(r, http.MethodHead, "/c/{linkId}", public, "Whether a tracking link is there", s.Tracking.linkProbed, quiet, hidden)
	raw(r, get, "/api/v1/offer-link/redirect/{linkId}", public, "Click a tracking link", s.Tracking.clickTracked, lean, hidden)
	raw(r, get, "/api/v1/offer-wall/offer-link-redirect", public, "Click an offer's own link", s.Tracking.wallClickTracked, lean)
	for i, path := range []string{"/track", "/postback", "/api/v1/conversion"} {
		options := []option{quiet, hidden}[:min(2, i+1)] // the first spelling is the documented one
		raw(r, get, path, public, "Post a conversion", s.Tracking.postbackTracked, options...)
		raw(r, post, path, public, "Post a conversion", s.Tracking.postbackTracked, options...)
		raw(r, get, path+"/{advertiserKey}", public, "Post a conversion; for an id, the answer to an earlier one", s.Tracking.keyedGetTracked, options...)
		raw(r, post, path+"/{advertiserKey}", public, "Post a conversion", s.Tracking.postbackTracked, options...)
	}
	raw(r, get, "/pixel.gif", public, "A conversion by an image on a page", s.Tracking.imagePixelTracked, quiet)
	raw(r, get, "/pixel", public, "A conversion by a frame on a page", s.Tracking.framePixelTracked, quiet)
	raw(r, get, "/aff_c", public, "Click by offer and partner, in TUNE's form", s.Tracking.tuneClickTracked, lean)
	raw(r, get, "/aff_l", public, "A conversion by a pixel, in TUNE's form", s.Tracking.leadPixelTracked, quiet)
	raw(r, get, "/SL{code}", public, "A conversion by an opaque pixel", s.Tracking.opaquePixelTracked, quiet)
	raw(r, get, "/GL{code}", public, "A conversion of a goal by an opaque pixel", s.Tracking.opaqueGoalPixelTracked, quiet)
	for _, method := range []string{get, post} {
		raw(r, method, "/aff_lsr", public, "Post a conversion in TUNE's form", s.Tracking.leadTracked, quiet)
		raw(r, method, "/aff_goal", public, "Post a conversion of a goal in TUNE's form; with a=l, its pixel", s.Tracking.goalTracked, quiet)
		raw(r, method, "/SP{code}", public, "Post a conversion to an opaque address", s.Tracking.opaqueTracked, quiet)
		raw(r, method, "/GP{code}", public, "Post a conversion of a goal to an opaque address", s.Tracking.opaqueGoalTracked, quiet)
	}

	r.group("Conversions, review, logs")
	handle(r, get, "/api/v1/sdk-conversion-system/conversions", read, "List conversions, as JSON or CSV", s.listConversions,
		forPartners(r, s.listConversionsForPartner))
	alsoCSV[page[conversionView]](r, "/api/v1/sdk-conversion-system/conversions")
	alsoForPartners[page[PartnerConversion]](r, "/api/v1/sdk-conversion-system/conversions")
	handle(r, get, "/api/v1/conversions/{id}", read, "Get a conversion with its whole history", s.getConversion, forPartners(r, s.getConversionForPartner))
	handle(r, post, "/api/v1/conversions/review", review, "Approve, reject or reverse conversions", s.reviewConversions, repeatable, maxBody(reviewMaxBody))
	handle(r, post, "/api/v1/conversions/{id}/adjust", review, "Adjust a conversion's figures", s.adjustConversion, repeatable)
	raw(r, post, "/api/v1/conversions/upload", review, "Upload conversions as CSV", s.uploadConversions, streamed)
	takesCSV(r, "/api/v1/conversions/upload")
	handle(r, get, "/api/v1/jobs", read, "List jobs", s.listJobs)
	handle(r, get, "/api/v1/jobs/{id}", read, "See how far a job is", s.getJob)
	handle(r, get, "/api/v1/jobs/{id}/items", read, "List a job's items and how they ended", s.listJobItems)
	handle(r, post, "/api/v1/jobs/{id}/pause", review, "Pause a job", s.pauseJob)
	handle(r, post, "/api/v1/jobs/{id}/resume", review, "Let a paused job go on", s.resumeJob)
	handle(r, post, "/api/v1/tools/test-conversion", manage, "Send a test through click, postback, conversion and callback", s.testConversion, repeatable)
	handle(r, get, "/api/v1/postbacks", read, "List every postback received", s.listPostbacks, admitsItself)
	handle(r, get, "/api/v1/clicks/{id}", read, "Trace a click", s.traceClick, forPartners(r, s.traceClickForPartner))
	handle(r, get, "/api/v1/members/{pub_member_id}/offers", read, "List a member's started and finished offers", s.memberOffers)
	handle(r, get, "/api/v1/members/{pub_member_id}/balance", read, "Get a member's points", s.memberBalance)
	handle(r, get, "/api/v1/members/{pub_member_id}/ledger", read, "List a member's entries", s.memberLedger)
	handle(r, get, "/api/v1/reports/performance", read, "Report clicks, conversions and money, as JSON or CSV", s.performance)
	alsoCSV[performanceReport](r, "/api/v1/reports/performance")
	handle(r, get, "/api/v1/integrations/cost-report/singular/json", read, "Report cost for Singular to pull", s.singularCostReport)
	handle(r, get, "/api/v1/integrations/cost-report/appsflyer/json", read, "Report cost for AppsFlyer to pull", s.appsFlyerCostReport)
	handle(r, get, "/api/v1/audit", read, "List who did what", s.listAudit)

	r.group("Callbacks")
	handle(r, put, "/api/v1/callback-endpoint", manage, "Set the callback endpoint", s.putCallbackEndpoint)
	handle(r, get, "/api/v1/callback-endpoint", read, "Get the callback endpoint", s.getCallbackEndpoint)
	handle(r, post, "/api/v1/callback-endpoint/rotate", manage, "Make a new signing secret; the old one lives for 24 h more", s.rotateCallbackSecret)
	handle(r, post, "/api/v1/callback-endpoint/test", manage, "Send a test callback", s.testCallbackEndpoint, accepted)
	handle(r, post, "/api/v1/partner-postbacks", manage, "Make a partner postback", s.createPartnerPostback, created)
	handle(r, get, "/api/v1/partner-postbacks", read, "List partner postbacks", s.listPartnerPostbacks)
	handle(r, get, "/api/v1/partner-postbacks/{id}", read, "Get a partner postback", s.getPartnerPostback)
	handle(r, put, "/api/v1/partner-postbacks/{id}", manage, "Change a partner postback", s.updatePartnerPostback)
	handle(r, post, "/api/v1/partner-postbacks/preview", manage, "Show the request that a conversion would make", s.previewPartnerPostback)
	handle(r, get, "/api/v1/deliveries", read, "List deliveries with their attempts", s.listDeliveries)
	handle(r, post, "/api/v1/deliveries/{id}/resend", manage, "Send a delivery again", s.resendDelivery, accepted)
	handle(r, post, "/api/v1/deliveries/resend", manage, "Send again what a filter finds", s.resendDeliveries, accepted)

	r.group("Offer wall")

	r.group("Exchange")

	r.group("Service")
	raw(r, get, "/healthz", public, "Whether this process answers", s.healthz, quiet)
	raw(r, get, "/readyz", public, "Whether every dependency answers, by name", s.readyz, quiet)
	raw(r, get, "/metrics", public, "Metrics for Prometheus", s.metrics, quiet)
	raw(r, get, "/openapi.json", public, "This document", s.openAPIDocument(r.api.OpenAPI()), quiet)
	raw(r, get, "/docs", public, "The API as a page", s.docs, quiet)
}
