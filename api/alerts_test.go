package api

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/api/tracking"
)

// metric is one that the code makes.
type metric struct {
	labels      []string
	isHistogram bool
}

// promauto's constructors, by whether they make a histogram.
var constructors = map[string]bool{
	"NewCounter": false, "NewCounterVec": false, "NewGauge": false, "NewGaugeVec": false, "NewHistogram": true, "NewHistogramVec": true,
}

// metricsOfTheCode are those of every package of the product, as its source makes them.
func metricsOfTheCode(t *testing.T) map[string]metric {
	t.Helper()
	found := map[string]metric{}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "standalone" || entry.Name() == "bin" || entry.Name() == "dbgen" || strings.HasPrefix(entry.Name(), ".git")):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			function, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			isHistogram, ok := constructors[function.Sel.Name]
			texts := textsIn(call)
			if ok && len(texts) > 0 && strings.HasPrefix(texts[0], "offerflow_") {
				found[texts[0]] = metric{labels: labelsOf(call), isHistogram: isHistogram}
			}
			return true
		})
		return nil
	})
	require.NoError(t, err)
	return found
}

// textsIn are the literals of a call, in their order: the first is a metric's name.
func textsIn(node ast.Node) (texts []string) {
	ast.Inspect(node, func(node ast.Node) bool {
		if literal, ok := node.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			if text, err := strconv.Unquote(literal.Value); err == nil {
				texts = append(texts, text)
			}
		}
		return true
	})
	return texts
}

func labelsOf(call *ast.CallExpr) []string {
	if len(call.Args) < 2 {
		return nil
	}
	return textsIn(call.Args[1])
}

// expression is one of an alert or a panel, with the labels that its words name.
type expression struct {
	where, expr string
	named       []string
}

var namedLabel = regexp.MustCompile(`\{\{\s*(?:\$labels\.)?([a-z_]+)\s*\}\}`)

func labelsIn(text string) (named []string) {
	for _, match := range namedLabel.FindAllStringSubmatch(text, -1) {
		named = append(named, match[1])
	}
	return named
}

// expressions are those of deploy/alerts.yml and of the dashboard.
func expressions(t *testing.T) (all []expression) {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Summary string }
			}
		}
	}
	text, err := os.ReadFile("../deploy/alerts.yml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &rules))
	operations, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			require.NotEmpty(t, rule.Expr, rule.Alert)
			require.Contains(t, string(operations), "`"+rule.Alert+"`", "docs/operations.md says what to do")
			all = append(all, expression{rule.Alert, rule.Expr, labelsIn(rule.Annotations.Summary)})
		}
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	text, err = os.ReadFile("../deploy/grafana/offerflow.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &dashboard))
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all = append(all, expression{panel.Title, target.Expr, labelsIn(target.LegendFormat)})
		}
	}
	return all
}

var (
	quoted    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	metricIn  = regexp.MustCompile(`\bofferflow_[a-z_]+`)
	grouping  = regexp.MustCompile(`\bby \(([^)]*)\)`)
	matcherIn = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"`)
	ofSeries  = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// What is wrong with an expression: a metric that nothing makes, a label that its metrics do not have, a
// route that the API does not have.
func wrongWith(e expression, metrics map[string]metric, routes []string) (wrong []string) {
	labels := map[string]bool{"le": true}
	for _, name := range metricIn.FindAllString(quoted.ReplaceAllString(e.expr, `""`), -1) {
		base := ofSeries.ReplaceAllString(name, "")
		made, ok := metrics[base]
		if !ok || made.isHistogram == (base == name) {
			wrong = append(wrong, "no metric "+name)
		}
		for _, label := range made.labels {
			labels[label] = true
		}
	}
	var grouped []string
	for _, by := range grouping.FindAllStringSubmatch(e.expr, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			grouped = append(grouped, strings.TrimSpace(label))
		}
	}
	named := slices.Clone(grouped)
	for _, match := range matcherIn.FindAllStringSubmatch(e.expr, -1) {
		named = append(named, match[1])
		if match[1] == "route" {
			wrong = append(wrong, wrongRoutes(match[2], match[3], routes)...)
		}
	}
	for _, label := range named {
		if !labels[label] {
			wrong = append(wrong, "no label "+label)
		}
	}
	for _, label := range e.named {
		if !slices.Contains(grouped, label) {
			wrong = append(wrong, "its words name the label "+label+", which the sum has not")
		}
	}
	return wrong
}

