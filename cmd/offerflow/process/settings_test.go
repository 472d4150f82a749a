package process

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/keyring"
)

// malformed are values that no setting of text can have. Settings of other kinds refuse all text.
var malformed = map[string]string{
	"OFFERFLOW_HTTP_ADDR": "8080", "OFFERFLOW_WORKER_HTTP_ADDR": "localhost", "OFFERFLOW_METRICS_ADDR": "9464",
	"OFFERFLOW_PUBLIC_URL": "offers.example.com", "OFFERFLOW_ALLOWED_HOSTS": "https://offers.example.com", "OFFERFLOW_TEMPORAL_UI_URL": "temporal:8233",
	"OFFERFLOW_TRUSTED_PROXIES": "proxy", "OFFERFLOW_COUNTRY_HEADER": "Country Code", "OFFERFLOW_CALLBACK_ALLOW_CIDRS": "10.0.0.0",
	"OFFERFLOW_DATABASE_URL": "postgres://u:hunter2@db:port/offerflow", "OFFERFLOW_MIGRATE_DATABASE_URL": "postgres://u:hunter2%zz@db/offerflow",
	"OFFERFLOW_NATS_URL": "nats://hunter2/x@nats:4222", "OFFERFLOW_NATS_MONITOR_URL": "nats:8222", "OFFERFLOW_SMTP_URL": "mail://user:hunter2@mail.example.com",
	"OFFERFLOW_ATTRIBUTION_START": "never", "OFFERFLOW_LOG_FORMAT": "xml", "OFFERFLOW_LOG_LEVEL": "loud",
}

// checkedLater are looked at when a process starts, by tests of their own.
var checkedLater = []string{"OFFERFLOW_OPERATOR_TOKEN", "OFFERFLOW_SECRET_KEYS", "OFFERFLOW_GEOIP_FILE", "OFFERFLOW_MAIL_FROM"}

// A value that a setting cannot have is refused in one line that names the variable and says what to
// write, and shows no secret.
func TestEverySettingIsChecked(t *testing.T) {
	for i := range reflect.TypeFor[Config]().NumField() {
		field := reflect.TypeFor[Config]().Field(i)
		name := variable(field)
		if name == "-" || slices.Contains(checkedLater, name) {
			continue
		}
		value, isText := malformed[name]
		if !isText {
			value = "nonsense"
			require.NotEqual(t, reflect.String, field.Type.Kind(), "%s is text, and no value of it is malformed here", name)
		}
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			_, err := FromEnv()
			require.Error(t, err)
			text := err.Error()
			require.NotContains(t, text, "\n")
			require.True(t, strings.HasPrefix(text, name), text)
			require.NotContains(t, text, "hunter2")
			require.Regexp(t, `: (use|write|type) |https|smtp`, text)
			if field.Tag.Get("secret") == "" {
				require.Contains(t, text, value)
			}
		})
	}
}

// All that is wrong is said at once, in a line each: what cannot be read does not hide what cannot be.
func TestUnreadableSettingsDoNotHideWrongOnes(t *testing.T) {
	wrong := map[string]string{
		"OFFERFLOW_LOCK_TIMEOUT": "10", "OFFERFLOW_NATS_REPLICAS": "two", "OFFERFLOW_LOG_LEVEL": "loud", "OFFERFLOW_PUBLIC_URL": "offers.example.com",
		"OFFERFLOW_REFUSED_CLICK_DAYS": "-1", "OFFERFLOW_REFUSED_PER_KEY": "-1",
	}
	for name, value := range wrong {
		t.Setenv(name, value)
	}
	_, err := FromEnv()
	require.Error(t, err)
	require.Len(t, strings.Split(err.Error(), "\n"), len(wrong), err)
	for name := range wrong {
		require.Regexp(t, "(?m)^"+name+" is ", err.Error())
	}
}

