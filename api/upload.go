package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// An upload is put on disk as it comes, some lines at a time: what is held in memory does not grow
// with the file. It becomes a job with its last line; until then its rows belong to nobody, and those
// of a sender that went away are removed.

const (
	// uploadMaxBody is the largest file.
	uploadMaxBody = 256 << 20
	// uploadChunk lines are written in one statement.
	uploadChunk = 1000
	// uploadPatience is how long a sender may take for a chunk.
	uploadPatience = 30 * time.Second
)

// takesCSV says in the OpenAPI document that a route takes CSV and answers with a job.
func takesCSV(r *router, path string) {
	operation := r.api.OpenAPI().Paths[path].Post
	operation.Parameters = append(operation.Parameters, &huma.Param{
		Name: "dryRun", In: "query", Schema: &huma.Schema{Type: huma.TypeBoolean},
		Description: "Check the file without deciding anything: 200 with the errors of each line. " +
			"Checks that depend on other conversions, windows, caps or budget run only in the real upload.",
	})
	operation.Responses["200"] = &huma.Response{Description: "The result of the dry run.", Content: map[string]*huma.MediaType{"application/json": {
		Schema: r.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[uploadCheckResult](), true, "UploadCheck"),
	}}}
	operation.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"text/csv": {
		Schema: &huma.Schema{Type: huma.TypeString, Description: "ClickId,EventID,UserCompletedAt,Revenue,Reward,ConversionId: the first line names the columns; only ClickId is required."},
	}}}
	operation.Responses["202"] = &huma.Response{Description: "The job.", Content: map[string]*huma.MediaType{"application/json": {
		Schema: &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"jobId": {Type: huma.TypeString, Format: "uuid"}}},
	}}}
}

// upload is one file on its way.
type upload struct {
	server *Server
	c      *gin.Context
	jobID  uuid.UUID
	// keyed is nil without an Idempotency-Key.
	keyed  *keyed
	lines  *bufio.Reader
	number int64 // of the last line that was read
	total  int64
}

// uploadConversions makes a job of a CSV file.
func (s *Server) uploadConversions(c *gin.Context) {
	answer, err := s.upload(c)
	if err != nil {
		c.Header("Connection", "close") // the rest of the body is not waited for
		problem.WriteError(c, err)
		return
	}
	answer.send(c)
	s.nudge()
}

func (s *Server) upload(c *gin.Context) (answer *bufferedResponse, err error) {
	if kind, _, _ := mime.ParseMediaType(c.ContentType()); strings.HasPrefix(kind, "multipart/") {
		return nil, problem.New(http.StatusUnsupportedMediaType, "Send the file as the body, with Content-Type text/csv.")
	}
	u := &upload{server: s, c: c, jobID: newID()}
	ctx := c.Request.Context()
	body := io.Reader(http.MaxBytesReader(c.Writer, c.Request.Body, uploadMaxBody))
	dryRun, err := isDryRun(c.Request)
	if err != nil {
		return nil, err
	}
	if dryRun { // nothing is kept, so that a key has nothing to give again
		u.lines = bufio.NewReaderSize(body, domain.MaxUploadLine)
		return u.check(ctx)
	}
	hash := requestHash(c.Request, principal(ctx))
	if key := c.GetHeader("Idempotency-Key"); key != "" {
		if u.keyed, err = s.keyedStream(c, key); err != nil {
			return nil, err
		}
		release, ok := s.running.take(u.keyed.name())
		if !ok {
			return nil, stillRunning()
		}
		defer release()
		body = io.TeeReader(body, hash)
	}
	u.lines = bufio.NewReaderSize(body, domain.MaxUploadLine)
	defer func() {
		if answer == nil || answer.header.Get("Idempotency-Replayed") != "" {
			u.forget(context.WithoutCancel(ctx))
		}
	}()
	if err := u.receive(ctx); err != nil {
		return nil, err
	}
	if u.keyed != nil {
		u.keyed.hash = hash.Sum(nil)
	}
	return u.finish(ctx)
}

// isDryRun reads ?dryRun=.
func isDryRun(r *http.Request) (bool, error) {
	text := r.URL.Query().Get("dryRun")
	if text == "" {
		return false, nil
	}
	dryRun, err := strconv.ParseBool(text)
	if err != nil {
		return false, problem.BadField("dryRun", "must be true or false")
	}
	return dryRun, nil
}

