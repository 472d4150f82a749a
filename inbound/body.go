package inbound

import (
	"io"
	"net/http"
	"time"
)

// Bodies are read within a size and a time, and before anything is held that others wait for: a
// place, a lock, a transaction. Whoever sends slowly keeps nothing but its own connection.

// unreadLinger is how long the server takes in what nobody reads, after its answer. A connection
// that is closed at once would be reset, and the answer lost, when a body is still on its way.
const unreadLinger = time.Second

// CloseUnread closes connections whose request body was not read: the server would otherwise wait
// for up to 256 KiB of it. A body that is read whole (ReadBody) leaves the connection open. GET and
// HEAD have no body for us, whatever comes.
func CloseUnread(next http.Handler) http.Handler {
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

// ReadBody reads the body. The deadline is lifted afterwards: it would otherwise cancel a handler
// that runs past it. Where the body is longer, what fits is returned with a *http.MaxBytesError.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64, within time.Duration) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	writer := Unwrapped(w)
	control := http.NewResponseController(writer)
	_ = control.SetReadDeadline(time.Now().Add(within)) // not every writer has deadlines
	body, err := io.ReadAll(http.MaxBytesReader(writer, r.Body, limit))
	if err != nil {
		return body, err
	}
	_ = control.SetReadDeadline(time.Time{})
	w.Header().Del("Connection")
	return body, nil
}

// Unwrapped is the server's own writer: Gin's keeps the errors of flushing to itself.
func Unwrapped(w http.ResponseWriter) http.ResponseWriter {
	if wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		return wrapper.Unwrap()
	}
	return w
}
