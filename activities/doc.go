// Package activities holds what its packages share: which errors no retry mends (Permanent), work on
// many items of which some may fail (Items), heartbeats, and edits of shared offers (Share).
//
// The packages are the application layer. Package attribution decides postbacks and moves conversions,
// package delivery sends callbacks, partners' postbacks and mail, package upkeep does what schedules run,
// package erasure erases members.
// Workflows, consumers and the API call them; the registered names of their activities stand in workflow
// histories and never change. Package activitytest is the fixture of their tests.
package activities
