package api_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// surface is what the OpenAPI document says of the routes that take a token.
type surface struct{ operations []operation }

// schema is as much of JSON Schema as the tests need.
type schema struct {
	Ref         string             `json:"$ref"`
	Type        any                `json:"type"`
	Format      string             `json:"format"`
	Description string             `json:"description"`
	Enum        []any              `json:"enum"`
	Minimum     *float64           `json:"minimum"`
	MinItems    int                `json:"minItems"`
	Required    []string           `json:"required"`
	Properties  map[string]*schema `json:"properties"`
	Items       *schema            `json:"items"`
	AnyOf       []*schema          `json:"anyOf"`
	ReadOnly    bool               `json:"readOnly"`
}

type parameter struct {
	Name, In string
	Schema   schema
}

func (s *site) surface() *surface {
	s.t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			Parameters  []parameter
			RequestBody struct {
				Content map[string]struct{ Schema *schema }
			}
		}
		Components struct{ Schemas map[string]*schema }
	}
	s.as("").get("/openapi.json").into(http.StatusOK, &document)
	// Those of the operator alone hold nothing that is a tenant's to ask for.
	all := slices.DeleteFunc(s.operations(), func(o operation) bool { return strings.HasPrefix(o.path, "/api/v1/operator/") })
	for i, o := range all {
		line := document.Paths[o.path][strings.ToLower(o.method)]
		all[i].parameters, all[i].schemas = line.Parameters, document.Components.Schemas
		all[i].schema = line.RequestBody.Content["application/json"].Schema
	}
	slices.SortFunc(all, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return &surface{operations: all}
}

var nameOfID = regexp.MustCompile(`(^id|^ids|Id|Ids|ID|IDs)$`)

// idFields are the fields of a body that take ids, by their format or their name: "a.b", and "[]"
// behind what is a list.
func (s *surface) idFields(o operation) []string {
	fields := slices.Clone(untyped[o.method+" "+o.path])
	var walk func(at *schema, path string, depth int)
	walk = func(at *schema, path string, depth int) {
		at = at.resolved(o.schemas)
		if at == nil || depth > 8 {
			return
		}
		name := strings.TrimSuffix(path[strings.LastIndex(path, ".")+1:], "[]")
		if path != "" && at.Items == nil && at.Properties == nil && (at.Format == "uuid" || nameOfID.MatchString(name)) && notAnID[name] == "" && !at.ReadOnly {
			fields = append(fields, path)
		}
		for _, property := range slices.Sorted(maps.Keys(at.Properties)) {
			walk(at.Properties[property], strings.TrimPrefix(path+"."+property, "."), depth+1)
		}
		if at.Items != nil {
			walk(at.Items, path+"[]", depth+1)
		}
	}
	if o.schema != nil && !strings.Contains(o.schema.Ref, "schemas/Offer") { // untyped has those of offers
		walk(o.schema, "", 0)
	}
	return fields
}

// idQueries are the parameters of a query that take ids.
func (s *surface) idQueries(o operation) map[string]bool {
	names := map[string]bool{}
	for _, p := range o.parameters {
		if p.In == "query" && !strings.HasPrefix(p.Name, "filter.") && (p.Schema.Format == "uuid" || nameOfID.MatchString(p.Name)) && notAnID[p.Name] == "" {
			names[p.Name] = true
		}
	}
	return names
}

func (s *schema) resolved(all map[string]*schema) *schema {
	for s != nil && s.Ref != "" {
		s = all[s.Ref[strings.LastIndex(s.Ref, "/")+1:]]
	}
	return s
}

// kind is the type, without the null that may stand beside it.
func (s *schema) kind() string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		for _, one := range t {
			if one != "null" {
				name, _ := one.(string)
				return name
			}
		}
	}
	return ""
}

// Sample is the least that a schema takes: its required fields.
func Sample(s *schema, all map[string]*schema, r *rich) any {
	s = s.resolved(all)
	switch {
	case s == nil:
		return nil
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.kind() == "object":
		body := map[string]any{}
		for _, name := range s.Required {
			if noun := nounOfField[name]; noun != "" && s.Properties[name].resolved(all).kind() == "string" {
				body[name] = r.own(noun)
			} else {
				body[name] = Sample(s.Properties[name], all, r)
			}
		}
		return body
	case s.kind() == "array":
		items := []any{}
		for range s.MinItems {
			items = append(items, Sample(s.Items, all, r))
		}
		return items
	case s.kind() == "integer", s.kind() == "number":
		if s.Minimum != nil {
			return json.Number(strings.TrimSuffix(jsonText(*s.Minimum), ".0"))
		}
		return 1
	case s.kind() == "boolean":
		return false
	case s.Format == "date-time":
		return "2030-01-01T00:00:00Z"
	default:
		return "sample"
	}
}

func jsonText(v any) string {
	text, _ := json.Marshal(v)
	return string(text)
}

// setField puts a value where idFields found a field, making what is missing on the way.
func setField(body map[string]any, path []string, value any) {
	name, isList := strings.CutSuffix(path[0], "[]")
	if len(path) == 1 {
		if isList || strings.HasSuffix(name, "Ids") || name == "ids" {
			body[name] = []any{value}
		} else {
			body[name] = value
		}
		return
	}
	inner := map[string]any{}
	if isList {
		if items, _ := body[name].([]any); len(items) > 0 {
			inner, _ = items[0].(map[string]any)
		}
		body[name] = []any{inner}
	} else {
		if was, ok := body[name].(map[string]any); ok {
			inner = was
		}
		body[name] = inner
	}
	setField(inner, path[1:], value)
}
