package domain

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// fullClick has something in every field, so that a field that AppendJSON forgot is found.
func fullClick(t testing.TB) *Click {
	click := &Click{}
	v := reflect.ValueOf(click).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		id, text, order := idOf(name), name, int32(i)
		switch field := v.Field(i); field.Interface().(type) {
		case uuid.UUID:
			field.Set(reflect.ValueOf(id))
		case *uuid.UUID:
			field.Set(reflect.ValueOf(&id))
		case time.Time:
			field.Set(reflect.ValueOf(clickedAt.Add(time.Duration(i) * 1001 * time.Microsecond)))
		case string, Reason:
			field.SetString(text)
		case *string:
			field.Set(reflect.ValueOf(&text))
		case *int32:
			field.Set(reflect.ValueOf(&order))
		case int64:
			field.SetInt(int64(i))
		case bool:
			field.SetBool(true)
		case []string:
			field.Set(reflect.ValueOf([]string{"a", "", "ü"}))
		default:
			t.Fatalf("field %s has a type that this test does not know", name)
		}
	}
	return click
}

func TestClickAppendJSONIsWhatMarshalMakes(t *testing.T) {
	t.Parallel()
	strange := fullClick(t)
	strange.UserAgent, strange.PubClickID = "\"\\/<>&\t\x7f\u2028ü\xff", "\x00"
	for name, click := range map[string]*Click{"full": fullClick(t), "empty": {}, "strange": strange} {
		want, err := json.Marshal(click)
		require.NoError(t, err)
		require.Equal(t, string(want), string(click.AppendJSON(nil)), name)
	}
}

func BenchmarkClickAppendJSON(b *testing.B) {
	click := fullClick(b)
	var buffer []byte
	for b.Loop() {
		buffer = click.AppendJSON(buffer[:0])
	}
}

func BenchmarkDecide(b *testing.B) {
	offer := multiOffer(goal("Install", seq(1)), goal("Level 3", seq(2), gap("1")), goal("Level 7", seq(3), pending("30")))
	facts := Facts{
		Postback: Postback{ID: idOf("postback"), ReceivedAt: clickedAt.Add(time.Hour), EventID: "Install"},
		Now:      clickedAt.Add(time.Hour), Click: Click{ID: idOf("click"), ClickedAt: clickedAt}, AtClick: offer, Current: offer, Currency: "USD",
	}
	require.Equal(b, OutcomeAccepted, Decide(facts).Outcome)
	for b.Loop() {
		Decide(facts)
	}
}
