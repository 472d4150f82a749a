package domain

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Rules 56 and 57: what is applied to all shares is taken from the offer by name, or given by value, and is
// what the advertiser edits there. Events are named by their eventId.
func TestRule56SharesPatch(t *testing.T) {
	t.Parallel()
	multi := patchedMulti(t)
	first, second := multi.Events[0].EventID, multi.Events[1].EventID
	single, _, errs := parseMap(t, singleDocument(), documentTerms())
	require.NoError(t, errs.Err())
	for fields, want := range map[string]string{
		`["headline","sessionDays"]`: `{"headline":"` + multi.Headline + `","sessionDays":30}`,
		`["offerEvents[].revenue"]`: `{"offerEvents":[{"eventId":"` + first + `","revenue":` + mustJSON(t, multi.Events[0].Revenue.text()) +
			`},{"eventId":"` + second + `","revenue":` + mustJSON(t, multi.Events[1].Revenue.text()) + `}]}`,
		`{"budget":7,"offerEvents":[{"eventId":"x","dailyCap":null}]}`: `{"budget":7,"offerEvents":[{"eventId":"x","dailyCap":null}]}`,
	} {
		patch, errs := SharesPatch(multi, json.RawMessage(fields))
		require.NoError(t, errs.Err(), fields)
		require.JSONEq(t, want, string(patch))
	}
	patch, errs := SharesPatch(&single, json.RawMessage(`["revenue"]`))
	require.NoError(t, errs.Err())
	require.JSONEq(t, `{"revenue":`+mustJSON(t, single.Events[0].Revenue.text())+`}`, string(patch))

	for fields, want := range map[string][]string{
		`[]`: {"fields"}, `{}`: {"fields"}, `7`: {"fields"}, `[`: {"fields"},
		`["reward","headline","isFeatured",7,"nothing","offerType"]`: {"fields[0]", "fields[2]", "fields[3]", "fields[4]", "fields[5]"},
		`["revenue","dailyCap","offerEvents[].eventId"]`:             {"fields[0]", "fields[1]", "fields[2]"},
		`{"reward":1,"headline":"x","id":"x"}`:                       {"fields.reward", "fields.id"},
		`{"offerEvents":[{"revenue":1},{"eventId":"x","reward":1,"id":"y"}]}`: {
			"fields.offerEvents[0].eventId", "fields.offerEvents[1].reward", "fields.offerEvents[1].id",
		},
		`{"offerEvents":7}`: {"fields.offerEvents"},
	} {
		_, errs := SharesPatch(multi, json.RawMessage(fields))
		require.Equal(t, want, fieldsNamed(errs), fields)
	}
	_, errs = SharesPatch(&single, json.RawMessage(`["offerEvents[].revenue"]`))
	require.Equal(t, []string{"fields[0]"}, fieldsNamed(errs))

	require.Equal(t, []string{"x"}, multi.MissingEvents(json.RawMessage(`{"offerEvents":[{"eventId":"x"},{"eventId":"`+first+`"}]}`)))
	require.Equal(t, []string{"revenue", "offerEvents[].revenue", "headline"}, ApplicableFields([]OfferChange{
		{Field: "revenue"}, {Field: "reward"}, {Field: eventField(multi.Events[0].ID.String(), "revenue")},
		{Field: eventField(multi.Events[1].ID.String(), "revenue")}, {Field: eventField(multi.Events[1].ID.String(), "eventId")}, {Field: "headline"},
	}))
}
