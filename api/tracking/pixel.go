package tracking

import (
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/domain"
)

// Our own pixels take the parameters of both protocols, and mean what a plain postback means.
var (
	ownImage = tunePixel(func(f *conversionForm) { f.answer, f.busy = sendImage, sendLateImage })
	ownFrame = tunePixel(func(f *conversionForm) { f.answer, f.busy = sendFrame, sendLateFrame })
)

// ImagePixelTracked takes a conversion by an image on a page.
func (t *Edge) ImagePixelTracked(c *gin.Context) { t.take(c, ownImage) }

// FramePixelTracked takes a conversion by a frame on a page.
func (t *Edge) FramePixelTracked(c *gin.Context) { t.take(c, ownFrame) }

// The two things that a page may embed: a transparent image of one point, and an empty page.
const (
	pixelImage = "GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
	pixelFrame = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>-</title></html>\n"
)

// A page is shown the same whatever was decided: it cannot do anything about it, and a visitor is
// not told.
func sendPixel(c *gin.Context, _ domain.Answer, _ domain.FieldErrors) {
	writePixel(c, http.StatusOK, wantsFrame(c.Request, false))
}

func sendImage(c *gin.Context, _ domain.Answer, _ domain.FieldErrors) {
	writePixel(c, http.StatusOK, false)
}

func sendFrame(c *gin.Context, _ domain.Answer, _ domain.FieldErrors) {
	writePixel(c, http.StatusOK, wantsFrame(c.Request, true))
}

// What could not be written down is never answered 200, not even to a page: whoever loads pixels by
// a program may send it again.
func sendLatePixel(c *gin.Context, _ string) { writeLatePixel(c, wantsFrame(c.Request, false)) }
func sendLateImage(c *gin.Context, _ string) { writeLatePixel(c, false) }
func sendLateFrame(c *gin.Context, _ string) { writeLatePixel(c, wantsFrame(c.Request, true)) }

func writeLatePixel(c *gin.Context, frame bool) {
	c.Header("Retry-After", retrySeconds)
	writePixel(c, http.StatusServiceUnavailable, frame)
}

func writePixel(c *gin.Context, status int, frame bool) {
	c.Header("Cache-Control", "no-store")
	c.Header("Cross-Origin-Resource-Policy", "cross-origin") // pages that isolate themselves load nothing else
	if frame {
		c.Header("Content-Security-Policy", barePage)
		c.Header("Referrer-Policy", "no-referrer")
		c.Data(status, "text/html; charset=utf-8", []byte(pixelFrame))
		return
	}
	c.Data(status, "image/gif", []byte(pixelImage))
}

// wantsFrame says whether a pixel stands in a frame, as browsers tell; otherwise is for clients that
// do not: an image may stand anywhere.
func wantsFrame(r *http.Request, otherwise bool) bool {
	switch r.Header.Get("Sec-Fetch-Dest") {
	case "image":
		return false
	case "iframe", "frame", "document", "embed", "object":
		return true
	}
	accept := r.Header.Get("Accept")
	switch {
	case strings.HasPrefix(accept, "image/"):
		return false
	case strings.Contains(accept, "text/html"):
		return true
	default:
		return otherwise
	}
}
