package tracking

import (
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/inbound"
)

// postbackTimeout is how long anybody may take for the 64 KiB of a postback.
const postbackTimeout = 10 * time.Second

// readPostback reads the body of a postback. One that is too long comes with a byte more than may
// be, and is refused for it like any other that cannot be read.
func readPostback(c *gin.Context) ([]byte, error) {
	body, err := inbound.ReadBody(c.Writer, c.Request, maxPostbackBody+1, postbackTimeout)
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		return body, nil
	}
	return body, err
}
