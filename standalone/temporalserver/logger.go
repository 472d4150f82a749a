package temporalserver

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger passes Temporal's warnings and errors to slog and drops the rest.
type logger struct {
	to    *slog.Logger
	muted *atomic.Bool // shared by all that With made
}

func newLogger(to *slog.Logger) *logger {
	if to == nil {
		to = slog.New(slog.DiscardHandler)
	}
	return &logger{to: slog.New(atLeastWarn{to.Handler()}).With("part", "temporal"), muted: new(atomic.Bool)}
}

// nexusHint begins a warning at every start about a feature that is not used.
const nexusHint = "HTTP API port has not been set"

// mute drops everything from now on.
func (l *logger) mute() { l.muted.Store(true) }

// With makes a logger with fixed tags; the server looks for it by name.
func (l *logger) With(tags ...tag.Tag) log.Logger {
	return &logger{to: l.to.With(attributes(tags)...), muted: l.muted}
}

func (l *logger) Debug(string, ...tag.Tag) {}
func (l *logger) Info(string, ...tag.Tag)  {}

func (l *logger) Warn(msg string, tags ...tag.Tag)   { l.write(slog.LevelWarn, msg, tags) }
func (l *logger) Error(msg string, tags ...tag.Tag)  { l.write(slog.LevelError, msg, tags) }
func (l *logger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

func (l *logger) Panic(msg string, tags ...tag.Tag) { l.fail(msg, tags) }

// Fatal panics instead of ending the process, so that a failed start can still
// stop what was started before it.
func (l *logger) Fatal(msg string, tags ...tag.Tag) { l.fail(msg, tags) }

func (l *logger) fail(msg string, tags []tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	for _, t := range tags {
		msg += fmt.Sprintf(" %s=%v", t.Key(), t.Value())
	}
	panic(msg)
}

func (l *logger) write(level slog.Level, msg string, tags []tag.Tag) {
	if l.muted.Load() || strings.HasPrefix(msg, nexusHint) || !l.to.Enabled(context.Background(), level) {
		return
	}
	l.to.Log(context.Background(), level, msg, attributes(tags)...)
}

func attributes(tags []tag.Tag) []any {
	var list []any
	for _, t := range tags {
		// Stacks and call sites of somebody else's code help nobody here.
		if t.Key() == "logging-call-at" || t.Key() == "stack-trace" {
			continue
		}
		list = append(list, slog.Any(t.Key(), t.Value()))
	}
	return list
}

// atLeastWarn keeps a verbose log of ours from becoming one of Temporal's.
type atLeastWarn struct{ slog.Handler }

func (h atLeastWarn) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h atLeastWarn) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLeastWarn{h.Handler.WithAttrs(attrs)}
}

func (h atLeastWarn) WithGroup(name string) slog.Handler {
	return atLeastWarn{h.Handler.WithGroup(name)}
}
