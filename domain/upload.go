package domain

import (
	"encoding/csv"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Upload marks a postback that a person made by a line of a file: it needs no advertiser's security,
// and its time of completion is trusted as an authenticated sender's is (rule 19).
type Upload struct {
	// Actor is the person's token.
	Actor string `json:"actor"`
	// Revenue and Reward, where given, stand in place of the offer's figures.
	Revenue *Micros `json:"revenue,omitempty"`
	Reward  *Micros `json:"reward,omitempty"`
}

// The columns of an upload (http.md). ClickId must be there; the others may be left out.
const (
	UploadClickID     = "ClickId"
	UploadEventID     = "EventID"
	UploadCompletedAt = "UserCompletedAt"
	UploadRevenue     = "Revenue"
	UploadReward      = "Reward"
	// UploadConversionID is the advertiser's own id: it tells two purchases of one click from one that is sent twice.
	UploadConversionID = "ConversionId"
)

var uploadColumns = []string{UploadClickID, UploadEventID, UploadCompletedAt, UploadRevenue, UploadReward, UploadConversionID}

// MaxUploadLine is the longest line of an upload, in bytes.
const MaxUploadLine = 4 << 10

// ParseUploadHeader reads the first line: names of columns in any order, whatever their case.
func ParseUploadHeader(line string) ([]string, error) {
	cells, err := csvCells(strings.TrimPrefix(line, "\uFEFF"))
	if err != nil {
		return nil, err
	}
	columns := make([]string, len(cells))
	for i, cell := range cells {
		at := slices.IndexFunc(uploadColumns, func(name string) bool { return strings.EqualFold(name, strings.TrimSpace(cell)) })
		if at < 0 {
			return nil, fmt.Errorf("must name columns of %s, not %.40q", strings.Join(uploadColumns, ","), cell)
		}
		if slices.Contains(columns[:i], uploadColumns[at]) {
			return nil, fmt.Errorf("has the column %s twice", uploadColumns[at])
		}
		columns[i] = uploadColumns[at]
	}
	if !slices.Contains(columns, UploadClickID) {
		return nil, fmt.Errorf("must have the column %s", UploadClickID)
	}
	return columns, nil
}

// UploadLine is one line of an upload as it was read.
type UploadLine struct {
	ClickID uuid.UUID
	EventID string
	// CompletedAt is nil where the line leaves it out: then the receipt counts.
	CompletedAt     *time.Time
	Revenue, Reward *Micros
	ConversionID    string
}

// maxUploadConversionID is how long the id of a conversion may be, in bytes, as in a postback.
const maxUploadConversionID = 255

// ParseUploadLine reads one line. What is wrong with it names the column.
func ParseUploadLine(columns []string, line string) (read UploadLine, wrong *FieldError) {
	switch {
	case len(line) > MaxUploadLine:
		return read, &FieldError{Reason: fmt.Sprintf("is longer than %d bytes", MaxUploadLine)}
	case !utf8.ValidString(line) || strings.ContainsRune(line, utf8.RuneError) || strings.ContainsRune(line, 0):
		return read, &FieldError{Reason: "is not valid UTF-8"}
	}
	cells, err := csvCells(line)
	if err != nil {
		return read, &FieldError{Reason: err.Error()}
	}
	if len(cells) != len(columns) {
		return read, &FieldError{Reason: fmt.Sprintf("has %d columns, the first line has %d", len(cells), len(columns))}
	}
	for i, cell := range cells {
		if err := read.take(columns[i], strings.TrimSpace(cell)); err != nil {
			return read, &FieldError{Field: columns[i], Reason: err.Error()}
		}
	}
	return read, nil
}

func (l *UploadLine) take(column, text string) (err error) {
	if SaysNothing(text) && column != UploadClickID && column != UploadEventID { // as in a postback (rule 71)
		return nil
	}
	switch column {
	case UploadClickID:
		if l.ClickID, err = uuid.Parse(text); err != nil {
			return errors.New("must be a click id")
		}
	case UploadEventID:
		l.EventID = text
	case UploadCompletedAt:
		if text == "" {
			return nil
		}
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return errors.New("must be an RFC 3339 time or empty")
		}
		l.CompletedAt = &at
	case UploadRevenue:
		l.Revenue, err = uploadFigure(text)
	case UploadReward:
		l.Reward, err = uploadFigure(text)
	case UploadConversionID:
		if len(text) > maxUploadConversionID {
			return fmt.Errorf("must have at most %d bytes", maxUploadConversionID)
		}
		l.ConversionID = text
	}
	return err
}

