package domain

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Rule 59: what is the publisher's in an advertiser's address has one name; the click's id is nobody's to
// hold back.
func TestRule59PublishersMacros(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"pub_click_id": "pub_click_id", "pub_session_id": "pub_session_id", "source": "source", "pub_sub_1": "pub_sub_1", "pub_sub_15": "pub_sub_15",
		"aff_sub": "pub_sub_1", "aff_sub2": "pub_sub_2", "aff_sub5": "pub_sub_5",
		"{Pub_Sub_3}": "pub_sub_3", " SOURCE ": "source",
		"gk_click_id": "", "transaction_id": "", "offer_id": "", "affiliate_id": "", "pub_member_id": "", "pub_sub_16": "", "pub_sub_": "", "aff_sub6": "", "aff_sub1": "", "": "",
	} {
		got, ok := ParsePassMacro(name)
		require.Equal(t, []any{want != "", want}, []any{ok, got}, name)
	}
	for _, macro := range Macros() { // whoever adds one decides whose it is
		_, publishers := PublishersMacro(macro.Name)
		ours := map[string]bool{
			"gk_click_id": true, "gk_offer_id": true, "gk_offer_name": true, "pub_member_id": true, "transaction_id": true, "offer_id": true, "offer_name": true,
			"affiliate_id": true, "advertiser_id": true,
		}
		require.True(t, publishers != ours[macro.Name] || !macro.InDestination, macro.Name)
	}
}
