package api

import (
	"net/http"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/tracking"
	"github.com/offerflow/offerflow/domain"
)

// The methods, short enough for a table.
const (
	get    = http.MethodGet
	post   = http.MethodPost
	put    = http.MethodPut
	patch  = http.MethodPatch
	remove = http.MethodDelete
)

// unlisted is the operation id of a route that the OpenAPI document leaves out.
const unlisted = ""

// routes is the whole surface: method, path, operation id, who may call it, what it does, its handler,
// options. Clients are generated with the operation ids: one that was released never changes.
func (s *Server) routes(r *router) {
	r.group("Operator and set-up", "Tenants, tokens, advertisers, partners, placements, payouts, lookups and settings.")
	handle(r, post, "/api/v1/tenants", "createTenant", operatorOnly, "Create a tenant", s.createTenant, created)
	handle(r, get, "/api/v1/tenants", "listTenants", operatorOnly, "List tenants", s.listTenants, filtered(tenantListing))
	handle(r, post, "/api/v1/tokens", "createToken", manage, "Create an API token", s.createToken, created)
	handle(r, get, "/api/v1/tokens", "listTokens", manage, "List API tokens", s.listTokens, filtered(tokenListing))
	handle(r, remove, "/api/v1/tokens/{id}", "revokeToken", manage, "Revoke an API token", s.revokeToken)
	handle(r, post, "/api/v1/advertisers", "createAdvertiser", manage, "Create an advertiser", s.createAdvertiser, created)
	handle(r, get, "/api/v1/advertisers", "listAdvertisers", read, "List advertisers", s.listAdvertisers, filtered(s.advertiserListing()))
	handle(r, get, "/api/v1/advertisers/{id}", "getAdvertiser", read, "Get an advertiser", s.getAdvertiser, forAdvertisers(r, s.getAdvertiserForAdvertiser))
	handle(r, put, "/api/v1/advertisers/{id}", "updateAdvertiser", manage, "Change an advertiser", s.updateAdvertiser)
	handle(r, post, "/api/v1/advertisers/{id}/key/rotate", "rotateAdvertiserKey", manage, "Create a new postback address; the old one works for another 24 h", s.rotateAdvertiserKey)
	handle(r, post, "/api/v1/advertisers/{id}/signing-secret/rotate", "rotateSigningSecret", manage, "Generate or set a new signing secret; the old one works for another 24 h", s.rotateSigningSecret)
	handle(r, post, "/api/v1/partners", "createPartner", manage, "Create a partner", s.createPartner, created)
	handle(r, get, "/api/v1/partners", "listPartners", read, "List partners", s.listPartners, filtered(partnerListing))
	handle(r, get, "/api/v1/partners/{id}", "getPartner", read, "Get a partner", s.getPartner)
	handle(r, put, "/api/v1/partners/{id}", "updatePartner", manage, "Change a partner", s.updatePartner)
	handle(r, post, "/api/v1/partner-tiers", "createPartnerTier", manage, "Create a partner tier", s.createPartnerTier, created)
	handle(r, get, "/api/v1/partner-tiers", "listPartnerTiers", read, "List partner tiers", s.listPartnerTiers, filtered(partnerTierListing))
	handle(r, get, "/api/v1/partner-tiers/{id}", "getPartnerTier", read, "Get a partner tier", s.getPartnerTier)
	handle(r, put, "/api/v1/partner-tiers/{id}", "updatePartnerTier", manage, "Change a partner tier", s.updatePartnerTier)
	handle(r, post, "/api/v1/payout-structures", "createPayoutStructure", manage, "Create a payout structure", s.createPayoutStructure, created)
	handle(r, get, "/api/v1/payout-structures", "listPayoutStructures", read, "List payout structures", s.listPayoutStructures, filtered(payoutStructureListing))
	handle(r, get, "/api/v1/payout-structures/{id}", "getPayoutStructure", read, "Get a payout structure", s.getPayoutStructure)
	handle(r, put, "/api/v1/payout-structures/{id}", "updatePayoutStructure", manage, "Change a payout structure", s.updatePayoutStructure)
	handle(r, post, "/api/v1/partner-payouts", "createPartnerPayout", manage, "Create a custom payout", s.createPartnerPayout, created)
	handle(r, get, "/api/v1/partner-payouts", "listPartnerPayouts", read, "List custom payouts", s.listPartnerPayouts, filtered(partnerPayoutListing), forPartners(r, s.listPartnerPayoutsForPartner))
	handle(r, get, "/api/v1/partner-payouts/{id}", "getPartnerPayout", read, "Get a custom payout with its versions", s.getPartnerPayout, forPartners(r, s.getPartnerPayoutForPartner))
	handle(r, put, "/api/v1/partner-payouts/{id}", "updatePartnerPayout", manage, "Change a custom payout", s.updatePartnerPayout)
	handle(r, post, "/api/v1/placements", "createPlacement", manage, "Create a placement", s.createPlacement, created)
	handle(r, get, "/api/v1/placements", "listPlacements", read, "List placements", s.listPlacements, filtered(placementListing))
	handle(r, get, "/api/v1/placements/{id}", "getPlacement", read, "Get a placement", s.getPlacement)
	handle(r, put, "/api/v1/placements/{id}", "updatePlacement", manage, "Change a placement", s.updatePlacement)
	handle(r, get, "/api/v1/lookups/{kind}", "getLookup", read, "Get a whole lookup list", s.getLookup)
	handle(r, post, "/api/v1/lookups/ages", "createAge", manage, "Add an age range", s.createAge, created)
	handle(r, post, "/api/v1/lookups/categories", "createCategory", manage, "Add a category", s.createCategory, created)
	handle(r, get, "/api/v1/tracking-systems/{name}", "getTrackingSystem", read, "Get an attribution provider's preset", s.getTrackingSystem)
	handle(r, get, "/api/v1/settings", "getSettings", read, "Get the tenant's settings", s.getSettings)
	handle(r, put, "/api/v1/settings", "updateSettings", manage, "Change the tenant's settings", s.updateSettings)

	r.group("Offers", "Offers, their links, goals and scheduled changes, and the import of feeds.")
	handle(r, post, "/api/v1/sdk-offer-management/{product}/offers", "createOffer", manage, "Create an offer", s.createOffer, created, maxBody(offerMaxBody))
	takesOffer(r, post, "/api/v1/sdk-offer-management/{product}/offers")
	handle(r, get, "/api/v1/sdk-offer-management/{product}/offers", "listOffers", read, "List offers", s.listOffers, filtered(s.offerListing()),
		forPartners(r, s.listOffersForPartner), forAdvertisers(r, s.listOffersForAdvertiser))
	handle(r, get, "/api/v1/sdk-offer-management/{product}/offers/{id}", "getOffer", read, "Get an offer", s.getOffer,
		forPartners(r, s.getOfferForPartner), forAdvertisers(r, s.getOfferForAdvertiser))
	handle(r, put, "/api/v1/sdk-offer-management/{product}/offers/{id}", "updateOffer", manage, "Replace an offer", s.updateOffer,
		maxBody(offerMaxBody), precondition(s.offerMatches))
	takesOffer(r, put, "/api/v1/sdk-offer-management/{product}/offers/{id}")
	handle(r, patch, "/api/v1/sdk-offer-management/offers/{id}/pause", "pauseOffer", manage, "Pause an offer", s.pauseOffer)
	handle(r, patch, "/api/v1/sdk-offer-management/offers/{id}/resume", "resumeOffer", manage, "Resume an offer", s.resumeOffer)
	handle(r, post, "/api/v1/offers/{id}/links", "createLink", manage, "Create a tracking link", s.createLink, created)
	handle(r, get, "/api/v1/offers/{id}/links", "listLinks", read, "List an offer's tracking links", s.listLinks, filtered(s.linkListing()), forPartners(r, s.listLinksForPartner))
	handle(r, get, "/api/v1/offers/{id}/goals", "listGoals", read, "List an offer's goals", s.listGoals, filtered(s.goalListing(uuid.Nil, &domain.Offer{})))
	handle(r, post, "/api/v1/offers/{id}/scheduled-changes", "scheduleChange", manage, "Schedule a change of revenue or reward", s.scheduleChange, created, repeatable)
	handle(r, get, "/api/v1/offers/{id}/scheduled-changes", "listScheduledChanges", read, "List an offer's scheduled changes", s.listScheduledChanges, filtered(scheduledChangeListing))
	handle(r, remove, "/api/v1/offers/{id}/scheduled-changes/{changeId}", "cancelChange", manage, "Cancel a scheduled change", s.cancelChange)
	handle(r, post, "/api/v1/integrations/offer-providers/custom/offers", "importOffers", manage, "Import the offers of a feed", s.importOffers, maxBody(importMaxBody))

	r.group("Tracking", "Clicks, postbacks and pixels, used by advertisers, partners and members. They need no token.")
	raw(r, get, "/c/{linkId}", "clickTracked", public, "Click a tracking link", s.Tracking.ClickTracked, lean, reads(tracking.ClickFields), saysClick)
	raw(r, http.MethodHead, "/c/{linkId}", unlisted, public, "Whether a tracking link is there", s.Tracking.LinkProbed, quiet, hidden)
	raw(r, get, "/api/v1/offer-link/redirect/{linkId}", unlisted, public, "Click a tracking link", s.Tracking.ClickTracked, lean, hidden)
	raw(r, get, "/api/v1/offer-wall/offer-link-redirect", "wallClickTracked", public, "Click an offer's own link", s.Tracking.WallClickTracked, lean, reads(tracking.WallClickFields, tracking.ClickFields), saysClick)
	for i, path := range []string{"/track", "/postback", "/api/v1/conversion"} {
		options := []option{reads(tracking.PostbackFields), saysPostback, quiet, hidden}[:min(4, i+3)] // the first spelling is the documented one
		raw(r, get, path, "postbackTracked", public, "Post a conversion", s.Tracking.PostbackTracked, options...)
		raw(r, post, path, "postbackTracked2", public, "Post a conversion", s.Tracking.PostbackTracked, append(options, streamed)...)
		raw(r, get, path+"/{advertiserKey}", "keyedGetTracked", public, "Post a conversion; with a postback's id, get the answer to an earlier one", s.Tracking.KeyedGetTracked, append(options, saysKeyed)...)
		raw(r, post, path+"/{advertiserKey}", "postbackTracked3", public, "Post a conversion", s.Tracking.PostbackTracked, append(options, streamed)...)
	}
	raw(r, get, "/pixel.gif", "imagePixelTracked", public, "Post a conversion by an image on a page", s.Tracking.ImagePixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/pixel", "framePixelTracked", public, "Post a conversion by a frame on a page", s.Tracking.FramePixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/aff_c", "tuneClickTracked", public, "Click by offer and partner, in TUNE's format", s.Tracking.TuneClickTracked, lean, reads(tracking.TuneClickFields, tracking.ClickFields), saysClick)
	raw(r, get, "/aff_l", "leadPixelTracked", public, "Post a conversion by a pixel, in TUNE's format", s.Tracking.LeadPixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/SL{code}", "opaquePixelTracked", public, "Post a conversion by an opaque pixel", s.Tracking.OpaquePixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/GL{code}", "opaqueGoalPixelTracked", public, "Post a conversion of a goal by an opaque pixel", s.Tracking.OpaqueGoalPixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/aff_lsr", "leadTracked", public, "Post a conversion in TUNE's format", s.Tracking.LeadTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, post, "/aff_lsr", "leadTracked2", public, "Post a conversion in TUNE's format", s.Tracking.LeadTracked, streamed, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, get, "/aff_goal", "goalTracked", public, "Post a conversion of a goal in TUNE's format; with a=l, its pixel", s.Tracking.GoalTracked, quiet, reads(tracking.TuneGoalFields, tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, post, "/aff_goal", "goalTracked2", public, "Post a conversion of a goal in TUNE's format; with a=l, its pixel", s.Tracking.GoalTracked, streamed, quiet, reads(tracking.TuneGoalFields, tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, get, "/SP{code}", "opaqueTracked", public, "Post a conversion to an opaque address", s.Tracking.OpaqueTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, post, "/SP{code}", "opaqueTracked2", public, "Post a conversion to an opaque address", s.Tracking.OpaqueTracked, streamed, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, get, "/GP{code}", "opaqueGoalTracked", public, "Post a conversion of a goal to an opaque address", s.Tracking.OpaqueGoalTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, post, "/GP{code}", "opaqueGoalTracked2", public, "Post a conversion of a goal to an opaque address", s.Tracking.OpaqueGoalTracked, streamed, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)

	r.group("Conversions, review, logs", "Conversions, their review, jobs, postbacks, clicks, members, reports, audit log.")
	handle(r, get, "/api/v1/sdk-conversion-system/conversions", "listConversions", read, "List conversions", s.listConversions, filtered(conversionListing),
		forPartners(r, s.listConversionsForPartner), forAdvertisers(r, s.listConversionsForAdvertiser))
	handle(r, get, "/api/v1/conversions/{id}", "getConversion", read, "Get a conversion with its history", s.getConversion,
		forPartners(r, s.getConversionForPartner), forAdvertisers(r, s.getConversionForAdvertiser))
	handle(r, post, "/api/v1/conversions/review", "reviewConversions", review, "Approve, reject or reverse conversions", s.reviewConversions, orAccepted("The job that runs the review: for more than 100 ids, or a filter."), repeatable, maxBody(reviewMaxBody))
	handle(r, post, "/api/v1/conversions/{id}/adjust", "adjustConversion", review, "Adjust a conversion's figures", s.adjustConversion, repeatable)
	raw(r, post, "/api/v1/conversions/upload", "uploadConversions", review, "Upload conversions as CSV", s.uploadConversions, streamed)
	takesCSV(r, "/api/v1/conversions/upload")
	handle(r, get, "/api/v1/jobs", "listJobs", read, "List jobs", s.listJobs, filtered(jobListing))
	handle(r, get, "/api/v1/jobs/{id}", "getJob", read, "Get a job's progress", s.getJob)
	handle(r, get, "/api/v1/jobs/{id}/items", "listJobItems", read, "List a job's items and their results", s.listJobItems, filtered(jobItemListing))
	handle(r, post, "/api/v1/jobs/{id}/pause", "pauseJob", review, "Pause a job", s.pauseJob)
	handle(r, post, "/api/v1/jobs/{id}/resume", "resumeJob", review, "Resume a paused job", s.resumeJob)
	handle(r, post, "/api/v1/tools/test-conversion", "testConversion", manage, "Send a test through click, postback, conversion and callback", s.testConversion,
		repeatable, forAdvertisers(r, s.testConversionForAdvertiser))
	handle(r, get, "/api/v1/postbacks", "listPostbacks", read|byOperator, "List every postback received", s.listPostbacks, filtered(postbackListing),
		forAdvertisers(r, s.listPostbacksForAdvertiser))
	handle(r, get, "/api/v1/clicks", "listClicks", read, "List clicks, including refused ones, newest first", s.listClicks, filtered(clickListing))
	handle(r, get, "/api/v1/clicks/{id}", "traceClick", read, "Trace a click", s.traceClick, forPartners(r, s.traceClickForPartner))
	handle(r, get, "/api/v1/members/{pub_member_id}/offers", "memberOffers", read, "List a member's started and finished offers", s.memberOffers, filtered(memberOfferListing))
	handle(r, get, "/api/v1/members/{pub_member_id}/balance", "memberBalance", read, "Get a member's points", s.memberBalance)
	handle(r, get, "/api/v1/members/{pub_member_id}/ledger", "memberLedger", read, "List a member's ledger entries", s.memberLedger, filtered(memberLedgerListing))
	handle(r, get, "/api/v1/members/{pub_member_id}/export", "exportMember", read, "Export everything that is kept about a member", s.exportMember, unending)
	describeMemberExport(r, "/api/v1/members/{pub_member_id}/export")
	handle(r, remove, "/api/v1/members/{pub_member_id}", "eraseMember", manage, "Erase a member: a random pseudonym in its place, figures stay", s.eraseMember, accepted)
	handle(r, get, "/api/v1/reports/performance", "performance", read, "Report clicks, conversions and money", s.performance, reporting,
		forPartners(r, s.performanceForPartner), forAdvertisers(r, s.performanceForAdvertiser))
	handle(r, get, "/api/v1/integrations/cost-report/singular/json", "singularCostReport", read, "Report cost for Singular to pull", s.singularCostReport, forAdvertisers(r, s.singularCostReport), openQuery, reporting)
	handle(r, get, "/api/v1/integrations/cost-report/appsflyer/json", "appsFlyerCostReport", read, "Report cost for AppsFlyer to pull", s.appsFlyerCostReport, forAdvertisers(r, s.appsFlyerCostReport), openQuery, reporting)
	answersJSON[costReport[singularRow]](r, "/api/v1/integrations/cost-report/singular/json")
	answersJSON[costReport[appsFlyerRow]](r, "/api/v1/integrations/cost-report/appsflyer/json")
	handle(r, get, "/api/v1/verdict-findings", "listVerdictFindings", read, "List advertisers' verdicts that were not applied", s.listVerdictFindings, filtered(verdictFindingListing))
	handle(r, get, "/api/v1/audit", "listAudit", read, "List the audit log", s.listAudit, filtered(auditListing))

	r.group("Callbacks", "Messages to the tenant and its partners, with every attempt.")
	handle(r, put, "/api/v1/callback-endpoint", "putCallbackEndpoint", manage, "Set the callback endpoint", s.putCallbackEndpoint)
	handle(r, get, "/api/v1/callback-endpoint", "getCallbackEndpoint", read, "Get the callback endpoint", s.getCallbackEndpoint)
	handle(r, post, "/api/v1/callback-endpoint/rotate", "rotateCallbackSecret", manage, "Create a new signing secret; the old one works for another 24 h", s.rotateCallbackSecret)
	handle(r, post, "/api/v1/callback-endpoint/test", "testCallbackEndpoint", manage, "Send a test callback", s.testCallbackEndpoint, accepted)
	handle(r, post, "/api/v1/partner-postbacks", "createPartnerPostback", manage, "Create a partner postback", s.createPartnerPostback, created, repeatable)
	handle(r, get, "/api/v1/partner-postbacks", "listPartnerPostbacks", read, "List partner postbacks", s.listPartnerPostbacks, filtered(partnerPostbackListing), forPartners(r, s.listPartnerPostbacksForPartner))
	handle(r, get, "/api/v1/partner-postbacks/{id}", "getPartnerPostback", read, "Get a partner postback", s.getPartnerPostback, forPartners(r, s.getPartnerPostbackForPartner))
	handle(r, put, "/api/v1/partner-postbacks/{id}", "updatePartnerPostback", manage, "Change a partner postback", s.updatePartnerPostback)
	handle(r, post, "/api/v1/partner-postbacks/preview", "previewPartnerPostback", manage, "Preview the request for a conversion", s.previewPartnerPostback)
	handle(r, get, "/api/v1/deliveries", "listDeliveries", read, "List deliveries with their attempts", s.listDeliveries, filtered(deliveryListing), forPartners(r, s.listDeliveriesForPartner))
	handle(r, post, "/api/v1/deliveries/{id}/resend", "resendDelivery", manage, "Resend a delivery", s.resendDelivery, accepted)
	handle(r, post, "/api/v1/deliveries/resend", "resendDeliveries", manage, "Resend the deliveries that match a filter", s.resendDeliveries, accepted)

	r.group("Failed messages", "Messages that failed for good. Resend them after fixing the cause.")
	handle(r, get, "/api/v1/failed-messages", "listFailedMessages", manage, "List failed messages that wait to be resent", s.listFailedMessages, filtered(failedMessageListing))
	handle(r, get, "/api/v1/failed-messages/{id}", "getFailedMessage", manage, "Get a failed message", s.getFailedMessage)
	handle(r, post, "/api/v1/failed-messages/{id}/resend", "resendFailedMessage", manage, "Resend a failed message", s.resendFailedMessage, accepted, repeatable)
	handle(r, post, "/api/v1/failed-messages/resend", "resendFailedMessages", manage, "Resend failed messages", s.resendFailedMessages, accepted, repeatable)
	handle(r, get, "/api/v1/operator/failed-messages", "listAllFailedMessages", operatorOnly, "List failed messages of all tenants and without a tenant", s.listAllFailedMessages, filtered(allFailedMessages()))
	handle(r, get, "/api/v1/operator/failed-messages/{id}", "getAnyFailedMessage", operatorOnly, "Get any failed message", s.getAnyFailedMessage)
	handle(r, post, "/api/v1/operator/failed-messages/{id}/resend", "resendAnyFailedMessage", operatorOnly, "Resend any failed message", s.resendAnyFailedMessage, accepted, repeatable)
	handle(r, post, "/api/v1/operator/failed-messages/resend", "resendAllFailedMessages", operatorOnly, "Resend failed messages of all tenants", s.resendAllFailedMessages, accepted, repeatable)

	r.group("Offer wall", "Offers for a member, for walls that publishers build themselves.")
	handle(r, get, "/api/v1/offer-wall/offers", "wallOffers", read, "List the offers for a member, best first", s.wallOffers, openQuery)
	handle(r, get, "/api/v1/offer-wall/offer-details", "wallDetails", read, "Get an offer's details for a member and record a view", s.wallDetails, openQuery, writes)
	handle(r, get, "/api/v1/offer-wall/offer-link", "wallLink", read, "Get the tracking link of a view", s.wallLink, openQuery, writes)
	handle(r, get, "/api/v1/offer-wall/pub-member/offers", "startedOffers", read, "List the offers that a member has started or completed", s.startedOffers, openQuery)

	r.group("Exchange", "An advertiser and a publisher work on one live offer.")
	handle(r, get, "/api/v1/exchange/profile", "getExchangeProfile", read, "Get this tenant's Exchange profile", s.getExchangeProfile)
	handle(r, put, "/api/v1/exchange/profile", "updateExchangeProfile", manage, "Change this tenant's Exchange profile", s.updateExchangeProfile)
	handle(r, get, "/api/v1/exchange/directory", "listDirectory", read, "List the tenants in the directory", s.listDirectory, filtered(directoryListing))
	handle(r, post, "/api/v1/exchange/shares", "shareOffer", manage, "Share an offer with a publisher", s.shareOffer, created, repeatable)
	handle(r, get, "/api/v1/exchange/partnerships", "listPartnerships", read, "List partnerships on either side", s.listPartnerships, filtered(partnershipListing(uuid.Nil)))
	handle(r, get, "/api/v1/exchange/partnerships/{id}", "getPartnership", read, "Get a partnership", s.getPartnership)
	handle(r, post, "/api/v1/exchange/partnerships/{id}/accept", "acceptShare", manage, "Accept a requested share and make it live", s.acceptShare)
	handle(r, post, "/api/v1/exchange/partnerships/{id}/decline", "declineShare", manage, "Decline a requested share", s.declineShare)
	handle(r, post, "/api/v1/exchange/partnerships/{id}/end", "endPartnership", manage, "End a partnership; earlier clicks still convert", s.endPartnership)
	handle(r, get, "/api/v1/exchange/partnerships/{id}/reconciliation", "listReconciliations", read, "List comparisons of a partnership's books", s.listReconciliations, filtered(reconciliationListing), writes)
	handle(r, post, "/api/v1/exchange/partnerships/{id}/reconciliation", "reconcileNow", manage, "Compare the books of a partnership now", s.reconcileNow, accepted)
	handle(r, get, "/api/v1/exchange/offers/{id}", "getSharedOffer", read, "Get a shared offer", s.getSharedOffer)
	handle(r, patch, "/api/v1/exchange/offers/{id}", "editSharedOffer", manage, "Change fields of a shared offer", s.editSharedOffer, orAccepted("A proposal: only proposalId and warnings."),
		maxBody(offerMaxBody), precondition(s.sharedOfferMatches))
	takesOffer(r, patch, "/api/v1/exchange/offers/{id}")
	handle(r, post, "/api/v1/exchange/offers/{id}/apply", "applyToShares", manage, "Apply fields of an offer to all of its shares", s.applyToShares,
		accepted, repeatable, maxBody(offerMaxBody))
	handle(r, get, "/api/v1/exchange/offers/{id}/proposals", "listProposals", read, "List both sides' proposals and their results", s.listProposals, filtered(proposalListing))
	handle(r, post, "/api/v1/exchange/offers/{id}/proposals/{proposalId}/accept", "acceptProposal", manage, "Accept a proposal of the other side", s.acceptProposal)
	handle(r, post, "/api/v1/exchange/offers/{id}/proposals/{proposalId}/decline", "declineProposal", manage, "Decline a proposal, or withdraw your own", s.declineProposal)
	handle(r, get, "/api/v1/exchange/offers/{id}/changes", "listOfferChanges", read, "List the change log of a shared offer", s.listOfferChanges, filtered(offerChangeListing))
	handle(r, get, "/api/v1/exchange/requests", "listReviewsAsked", read, "List review requests of all partnerships", s.listReviewsAsked, filtered(reviewAskedListing))
	handle(r, post, "/api/v1/exchange/conversions/{id}/requests", "requestReview", review, "Request a review by the advertiser", s.requestReview, created)
	handle(r, get, "/api/v1/exchange/conversions/{id}/requests", "listConversionRequests", read, "List review requests for a conversion", s.listConversionRequests, filtered(conversionRequestListing))
	raw(r, get, "/api/v1/exchange/stream", "liveStream", read, "Stream changes, conversions and partnerships live", s.liveStream, unending)
	describeLiveStream(r, "/api/v1/exchange/stream")

	r.group("Service", "Health, metrics and this document.")
	raw(r, get, "/healthz", "healthz", public, "Check that this process answers", s.healthz, quiet, says(answers(200, "The process answers.", jsonOf[map[string]string]())))
	raw(r, get, "/readyz", "readyz", public, "Check whether this process can serve requests, and which dependencies fail", s.readyz, quiet, says(answers(200, "Ready.", jsonOf[readiness]()), answers(503, "Not ready.", jsonOf[readiness]())))
	raw(r, get, "/metrics", "metrics", operatorOnly, "Metrics for Prometheus", s.metrics, quiet, anyHost, says(answers(200, "Metrics in the text format.", plainText)))
	raw(r, get, "/openapi.json", "openAPIDocument", public, "This document", s.openAPIDocument(r.api.OpenAPI()), quiet, ownHost, says(answers(200, "OpenAPI 3.1.", jsonOf[map[string]any]())))
	raw(r, get, "/docs", "docs", public, "API reference as a page", s.docs, quiet, ownHost, says(answers(200, "The page.", htmlPage)))
	raw(r, get, "/docs/{file}", unlisted, public, "A script of that page", s.docsFile, quiet, ownHost, hidden)
	raw(r, get, "/", unlisted, public, "Leads to the page", s.home, quiet, ownHost, hidden)
}
