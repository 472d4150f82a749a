package api

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// Bodies are read within a size and a time, and before anything is held that others wait for: a
// place, a lock, a transaction. Whoever sends slowly keeps nothing but its own connection.

const (
	// bodyTimeout is how long a caller with a token may take for its body, and postbackTimeout how
	// long anybody may take for the 64 KiB of a postback.
	bodyTimeout     = 30 * time.Second
	postbackTimeout = 10 * time.Second
	// unreadLinger is how long the server takes in what nobody reads, after its answer. A connection
	// that is closed at once would be reset, and the answer lost, when a body is still on its way.
	unreadLinger = time.Second
)

// closeUnread closes connections whose request body was not read: the server would otherwise wait
// for up to 256 KiB of it. A body that is read whole (readWhole) leaves the connection open. GET and
// HEAD have no body for us, whatever comes.
func closeUnread(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			r.Body = http.NoBody
		}
		defer func() {
			if w.Header().Get("Connection") == "close" {
				// Not every writer has deadlines.
				_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadLinger))
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// readWhole reads the body. The deadline is lifted afterwards: it would otherwise cancel a handler
// that runs past it. Where the body is longer, what fits is returned with a *http.MaxBytesError.
func readWhole(c *gin.Context, limit int64, within time.Duration) ([]byte, error) {
	if c.Request.Body == nil || c.Request.Body == http.NoBody {
		return nil, nil
	}
	writer := unwrapped(c.Writer)
	control := http.NewResponseController(writer)
	_ = control.SetReadDeadline(time.Now().Add(within)) // not every writer has deadlines
	body, err := io.ReadAll(http.MaxBytesReader(writer, c.Request.Body, limit))
	if err != nil {
		return body, err
	}
	_ = control.SetReadDeadline(time.Time{})
	c.Writer.Header().Del("Connection")
	return body, nil
}

// readPostback reads the body of a postback. One that is too long comes with a byte more than may
// be, and is refused for it like any other that cannot be read.
func readPostback(c *gin.Context) ([]byte, error) {
	body, err := readWhole(c, maxPostbackBody+1, postbackTimeout)
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return body, nil
	}
	return body, err
}
