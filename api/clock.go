package api

import (
	"time"

	"github.com/google/uuid"
)

// now is the instant by the server's clock, in the database's precision.
func (s *Server) now() time.Time {
	if s.Now == nil {
		return inPrecision(time.Now())
	}
	return inPrecision(s.Now())
}

func inPrecision(at time.Time) time.Time { return at.UTC().Truncate(time.Microsecond) }

// newID mints a UUIDv7.
func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
