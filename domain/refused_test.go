package domain

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// What the log keeps of a refused postback is small whatever was sent, and holds what is short.
func TestParametersOfARefusedPostbackAreCut(t *testing.T) {
	t.Parallel()
	few := map[string]string{"gk_click_id": "x", "cnv_event_id": "install"}
	require.Equal(t, few, CutParams(few))

	many := map[string]string{"gk_click_id": "x", "blob": strings.Repeat("a", 60<<10)}
	for n := range 199 {
		many[fmt.Sprintf("p%d", n)] = strings.Repeat("<", 1000)
	}
	cut := CutParams(many)
	require.Equal(t, "x", cut["gk_click_id"])
	require.Contains(t, cut[cutNote], "of 201 parameters were not stored")
	one := CutParams(map[string]string{"blob": strings.Repeat("é", 10_000)})
	require.NotEmpty(t, one["blob"])

	rapid.Check(t, func(t *rapid.T) {
		params := rapid.MapOf(rapid.String(), rapid.StringN(0, -1, 3000)).Draw(t, "params")
		encoded, err := json.Marshal(CutParams(params))
		if err != nil {
			t.Fatal(err)
		}
		var all, _ = json.Marshal(params)
		if limit := maxCutParams + 3*len(params) + 256; len(encoded) > limit {
			t.Fatalf("%d bytes are %d", len(all), len(encoded))
		}
		again, _ := json.Marshal(CutParams(params))
		if string(again) != string(encoded) {
			t.Fatal("cut twice, the same comes of it")
		}
	})
}

// The log says of a refused postback what its sender was told.
func TestARefusedPostbackKeepsWhatTheLogNeeds(t *testing.T) {
	t.Parallel()
	click := uuid.New()
	p := Postback{
		ID: uuid.New(), ReceivedAt: time.Now(), Method: "GET", Path: "/track/key", SourceIP: "192.0.2.1", AdvertiserKey: "key", ClickID: &click,
		Params: map[string]string{"gk_click_id": click.String()}, Warnings: FieldErrors{{Field: "a", Reason: "b"}}, Address: &Address{Opaque: true},
		EventID: strings.Repeat("e", 1000), Subs: []string{"s"}, TokenHashes: []string{"h"}, Signed: &Signed{SealedText: strings.Repeat("s", 90_000)},
		Said: map[string]string{"a": "b"}, Visitor: &Visitor{UserAgent: "u"},
	}
	refused := p.AsRefused(ReasonUnknownClick)
	require.Equal(t, Postback{
		ID: p.ID, ReceivedAt: p.ReceivedAt, Method: p.Method, Path: "/track/***", SourceIP: p.SourceIP, AdvertiserKey: p.AdvertiserKey, ClickID: p.ClickID,
		Params: p.Params, Warnings: p.Warnings, Address: p.Address, Refused: ReasonUnknownClick, Detail: RefusalDetail(&p, ReasonUnknownClick),
	}, refused)
	require.Equal(t, refused.Detail, RefusalDetail(&refused, ReasonUnknownClick), "the sentence stays the same when it is written later")
}
