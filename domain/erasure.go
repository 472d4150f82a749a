package domain

import (
	"maps"
	"slices"
	"strings"
)

// pseudonymPrefix begins what stands in the place of an erased member's id; erasedDigits hexadecimal digits follow.
const (
	pseudonymPrefix = "erased-"
	erasedDigits    = 32
)

// ErasedMember is the pseudonym with these random digits.
func ErasedMember(digits string) string { return pseudonymPrefix + digits }

// IsErased says whether a member's id is such a pseudonym.
func IsErased(member *string) bool {
	if member == nil || len(*member) != len(pseudonymPrefix)+erasedDigits {
		return false
	}
	digits, ok := strings.CutPrefix(*member, pseudonymPrefix)
	return ok && strings.Trim(digits, "0123456789abcdef") == ""
}

// impersonalParams are the parameters of postbacks that say what happened and for how much, in lower case. Any
// other may say to whom.
var impersonalParams = []string{
	"gk_click_id", "cnv_event_id", "cnv_amount", "cnv_currency", "cnv_conversion_id", "cnv_completed_at", "cnv_status",
	"transaction_id", "offer_id", "aff_id", "adv_id", "goal_id", "goal_name", "goal_ref", "amount", "currency", "status", "a", "format",
	"security_token", "of_timestamp", "of_nonce", "of_signature",
}

// ImpersonalParams are the parameters that the log keeps of postbacks for an erased member, in lower case.
func ImpersonalParams() []string { return slices.Clone(impersonalParams) }

// WithoutPersonal are the parameters of a postback that the log keeps once its member is erased.
func WithoutPersonal(params map[string]string) map[string]string {
	kept := maps.Clone(params)
	maps.DeleteFunc(kept, func(name, _ string) bool { return !slices.Contains(impersonalParams, strings.ToLower(name)) })
	return kept
}

// Erase takes out of a postback what its decision does not need. The address it came from stays until then: it
// may be what proves its sender.
func (p *Postback) Erase() {
	p.Params, p.Subs, p.Warnings = WithoutPersonal(p.Params), nil, nil
}
