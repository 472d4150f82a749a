package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/offerflow/offerflow/keyring"
)

// Setting is one variable of the environment.
type Setting struct {
	Name, Default, Value, Help string
	IsSecret                   bool
}

// Settings are all of them, with what they are set to: of secrets only whether they are set.
func (c Config) Settings() []Setting {
	var all []Setting
	values := reflect.ValueOf(c)
	for i := range values.NumField() {
		field := values.Type().Field(i)
		name := variable(field)
		if name == "-" || name == "" {
			continue
		}
		one := Setting{
			Name: name, Default: field.Tag.Get("envDefault"), Help: field.Tag.Get("help"), IsSecret: field.Tag.Get("secret") != "",
			Value: strings.Trim(fmt.Sprint(values.Field(i).Interface()), "[]"),
		}
		if one.IsSecret && one.Value != "" {
			one.Value = "(set)"
		}
		all = append(all, one)
	}
	return all
}

func variable(field reflect.StructField) string {
	name, _, _ := strings.Cut(field.Tag.Get("env"), ",")
	return name
}

// standards are the settings of libraries, which have names of their own.
var standards = []Setting{
	{Name: "TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…", Help: "Temporal's standard settings"},
	{Name: "OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_…", Help: "OpenTelemetry's standard settings; traces are sent when an endpoint is set"},
}

// Print lists every setting with its value, secrets hidden, and what it means.
func (c Config) Print(out io.Writer) {
	for _, one := range c.Settings() {
		if one.Name == "OFFERFLOW_SECRET_KEYS" {
			one.Value = c.nameKeys()
		}
		fmt.Fprintf(out, "%s=%s\n    %s\n", one.Name, one.Value, one.Help)
	}
	for _, one := range standards {
		fmt.Fprintf(out, "%s\n    %s\n", one.Name, one.Help)
	}
}

// nameKeys tells by their public names which secret keys are set, so that those of two processes can be
// compared.
func (c Config) nameKeys() string {
	keys, err := keyring.Parse(c.SecretKeys)
	switch {
	case c.SecretKeys == "":
		return ""
	case err != nil:
		return "(set, but invalid)"
	default:
		return "(set: " + strings.Join(keys.IDs(), ", ") + ")"
	}
}

// Table writes every setting as a table for docs/settings.md.
func (c Config) Table(out io.Writer) {
	fmt.Fprint(out, "# Settings\n\n`make generate` writes this page from the program. `offerflow config` prints the same list with the current values. "+
		"[operations.md](operations.md) explains what to set in production, and lists what standalone reads besides.\n\n| variable | default | meaning |\n|---|---|---|\n")
	for _, one := range slices.Concat(c.Settings(), standards) {
		fallback := ""
		if one.Default != "" {
			fallback = "`" + one.Default + "`"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s |\n", strings.ReplaceAll(one.Name, ", ", "`, `"), fallback, strings.ReplaceAll(one.Help, "|", `\|`))
	}
}

// required names what a process cannot start without.
func (c *Config) required() error {
	var missing []error
	for _, one := range []struct{ name, value, how string }{
		{"OFFERFLOW_DATABASE_URL", c.DatabaseURL, "set it to the address of PostgreSQL, like postgres://user:password@host:5432/offerflow"},
		{"OFFERFLOW_OPERATOR_TOKEN", c.OperatorToken, "generate one with: openssl rand -hex 32"},
		{"OFFERFLOW_SECRET_KEYS", c.SecretKeys, "generate one with: openssl rand -hex 32, and use the same on every process"},
	} {
		if one.value == "" {
			missing = append(missing, fmt.Errorf("%s is not set: %s", one.name, one.how))
		}
	}
	return errors.Join(missing...)
}

// unreadable says which variables have a value of the wrong kind. No secret is of a kind that can be wrong.
func unreadable(err error) (names []string, wrong error) {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return nil, err
	}
	for _, one := range all.Errors {
		var parse env.ParseError
		if !errors.As(one, &parse) {
			wrong = errors.Join(wrong, one)
			continue
		}
		field, _ := reflect.TypeFor[Config]().FieldByName(parse.Name)
		name := variable(field)
		wrong, names = errors.Join(wrong, fmt.Errorf("%s is %q: use %s", name, os.Getenv(name), kindOf(field.Type, parse.Err))), append(names, name)
	}
	return names, wrong
}

func kindOf(kind reflect.Type, err error) string {
	switch {
	case kind == reflect.TypeFor[time.Duration]():
		return "a time with its unit, like 30s, 2m or 24h"
	case kind.Kind() == reflect.Slice:
		return "ranges like 10.0.0.0/8, separated by commas"
	case errors.Is(err, strconv.ErrRange):
		return "a smaller number"
	default:
		return "a whole number"
	}
}
