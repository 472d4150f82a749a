package keyring

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

func ring(t *testing.T, keys ...string) *Keyring {
	t.Helper()
	r, err := Parse(strings.Join(keys, ", "))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPseudonyms(t *testing.T) {
	key, tenant := Generate(), uuid.New()
	r := ring(t, key)
	name := r.Pseudonym(tenant, "member")
	if name != r.Pseudonym(tenant, "member") || name == r.Pseudonym(tenant, "another") || name == r.Pseudonym(uuid.New(), "member") {
		t.Error("one for each text of a tenant")
	}
	if len(name) != 22 || strings.Contains(name, "member") {
		t.Errorf("%q", name)
	}
	if name != ring(t, Generate(), key).Pseudonym(tenant, "member") {
		t.Error("a new current key changes none")
	}
	if name == ring(t, Generate()).Pseudonym(tenant, "member") {
		t.Error("nobody can make it without the key")
	}
}

func TestHashesOutliveARotation(t *testing.T) {
	old, current := Generate(), Generate()
	stored := ring(t, old).Hash("token")
	rotated := ring(t, current, old).Hashes("token")
	if len(rotated) != 2 || rotated[1] != stored || rotated[0] == stored {
		t.Errorf("%v, stored %s", rotated, stored)
	}
	if strings.Contains(stored, "token") || ring(t, old).Hash("Token") == stored {
		t.Error("a hash shows its token, or is shared by two")
	}
}

func TestSealedIsOpenedByItsKeyOnly(t *testing.T) {
	key := Generate()
	r := ring(t, key)
	sealed := r.Seal([]byte("whsec_secret"))
	if sealed == r.Seal([]byte("whsec_secret")) || strings.Contains(sealed, "secret") {
		t.Error("sealed twice alike, or readable")
	}
	if plain, err := ring(t, Generate(), key).Open(sealed); err != nil || string(plain) != "whsec_secret" {
		t.Errorf("%q, %v", plain, err)
	}
	changed := []byte(sealed)
	changed[len(changed)/2] ^= 1
	for _, bad := range []string{string(changed), sealed[:12], "", "nonsense"} {
		if _, err := r.Open(bad); !errors.Is(err, ErrSealed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ring(t, Generate()).Open(sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("another key opened it: %v", err)
	}
}

func TestParseNamesTheKey(t *testing.T) {
	for _, bad := range []string{"", "short", Generate()[:62], Generate() + ",x"} {
		if _, err := Parse(bad); err == nil || !strings.Contains(err.Error(), "OFFERFLOW_SECRET_KEYS: key ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// The key that things are made with can be another than the first, and can change while the ring is used:
// what was made before and after is genuine to all who have both.
func TestAnotherKeyBecomesTheCurrentOne(t *testing.T) {
	old, added := Generate(), Generate()
	before, both := ring(t, old), ring(t, added, old).WithKindsFrom(time.Time{})
	ids := both.IDs()
	if len(ids) != 2 || ids[1] != before.IDs()[0] || ids[0] == ids[1] {
		t.Fatalf("%v", ids)
	}
	if !both.MakeWith(ids[1]) {
		t.Fatal("it has the key")
	}
	id, sealed, sign, token := both.NewID(KindClick, time.Now()), both.Seal([]byte("secret")), both.Sign("p", []byte("x")), both.NewToken("of_")
	if _, err := before.Open(sealed); err != nil || !before.Genuine(KindClick, id) || !before.Signed(sign, "p", []byte("x")) || !before.MintedToken("of_", token) {
		t.Error("a process with the old key alone does not know what is made")
	}
	if both.Hash("t") != before.Hash("t") || both.Opaque("p", []byte("x")) != before.Opaque("p", []byte("x")) {
		t.Error("hashes or addresses are made with another key")
	}
	if hashes := both.Hashes("t"); hashes[1] != before.Hash("t") {
		t.Error("look-ups keep the order of the setting")
	}
	if both.MakeWith(ring(t, Generate()).IDs()[0]) || both.Hash("t") != before.Hash("t") {
		t.Error("a key that it does not have was taken")
	}
	if !both.MakeWith(ids[0]) || before.Genuine(KindClick, both.NewID(KindClick, time.Now())) || !both.Genuine(KindClick, id) {
		t.Error("the new key is not the current one, or the old one is not believed any more")
	}
}
