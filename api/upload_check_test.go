package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/clocktest"
	"github.com/offerflow/offerflow/domain"
)

type checkedUpload struct {
	DryRun           bool
	Lines, Good, Bad int
	BadLines         []struct {
		Number             int
		Line, Field, Error string
	}
}

// A dry run of an upload names every bad line with its column, as the job that does it then does, and decides
// and keeps nothing.
func TestUploadDryRunNamesEveryBadLine(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	neighbour := b.neighbour("Others", "advertiser", "10")
	good, refused, foreign := b.click("anna"), b.click("ben", func(c *domain.Click) { c.RefusedReason = domain.ReasonOutOfTarget }), neighbour.click("zoe")
	at := func(ago time.Duration) string { return clocktest.Now().Add(-ago).UTC().Format(time.RFC3339) }
	file := "\uFEFFClickId,EventID,UserCompletedAt,Revenue,Reward,ConversionId\r\n" + strings.Join([]string{
		good.String() + "," + eventInstall + "," + at(time.Minute) + ",N/A,null,order-1",
		"nonsense," + eventInstall + ",,,,",
		"",
		uuid.NewString() + "," + eventInstall + ",,,,",
		refused.String() + "," + eventInstall + ",,,,",
		foreign.String() + "," + eventInstall + ",,,,",
		good.String() + ",no such event,,,,",
		good.String() + ",{event_name},,,,",
		good.String() + "," + eventInstall + "," + at(2*time.Hour) + ",,,", // the click is an hour old
		good.String() + "," + eventInstall + "," + at(-time.Hour) + ",,,",
		good.String() + "," + eventInstall + ",yesterday,,,",
		good.String() + "," + eventInstall + ",,much,,",
		good.String() + "," + eventInstall + ",,," + strings.Repeat("x", 300) + ",",
		good.String() + "," + eventInstall,
	}, "\n")
	finance := b.me.token("finance").with("Content-Type", "text/csv")
	var checked checkedUpload
	finance.with("Idempotency-Key", "dry").post(uploadPath+"?dryRun=true", file).into(http.StatusOK, &checked)
	require.Equal(t, []any{true, 13, 1, 12}, []any{checked.DryRun, checked.Lines, checked.Good, checked.Bad})
	for _, table := range []string{"jobs", "job_items", "postbacks", "conversions", "idempotency_keys WHERE key LIKE '%dry%'"} {
		require.Zero(t, b.count("SELECT count(*) FROM "+table), table)
	}
	var told []string
	for _, bad := range checked.BadLines {
		told = append(told, bad.Field+": "+bad.Error)
		require.LessOrEqual(t, len(bad.Line), 200)
	}
	for i, want := range []string{
		"ClickId: must be a click id", "ClickId: unknown_click", "ClickId: unknown_click", "ClickId: unknown_click",
		"EventID: unknown_event: ", "EventID: missing_event: The offer has several events, but EventID, which must name one of them, is the macro {event_name}",
		"UserCompletedAt: is before the click, which was at ", "UserCompletedAt: is in the future", "UserCompletedAt: must be an RFC 3339 time",
		"Revenue: must be a non-negative number", "Reward: must be a non-negative number", ": has 2 columns, the first line has 6",
	} {
		require.True(t, strings.HasPrefix(told[i], want), "%d: %s", i, told[i])
	}

	id := finance.upload(file)
	b.works(id)
	got := b.me.job(id)
	require.Equal(t, "done", got.State)
	require.Len(t, got.Failures, len(checked.BadLines), "what is done fails in the same lines")
	for i, failure := range got.Failures {
		require.Equal(t, checked.BadLines[i].Number, failure.Number)
		if reason, _, isReason := strings.Cut(checked.BadLines[i].Error, ": "); isReason { // one of the closed list
			require.Equal(t, reason, failure.Error)
			continue
		}
		require.Equal(t, checked.BadLines[i].Error, failure.Error)
	}
	require.Equal(t, 1, b.count("SELECT count(*) FROM conversions"))
	finance.post(uploadPath+"?dryRun=maybe", file).refused(http.StatusBadRequest, "dryRun")
	finance.post(uploadPath+"?dryrun=true", file).refused(http.StatusBadRequest, "dryrun")
	finance.post(uploadPath+"?dryRun=true", "ClickId,Price\n").refused(http.StatusBadRequest, "body")
	b.me.token("readonly").with("Content-Type", "text/csv").post(uploadPath+"?dryRun=true", file).refused(http.StatusForbidden)
}

// Rule 7: two purchases of one click in one file are two, by the id that the advertiser gives each; the same id
// again is the same purchase. Without an id the second one is taken for a retry.
func TestUploadTellsPurchasesApartByTheirIDs(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.exec("UPDATE offer_versions SET document = jsonb_set(document::jsonb, '{events,0,allowRepetitions}', 'true')")
	with, without := b.click("anna"), b.click("ben")
	line := func(click uuid.UUID, id string) string { return click.String() + "," + eventInstall + "," + id + "\n" }
	finance := b.me.token("finance")
	id := finance.upload("ClickId,EventID,ConversionId\n" + line(with, "order-1") + line(with, "order-2") + line(with, "order-1") + line(without, "") + line(without, ""))
	b.works(id)
	got := b.me.job(id)
	require.Equal(t, []any{"done", 5, 3, 0, 5}, []any{got.State, got.Total, got.Changed, got.Failed, got.Done}, "%+v", got.Failures)
	require.Equal(t, 2, b.count("SELECT count(*) FROM conversions WHERE click_id = $1 AND cnv_conversion_id IN ('order-1', 'order-2')", with))
	require.Equal(t, 1, b.count("SELECT count(*) FROM conversions WHERE click_id = $1", without))
	again := finance.upload("ClickId,EventID,ConversionId\n" + line(with, "order-2") + line(with, "order-3"))
	b.works(again)
	require.Equal(t, []any{1, 0, 2}, []any{b.me.job(again).Changed, b.me.job(again).Failed, b.me.job(again).Done})
}

// Of an offer that pays a share of the sale a line must state its figures.
func TestUploadDryRunNeedsFiguresForAShareOfTheSale(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.exec(`UPDATE offer_versions SET document = jsonb_set(document::jsonb, '{conversionType}', '"RevShare"')`)
	click := b.click("anna")
	var checked checkedUpload
	b.me.with("Content-Type", "text/csv").post(uploadPath+"?dryRun=true", "ClickId,EventID,Revenue,Reward\n"+
		click.String()+","+eventInstall+",,\n"+click.String()+","+eventInstall+",2,3\n").into(http.StatusOK, &checked)
	require.Equal(t, []int{2, 1, 1}, []int{checked.Lines, checked.Good, checked.Bad})
	require.Equal(t, "Revenue", checked.BadLines[0].Field)
	require.Contains(t, checked.BadLines[0].Error, "missing_amount: ")
}
