// Package streamtest tests the stream package against a real NATS server with JetStream: the main
// module has none.
package streamtest
