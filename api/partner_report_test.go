package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// partnerFigures is what the asking partner reads of its report.
type partnerFigures struct {
	Clicks, UniqueClicks, RefusedClicks int
	Conversions                         struct{ Pending, Success, Rejected int }
	Payout, PendingPayout               string
}

func (s *spies) partnerTotals() partnerFigures {
	s.t.Helper()
	var report struct{ Totals partnerFigures }
	s.asking.get("/api/v1/reports/performance?from="+day(-2)+"&to="+day(1)+"&group_by=offer,event").into(http.StatusOK, &report)
	return report.Totals
}

// rule 66: a partner's report has its own clicks and conversions, and none of a goal that was private
// when the conversion was decided, is private now, or is switched off; from rollups as from raw rows.
func TestRule66PartnersReportHidesPrivateGoals(t *testing.T) {
	t.Parallel()
	s := newSpies(t)
	figures := func(success, rejected int, payout string) partnerFigures {
		want := partnerFigures{Clicks: 2, UniqueClicks: 2, RefusedClicks: 1, Payout: payout, PendingPayout: "0.00"}
		want.Conversions.Success, want.Conversions.Rejected = success, rejected
		return want
	}
	// Of the first click shown was reversed, structured pays 1.75, hush is private; shown of the second is fraud.
	expect := func(want partnerFigures) {
		t.Helper()
		require.Equal(t, want, s.partnerTotals(), "from raw rows")
		s.rollUp()
		require.Equal(t, want, s.partnerTotals(), "from rollups")
	}
	path := offersPath + "/" + s.offer.ID.String()
	setPrivate := func(eventID string, private bool) {
		t.Helper()
		document := map[string]any{}
		read := s.me.get(path)
		read.into(http.StatusOK, &document)
		for _, event := range document["offerEvents"].([]any) {
			if event := event.(map[string]any); event["eventId"] == eventID {
				event["isPrivate"] = private
			}
		}
		s.me.with("If-Match", read.header.Get("ETag")).put(path, document).into(http.StatusOK, nil)
	}
	expect(figures(1, 2, "1.75"))
	setPrivate("hush", false)
	expect(figures(1, 2, "1.75"))
	setPrivate("structured", true)
	expect(figures(0, 2, "0.00"))
	setPrivate("structured", false)
	expect(figures(1, 2, "1.75"))
	var settings map[string]any
	s.me.get("/api/v1/settings").into(http.StatusOK, &settings)
	settings["goalsEnabled"] = false
	s.me.put("/api/v1/settings", settings).into(http.StatusOK, nil)
	expect(figures(0, 2, "0.00")) // only shown is the default goal

	for _, refused := range []string{"group_by=advertiser", "group_by=partner", "group_by=placement", "filter.partnerId=" + s.rivals, "filter.advertiserId=" + s.advertiser} {
		require.Equal(t, http.StatusBadRequest, s.asking.get("/api/v1/reports/performance?from="+day(-2)+"&to="+day(1)+"&"+refused).status, refused)
	}
	header := string(s.csvOf("/api/v1/reports/performance?from=" + day(-2) + "&to=" + day(1) + "&group_by=offer").body)
	require.Contains(t, header, "offerId,offerName,clicks,uniqueClicks,refusedClicks,pendingConversions,successConversions,rejectedConversions,cvr,payout,pendingPayout,currency\n")
}
