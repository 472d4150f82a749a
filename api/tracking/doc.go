// Package tracking is the public edge, which needs no token: clicks, postbacks and pixels, in our own form
// and in TUNE's. A click or postback is on disk, in the stream, before it is answered. A click touches neither
// the database nor Temporal; a postback waits a few seconds for the decision that a worker sends back.
package tracking