// wrongRoutes are the alternatives of a matcher that match no route.
func wrongRoutes(operator, pattern string, routes []string) (wrong []string) {
	if !strings.Contains(operator, "~") {
		pattern = regexp.QuoteMeta(pattern)
	}
	for _, alternative := range alternatives(strings.ReplaceAll(pattern, `\\`, `\`)) {
		matches, err := regexp.Compile("^(?:" + alternative + ")$")
		if err != nil || !slices.ContainsFunc(routes, matches.MatchString) {
			wrong = append(wrong, "no route "+alternative)
		}
	}
	return wrong
}

// alternatives parts a pattern at the bars outside of its brackets.
func alternatives(pattern string) (parts []string) {
	depth, from := 0, 0
	for i, c := range pattern {
		switch c {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case '|':
			if depth == 0 {
				parts, from = append(parts, pattern[from:i]), i+1
			}
		}
	}
	return append(parts, pattern[from:])
}

// routesOfTheAPI are its templates by method, as the metric names them.
func routesOfTheAPI() (routes []string) {
	gin.SetMode(gin.TestMode)
	engine, s := gin.New(), &Server{Tracking: &tracking.Edge{}}
	s.routes(newRouter(s, engine))
	for _, route := range engine.Routes() {
		routes = append(routes, route.Path)
	}
	slices.Sort(routes)
	return slices.Compact(routes)
}

// Alerts and panels name only what there is: a rule about a metric, a label or a route that went would be
// silent for ever.
func TestAlertsAndPanelsNameWhatThereIs(t *testing.T) {
	t.Parallel()
	metrics, routes := metricsOfTheCode(t), routesOfTheAPI()
	require.Contains(t, slices.Collect(maps.Keys(metrics)), "offerflow_http_request_seconds")
	require.Contains(t, routes, "/c/:linkId")
	for _, e := range expressions(t) {
		require.Empty(t, wrongWith(e, metrics, routes), "%s: %s", e.where, e.expr)
	}

	// The control: what is wrong is found.
	for expr, want := range map[string]string{
		`rate(offerflow_nothing_total[5m])`:                                       "no metric offerflow_nothing_total",
		`rate(offerflow_http_request_seconds[5m])`:                                "no metric offerflow_http_request_seconds",
		`rate(offerflow_decisions_total_count[5m])`:                               "no metric offerflow_decisions_total_count",
		`sum by (tennant) (offerflow_deliveries_failed_total)`:                    "no label tennant",
		`offerflow_decisions_total{result="refused"}`:                             "no label result",
		`offerflow_http_request_seconds_count{route=~"/c/:linkId|/aff_click"}`:    "no route /aff_click",
		`offerflow_http_request_seconds_count{route="/tracks"}`:                   "no route /tracks",
		`offerflow_http_request_seconds_count{route=~"/(track|postback)/:nokey"}`: "no route /(track|postback)/:nokey",
	} {
		require.Equal(t, []string{want}, wrongWith(expression{"", expr, nil}, metrics, routes), expr)
	}
	require.Len(t, wrongWith(expression{"", `sum by (kind) (offerflow_deliveries_failed_total)`, []string{"tenant"}}, metrics, routes), 1)
}

// Panels by route show clicks and postbacks of every form: ours, TUNE's, the opaque ones and pixels.
func TestPanelsShowEveryTrackingForm(t *testing.T) {
	t.Parallel()
	forms := map[string][]string{}
	for _, route := range routesOfTheAPI() {
		switch {
		case route == "/c/:linkId", route == "/aff_c", strings.Contains(route, "redirect"):
			forms["Clicks per second"] = append(forms["Clicks per second"], route)
		case strings.HasPrefix(route, "/aff_"), strings.HasPrefix(route, "/pixel"), strings.HasSuffix(route, ":code"),
			strings.HasPrefix(route, "/track"), strings.HasPrefix(route, "/postback"), route == "/api/v1/conversion", route == "/api/v1/conversion/:advertiserKey":
			forms["Postback to answer, quantiles"] = append(forms["Postback to answer, quantiles"], route)
		}
	}
	require.Len(t, forms["Clicks per second"], 4)
	require.Len(t, forms["Postback to answer, quantiles"], 15)
	shown := 0
	for _, e := range expressions(t) {
		for _, match := range matcherIn.FindAllStringSubmatch(e.expr, -1) {
			if match[1] != "route" || forms[e.where] == nil {
				continue
			}
			pattern := regexp.MustCompile("^(?:" + match[3] + ")$")
			for _, route := range forms[e.where] {
				require.Regexp(t, pattern, route, e.where)
			}
			shown++
		}
	}
	require.Equal(t, 4, shown)
}