// receive reads the file into rows.
func (u *upload) receive(ctx context.Context) error {
	control := http.NewResponseController(u.c.Writer)
	defer func() { _ = control.SetReadDeadline(time.Time{}) }() // not every writer has deadlines
	_ = control.SetReadDeadline(time.Now().Add(uploadPatience))
	columns, err := u.header()
	if err != nil {
		return err
	}
	p := principal(ctx)
	err = u.server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := dbgen.New().InsertJob(ctx, tx, dbgen.InsertJobParams{
			TenantID: p.TenantID, ID: u.jobID, Action: string(attribution.JobUpload), State: attribution.JobReceiving,
			Actor: p.Actor, Columns: columns, CreatedAt: u.server.now(),
		})
		return err
	})
	if err != nil {
		return err
	}
	for {
		_ = control.SetReadDeadline(time.Now().Add(uploadPatience))
		chunk := dbgen.InsertJobLinesParams{TenantID: p.TenantID, JobID: u.jobID}
		end := u.chunk(&chunk)
		if len(chunk.Lines) > 0 {
			err := u.server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error { return dbgen.New().InsertJobLines(ctx, tx, chunk) })
			if err != nil {
				return err
			}
		}
		if u.total += int64(len(chunk.Lines)); u.total > maxJobItems {
			return tooManyLines()
		}
		if errors.Is(end, io.EOF) {
			u.c.Writer.Header().Del("Connection") // read whole: see CloseUnread
			return nil
		}
		if end != nil {
			return bodyProblem(end)
		}
	}
}

func tooManyLines() error {
	return problem.New(http.StatusRequestEntityTooLarge, fmt.Sprintf("The file may have at most %d lines.", maxJobItems))
}

func (u *upload) header() ([]string, error) {
	line, err := u.line()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, bodyProblem(err)
	}
	if len(line) > domain.MaxUploadLine {
		return nil, problem.New(http.StatusRequestEntityTooLarge, fmt.Sprintf("A line may have at most %d bytes.", domain.MaxUploadLine))
	}
	columns, err := domain.ParseUploadHeader(line)
	if err != nil {
		return nil, problem.BadField("body", "the first line "+err.Error())
	}
	return columns, nil
}

// chunk reads lines until it is full; io.EOF is the end of the file.
func (u *upload) chunk(chunk *dbgen.InsertJobLinesParams) error {
	for len(chunk.Lines) < uploadChunk {
		line, err := u.line()
		if strings.TrimSpace(line) != "" {
			chunk.Lines = append(chunk.Lines, domain.Storable(line))
			chunk.Numbers = append(chunk.Numbers, u.number)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// line reads one line. Of one that is too long it keeps enough to be refused for it.
func (u *upload) line() (string, error) {
	var line []byte
	for {
		part, err := u.lines.ReadSlice('\n')
		if room := domain.MaxUploadLine + 1 - len(line); room > 0 {
			line = append(line, part[:min(len(part), room)]...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if len(part) > 0 || err == nil {
			u.number++
		}
		return string(bytes.TrimRight(line, "\r\n")), err
	}
}

func bodyProblem(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return problem.New(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body may have at most %d bytes.", uploadMaxBody))
	}
	return problem.New(http.StatusBadRequest, "The body did not arrive completely.")
}

// finish makes the job and, with a key, keeps its answer, in one transaction: the same file under the
// same key is one job, whoever comes second.
func (u *upload) finish(ctx context.Context) (answer *bufferedResponse, err error) {
	err = u.server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if k := u.keyed; k != nil {
			free, err := dbgen.New().LockIdempotencyKey(ctx, tx, k.name())
			if err != nil {
				return err
			}
			if !free {
				return stillRunning()
			}
			if answer, _, err = k.kept(ctx, tx); err != nil || answer != nil {
				return err
			}
		}
		if err := dbgen.New().StartJob(ctx, tx, u.total, principal(ctx).TenantID, u.jobID); err != nil {
			return err
		}
		if err := u.server.announceMadeJob(ctx, tx, u.jobID); err != nil {
			return err
		}
		if answer, err = u.made(); err != nil || u.keyed == nil {
			return err
		}
		return u.keyed.keep(ctx, tx, answer)
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (u *upload) made() (*bufferedResponse, error) {
	answer := &bufferedResponse{status: http.StatusAccepted, header: http.Header{"Content-Type": {"application/json"}}}
	return answer, json.NewEncoder(&answer.body).Encode(map[string]uuid.UUID{"jobId": u.jobID})
}

// forget removes what became no job. What it cannot remove, the sweep does.
func (u *upload) forget(ctx context.Context) {
	tenantID := principal(ctx).TenantID
	_ = u.server.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		if err := dbgen.New().DeleteJobItems(ctx, tx, tenantID, u.jobID); err != nil {
			return err
		}
		return dbgen.New().DeleteJob(ctx, tx, tenantID, u.jobID)
	})
}
