package keyring

import "testing"

// What is signed is believed for its purpose, its parts and under the ring's keys, and nothing else is.
func TestSignatures(t *testing.T) {
	t.Parallel()
	key := Generate()
	r := ring(t, key)
	signature := r.Sign("message", []byte("subject"), []byte("data"))
	if !r.Signed(signature, "message", []byte("subject"), []byte("data")) {
		t.Error("its own signature is not believed")
	}
	if !ring(t, Generate(), key).Signed(signature, "message", []byte("subject"), []byte("data")) {
		t.Error("a signature under an earlier key of the ring is not believed")
	}
	for name, believed := range map[string]bool{
		"another key":     ring(t, Generate()).Signed(signature, "message", []byte("subject"), []byte("data")),
		"another purpose": r.Signed(signature, "argument", []byte("subject"), []byte("data")),
		"other data":      r.Signed(signature, "message", []byte("subject"), []byte("date")),
		"parts moved":     r.Signed(signature, "message", []byte("subjectd"), []byte("ata")),
		"a part more":     r.Signed(signature, "message", []byte("subject"), []byte("data"), nil),
		"none":            r.Signed("", "message", []byte("subject"), []byte("data")),
		"cut":             r.Signed(signature[:len(signature)-2], "message", []byte("subject"), []byte("data")),
	} {
		if believed {
			t.Errorf("%s: believed", name)
		}
	}
}
