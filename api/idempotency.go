package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/db/dbgen"
)

// Idempotency-Key, honoured on every POST that has a token.
//
// The key belongs to the tenant and the route. A success is kept, sealed, and given again to the
// same request with `Idempotency-Replayed: true`; the same key with another request is 422; while
// the first is being answered, 409 with Retry-After. A refusal uses no key up: it changed nothing.
// Nor does what is not final, a 5xx or an answer that its handler calls so (notFinal): the same request
// goes on where it stands.
//
// An effect must not happen twice when the process dies between it and the keeping of its answer.
// There are two ways to that, chosen in the route table:
//
//   - By default the request runs in one transaction: the effects (s.tenant, s.system join it by
//     savepoints) and the answer are committed together, and only then is the answer sent. Such a
//     handler uses its transaction from one goroutine, and nothing outside the database.
//   - A `repeatable` handler commits by itself, starts workflows, waits. It takes the id of what it
//     makes from effectID(ctx), which is put on disk before the handler runs and is the same when
//     the request comes again; inserts go ON CONFLICT DO NOTHING, workflow starts reject duplicates.

const (
	maxKeyLength = 255
	// runningFor is what Retry-After says while the first request is being answered.
	runningFor = time.Second
)

type effectIDKey struct{}

// effectID is the id of the one thing that the request makes: new, or in a repeated request with
// an Idempotency-Key the same as before.
func effectID(ctx context.Context) uuid.UUID {
	if id, ok := ctx.Value(effectIDKey{}).(uuid.UUID); ok {
		return id
	}
	return newID()
}

type finalityKey struct{}

// notFinal says that the answer tells of something that is not finished: it is sent and not kept, so
// that the same request under its Idempotency-Key goes on with it. Only repeatable handlers may say so.
func notFinal(ctx context.Context) {
	if open, ok := ctx.Value(finalityKey{}).(*atomic.Bool); ok {
		open.Store(true)
	}
}

// keyed is one request with a key.
type keyed struct {
	server *Server
	c      *gin.Context
	// tenantID is zero for the operator's own routes.
	tenantID uuid.UUID
	system   bool
	key      string
	route    string
	hash     []byte
}

// keptAnswer is what is given again.
type keptAnswer struct {
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

func (s *Server) idempotent(options route) gin.HandlerFunc {
	return func(c *gin.Context) {
		key := c.GetHeader("Idempotency-Key")
		if key == "" {
			return
		}
		request, err := s.keyedRequest(c, key)
		if err != nil {
			problem.WriteError(c, err)
			return
		}
		release, ok := s.running.take(request.name())
		if !ok {
			problem.Write(c, stillRunning())
			return
		}
		defer release()
		if options.repeatable {
			err = request.repeatably()
		} else {
			err = request.atomically()
		}
		if err != nil {
			problem.WriteError(c, err)
		}
		c.Abort() // the rest of the chain has run
	}
}

func stillRunning() *problem.Problem {
	return problem.Conflict("The first request with this Idempotency-Key is still in progress.").RetryAfter(runningFor)
}

func (s *Server) keyedRequest(c *gin.Context, key string) (*keyed, error) {
	k, err := s.keyedStream(c, key)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(c.Request.Body)
	if err != nil {
		return nil, err
	}
	c.Request.Body = io.NopCloser(bytes.NewReader(body))
	hash := requestHash(c.Request, principal(c.Request.Context()))
	hash.Write(body)
	k.hash = hash.Sum(nil)
	return k, nil
}

// keyedStream is a request whose body is not read yet: its hash is to come.
func (s *Server) keyedStream(c *gin.Context, key string) (*keyed, error) {
	for _, r := range key {
		if r < ' ' || r > '~' {
			return nil, problem.BadField("Idempotency-Key", "must contain only printable ASCII characters")
		}
	}
	if len(key) > maxKeyLength {
		return nil, problem.BadField("Idempotency-Key", fmt.Sprintf("must have at most %d characters", maxKeyLength))
	}
	p := principal(c.Request.Context())
	return &keyed{
		server: s, c: c, tenantID: p.TenantID, system: p.TenantID == uuid.Nil, key: key, route: c.Request.Method + " " + c.FullPath(),
	}, nil
}

// requestHash covers whatever decides the answer, and with the scope who may read it; the body is to
// be written into it.
func requestHash(r *http.Request, p Principal) hash.Hash {
	hash := sha256.New()
	for _, part := range []string{r.URL.Path, r.URL.RawQuery, r.Header.Get("Content-Type"), p.Scope, fmt.Sprint(p.PartnerID, p.AdvertiserID)} {
		fmt.Fprintf(hash, "%d:%s;", len(part), part)
	}
	return hash
}

func (k *keyed) name() string { return k.tenantID.String() + " " + k.route + " " + k.key }

func (k *keyed) transaction(ctx context.Context, fn func(ctx context.Context, tx pgx.Tx) error) error {
	if k.system {
		return k.server.Store.System(ctx, fn)
	}
	return k.server.Store.Tenant(ctx, k.tenantID, fn)
}

// errRefused rolls back a request that was answered with a problem.
var errRefused = errors.New("refused")

// atomically runs the handler inside the transaction that keeps its answer.
func (k *keyed) atomically() error {
	ctx := k.c.Request.Context()
	var answer *bufferedResponse
	err := k.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
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
		answer = k.run(context.WithValue(ctx, heldTxKey{}, heldTx{tx: tx, tenantID: k.tenantID, system: k.system}))
		if answer.status >= http.StatusBadRequest {
			return errRefused
		}
		return k.keep(ctx, tx, answer)
	})
	if err != nil && !errors.Is(err, errRefused) {
		return err
	}
	answer.send(k.c)
	if err == nil {
		k.server.nudge() // whatever the handler announced is committed only now
	}
	return nil
}

