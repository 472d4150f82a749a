package api

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
)

// A cache that is full lets go of what was not asked for longest, and of nothing else.
func TestFullCachesForgetTheOldestAlone(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var tokens tokenCache
	for i := range maxTokens + 1 {
		tokens.put(strconv.Itoa(i), cachedToken{loadedAt: now})
		tokens.get("1") // somebody goes on asking with this one
	}
	for hash, want := range map[string]bool{"0": false, "1": true, "2": true, strconv.Itoa(maxTokens): true} {
		if _, ok := tokens.get(hash); ok != want {
			t.Errorf("token %s is kept: %v", hash, ok)
		}
	}
	tokens.forget()
	if entry, ok := tokens.get("1"); !ok || tokens.isFresh(entry, now) {
		t.Error("after one was revoked all are looked up again")
	}

	var looked looks
	partnerships := make([]uuid.UUID, manyLooks+1)
	for i := range partnerships {
		partnerships[i] = uuid.New()
		looked.first(partnerships[i], now)
	}
	if looked.first(partnerships[1], now) || looked.first(partnerships[manyLooks], now) {
		t.Error("a look is forgotten before the oldest")
	}
}
