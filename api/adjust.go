package api

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/domain"
)

type adjustInput struct {
	ByID
	Body struct {
		Amount       *Decimal `json:"amount,omitempty" doc:"The sale amount. No other figure is computed from it."`
		Revenue      *Decimal `json:"revenue,omitempty"`
		Payout       *Decimal `json:"payout,omitempty"`
		Reward       *Decimal `json:"reward,omitempty" doc:"In points."`
		Reason       string   `json:"reason" doc:"Free text, stored in the history."`
		OverrideCaps bool     `json:"overrideCaps,omitempty" doc:"Increase the revenue even if the budget is exhausted."`
	}
}

type adjustOutput struct{ Body conversionView }

// adjustConversion sets a live conversion's figures anew, for a person (rules 24, 42). The answer is the
// conversion as it stands.
func (s *Server) adjustConversion(ctx context.Context, in *adjustInput) (*adjustOutput, error) {
	request, err := checkAdjust(ctx, in)
	if err != nil {
		return nil, err
	}
	decisions := &attribution.Decisions{Store: s.Store, Keys: s.Keys, Nudge: s.nudge, Now: s.now}
	row, err := decisions.Adjust(context.WithoutCancel(ctx), request)
	switch {
	case errors.Is(err, attribution.ErrNoConversion):
		return nil, problem.NotFound()
	case errors.Is(err, domain.ErrAdjustRejected):
		return nil, problem.Conflict("The conversion is Rejected: " + err.Error() + ".")
	case errors.Is(err, attribution.ErrBudgetExhausted):
		problem := problem.Conflict("The remaining budget of the offer is less than this revenue.")
		problem.Errors = append(problem.Errors, domain.FieldError{Field: "revenue", Reason: err.Error()})
		return nil, problem
	case errors.Is(err, domain.ErrDecidedByAdvertiser): // rule 58
		return nil, problem.Forbidden("The conversion is " + err.Error() + ".")
	case errors.Is(err, domain.ErrPublishersPayout): // rule 57
		return nil, problem.Forbidden("The other side of the shared offer sets this.", domain.FieldError{Field: "payout", Reason: err.Error()})
	case errors.Is(err, domain.ErrPublishersReward):
		return nil, problem.Forbidden("The other side of the shared offer sets this.", domain.FieldError{Field: "reward", Reason: err.Error()})
	case errors.Is(err, domain.ErrNobodyToPay):
		return nil, problem.BadField("payout", err.Error())
	case err != nil && !errors.Is(err, domain.ErrNothingAdjusted):
		return nil, err
	}
	views := []conversionView{conversionOf(&row)}
	s.linkConversions(views)
	if err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error { return describeConversions(ctx, tx, views) }); err != nil {
		return nil, err
	}
	return &adjustOutput{Body: views[0]}, nil
}

func checkAdjust(ctx context.Context, in *adjustInput) (attribution.AdjustRequest, error) {
	var c checks
	body := &in.Body
	request := attribution.AdjustRequest{
		TenantID: principal(ctx).TenantID, ConversionID: in.ID, RequestID: effectID(ctx).String(), Actor: principal(ctx).Actor,
		Note: strings.TrimSpace(body.Reason), OverrideCaps: body.OverrideCaps,
		Figures: domain.Adjustment{
			Amount: c.notNegative("amount", body.Amount), Revenue: c.notNegative("revenue", body.Revenue),
			Payout: c.notNegative("payout", body.Payout), Reward: c.notNegative("reward", body.Reward),
		},
	}
	if request.Figures == (domain.Adjustment{}) {
		c.add("body", "must set a figure: amount, revenue, payout or reward")
	}
	switch {
	case request.Note == "":
		c.add("reason", "is required")
	case utf8.RuneCountInString(request.Note) > maxNoteLength:
		c.add("reason", "must have at most %d characters", maxNoteLength)
	case strings.ContainsRune(request.Note, 0):
		c.add("reason", "contains a character that cannot be stored")
	}
	return request, c.err()
}
