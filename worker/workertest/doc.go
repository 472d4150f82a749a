// Package workertest lets tests decide postbacks as a worker does, without a stream and without Temporal.
package workertest
