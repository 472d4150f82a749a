package api

// TrackingParts are what the public edge works with: StartTracking makes an edge of them, which belongs into
// s.Tracking before Handler is called.
func (s *Server) TrackingParts() TrackingParts {
	offers := NewOfferCache(s.Store, s.Keys)
	offers.tokensRevoked, offers.now = s.tokens.forget, s.now
	return TrackingParts{
		Config: TrackingConfig{
			PublicURL: s.Config.PublicURL, TrustedProxies: s.Config.TrustedProxies, CountryHeader: s.Config.CountryHeader,
			GeoIPFile: s.Config.GeoIPFile, MaxWaiting: s.Config.MaxWaiting, MaxWaitingPerAddress: s.Config.MaxWaitingPerAddress,
			Refused: s.Config.Refused,
		},
		Keys: s.Keys, Store: s.Store, Offers: offers, Clicks: s.Clicks, Messages: s.Stream, Refusals: s.Refusals, Now: s.now,
	}
}
