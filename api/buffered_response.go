package api

import (
	"bytes"
	"net/http"

	"github.com/gin-gonic/gin"
)

// bufferedResponse holds an answer back until it is known to be kept.
type bufferedResponse struct {
	gin.ResponseWriter // for what is not held back: the connection
	status             int
	header             http.Header
	body               bytes.Buffer
}

// The part of gin.ResponseWriter that handlers write by.

func (r *bufferedResponse) Header() http.Header { return r.header }

func (r *bufferedResponse) WriteHeader(status int) { r.status = status }

func (r *bufferedResponse) WriteHeaderNow() {}

func (r *bufferedResponse) Write(data []byte) (int, error) { return r.body.Write(data) }

func (r *bufferedResponse) WriteString(text string) (int, error) { return r.body.WriteString(text) }

func (r *bufferedResponse) Status() int { return r.status }

func (r *bufferedResponse) Size() int { return r.body.Len() }

func (r *bufferedResponse) Written() bool { return r.body.Len() > 0 }

func (r *bufferedResponse) Flush() {}

// send gives the answer to the client.
func (r *bufferedResponse) send(c *gin.Context) {
	for name, values := range r.header {
		c.Writer.Header()[name] = values
	}
	c.Writer.WriteHeader(r.status)
	if r.body.Len() > 0 {
		_, _ = c.Writer.Write(r.body.Bytes()) // a client that has gone may ask again
	}
}