// Numbers and times that are out of bounds are refused likewise.
func TestSettingsHaveBounds(t *testing.T) {
	for name, value := range map[string]string{
		"OFFERFLOW_DRAIN_WAIT": "1h", "OFFERFLOW_MAX_CONNECTIONS": "-1", "OFFERFLOW_MAX_WAITING_POSTBACKS_PER_ADDRESS": "-1", "OFFERFLOW_DATABASE_CONNS": "0",
		"OFFERFLOW_STATEMENT_TIMEOUT": "-1s", "OFFERFLOW_NATS_REPLICAS": "2", "OFFERFLOW_STREAM_KEEP": "-1h", "OFFERFLOW_STREAM_CLICKS_MIB": "-1",
		"OFFERFLOW_REFUSED_TOTAL": "-1", "OFFERFLOW_RETENTION_DAYS": "7", "OFFERFLOW_OPERATOR_LOG_DAYS": "-1", "OFFERFLOW_REFUSED_LOG_ROWS": "-1",
		"OFFERFLOW_REFUSED_PER_KEY": "99999999999999999999",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			_, err := FromEnv()
			require.ErrorContains(t, err, name)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// All that is wrong is said at once, a line each.
func TestAllWrongSettingsAreNamedAtOnce(t *testing.T) {
	t.Setenv("OFFERFLOW_LOG_FORMAT", "xml")
	t.Setenv("OFFERFLOW_DRAIN_WAIT", "1h")
	t.Setenv("OFFERFLOW_PUBLIC_URL", "x")
	_, err := FromEnv()
	require.Error(t, err)
	require.Len(t, strings.Split(err.Error(), "\n"), 3, err.Error())
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	config, err := FromEnv()
	require.NoError(t, err)
	config.DatabaseURL, config.OperatorToken, config.SecretKeys = "", "", ""
	err = config.required()
	for _, says := range []string{"OFFERFLOW_DATABASE_URL is not set: ", "OFFERFLOW_OPERATOR_TOKEN is not set: ", "OFFERFLOW_SECRET_KEYS is not set: "} {
		require.ErrorContains(t, err, says)
	}
}

// The operator's token with a line break at its end, as files give it, would never be recognised.
func TestATokenWithALineBreakIsRefused(t *testing.T) {
	config := Config{OperatorToken: keyring.Generate() + "\n", SecretKeys: keyring.Generate(), HTTPAddr: "0.0.0.0:8080"}
	_, err := config.checkSecrets()
	require.ErrorContains(t, err, "OFFERFLOW_OPERATOR_TOKEN begins or ends with a space")
	require.NotContains(t, err.Error(), config.OperatorToken[:8])
}

// A variable that is no setting is told of, with what was probably meant. What other programs read, and
// what Kubernetes adds, is not.
func TestUnknownVariablesAreToldOf(t *testing.T) {
	require.Equal(t, []string{
		"OFFERFLOW_OPERATOR_TOKENS is not a setting and has no effect: did you mean OFFERFLOW_OPERATOR_TOKEN?",
		"OFFERFLOW_SOMETHING_QUITE_DIFFERENT is not a setting and has no effect (offerflow config lists all settings)",
		"OFFERFLOW_TRUSTED_PROXYS is not a setting and has no effect: did you mean OFFERFLOW_TRUSTED_PROXIES?",
	}, Unknown([]string{
		"PATH=/bin", "OFFERFLOW_TRUSTED_PROXYS=10.0.0.1", "OFFERFLOW_SOMETHING_QUITE_DIFFERENT=1", "OFFERFLOW_OPERATOR_TOKENS=x", "OFFERFLOW_HTTP_ADDR=:80",
		"OFFERFLOW_DATA_DIR=./data", "OFFERFLOW_OWNER_PASSWORD=x", "OFFERFLOW_SERVICE_HOST=10.0.0.1", "OFFERFLOW_PORT=tcp://10.0.0.1:80",
		"OFFERFLOW_API_SERVICE_PORT_HTTP=80", "OFFERFLOW_API_PORT_8080_TCP_ADDR=10.0.0.1", "OFFERFLOW_TEST_DATABASE_URL=x",
	}))
}

// Secrets are never printed, only that they are set; keys by their public names.
func TestTheListOfSettingsShowsNoSecret(t *testing.T) {
	key := keyring.Generate()
	config := Config{OperatorToken: "operator-s3cret", SecretKeys: key, DatabaseURL: "postgres://u:hunter2@db/x", NATSURL: "nats://t0ken@nats:4222"}
	var out strings.Builder
	config.Print(&out)
	for _, secret := range []string{"operator-s3cret", key, "hunter2", "t0ken"} {
		require.NotContains(t, out.String(), secret)
	}
	require.Contains(t, out.String(), "OFFERFLOW_SECRET_KEYS=(set: "+idOf(t, key)+")")
	require.Contains(t, out.String(), "OFFERFLOW_DATABASE_URL=(set)")
}

// `offerflow config` says what is wrong with secrets too, as far as they are set.
func TestSecretsAreCheckedAsFarAsTheyAreSet(t *testing.T) {
	require.NoError(t, (&Config{HTTPAddr: "127.0.0.1:8080"}).CheckSecrets())
	require.ErrorContains(t, (&Config{HTTPAddr: "127.0.0.1:8080", OperatorToken: "short"}).CheckSecrets(), "OFFERFLOW_OPERATOR_TOKEN must have")
	require.ErrorContains(t, (&Config{HTTPAddr: "127.0.0.1:8080", SecretKeys: keyring.Generate() + ",zz"}).CheckSecrets(), "OFFERFLOW_SECRET_KEYS: key 2")
}

// The page is made from the program: `make generate`.
func TestThePageOfSettingsIsUpToDate(t *testing.T) {
	var want strings.Builder
	Config{}.Table(&want)
	page, err := os.ReadFile("../../../docs/settings.md")
	require.NoError(t, err)
	require.Equal(t, want.String(), string(page), "run `make generate`")
	for _, one := range (Config{}).Settings() {
		require.Contains(t, string(page), "| `"+one.Name+"` |")
		require.NotEmpty(t, one.Help, one.Name)
	}
}
