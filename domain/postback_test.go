package domain

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// earlierPostback is Postback as the release before has it.
type earlierPostback struct {
	ID            uuid.UUID         `json:"id"`
	ReceivedAt    time.Time         `json:"receivedAt"`
	Method        string            `json:"method"`
	Path          string            `json:"path"`
	SourceIP      string            `json:"sourceIp"`
	Params        map[string]string `json:"params"`
	AdvertiserKey string            `json:"advertiserKey,omitempty"`
	Refused       Reason            `json:"refused,omitempty"`
	Detail        string            `json:"detail,omitempty"`
	Warnings      FieldErrors       `json:"warnings,omitempty"`
	Said          map[string]string `json:"said,omitempty"`
	ClickID       *uuid.UUID        `json:"clickId,omitempty"`
	EventID       string            `json:"eventId,omitempty"`
	GoalID        string            `json:"goalId,omitempty"`
	GoalName      string            `json:"goalName,omitempty"`
	AdvID         string            `json:"advId,omitempty"`
	Amount        string            `json:"amount,omitempty"`
	Currency      string            `json:"currency,omitempty"`
	ConversionID  string            `json:"conversionId,omitempty"`
	CompletedAt   *time.Time        `json:"completedAt,omitempty"`
	Subs          []string          `json:"subs,omitempty"`
	Status        string            `json:"status,omitempty"`
	Address       *struct {
		OfferID      *uuid.UUID `json:"offerId,omitempty"`
		Opaque       bool       `json:"opaque,omitempty"`
		OfAdvertiser bool       `json:"ofAdvertiser,omitempty"`
		GoalID       *uuid.UUID `json:"goalId,omitempty"`
		DefaultGoal  bool       `json:"defaultGoal,omitempty"`
	} `json:"address,omitempty"`
	Visitor     *Visitor `json:"visitor,omitempty"`
	Upload      *Upload  `json:"upload,omitempty"`
	IsTest      bool     `json:"isTest,omitempty"`
	TokenHashes []string `json:"tokenHashes,omitempty"`
	Signed      *struct {
		Timestamp  time.Time `json:"timestamp"`
		Nonce      string    `json:"nonce"`
		Signature  string    `json:"signature"`
		SealedText string    `json:"sealedText"`
	} `json:"signed,omitempty"`
	Seal string `json:"seal,omitempty"`
}

// A postback is sealed over its JSON by whichever process takes it, and the seal is checked by whichever runs
// its click's workflow. In a rolling upgrade that may be one of the release before: what it reads and writes
// again must be the same to the byte, or it would call a genuine postback a forged one.
func TestARollingUpgradeKeepsThePostbacksSeal(t *testing.T) {
	click, at := uuid.New(), clickedAt
	for _, key := range []string{SentByKey("key"), SentWithoutKey, SentByPixel} {
		for _, signed := range []*Signed{nil, {Nonce: "n-123456"}, {Timestamp: at, Nonce: "n-123456", Signature: "00", SealedText: "s"}} {
			p := Postback{
				ID: uuid.New(), ReceivedAt: at, Method: "GET", Path: "/track/***", SourceIP: "192.0.2.1", Params: map[string]string{"a": "b"}, AdvertiserKey: key,
				ClickID: &click, EventID: "e", CompletedAt: &at, Subs: []string{"s"}, Address: &Address{OfferID: &click, Opaque: true, OfAdvertiser: true, GoalID: &click},
				TokenHashes: []string{"h"}, Signed: signed, Warnings: FieldErrors{{Field: "f", Reason: "r"}}, Said: map[string]string{"a": "b"},
			}
			sealed, err := json.Marshal(p)
			require.NoError(t, err)
			var earlier earlierPostback
			require.NoError(t, json.Unmarshal(sealed, &earlier))
			again, err := json.Marshal(earlier)
			require.NoError(t, err)
			require.Equal(t, string(sealed), string(again))
		}
	}
}
