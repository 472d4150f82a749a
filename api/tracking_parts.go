package api

import (
	"github.com/offerflow/offerflow/api/offercache"
	"github.com/offerflow/offerflow/api/tracking"
)

// TrackingParts are what the public edge works with: tracking.Start makes an edge of them, which belongs into
// s.Tracking before Handler is called.
func (s *Server) TrackingParts() tracking.Parts {
	offers := offercache.New(s.Store, s.Keys)
	offers.TokensRevoked, offers.Now = s.tokens.forget, s.now
	return tracking.Parts{
		Config: tracking.Config{
			PublicURL: s.Config.PublicURL, TrustedProxies: s.Config.TrustedProxies, CountryHeader: s.Config.CountryHeader,
			GeoIPFile: s.Config.GeoIPFile, MaxWaiting: s.Config.MaxWaiting, MaxWaitingPerAddress: s.Config.MaxWaitingPerAddress,
			Refused: s.Config.Refused,
		},
		Keys: s.Keys, Store: s.Store, Offers: offers, Clicks: s.Clicks, Messages: s.Stream, Refusals: s.Refusals, Now: s.now,
	}
}
