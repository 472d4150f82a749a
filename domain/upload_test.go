package domain

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestParseUploadHeader(t *testing.T) {
	columns, err := ParseUploadHeader("\uFEFFclickid, EVENTID,UserCompletedAt,Revenue,Reward,conversionid")
	require.NoError(t, err)
	require.Equal(t, uploadColumns, columns)
	columns, err = ParseUploadHeader("Reward,ClickId")
	require.NoError(t, err)
	require.Equal(t, []string{UploadReward, UploadClickID}, columns)
	for _, bad := range []string{"", "EventID", "ClickId,ClickId", "ClickId,Payout", `ClickId,"`, "01890000-0000-7000-8000-000000000000,buy"} {
		_, err := ParseUploadHeader(bad)
		require.Error(t, err, "%q", bad)
	}
}

func TestParseUploadLine(t *testing.T) {
	id := uuid.MustParse("01890000-0000-7000-8000-000000000000")
	at := time.Date(2026, 3, 4, 12, 0, 0, 500_000_000, time.UTC)
	line, wrong := ParseUploadLine(uploadColumns[:5], id.String()+`,"level, 5",2026-03-04T12:00:00.5Z,2.50,0`)
	require.Nil(t, wrong)
	require.Equal(t, UploadLine{ClickID: id, EventID: "level, 5", CompletedAt: &at, Revenue: figureOfText("2.5"), Reward: figureOfText("0")}, line)
	require.Equal(t, map[string]string{
		"ClickId": id.String(), "EventID": "level, 5", "UserCompletedAt": "2026-03-04T12:00:00.5Z", "Revenue": "2.50", "Reward": "0.00",
	}, line.Params())
	line, wrong = ParseUploadLine(uploadColumns[:5], id.String()+",,,,")
	require.Nil(t, wrong)
	require.Equal(t, UploadLine{ClickID: id}, line)
	line, wrong = ParseUploadLine(uploadColumns, id.String()+",buy,N/A,null,{reward},undefined")
	require.Nil(t, wrong, "what says nothing is left out")
	require.Equal(t, UploadLine{ClickID: id, EventID: "buy"}, line)
	line, wrong = ParseUploadLine(uploadColumns, id.String()+",buy,,,, order-7 ")
	require.Nil(t, wrong)
	require.Equal(t, UploadLine{ClickID: id, EventID: "buy", ConversionID: "order-7"}, line)
	require.Equal(t, "order-7", line.Params()["ConversionId"])
	require.Equal(t, "order-7", line.Postback("p").ConversionID)
	_, wrong = ParseUploadLine(uploadColumns, id.String()+",buy,,,,"+strings.Repeat("x", 256))
	require.NotNil(t, wrong)
	require.Equal(t, UploadConversionID, wrong.Field)

	for _, c := range []struct{ name, line, field string }{
		{"no click", ",buy,,,", UploadClickID},
		{"not a click", "x,buy,,,", UploadClickID},
		{"a time without a zone", id.String() + ",buy,2026-03-04 12:00,,", UploadCompletedAt},
		{"a negative figure", id.String() + ",buy,,-1,", UploadRevenue},
		{"words", id.String() + ",buy,,,many", UploadReward},
		{"an exponent", id.String() + ",buy,,1e3,", UploadRevenue},
		{"seven places", id.String() + ",buy,,0.0000001,", UploadRevenue},
		{"too few columns", id.String() + ",buy", ""},
		{"too many columns", id.String() + ",buy,,,,,", ""},
		{"a quote that stays open", id.String() + `,"buy,,,`, ""},
		{"not text", id.String() + ",\xff,,,", ""},
		{"a zero byte", id.String() + ",\x00,,,", ""},
		{"endless", id.String() + "," + strings.Repeat("x", MaxUploadLine) + ",,,", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, wrong := ParseUploadLine(uploadColumns[:5], c.line)
			require.NotNil(t, wrong)
			require.Equal(t, c.field, wrong.Field)
			require.NotEmpty(t, wrong.Reason)
		})
	}
}

// Every line is read or refused, whatever is in it.
func FuzzParseUploadLine(f *testing.F) {
	f.Add("01890000-0000-7000-8000-000000000000,buy,2026-03-04T12:00:00Z,1,2")
	f.Add("\"\n\r\x00,,,,")
	f.Fuzz(func(t *testing.T, line string) {
		read, wrong := ParseUploadLine(uploadColumns[:5], line)
		if wrong == nil && (read.Revenue != nil && *read.Revenue < 0 || read.Reward != nil && *read.Reward < 0) {
			t.Fatalf("%q is read with a negative figure: %+v", line, read)
		}
	})
}

func figureOfText(text string) *Micros {
	m, err := ParseMicros(text)
	if err != nil {
		panic(err)
	}
	return &m
}

// Rule 19: a person is told of a time before the click, or in the future, where a postback's is put aside.
func TestUploadCompletionBesideItsClick(t *testing.T) {
	clicked := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	now := clicked.Add(time.Hour)
	for at, want := range map[time.Time]string{
		clicked: "", now: "", clicked.Add(-60 * time.Second): "", now.Add(60 * time.Second): "",
		clicked.Add(-61 * time.Second): "is before the click, which was at 2026-03-04T12:00:00Z", now.Add(61 * time.Second): "is in the future",
	} {
		wrong := (&UploadLine{CompletedAt: &at}).CheckCompletion(clicked, now)
		if want == "" {
			require.Nil(t, wrong, at)
			continue
		}
		require.Equal(t, &FieldError{Field: UploadCompletedAt, Reason: want}, wrong)
	}
	require.Nil(t, (&UploadLine{}).CheckCompletion(clicked, now))
}
