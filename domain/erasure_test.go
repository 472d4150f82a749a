package domain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErasedMembersAreKnownByTheirShape(t *testing.T) {
	t.Parallel()
	erased := ErasedMember(strings.Repeat("0a", 16))
	require.True(t, IsErased(&erased))
	for _, member := range []string{"", "erased-", "erased-1", erased + "0", strings.ToUpper(erased), strings.Replace(erased, "0", "g", 1)} {
		require.False(t, IsErased(&member), member)
	}
	require.False(t, IsErased(nil))
}

func TestParametersOfErasedMembersSayWhatHappened(t *testing.T) {
	t.Parallel()
	sent := map[string]string{"GK_Click_ID": "c", "cnv_amount": "1", "cnv_email": "a@b", "cnv_sub_1": "s", "x": "y"}
	require.Equal(t, map[string]string{"GK_Click_ID": "c", "cnv_amount": "1"}, WithoutPersonal(sent))
	require.Len(t, sent, 5, "what was sent stays as it is")
}

// Only objects of the member are emptied; figures stay digit by digit.
func TestErasureOfDocuments(t *testing.T) {
	t.Parallel()
	e := &Erasure{Member: "m", Pseudonym: "P", MemberKey: "K"}
	erased, changed, err := e.Apply([]byte(`[{"pubMemberId":"m","amount":12345678901234567890.10,"pubSub1":"a","pubSub15":"b","pubSubscribed":"c","pubGeoCountry":"fr","clickedAt":"t",
		"memberKey":"m:x","pubSubs":["a"],"ip":"1.2.3.4"},{"pubMemberId":"mm","pubSub1":"a"},{"conversion":{"pubMemberId":"m","trackSysConversionSub2":"z","revenue":"1.00"}}]`))
	require.NoError(t, err)
	require.True(t, changed)
	require.JSONEq(t, `[{"pubMemberId":"P","amount":12345678901234567890.10,"pubSub1":"","pubSub15":"","pubSubscribed":"c","pubGeoCountry":"","country":"FR","clickedAt":"t","memberKey":"K","ip":""},
		{"pubMemberId":"mm","pubSub1":"a"},{"conversion":{"pubMemberId":"P","trackSysConversionSub2":"","revenue":"1.00"}}]`, string(erased))
	require.Contains(t, string(erased), "12345678901234567890.10")
	_, changed, err = e.Apply(erased)
	require.NoError(t, err)
	require.False(t, changed)
}

// Names of fields are no mentions, and neither are parts of other words.
func TestErasureOfNames(t *testing.T) {
	t.Parallel()
	e := &Erasure{Member: "reason", Pseudonym: "P"}
	erased, _, err := e.Name([]byte(`{"reason":["reason","a reason, reasons","Unreason"],"n":1}`), true)
	require.NoError(t, err)
	require.JSONEq(t, `{"reason":["P","a P, reasons","Unreason"],"n":1}`, string(erased))
	erased, _, err = e.Name([]byte(`["reason","a reason"]`), false)
	require.NoError(t, err)
	require.JSONEq(t, `["P","a reason"]`, string(erased))
	for text, replaced := range map[string]string{"ab": "P", "ab ab": "P P", "abab ab": "abab P", "éab,ab": "éab,P", "aab": "aab", "": ""} {
		require.Equal(t, replaced, ReplaceMentions(text, "ab", "P"), text)
	}
}

func TestMacrosOfErasedMembers(t *testing.T) {
	t.Parallel()
	values := map[string]string{"pub_member_id": "m", "pub_click_id": "c", "aff_sub2": "a", "pub_sub_3": "s", "payout": "1.00"}
	require.Equal(t, map[string]string{"pub_member_id": "P", "payout": "1.00"}, MacrosOfErased(values, "P", true))
	require.Equal(t, "c", MacrosOfErased(values, "P", false)["pub_click_id"], "the partner has not been told yet")
}
