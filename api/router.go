package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"github.com/offerflow/offerflow/api/problem"
	"github.com/offerflow/offerflow/api/tracking"
)

// router turns lines of the route table into Gin routes and OpenAPI operations.
type router struct {
	server *Server
	engine *gin.Engine
	api    huma.API
	tag    string
	// quiet are the route templates whose successes are not worth a line in the log.
	quiet map[string]bool
	// portals are the handlers that routes have for partners and advertisers: see portal.go.
	portals map[string]gin.HandlerFunc
	// csv is the CSV form of the table that is registered next.
	csv gin.HandlerFunc
	// lean are the route templates whose requests get no id unless they bring one.
	lean  map[string]bool
	hosts *hostGuard
}

// route is what a line of the table says beside its handler.
type route struct {
	who        access
	maxBody    int64
	status     int
	repeatable bool
	weight     weight
	streamed   bool
	quiet      bool
	lean       bool
	hidden     bool
	ownHost    bool
	anyHost    bool
	openQuery  bool
	writes     bool
	// table marks what answers in CSV too, csvForm the handler that does, batched that it reads in batches.
	table, csvForm, batched bool
	// precondition is looked at where the handler does not come to it.
	precondition func(huma.Context) error
	// What the OpenAPI document says besides: see openapi_answers.go.
	fields     map[string]listField
	orAccepted string
	finds      bool
	sent       []tracking.SentField
	answers    []rawAnswer
	// portals are what partners and advertisers get; portalOf marks such a handler with its scope.
	portals  []portal
	portalOf string
}

// option changes a route from its defaults.
type option func(*route)

// Options of a line in the table.
var (
	// created and accepted are the statuses 201 and 202 of success.
	created  option = func(r *route) { r.status = http.StatusCreated }
	accepted option = func(r *route) { r.status = http.StatusAccepted }
	// repeatable is for POSTs whose effect is not one database transaction: see idempotency.go.
	repeatable option = func(r *route) { r.repeatable = true }
	// streamed is for POSTs that read their body themselves, within a size and a time, and see to
	// their Idempotency-Key.
	streamed option = func(r *route) { r.streamed, r.weight = true, endless }
	// quiet routes are logged only when they fail.
	quiet option = func(r *route) { r.quiet = true }
	// lean routes are redirects: an id that nobody would ask for is not made for each of them.
	lean option = func(r *route) { r.quiet, r.lean = true, true }
	// ownHost is for public routes that answer under our own names only, as all do that are not public. The
	// others live under customers' domains.
	ownHost option = func(r *route) { r.ownHost = true }
	// anyHost is for what our own machines ask for by names of theirs.
	anyHost option = func(r *route) { r.anyHost = true }
	// writes is for GETs that leave something behind: all others are refused any write by the database.
	writes option = func(r *route) { r.writes = true }
	// hidden routes are not in the OpenAPI document: other spellings of ones that are.
	hidden option = func(r *route) { r.hidden = true }
	// reporting is for reports and exports, unending for what lasts as long as its client wants: see crowd.go.
	reporting option = func(r *route) { r.weight = heavy }
	unending  option = func(r *route) { r.weight = endless }
)

// maxBody changes how many bytes of body a route takes.
func maxBody(bytes int64) option { return func(r *route) { r.maxBody = bytes } }

const (
	defaultMaxBody = 1 << 20
	offerMaxBody   = 2 << 20
	// publicMaxBody is the most that a route without a token takes.
	publicMaxBody = 64 << 10
)

func newRouter(s *Server, engine *gin.Engine) *router {
	r := &router{server: s, engine: engine, quiet: map[string]bool{}, lean: map[string]bool{}, portals: map[string]gin.HandlerFunc{}}
	r.hosts = newHostGuard(&s.Config)
	config := huma.DefaultConfig("Offerflow", "1.0.0")
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	config.CreateHooks = nil // no $schema members in answers
	config.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	config.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[uuid.UUID](), reflect.TypeFor[uuidSchema]())
	config.Components.Schemas.RegisterTypeAlias(reflect.TypeFor[json.Number](), reflect.TypeFor[float64]())
	describe(config.OpenAPI)
	r.api = huma.NewAPI(config, adapter{r})
	return r
}

// uuidSchema is what ids look like, so that a malformed one is refused by its name.
type uuidSchema struct{}

// Schema satisfies huma.SchemaProvider.
func (uuidSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid"}
}

// group names the following lines in the OpenAPI document.
func (r *router) group(name, description string) {
	r.tag = name
	doc := r.api.OpenAPI()
	doc.Tags = append(doc.Tags, &huma.Tag{Name: name, Description: description})
}

// adapter registers huma's operations with the middleware that their line in the table asks for.
type adapter struct{ *router }

// ServeHTTP satisfies huma.Adapter.
func (a adapter) ServeHTTP(w http.ResponseWriter, req *http.Request) { a.engine.ServeHTTP(w, req) }

