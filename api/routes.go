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
	handle(r, post, "/api/v1/tenants", "createTenant", operatorOnly, "Make a tenant", s.createTenant, created)
	handle(r, get, "/api/v1/tenants", "listTenants", operatorOnly, "List tenants", s.listTenants, filtered(tenantListing))
	handle(r, post, "/api/v1/tokens", "createToken", manage, "Make an API token", s.createToken, created)
	handle(r, get, "/api/v1/tokens", "listTokens", manage, "List API tokens", s.listTokens, filtered(tokenListing))
	handle(r, remove, "/api/v1/tokens/{id}", "revokeToken", manage, "Revoke an API token", s.revokeToken)
	handle(r, post, "/api/v1/advertisers", "createAdvertiser", manage, "Make an advertiser", s.createAdvertiser, created)
	handle(r, get, "/api/v1/advertisers", "listAdvertisers", read, "List advertisers", s.listAdvertisers, filtered(s.advertiserListing()))
	handle(r, get, "/api/v1/advertisers/{id}", "getAdvertiser", read, "Get an advertiser", s.getAdvertiser, forAdvertisers(r, s.getAdvertiserForAdvertiser))
	handle(r, put, "/api/v1/advertisers/{id}", "updateAdvertiser", manage, "Change an advertiser", s.updateAdvertiser)
	handle(r, post, "/api/v1/advertisers/{id}/key/rotate", "rotateAdvertiserKey", manage, "Make a new postback address; the old one lives for 24 h more", s.rotateAdvertiserKey)
	handle(r, post, "/api/v1/advertisers/{id}/signing-secret/rotate", "rotateSigningSecret", manage, "Make or set a new signing secret; the old one lives for 24 h more", s.rotateSigningSecret)
	handle(r, post, "/api/v1/partners", "createPartner", manage, "Make a partner", s.createPartner, created)
	handle(r, get, "/api/v1/partners", "listPartners", read, "List partners", s.listPartners, filtered(partnerListing))
	handle(r, get, "/api/v1/partners/{id}", "getPartner", read, "Get a partner", s.getPartner)
	handle(r, put, "/api/v1/partners/{id}", "updatePartner", manage, "Change a partner", s.updatePartner)
	handle(r, post, "/api/v1/partner-tiers", "createPartnerTier", manage, "Make a partner tier", s.createPartnerTier, created)
	handle(r, get, "/api/v1/partner-tiers", "listPartnerTiers", read, "List partner tiers", s.listPartnerTiers, filtered(partnerTierListing))
	handle(r, get, "/api/v1/partner-tiers/{id}", "getPartnerTier", read, "Get a partner tier", s.getPartnerTier)
	handle(r, put, "/api/v1/partner-tiers/{id}", "updatePartnerTier", manage, "Change a partner tier", s.updatePartnerTier)
	handle(r, post, "/api/v1/payout-structures", "createPayoutStructure", manage, "Make a payout structure", s.createPayoutStructure, created)
	handle(r, get, "/api/v1/payout-structures", "listPayoutStructures", read, "List payout structures", s.listPayoutStructures, filtered(payoutStructureListing))
	handle(r, get, "/api/v1/payout-structures/{id}", "getPayoutStructure", read, "Get a payout structure", s.getPayoutStructure)
	handle(r, put, "/api/v1/payout-structures/{id}", "updatePayoutStructure", manage, "Change a payout structure", s.updatePayoutStructure)
	handle(r, post, "/api/v1/partner-payouts", "createPartnerPayout", manage, "Make a custom payout", s.createPartnerPayout, created)
	handle(r, get, "/api/v1/partner-payouts", "listPartnerPayouts", read, "List custom payouts", s.listPartnerPayouts, filtered(partnerPayoutListing), forPartners(r, s.listPartnerPayoutsForPartner))
	handle(r, get, "/api/v1/partner-payouts/{id}", "getPartnerPayout", read, "Get a custom payout with its versions", s.getPartnerPayout, forPartners(r, s.getPartnerPayoutForPartner))
	handle(r, put, "/api/v1/partner-payouts/{id}", "updatePartnerPayout", manage, "Change a custom payout", s.updatePartnerPayout)
	handle(r, post, "/api/v1/placements", "createPlacement", manage, "Make a placement", s.createPlacement, created)
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
	handle(r, post, "/api/v1/sdk-offer-management/{product}/offers", "createOffer", manage, "Make an offer", s.createOffer, created, maxBody(offerMaxBody))
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
	handle(r, post, "/api/v1/offers/{id}/links", "createLink", manage, "Make a tracking link", s.createLink, created)
	handle(r, get, "/api/v1/offers/{id}/links", "listLinks", read, "List an offer's tracking links", s.listLinks, filtered(s.linkListing()), forPartners(r, s.listLinksForPartner))
	handle(r, get, "/api/v1/offers/{id}/goals", "listGoals", read, "List an offer's goals", s.listGoals, filtered(s.goalListing(uuid.Nil, &domain.Offer{})))
	handle(r, post, "/api/v1/offers/{id}/scheduled-changes", "scheduleChange", manage, "Schedule a change of revenue or reward", s.scheduleChange, created, repeatable)
	handle(r, get, "/api/v1/offers/{id}/scheduled-changes", "listScheduledChanges", read, "List an offer's scheduled changes", s.listScheduledChanges, filtered(scheduledChangeListing))
	handle(r, remove, "/api/v1/offers/{id}/scheduled-changes/{changeId}", "cancelChange", manage, "Cancel a scheduled change", s.cancelChange)
	handle(r, post, "/api/v1/integrations/offer-providers/custom/offers", "importOffers", manage, "Import the offers of a feed", s.importOffers, maxBody(importMaxBody))

	r.group("Tracking", "Clicks, postbacks and pixels: the addresses that advertisers, partners and members use. They need no token.")
	raw(r, get, "/c/{linkId}", "clickTracked", public, "Click a tracking link", s.Tracking.ClickTracked, lean, reads(tracking.ClickFields), saysClick)
	raw(r, http.MethodHead, "/c/{linkId}", unlisted, public, "Whether a tracking link is there", s.Tracking.LinkProbed, quiet, hidden)
	raw(r, get, "/api/v1/offer-link/redirect/{linkId}", unlisted, public, "Click a tracking link", s.Tracking.ClickTracked, lean, hidden)
	raw(r, get, "/api/v1/offer-wall/offer-link-redirect", "wallClickTracked", public, "Click an offer's own link", s.Tracking.WallClickTracked, lean, reads(tracking.WallClickFields, tracking.ClickFields), saysClick)
	for i, path := range []string{"/track", "/postback", "/api/v1/conversion"} {
		options := []option{reads(tracking.PostbackFields), saysPostback, quiet, hidden}[:min(4, i+3)] // the first spelling is the documented one
		raw(r, get, path, "postbackTracked", public, "Post a conversion", s.Tracking.PostbackTracked, options...)
		raw(r, post, path, "postbackTracked2", public, "Post a conversion", s.Tracking.PostbackTracked, append(options, streamed)...)
		raw(r, get, path+"/{advertiserKey}", "keyedGetTracked", public, "Post a conversion; for an id, the answer to an earlier one", s.Tracking.KeyedGetTracked, append(options, saysKeyed)...)
		raw(r, post, path+"/{advertiserKey}", "postbackTracked3", public, "Post a conversion", s.Tracking.PostbackTracked, append(options, streamed)...)
	}
	raw(r, get, "/pixel.gif", "imagePixelTracked", public, "A conversion by an image on a page", s.Tracking.ImagePixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/pixel", "framePixelTracked", public, "A conversion by a frame on a page", s.Tracking.FramePixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/aff_c", "tuneClickTracked", public, "Click by offer and partner, in TUNE's form", s.Tracking.TuneClickTracked, lean, reads(tracking.TuneClickFields, tracking.ClickFields), saysClick)
	raw(r, get, "/aff_l", "leadPixelTracked", public, "A conversion by a pixel, in TUNE's form", s.Tracking.LeadPixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/SL{code}", "opaquePixelTracked", public, "A conversion by an opaque pixel", s.Tracking.OpaquePixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/GL{code}", "opaqueGoalPixelTracked", public, "A conversion of a goal by an opaque pixel", s.Tracking.OpaqueGoalPixelTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysPixel)
	raw(r, get, "/aff_lsr", "leadTracked", public, "Post a conversion in TUNE's form", s.Tracking.LeadTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, post, "/aff_lsr", "leadTracked2", public, "Post a conversion in TUNE's form", s.Tracking.LeadTracked, streamed, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, get, "/aff_goal", "goalTracked", public, "Post a conversion of a goal in TUNE's form; with a=l, its pixel", s.Tracking.GoalTracked, quiet, reads(tracking.TuneGoalFields, tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, post, "/aff_goal", "goalTracked2", public, "Post a conversion of a goal in TUNE's form; with a=l, its pixel", s.Tracking.GoalTracked, streamed, quiet, reads(tracking.TuneGoalFields, tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, get, "/SP{code}", "opaqueTracked", public, "Post a conversion to an opaque address", s.Tracking.OpaqueTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, post, "/SP{code}", "opaqueTracked2", public, "Post a conversion to an opaque address", s.Tracking.OpaqueTracked, streamed, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, get, "/GP{code}", "opaqueGoalTracked", public, "Post a conversion of a goal to an opaque address", s.Tracking.OpaqueGoalTracked, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)
	raw(r, post, "/GP{code}", "opaqueGoalTracked2", public, "Post a conversion of a goal to an opaque address", s.Tracking.OpaqueGoalTracked, streamed, quiet, reads(tracking.PostbackFields, tracking.TunePostbackFields), saysTune)

	r.group("Conversions, review, logs", "What happened and why: conversions, their review, jobs, postbacks, clicks, members, reports, audit.")
	handle(r, get, "/api/v1/sdk-conversion-system/conversions", "listConversions", read, "List conversions", s.listConversions, filtered(conversionListing),
		forPartners(r, s.listConversionsForPartner), forAdvertisers(r, s.listConversionsForAdvertiser))
	handle(r, get, "/api/v1/conversions/{id}", "getConversion", read, "Get a conversion with its whole history", s.getConversion,
		forPartners(r, s.getConversionForPartner), forAdvertisers(r, s.getConversionForAdvertiser))
	handle(r, post, "/api/v1/conversions/review", "reviewConversions", review, "Approve, reject or reverse conversions", s.reviewConversions, orAccepted("The job that does it: more than 100, or a filter."), repeatable, maxBody(reviewMaxBody))
	handle(r, post, "/api/v1/conversions/{id}/adjust", "adjustConversion", review, "Adjust a conversion's figures", s.adjustConversion, repeatable)
	raw(r, post, "/api/v1/conversions/upload", "uploadConversions", review, "Upload conversions as CSV", s.uploadConversions, streamed)
	takesCSV(r, "/api/v1/conversions/upload")
	handle(r, get, "/api/v1/jobs", "listJobs", read, "List jobs", s.listJobs, filtered(jobListing))
	handle(r, get, "/api/v1/jobs/{id}", "getJob", read, "See how far a job is", s.getJob)
	handle(r, get, "/api/v1/jobs/{id}/items", "listJobItems", read, "List a job's items and how they ended", s.listJobItems, filtered(jobItemListing))
	handle(r, post, "/api/v1/jobs/{id}/pause", "pauseJob", review, "Pause a job", s.pauseJob)
	handle(r, post, "/api/v1/jobs/{id}/resume", "resumeJob", review, "Let a paused job go on", s.resumeJob)
	handle(r, post, "/api/v1/tools/test-conversion", "testConversion", manage, "Send a test through click, postback, conversion and callback", s.testConversion,
		repeatable, forAdvertisers(r, s.testConversionForAdvertiser))
	handle(r, get, "/api/v1/postbacks", "listPostbacks", read|byOperator, "List every postback received", s.listPostbacks, filtered(postbackListing),
		forAdvertisers(r, s.listPostbacksForAdvertiser))
	handle(r, get, "/api/v1/clicks", "listClicks", read, "List clicks, refused ones too, newest first", s.listClicks, filtered(clickListing))
	handle(r, get, "/api/v1/clicks/{id}", "traceClick", read, "Trace a click", s.traceClick, forPartners(r, s.traceClickForPartner))
	handle(r, get, "/api/v1/members/{pub_member_id}/offers", "memberOffers", read, "List a member's started and finished offers", s.memberOffers, filtered(memberOfferListing))
	handle(r, get, "/api/v1/members/{pub_member_id}/balance", "memberBalance", read, "Get a member's points", s.memberBalance)
	handle(r, get, "/api/v1/members/{pub_member_id}/ledger", "memberLedger", read, "List a member's entries", s.memberLedger, filtered(memberLedgerListing))
	handle(r, get, "/api/v1/members/{pub_member_id}/export", "exportMember", read, "Export everything that is kept about a member", s.exportMember, unending)
	describeMemberExport(r, "/api/v1/members/{pub_member_id}/export")
	handle(r, remove, "/api/v1/members/{pub_member_id}", "eraseMember", manage, "Erase a member: a random pseudonym in its place, figures stay", s.eraseMember, accepted)
	handle(r, get, "/api/v1/reports/performance", "performance", read, "Report clicks, conversions and money", s.performance, reporting,
		forPartners(r, s.performanceForPartner), forAdvertisers(r, s.performanceForAdvertiser))
	handle(r, get, "/api/v1/integrations/cost-report/singular/json", "singularCostReport", read, "Report cost for Singular to pull", s.singularCostReport, forAdvertisers(r, s.singularCostReport), openQuery, reporting)
	handle(r, get, "/api/v1/integrations/cost-report/appsflyer/json", "appsFlyerCostReport", read, "Report cost for AppsFlyer to pull", s.appsFlyerCostReport, forAdvertisers(r, s.appsFlyerCostReport), openQuery, reporting)
	answersJSON[costReport[singularRow]](r, "/api/v1/integrations/cost-report/singular/json")
	answersJSON[costReport[appsFlyerRow]](r, "/api/v1/integrations/cost-report/appsflyer/json")
	handle(r, get, "/api/v1/verdict-findings", "listVerdictFindings", read, "List verdicts of advertisers that were not believed", s.listVerdictFindings, filtered(verdictFindingListing))
	handle(r, get, "/api/v1/audit", "listAudit", read, "List who did what", s.listAudit, filtered(auditListing))

	r.group("Callbacks", "What is sent to the tenant and to its partners, with every attempt.")
	handle(r, put, "/api/v1/callback-endpoint", "putCallbackEndpoint", manage, "Set the callback endpoint", s.putCallbackEndpoint)
	handle(r, get, "/api/v1/callback-endpoint", "getCallbackEndpoint", read, "Get the callback endpoint", s.getCallbackEndpoint)
	handle(r, post, "/api/v1/callback-endpoint/rotate", "rotateCallbackSecret", manage, "Make a new signing secret; the old one lives for 24 h more", s.rotateCallbackSecret)
	handle(r, post, "/api/v1/callback-endpoint/test", "testCallbackEndpoint", manage, "Send a test callback", s.testCallbackEndpoint, accepted)
	handle(r, post, "/api/v1/partner-postbacks", "createPartnerPostback", manage, "Make a partner postback", s.createPartnerPostback, created, repeatable)
	handle(r, get, "/api/v1/partner-postbacks", "listPartnerPostbacks", read, "List partner postbacks", s.listPartnerPostbacks, filtered(partnerPostbackListing), forPartners(r, s.listPartnerPostbacksForPartner))
	handle(r, get, "/api/v1/partner-postbacks/{id}", "getPartnerPostback", read, "Get a partner postback", s.getPartnerPostback, forPartners(r, s.getPartnerPostbackForPartner))
	handle(r, put, "/api/v1/partner-postbacks/{id}", "updatePartnerPostback", manage, "Change a partner postback", s.updatePartnerPostback)
	handle(r, post, "/api/v1/partner-postbacks/preview", "previewPartnerPostback", manage, "Show the request that a conversion would make", s.previewPartnerPostback)
	handle(r, get, "/api/v1/deliveries", "listDeliveries", read, "List deliveries with their attempts", s.listDeliveries, filtered(deliveryListing), forPartners(r, s.listDeliveriesForPartner))
	handle(r, post, "/api/v1/deliveries/{id}/resend", "resendDelivery", manage, "Send a delivery again", s.resendDelivery, accepted)
	handle(r, post, "/api/v1/deliveries/resend", "resendDeliveries", manage, "Send again what a filter finds", s.resendDeliveries, accepted)

	r.group("Failed messages", "What no retry mends: seen here, and sent again once its cause is mended.")
	handle(r, get, "/api/v1/failed-messages", "listFailedMessages", manage, "List what failed for good and waits to be sent again", s.listFailedMessages, filtered(failedMessageListing))
	handle(r, get, "/api/v1/failed-messages/{id}", "getFailedMessage", manage, "Get a failed message", s.getFailedMessage)
	handle(r, post, "/api/v1/failed-messages/{id}/resend", "resendFailedMessage", manage, "Send a failed message again", s.resendFailedMessage, accepted, repeatable)
	handle(r, post, "/api/v1/failed-messages/resend", "resendFailedMessages", manage, "Send failed messages again", s.resendFailedMessages, accepted, repeatable)
	handle(r, get, "/api/v1/operator/failed-messages", "listAllFailedMessages", operatorOnly, "List failed messages of all tenants and of none", s.listAllFailedMessages, filtered(allFailedMessages()))
	handle(r, get, "/api/v1/operator/failed-messages/{id}", "getAnyFailedMessage", operatorOnly, "Get anybody's failed message", s.getAnyFailedMessage)
	handle(r, post, "/api/v1/operator/failed-messages/{id}/resend", "resendAnyFailedMessage", operatorOnly, "Send anybody's failed message again", s.resendAnyFailedMessage, accepted, repeatable)
	handle(r, post, "/api/v1/operator/failed-messages/resend", "resendAllFailedMessages", operatorOnly, "Send failed messages of all tenants again", s.resendAllFailedMessages, accepted, repeatable)

	r.group("Offer wall", "What a member can do, for walls that publishers build themselves.")
	handle(r, get, "/api/v1/offer-wall/offers", "wallOffers", read, "List what a member can do, best first", s.wallOffers, openQuery)
	handle(r, get, "/api/v1/offer-wall/offer-details", "wallDetails", read, "Show an offer to a member, which makes a view", s.wallDetails, openQuery, writes)
	handle(r, get, "/api/v1/offer-wall/offer-link", "wallLink", read, "Get the tracking link of a view", s.wallLink, openQuery, writes)
	handle(r, get, "/api/v1/offer-wall/pub-member/offers", "startedOffers", read, "List what a member has started or completed", s.startedOffers, openQuery)

	r.group("Exchange", "An advertiser and a publisher working on one live offer.")
	handle(r, get, "/api/v1/exchange/profile", "getExchangeProfile", read, "Get how the directory shows this tenant", s.getExchangeProfile)
	handle(r, put, "/api/v1/exchange/profile", "updateExchangeProfile", manage, "Change how the directory shows this tenant", s.updateExchangeProfile)
	handle(r, get, "/api/v1/exchange/directory", "listDirectory", read, "List the tenants that can be worked with", s.listDirectory, filtered(directoryListing))
	handle(r, post, "/api/v1/exchange/shares", "shareOffer", manage, "Share an offer with a publisher", s.shareOffer, created, repeatable)
	handle(r, get, "/api/v1/exchange/partnerships", "listPartnerships", read, "List partnerships, of either side", s.listPartnerships, filtered(partnershipListing(uuid.Nil)))
	handle(r, get, "/api/v1/exchange/partnerships/{id}", "getPartnership", read, "Get a partnership", s.getPartnership)
	handle(r, post, "/api/v1/exchange/partnerships/{id}/accept", "acceptShare", manage, "Accept a requested share, which makes it live", s.acceptShare)
	handle(r, post, "/api/v1/exchange/partnerships/{id}/decline", "declineShare", manage, "Decline a requested share", s.declineShare)
	handle(r, post, "/api/v1/exchange/partnerships/{id}/end", "endPartnership", manage, "End a partnership; earlier clicks still convert", s.endPartnership)
	handle(r, get, "/api/v1/exchange/partnerships/{id}/reconciliation", "listReconciliations", read, "List how the books of a partnership compared", s.listReconciliations, filtered(reconciliationListing), writes)
	handle(r, post, "/api/v1/exchange/partnerships/{id}/reconciliation", "reconcileNow", manage, "Compare the books of a partnership now", s.reconcileNow, accepted)
	handle(r, get, "/api/v1/exchange/offers/{id}", "getSharedOffer", read, "Get a shared offer", s.getSharedOffer)
	handle(r, patch, "/api/v1/exchange/offers/{id}", "editSharedOffer", manage, "Change fields of a shared offer", s.editSharedOffer, orAccepted("A proposal: only proposalId and warnings."),
		maxBody(offerMaxBody), precondition(s.sharedOfferMatches))
	takesOffer(r, patch, "/api/v1/exchange/offers/{id}")
	handle(r, post, "/api/v1/exchange/offers/{id}/apply", "applyToShares", manage, "Apply fields of an offer to all of its shares", s.applyToShares,
		accepted, repeatable, maxBody(offerMaxBody))
	handle(r, get, "/api/v1/exchange/offers/{id}/proposals", "listProposals", read, "List what either side proposed, and what became of it", s.listProposals, filtered(proposalListing))
	handle(r, post, "/api/v1/exchange/offers/{id}/proposals/{proposalId}/accept", "acceptProposal", manage, "Make the edit that the other side proposed", s.acceptProposal)
	handle(r, post, "/api/v1/exchange/offers/{id}/proposals/{proposalId}/decline", "declineProposal", manage, "Decline a proposal, or take one's own back", s.declineProposal)
	handle(r, get, "/api/v1/exchange/offers/{id}/changes", "listOfferChanges", read, "List who changed what of a shared offer", s.listOfferChanges, filtered(offerChangeListing))
	handle(r, get, "/api/v1/exchange/requests", "listReviewsAsked", read, "List what publishers asked to be reviewed, of all partnerships", s.listReviewsAsked, filtered(reviewAskedListing))
	handle(r, post, "/api/v1/exchange/conversions/{id}/requests", "requestReview", review, "Ask the advertiser to review a conversion", s.requestReview, created)
	handle(r, get, "/api/v1/exchange/conversions/{id}/requests", "listConversionRequests", read, "List what was asked about a conversion", s.listConversionRequests, filtered(conversionRequestListing))
	raw(r, get, "/api/v1/exchange/stream", "liveStream", read, "Follow changes, conversions and partnerships live", s.liveStream, unending)
	describeLiveStream(r, "/api/v1/exchange/stream")

	r.group("Service", "Health, metrics and this document.")
	raw(r, get, "/healthz", "healthz", public, "Whether this process answers", s.healthz, quiet, says(answers(200, "It does.", jsonOf[map[string]string]())))
	raw(r, get, "/readyz", "readyz", public, "Whether requests may be sent to this process, and what does not answer", s.readyz, quiet, says(answers(200, "Requests may be sent here.", jsonOf[readiness]()), answers(503, "They may not.", jsonOf[readiness]())))
	raw(r, get, "/metrics", "metrics", operatorOnly, "Metrics for Prometheus", s.metrics, quiet, anyHost, says(answers(200, "In the text format.", plainText)))
	raw(r, get, "/openapi.json", "openAPIDocument", public, "This document", s.openAPIDocument(r.api.OpenAPI()), quiet, ownHost, says(answers(200, "OpenAPI 3.1.", jsonOf[map[string]any]())))
	raw(r, get, "/docs", "docs", public, "The API as a page", s.docs, quiet, ownHost, says(answers(200, "A page.", htmlPage)))
	raw(r, get, "/docs/{file}", unlisted, public, "A script of that page", s.docsFile, quiet, ownHost, hidden)
	raw(r, get, "/", unlisted, public, "Leads to the page", s.home, quiet, ownHost, hidden)
}