// CheckCompletion says what is wrong with the time of completion beside its click and the present: a person is there to
// mend it, so that it is not replaced by the time of receipt as a postback's is (rule 19).
func (l *UploadLine) CheckCompletion(clicked, now time.Time) *FieldError {
	switch at := l.CompletedAt; {
	case at == nil:
		return nil
	case at.Before(clicked.Add(-clockSkew)):
		return &FieldError{Field: UploadCompletedAt, Reason: "is before the click, which was at " + clicked.UTC().Format(time.RFC3339)}
	case at.After(now.Add(clockSkew)):
		return &FieldError{Field: UploadCompletedAt, Reason: "is in the future"}
	default:
		return nil
	}
}

func uploadFigure(text string) (*Micros, error) {
	if text == "" {
		return nil, nil
	}
	// As strict as the rest of the file: a person is there to mend it.
	figure, err := ParseMicros(text)
	if err != nil || strings.HasPrefix(text, "-") {
		return nil, errors.New("must be a non-negative number with at most 12 digits before and 6 after the point, or empty")
	}
	return &figure, nil
}

// Postback is a line as the postback that is decided.
func (l UploadLine) Postback(actor string) Postback {
	return Postback{
		Method: "POST", Path: PathUpload, Params: l.Params(), ClickID: &l.ClickID, EventID: l.EventID, CompletedAt: l.CompletedAt,
		ConversionID: l.ConversionID, Said: map[string]string{"cnv_event_id": UploadEventID, "cnv_conversion_id": UploadConversionID},
		Upload: &Upload{Actor: actor, Revenue: l.Revenue, Reward: l.Reward},
	}
}

// PathUpload is what the postback log shows as the path of an upload's lines.
const PathUpload = "/api/v1/conversions/upload"

// UploadRefusal says what is wrong with a line on its offer, whatever conversions there are: an event that the offer does
// not have, a figure that is needed. It needs only Postback, Click, Side, Current and GoalsOff; what depends on other
// conversions, on windows, caps and budget is decided when the line is done.
func (f *Facts) UploadRefusal() *FieldError {
	event, reason := f.event()
	if reason == ReasonNone && !f.open(event) {
		reason = ReasonUnknownEvent
	}
	switch {
	case reason != ReasonNone:
		return &FieldError{Field: UploadEventID, Reason: string(reason) + ": " + f.Explain(&Decision{Outcome: OutcomeRefused, Reason: reason}).Whole()}
	case event.RecordAs != RecordAsClick && f.needsAmount():
		return &FieldError{Field: UploadRevenue, Reason: string(ReasonMissingAmount) + ": the offer pays a percentage of the sale, so " +
			UploadRevenue + " and " + UploadReward + " must be given"}
	}
	return nil
}

// csvCells splits one line. A quoted cell must end on it: none of the columns holds a line break.
func csvCells(line string) ([]string, error) {
	cells, err := csv.NewReader(strings.NewReader(line)).Read()
	if err != nil {
		return nil, errors.New("is not a line of CSV")
	}
	return cells, nil
}

// Params are the line as the postback log shows it.
func (l UploadLine) Params() map[string]string {
	params := map[string]string{UploadClickID: l.ClickID.String(), UploadEventID: l.EventID}
	if l.CompletedAt != nil {
		params[UploadCompletedAt] = l.CompletedAt.UTC().Format(time.RFC3339Nano)
	}
	if l.Revenue != nil {
		params[UploadRevenue] = l.Revenue.String()
	}
	if l.Reward != nil {
		params[UploadReward] = l.Reward.String()
	}
	if l.ConversionID != "" {
		params[UploadConversionID] = l.ConversionID
	}
	return params
}

// stateFigures puts a person's figures in place of the offer's (rule 24: they are frozen with it).
func (n *NewConversion) stateFigures(u *Upload) {
	if u == nil {
		return
	}
	if u.Revenue != nil {
		n.Revenue, n.RevenueRule = *u.Revenue, nil // a person said so, no rule
	}
	set(&n.Reward, u.Reward)
	if u.Revenue != nil && u.Reward != nil {
		n.OutOfRange = false // what was computed counts no more
	}
}

// needsAmount says whether the figures follow from a sale (rule 35): not where a person stated them.
func (f *Facts) needsAmount() bool {
	u := f.Postback.Upload
	stated := u != nil && u.Revenue != nil && (u.Reward != nil || f.Side == SideAdvertiser)
	return f.Current.ConversionType == ConversionTypeRevShare && !stated
}
