package lookup

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
)

// LRU is a cache that is made when it is first used: whoever was not asked for longest makes room.
type LRU[K comparable, V any] struct {
	once sync.Once
	made *lru.Cache[K, V]
}

// Of is the cache, of a size that is a constant of ours.
func (l *LRU[K, V]) Of(size int) *lru.Cache[K, V] {
	l.once.Do(func() {
		made, err := lru.New[K, V](size)
		if err != nil { // the size is not positive
			panic(err)
		}
		l.made = made
	})
	return l.made
}
