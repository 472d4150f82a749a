package api

import (
	"bytes"
	"net/http"

	"github.com/gin-gonic/gin"
)

// recorder holds an answer back until it is known to be kept.
type recorder struct {
	gin.ResponseWriter // for what a recorder does not hold back: the connection
	status             int
	header             http.Header
	body               bytes.Buffer
}

// The part of gin.ResponseWriter that handlers write by.

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) WriteHeaderNow() {}

func (r *recorder) Write(data []byte) (int, error) { return r.body.Write(data) }

func (r *recorder) WriteString(text string) (int, error) { return r.body.WriteString(text) }

func (r *recorder) Status() int { return r.status }

func (r *recorder) Size() int { return r.body.Len() }

func (r *recorder) Written() bool { return r.body.Len() > 0 }

func (r *recorder) Flush() {}

// send gives the answer to the client.
func (r *recorder) send(c *gin.Context) {
	for name, values := range r.header {
		c.Writer.Header()[name] = values
	}
	c.Writer.WriteHeader(r.status)
	if r.body.Len() > 0 {
		_, _ = c.Writer.Write(r.body.Bytes()) // a client that has gone may ask again
	}
}
