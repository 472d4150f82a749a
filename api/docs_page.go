package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

	"github.com/offerflow/offerflow/api/problem"
)

// The page at /docs is Scalar's API reference, embedded: scripts/reference.sh fetches it.
//
//go:embed docs
var docsFiles embed.FS

// docsPolicy lets the page send requests to this server only. The library adds its styles to the page at run time.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docsPage is the page with its two scripts. The scripts' addresses hold their checksums, so that a
// browser may keep them for good.
type docsPage struct {
	html    []byte
	scripts map[string]docsScript
}

// docsScript is a script, as it is or packed with gzip.
type docsScript struct {
	content []byte
	packed  bool
}

var loadDocs = sync.OnceValues(func() (page docsPage, err error) {
	page.scripts = map[string]docsScript{}
	if page.html, err = docsFiles.ReadFile("docs/index.html"); err != nil {
		return page, err
	}
	setup, err := docsFiles.ReadFile("docs/setup.js")
	if err != nil {
		return page, err
	}
	page.add("setup.js", docsScript{content: setup})
	files, err := docsFiles.ReadDir("docs")
	if err != nil {
		return page, err
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".js.gz") {
			continue
		}
		packed, err := docsFiles.ReadFile("docs/" + file.Name())
		if err != nil {
			return page, err
		}
		page.add("reference.js", docsScript{content: packed, packed: true})
	}
	return page, nil
})

// add gives a script its address and writes that into the page.
func (p *docsPage) add(name string, script docsScript) {
	sum := sha256.Sum256(script.content)
	address := strings.TrimSuffix(name, ".js") + "-" + hex.EncodeToString(sum[:8]) + ".js"
	p.scripts[address] = script
	p.html = bytes.ReplaceAll(p.html, []byte("/docs/"+name), []byte("/docs/"+address))
}

// docs is the page.
func (s *Server) docs(c *gin.Context) {
	page, err := loadDocs()
	if err != nil {
		problem.WriteError(c, err)
		return
	}
	c.Header("Content-Security-Policy", docsPolicy)
	c.Header("Referrer-Policy", "no-referrer")
	c.Header("Cache-Control", "no-cache")
	c.Data(http.StatusOK, "text/html; charset=utf-8", page.html)
}

// docsFile is a script of the page.
func (s *Server) docsFile(c *gin.Context) {
	page, err := loadDocs()
	if err != nil {
		problem.WriteError(c, err)
		return
	}
	script, ok := page.scripts[c.Param("file")]
	if !ok {
		problem.Write(c, problem.NotFound())
		return
	}
	c.Header("Cache-Control", "public, max-age=31536000, immutable")
	c.Header("Vary", "Accept-Encoding")
	c.Header("Content-Type", "text/javascript; charset=utf-8")
	switch {
	case !script.packed:
		_, _ = c.Writer.Write(script.content) // a browser that has gone may ask again
	case strings.Contains(c.GetHeader("Accept-Encoding"), "gzip"):
		c.Header("Content-Encoding", "gzip")
		_, _ = c.Writer.Write(script.content)
	default:
		if reader, err := gzip.NewReader(bytes.NewReader(script.content)); err == nil {
			_, _ = io.Copy(c.Writer, reader) //nolint:gosec // it was packed by us, and is part of the program
		}
	}
}

// home leads people to the page.
func (s *Server) home(c *gin.Context) { c.Redirect(http.StatusFound, "/docs") }
