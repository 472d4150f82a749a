package api

import (
	"context"

	"github.com/google/uuid"
)

type advertiserTestInput struct {
	Body struct {
		OfferID              uuid.UUID `json:"offerId"`
		EventID              string    `json:"eventId,omitempty" doc:"The advertiser's name of the event, or our id; default: the default goal."`
		Amount               string    `json:"amount,omitempty" doc:"cnv_amount of the postback; default: 10.00."`
		CompletePredecessors bool      `json:"completePredecessors,omitempty" doc:"Complete the preceding events first."`
	}
}

// testConversionForAdvertiser is the test tool for the advertiser's own offers: up to the conversion.
// What the tenant then sends to itself and to its partners is not the advertiser's to see.
func (s *Server) testConversionForAdvertiser(ctx context.Context, in *advertiserTestInput) (*testConversionOutput, error) {
	var test testConversionInput
	test.Body.OfferID, test.Body.EventID = in.Body.OfferID, in.Body.EventID
	test.Body.Amount, test.Body.CompletePredecessors = in.Body.Amount, in.Body.CompletePredecessors
	return s.testConversion(ctx, &test)
}
