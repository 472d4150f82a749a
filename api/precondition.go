package api

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/offerflow/offerflow/api/problem"
)

// precondition is what the handler looks at before anything else, and so comes before the refusal of a
// body that the handler never sees.
func precondition(check func(huma.Context) error) option {
	return func(r *route) { r.precondition = check }
}

// huma has one such hook for the whole process.
func init() {
	huma.NewErrorWithContext = func(ctx huma.Context, status int, detail string, errs ...error) huma.StatusError {
		if status == http.StatusInternalServerError && len(errs) > 0 {
			return problem.Of(ctx.Context(), errs[0])
		}
		if p := failedPrecondition(ctx); p != nil {
			return p
		}
		return huma.NewError(status, detail, errs...)
	}
}

// failedPrecondition is the refusal that comes before that of what cannot be read, or nil.
func failedPrecondition(ctx huma.Context) *problem.Problem {
	line, ok := ctx.Operation().Metadata["route"].(route)
	if !ok || line.precondition == nil {
		return nil
	}
	err := line.precondition(ctx)
	if err == nil {
		return nil
	}
	p := problem.Of(ctx.Context(), err)
	for name, values := range p.GetHeaders() {
		for _, value := range values {
			ctx.AppendHeader(name, value)
		}
	}
	return p
}
