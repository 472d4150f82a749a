package domain

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestTargetingOfRule45(t *testing.T) {
	age := func(n int) *int { return &n }
	here, there := uuid.New(), uuid.New()
	for _, c := range []struct {
		name      string
		targeting Targeting
		audience  Audience
		mismatch  string
	}{
		{"empty lists are everyone", Targeting{}, Audience{}, ""},
		{"empty lists are everyone, known or not", Targeting{}, Audience{Country: "DE", Gender: "male", Age: age(3)}, ""},
		{"country", Targeting{Countries: []string{"US", "CA"}}, Audience{Country: "CA"}, ""},
		{"another country", Targeting{Countries: []string{"US"}}, Audience{Country: "CA"}, "country"},
		{"unknown country", Targeting{Countries: []string{"US"}}, Audience{}, "country"},
		{"state", Targeting{States: []string{"US-CA"}}, Audience{State: "US-CA"}, ""},
		{"another state", Targeting{States: []string{"US-CA"}}, Audience{State: "US-NY"}, "state"},
		{"unknown state", Targeting{States: []string{"US-CA"}}, Audience{Country: "US"}, "state"},
		{"postal code", Targeting{ZipCodes: []string{"SW1A 1AA"}}, Audience{PostalCode: "sw1a1aa"}, ""},
		{"ZIP+4", Targeting{ZipCodes: []string{"92801"}}, Audience{PostalCode: "92801-1234"}, ""},
		{"another postal code", Targeting{ZipCodes: []string{"92801"}}, Audience{PostalCode: "92802"}, "postalCode"},
		{"unknown postal code", Targeting{ZipCodes: []string{"92801"}}, Audience{PostalCode: " "}, "postalCode"},
		{"device", Targeting{Devices: []string{DeviceIOS}}, Audience{Device: DeviceIOS}, ""},
		{"another device", Targeting{Devices: []string{DeviceIOS}}, Audience{Device: DeviceAndroid}, "device"},
		{"youngest", Targeting{MinAge: age(18), MaxAge: age(24)}, Audience{Age: age(18)}, ""},
		{"oldest", Targeting{MinAge: age(18), MaxAge: age(24)}, Audience{Age: age(24)}, ""},
		{"too young", Targeting{MinAge: age(18), MaxAge: age(24)}, Audience{Age: age(17)}, "age"},
		{"too old", Targeting{MinAge: age(18), MaxAge: age(24)}, Audience{Age: age(25)}, "age"},
		{"open at the top", Targeting{MinAge: age(65)}, Audience{Age: age(99)}, ""},
		{"unknown age", Targeting{MinAge: age(18)}, Audience{}, "age"},
		{"gender", Targeting{Genders: []string{"female"}}, Audience{Gender: "female"}, ""},
		{"another gender", Targeting{Genders: []string{"female"}, ShowForUnknownGender: true}, Audience{Gender: "male"}, "gender"},
		{"unknown gender, shown", Targeting{Genders: []string{"female"}, ShowForUnknownGender: true}, Audience{}, ""},
		{"unknown gender, not shown", Targeting{Genders: []string{"female"}}, Audience{}, "gender"},
		{"unknown gender, no list", Targeting{}, Audience{}, ""},
		{"placement", Targeting{PlacementIDs: []uuid.UUID{here}}, Audience{PlacementID: &here}, ""},
		{"another placement", Targeting{PlacementIDs: []uuid.UUID{here}}, Audience{PlacementID: &there}, "placement"},
		{"no placement", Targeting{PlacementIDs: []uuid.UUID{here}}, Audience{}, "placement"},
		{"all lists must match", Targeting{Countries: []string{"US"}, Devices: []string{DeviceIOS}}, Audience{Country: "US"}, "device"},
	} {
		t.Run("rule 45: "+c.name, func(t *testing.T) {
			require.Equal(t, c.mismatch, c.targeting.Mismatch(c.audience))
			require.Equal(t, c.mismatch == "", c.targeting.Matches(c.audience))
		})
	}
}
