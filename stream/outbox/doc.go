// Package outbox writes events into the outbox table, in the transactions that make what they tell of.
// stream.Relay publishes them after the commit.
package outbox
