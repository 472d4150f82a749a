package domain

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// Postback is one conversion message as it was received: what travels in the postback stream and
// what the rules read. Nothing in it is secret: keys and the security token are hashes already, and a
// signed text that would contain the token is sealed (rule 67). Its JSON is sealed on the way into a
// workflow: a field that the release before does not know breaks the seal there during a rolling upgrade.
type Postback struct {
	ID         uuid.UUID `json:"id"`
	ReceivedAt time.Time `json:"receivedAt"`
	Method     string    `json:"method"`
	Path       string    `json:"path"`
	SourceIP   string    `json:"sourceIp"`
	// Params are all parameters as sent, secrets replaced, for the log.
	Params map[string]string `json:"params"`
	// AdvertiserKey says how the address proves whose the postback is: by the hash of its key (KeyHash), by
	// none (SentWithoutKey), or that it is a pixel's (SentByPixel). Older messages hold the key, or nothing.
	AdvertiserKey string `json:"advertiserKey,omitempty"`
	// Refused is set when the edge could already tell: malformed, or a forged click id. Detail says why,
	// in one sentence.
	Refused Reason `json:"refused,omitempty"`
	Detail  string `json:"detail,omitempty"`
	// Warnings name what could not be read and was left out (rule 71).
	Warnings FieldErrors `json:"warnings,omitempty"`
	// Said are the names that the sender used for parameters, by ours, where they differ.
	Said map[string]string `json:"said,omitempty"`

	// ClickID is nil when it was missing or malformed.
	ClickID *uuid.UUID `json:"clickId,omitempty"`
	EventID string     `json:"eventId,omitempty"`
	// GoalID and GoalName name the goal too, AdvID the advertiser whose GoalName is meant (rule 62).
	// They are as sent.
	GoalID   string `json:"goalId,omitempty"`
	GoalName string `json:"goalName,omitempty"`
	AdvID    string `json:"advId,omitempty"`
	// Amount is as sent; rule 35 reads it.
	Amount       string `json:"amount,omitempty"`
	Currency     string `json:"currency,omitempty"`
	ConversionID string `json:"conversionId,omitempty"`
	// CompletedAt is the advertiser's claim; rule 19 says when it is believed.
	CompletedAt *time.Time `json:"completedAt,omitempty"`
	Subs        []string   `json:"subs,omitempty"`
	// Status is the advertiser's verdict as sent; rule 77 reads it.
	Status string `json:"status,omitempty"`

	// Address is what the address itself says, in the compatible forms; nil on the plain ones.
	Address *Address `json:"address,omitempty"`
	// Visitor is whose click to look for where no id of one was sent.
	Visitor *Visitor `json:"visitor,omitempty"`

	// Upload is set where a person made it by a line of a file.
	Upload *Upload `json:"upload,omitempty"`

	// IsTest is set where a person sent it by the test tool: for a test's click it needs no
	// advertiser's security.
	IsTest bool `json:"isTest,omitempty"`

	// TokenHashes are the keyed hashes of security_token, one per secret key; empty without one.
	TokenHashes []string `json:"tokenHashes,omitempty"`
	Signed      *Signed  `json:"signed,omitempty"`

	// Seal is set on the way to a click's workflow: a process with the secret keys handed it over.
	Seal string `json:"seal,omitempty"`
}

// ClickKey tells the postbacks of one click from those of others: by the click's id, or by the visitor whose
// click is to be found. It is "" where nothing names a click.
func (p *Postback) ClickKey() string {
	switch v := p.Visitor; {
	case p.ClickID != nil:
		return p.ClickID.String()
	case v != nil:
		return strings.Join([]string{v.OfferID.String(), v.PartnerID.String(), p.SourceIP, v.UserAgent}, " ")
	default:
		return ""
	}
}

// SenderKey tells the postbacks of one sender from those of others: an upload by who made it, others by the
// advertiser's key in their path, or where there is none by the address that they came from.
func (p *Postback) SenderKey() string {
	if p.Upload != nil {
		return p.Upload.Actor
	}
	switch p.AdvertiserKey {
	case "", SentWithoutKey, SentByPixel:
		return AddressKey(p.SourceIP)
	default:
		return p.AdvertiserKey
	}
}

// Signed is what an HMAC-signed postback proves itself with. What is missing or misshapen of it is left
// out: it is not Complete then.
type Signed struct {
	Timestamp time.Time `json:"timestamp"`
	Nonce     string    `json:"nonce"`
	Signature string    `json:"signature"`
	// SealedText is the canonical text that was signed, sealed: its query may contain the token.
	SealedText string `json:"sealedText"`
}

// Answer is what a postback's sender is told.
type Answer struct {
	PostbackID   uuid.UUID  `json:"postbackId"`
	Outcome      Outcome    `json:"outcome"`
	Reason       Reason     `json:"reason,omitempty"`
	ConversionID *uuid.UUID `json:"conversionId,omitempty"`
	Status       Status     `json:"status,omitempty"`
	ReleaseAt    *time.Time `json:"releaseAt,omitempty"`
	// Detail says in one sentence, for people, what became of it and why.
	Detail string `json:"detail,omitempty"`
	// Warnings name what could not be read and was left out (rule 71).
	Warnings FieldErrors `json:"warnings,omitempty"`
	// Verdict is what the sender said; whoever answers it knows.
	Verdict AdvertiserVerdict `json:"-"`
}

// CarriedOut says whether what the advertiser's verdict asks for is so: its rejection stands (rule 77).
func (a *Answer) CarriedOut() bool {
	return a.Verdict == VerdictRejected && a.Outcome == OutcomeRejected && (a.Reason == ReasonAdvertiser || a.Reason == ReasonReversed)
}

// RecordedAs is click for a postback that was only counted: accepted, and no conversion made of it
// (rule 70). It is empty for every other.
func (a *Answer) RecordedAs() RecordAs {
	if a.Outcome == OutcomeAccepted && a.ConversionID == nil {
		return RecordAsClick
	}
	return ""
}