// Handle satisfies huma.Adapter.
func (a adapter) Handle(op *huma.Operation, handler func(huma.Context)) {
	options := op.Metadata["route"].(route)
	answer := checkedQuery(op, options, func(c *gin.Context) { handler(humagin.NewContext(op, c)) })
	if options.csvForm {
		a.csv = answer
		return
	}
	if options.table {
		asCSV := a.csv
		if asCSV == nil {
			asCSV = answer
		}
		answer, a.csv = csvOr(asCSV, answer), nil
	}
	if options.portalOf != "" {
		a.keepPortal(options.portalOf, op, answer)
		return
	}
	a.register(op.Method, op.Path, options, answer)
}

func (r *router) register(method, path string, options route, handler gin.HandlerFunc) {
	if options.who&(byPartner|byAdvertiser) != 0 {
		handler = r.dispatched(method, path, handler)
	}
	path = strings.NewReplacer("{", ":", "}", "").Replace(path)
	if options.quiet {
		r.quiet[path] = true
	}
	if options.lean {
		r.lean[path] = true
	}
	r.engine.Handle(method, path, append(r.before(method, &options), handler)...)
}

// before is what a request passes before its handler.
func (r *router) before(method string, options *route) (chain []gin.HandlerFunc) {
	if options.ownHost || options.who != public && !options.anyHost {
		chain = append(chain, r.hosts.check)
	}
	if options.who != public {
		chain = append(chain, r.server.authorize(options.who, method == http.MethodGet && !options.writes))
	}
	if method != http.MethodGet && method != http.MethodHead && !options.streamed {
		limit := options.maxBody
		if options.who == public {
			limit = min(limit, publicMaxBody)
		}
		chain = append(chain, readBody(limit))
	}
	if options.who != public && options.weight != endless {
		chain = append(chain, r.server.turnOf(*options))
	}
	if method == http.MethodPost && options.who != public && !options.streamed {
		chain = append(chain, r.server.idempotent(*options))
	}
	return chain
}

// handle is one line of the table with a typed handler. Input and output are huma's: parameters by
// tags, `Body` for the body; the OpenAPI document is made from them.
func handle[I, O any](r *router, method, path, id string, who access, summary string,
	handler func(context.Context, *I) (*O, error), options ...option) {
	op, line := r.operation(method, path, id, who, summary, options)
	op.Metadata = map[string]any{"route": line}
	op.Hidden = line.hidden
	op.DefaultStatus = line.status
	op.MaxBodyBytes = line.maxBody
	op.BodyReadTimeout = -1 // readBody has read it
	op.Errors = line.refusals(method, path)
	for _, own := range line.portals {
		own.register(op)
	}
	registerTyped(r, op, handler)
	r.describeAnswers(method, path, &line)
	for _, own := range line.portals {
		if own.body != nil {
			r.describePortal(path, own.scope, own.body)
		}
	}
}

// registerTyped registers a handler whose errors become problems. What answers with a table gets a handler
// for CSV besides.
func registerTyped[I, O any](r *router, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	table, byItself := isTable(reflect.TypeFor[O]())
	if !table || op.Method != http.MethodGet {
		huma.Register(r.api, op, problems(handler))
		return
	}
	line := op.Metadata["route"].(route)
	line.table = true
	op.Parameters = append(slices.Clone(op.Parameters), formatParameter)
	if !byItself {
		asCSV := op
		asCSV.Hidden, asCSV.OperationID = true, op.OperationID+"AsCSV"
		line.csvForm, line.batched = true, true
		asCSV.Metadata = map[string]any{"route": line}
		huma.Register(r.api, asCSV, problems(exported(r.server, op.Path, handler)))
		line.csvForm = false
	}
	op.Metadata = map[string]any{"route": line}
	huma.Register(r.api, op, problems(handler))
	if documented := r.documented(op.Method, op.Path); documented != nil && !op.Hidden {
		r.describeCSV(documented)
	}
}

// problems makes problems of a handler's errors.
func problems[I, O any](handler func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		out, err := handler(ctx, in)
		if err != nil {
			return nil, problem.Of(ctx, err)
		}
		return out, nil
	}
}

// raw is one line of the table with a Gin handler, for what is not JSON. Path parameters are
// written {name} as elsewhere.
func raw(r *router, method, path, id string, who access, summary string, handler gin.HandlerFunc, options ...option) {
	op, line := r.operation(method, path, id, who, summary, options)
	if !line.hidden {
		for _, name := range pathParameter.FindAllStringSubmatch(path, -1) {
			op.Parameters = append(op.Parameters, &huma.Param{
				Name: name[1], In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString},
			})
		}
		r.describeRaw(&op, &line)
		r.api.OpenAPI().AddOperation(&op)
	}
	r.register(method, path, line, checkedQuery(&op, line, handler))
}

var idempotencyParameter = &huma.Param{
	Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString},
	Description: "A repeated request with the same key returns the first answer and has no second effect.",
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

func (r *router) operation(method, path, id string, who access, summary string, options []option) (huma.Operation, route) {
	line := route{who: who, maxBody: defaultMaxBody}
	for _, change := range options {
		change(&line)
	}
	op := huma.Operation{
		Method: method, Path: path, Summary: summary, Description: line.who.describe(),
		OperationID: id, Tags: []string{r.tag},
	}
	if who != public {
		op.Security = []map[string][]string{{"ApiToken": {}}, {"Bearer": {}}}
		if method == http.MethodPost {
			op.Parameters = append(op.Parameters, idempotencyParameter)
		}
	}
	return op, line
}
