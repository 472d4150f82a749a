package api

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// The generator takes a pointer to an id, a number, an object or a word of a list for something that is
// never null, and the fields of an embedded pointer for ones that are always there. This puts the
// document right; what the server checks requests by stays as it is.

// documentOf is the document with what may be null or missing.
func documentOf(doc *huma.OpenAPI) ([]byte, error) {
	text, err := doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	components, _ := document["components"].(map[string]any)
	schemas, _ := components["schemas"].(map[string]any)
	for name, schema := range schemas {
		if typ := doc.Components.Schemas.TypeFromRef("#/components/schemas/" + name); typ != nil {
			completeSchema(schema.(map[string]any), typ)
		}
	}
	return json.Marshal(document)
}

func completeSchema(schema map[string]any, typ reflect.Type) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	properties, _ := schema["properties"].(map[string]any)
	if typ.Kind() != reflect.Struct || properties == nil {
		return
	}
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch property, _ := properties[name].(map[string]any); {
		case field.Anonymous && name == "":
			completeSchema(schema, field.Type)
			if field.Type.Kind() == reflect.Pointer {
				dropRequired(schema, field.Type.Elem())
			}
		case property == nil:
		case field.Type.Kind() == reflect.Pointer && options == "":
			properties[name] = nullable(property)
		default:
			completeSchema(property, field.Type)
		}
	}
}

// nullable lets null stand where a schema stands.
func nullable(schema map[string]any) map[string]any {
	if words, ok := schema["enum"].([]any); ok {
		schema["enum"] = append(words, nil)
	}
	switch kind := schema["type"].(type) {
	case string:
		schema["type"] = []any{kind, "null"}
	case nil:
		return map[string]any{"anyOf": []any{schema, map[string]any{"type": "null"}}}
	}
	return schema
}

// dropRequired takes the fields of a type out of what must be there.
func dropRequired(schema map[string]any, typ reflect.Type) {
	fields := map[string]bool{}
	var collect func(typ reflect.Type)
	collect = func(typ reflect.Type) {
		for i := range typ.NumField() {
			if name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); name != "" {
				fields[name] = true
			} else if inner := typ.Field(i).Type; typ.Field(i).Anonymous && inner.Kind() == reflect.Struct {
				collect(inner)
			}
		}
	}
	collect(typ)
	required, _ := schema["required"].([]any)
	kept := []any{}
	for _, name := range required {
		if !fields[name.(string)] {
			kept = append(kept, name)
		}
	}
	schema["required"] = kept
}
