// Package cachetest is an offer for tests of the cache and of what works with it, in memory and in a database.
package cachetest