// repeatably runs the handler by itself, under an id that was put on disk before.
func (k *keyed) repeatably() error {
	ctx := k.c.Request.Context()
	var answer *bufferedResponse
	var id uuid.UUID
	err := k.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		mine := newID().String()
		err := dbgen.New().ReserveIdempotencyKey(ctx, tx, dbgen.ReserveIdempotencyKeyParams{
			TenantID: k.tenantID, Key: k.key, Route: k.route, RequestHash: k.hash, Answer: &mine, CreatedAt: k.server.now(),
		})
		if err != nil {
			return err
		}
		answer, id, err = k.kept(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if answer != nil {
		answer.send(k.c)
		return nil
	}
	open := &atomic.Bool{}
	answer = k.run(context.WithValue(context.WithValue(ctx, effectIDKey{}, id), finalityKey{}, open))
	ctx = context.WithoutCancel(ctx) // what was done is kept, also when the client has gone
	err = k.transaction(ctx, func(ctx context.Context, tx pgx.Tx) error {
		switch {
		case open.Load(): // the id stays, and the next try goes on with it
			return nil
		case answer.status < http.StatusBadRequest:
			return k.keep(ctx, tx, answer)
		case answer.status < http.StatusInternalServerError:
			return dbgen.New().ForgetIdempotencyKey(ctx, tx, k.tenantID, k.key, k.route)
		}
		return nil // it may have had effects: the id stays, and the next try goes on with it
	})
	if err != nil {
		return err
	}
	answer.send(k.c)
	return nil
}

// kept finds the answer that was given before, or the id that an unfinished request runs under.
func (k *keyed) kept(ctx context.Context, tx pgx.Tx) (*bufferedResponse, uuid.UUID, error) {
	row, err := dbgen.New().GetIdempotencyKey(ctx, tx, k.tenantID, k.key, k.route)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, uuid.Nil, nil
	}
	if err != nil {
		return nil, uuid.Nil, err
	}
	if !bytes.Equal(row.RequestHash, k.hash) {
		return nil, uuid.Nil, problem.New(http.StatusUnprocessableEntity, "This Idempotency-Key was already used for a different request.")
	}
	if row.StatusCode == nil {
		id, err := uuid.Parse(*row.Answer)
		return nil, id, err
	}
	return k.unseal(int(*row.StatusCode), *row.Answer)
}

func (k *keyed) unseal(status int, sealed string) (*bufferedResponse, uuid.UUID, error) {
	plain, err := k.server.Keys.Open(sealed)
	if err != nil {
		return nil, uuid.Nil, err
	}
	var answer keptAnswer
	if err := json.Unmarshal(plain, &answer); err != nil {
		return nil, uuid.Nil, err
	}
	answer.Header.Set("Idempotency-Replayed", "true")
	return &bufferedResponse{status: status, header: answer.Header, body: *bytes.NewBuffer(answer.Body)}, uuid.Nil, nil
}

func (k *keyed) keep(ctx context.Context, tx pgx.Tx, answer *bufferedResponse) error {
	header := answer.header.Clone()
	header.Del("X-Request-Id") // each try has its own
	plain, err := json.Marshal(keptAnswer{Header: header, Body: answer.body.Bytes()})
	if err != nil {
		return err
	}
	sealed := k.server.Keys.Seal(plain)
	return dbgen.New().AnswerIdempotencyKey(ctx, tx, dbgen.AnswerIdempotencyKeyParams{
		TenantID: k.tenantID, Key: k.key, Route: k.route, RequestHash: k.hash,
		StatusCode: int32(answer.status), Answer: &sealed, CreatedAt: k.server.now(), //nolint:gosec // one of ours, of three digits
	})
}

// run lets the rest of the chain answer into a buffer.
func (k *keyed) run(ctx context.Context) *bufferedResponse {
	real := k.c.Writer
	answer := &bufferedResponse{ResponseWriter: real, status: http.StatusOK, header: http.Header{}}
	k.c.Writer = answer
	k.c.Request = k.c.Request.WithContext(ctx)
	defer func() { k.c.Writer = real }()
	k.c.Next()
	return answer
}

// runningKeys are the keys whose requests this process is answering.
type runningKeys struct {
	mu    sync.Mutex
	names map[string]bool
}

func (r *runningKeys) take(name string) (release func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names[name] {
		return nil, false
	}
	if r.names == nil {
		r.names = map[string]bool{}
	}
	r.names[name] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.names, name)
	}, true
}
