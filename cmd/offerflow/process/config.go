// Package process wires Offerflow's parts into one process: configuration, connections, the API,
// the worker, telemetry, and an orderly stop.
package process

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"golang.org/x/net/http/httpguts"

	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/stream"
	"github.com/offerflow/offerflow/worker"
)

// Config is all of Offerflow's configuration, from the environment. Temporal's own is read from the
// standard TEMPORAL_* names, tracing's from the standard OTEL_* names.
type Config struct {
	HTTPAddr string `env:"OFFERFLOW_HTTP_ADDR" envDefault:"127.0.0.1:8080" help:"address on which the API, tracking and the wall listen"`
	// DrainWait is between the fall of readiness and the end of the listener.
	DrainWait      time.Duration `env:"OFFERFLOW_DRAIN_WAIT" envDefault:"5s" help:"how long a stopping API keeps answering after /readyz reports that it is not ready"`
	WorkerHTTPAddr string        `env:"OFFERFLOW_WORKER_HTTP_ADDR" envDefault:"127.0.0.1:8081" help:"address on which a separate worker serves /healthz, /readyz and, with the operator's token, /metrics"`
	MetricsAddr    string        `env:"OFFERFLOW_METRICS_ADDR" help:"another address that serves only /metrics, without a token: make sure that only Prometheus can reach it; none when empty"`
	PublicURL      string        `env:"OFFERFLOW_PUBLIC_URL" help:"base URL of links and callbacks; derived from OFFERFLOW_HTTP_ADDR when empty"`
	AllowedHosts   []string      `env:"OFFERFLOW_ALLOWED_HOSTS" help:"host names under which the API and its documentation answer, separated by commas. The host of OFFERFLOW_PUBLIC_URL, loopback names and IP addresses are always allowed; * allows every name. Tracking, the wall and health answer under every name. When empty, standalone refuses other names, and offerflow only logs a warning"`
	OperatorToken  string        `env:"OFFERFLOW_OPERATOR_TOKEN" secret:"true" help:"the operator's token, at least 16 bytes (required; standalone generates one)"`
	SecretKeys     string        `env:"OFFERFLOW_SECRET_KEYS" secret:"true" help:"current and earlier secret keys, separated by commas, each at least 32 bytes in hex; the same on every process (required; standalone generates one)"`
	TrustedProxies []string      `env:"OFFERFLOW_TRUSTED_PROXIES" help:"addresses and ranges of proxies that are trusted to report the client's address"`
	CountryHeader  string        `env:"OFFERFLOW_COUNTRY_HEADER" help:"header in which a trusted proxy (OFFERFLOW_TRUSTED_PROXIES) sends the client's country, such as CF-IPCountry; it takes precedence over the database"`
	GeoIPFile      string        `env:"OFFERFLOW_GEOIP_FILE" help:"database of countries or cities in MaxMind's format; the embedded database of countries when empty; off disables look-ups"`

	// Connections and places of waiting postbacks: what strangers may hold of a process. 0 takes the default.
	MaxConnections           int `env:"OFFERFLOW_MAX_CONNECTIONS" envDefault:"16384" help:"maximum number of client connections of a process; further ones are closed at once. A lower limit of open files reduces it, which is logged at the start"`
	MaxConnectionsPerAddress int `env:"OFFERFLOW_MAX_CONNECTIONS_PER_ADDRESS" envDefault:"2048" help:"maximum number of connections of one source address (an IPv6 address with its /64), fewer when the process fills up; trusted proxies are exempt. A network that keeps its connections alive sends thousands of postbacks per second over a few hundred"`
	MaxWaiting               int `env:"OFFERFLOW_MAX_WAITING_POSTBACKS" envDefault:"4096" help:"maximum number of postbacks that wait for their decision at a time, each for at most 3 s; further ones are answered 503 with Retry-After"`
	MaxWaitingPerAddress     int `env:"OFFERFLOW_MAX_WAITING_POSTBACKS_PER_ADDRESS" envDefault:"1024" help:"the same for one client address (an IPv6 address with its /64; behind trusted proxies the address that they report), fewer when the process fills up. Decisions usually take less than 50 ms: 1024 then allow 20,000 postbacks per second"`

	DatabaseURL        string `env:"OFFERFLOW_DATABASE_URL" secret:"true" help:"PostgreSQL 15 or newer (required)"`
	MigrateDatabaseURL string `env:"OFFERFLOW_MIGRATE_DATABASE_URL" secret:"true" help:"the schema owner's login for migrate; OFFERFLOW_DATABASE_URL when empty"`
	DatabaseConns      int32  `env:"OFFERFLOW_DATABASE_CONNS" envDefault:"40" help:"maximum number of connections of a process for each of its two roles. A process that is API and worker takes this number for each, so that requests never take a connection from decisions. A worker takes 9 more for schedules and the outbox. Set max_connections to the sum over all processes and Temporal"`

	StatementTimeout       time.Duration `env:"OFFERFLOW_STATEMENT_TIMEOUT" envDefault:"30s" help:"maximum time of one statement of a request or a decision; a request that takes longer is answered 503"`
	ReportTimeout          time.Duration `env:"OFFERFLOW_REPORT_TIMEOUT" envDefault:"2m" help:"maximum time of one statement of a report or an export; a request that takes longer is answered 503"`
	ScheduleTimeout        time.Duration `env:"OFFERFLOW_SCHEDULE_TIMEOUT" envDefault:"15m" help:"maximum time of one statement of a schedule, such as the sums for reports; migrations and the deletion of old rows have no limit"`
	LockTimeout            time.Duration `env:"OFFERFLOW_LOCK_TIMEOUT" envDefault:"10s" help:"maximum time that one statement waits for a lock"`
	IdleTransactionTimeout time.Duration `env:"OFFERFLOW_IDLE_TRANSACTION_TIMEOUT" envDefault:"30s" help:"maximum time that a transaction waits for its next statement before the database ends it"`

	NATSURL        string `env:"OFFERFLOW_NATS_URL" envDefault:"nats://127.0.0.1:4222" secret:"true" help:"NATS with JetStream"`
	NATSMonitorURL string `env:"OFFERFLOW_NATS_MONITOR_URL" help:"NATS's monitoring address, which proves that it syncs every write; in a cluster those of all servers, separated by commas"`
	NATSReplicas   int    `env:"OFFERFLOW_NATS_REPLICAS" envDefault:"1" help:"replicas of the streams: 3 in a cluster; migrate applies it"`

	StreamKeep         time.Duration `env:"OFFERFLOW_STREAM_KEEP" envDefault:"24h" help:"how long the streams keep handled messages for offerflow replay; shorter in a stream that is 70 % full"`
	StreamClicksMiB    int64         `env:"OFFERFLOW_STREAM_CLICKS_MIB" envDefault:"2048" help:"size of the stream of clicks in MiB; migrate applies it, and NATS reserves it on disk"`
	StreamStartsMiB    int64         `env:"OFFERFLOW_STREAM_STARTS_MIB" envDefault:"2048" help:"size of the stream of clicks whose workflows are to be started, in MiB"`
	StreamPostbacksMiB int64         `env:"OFFERFLOW_STREAM_POSTBACKS_MIB" envDefault:"2048" help:"size of the stream of postbacks, in MiB"`
	StreamRefusedMiB   int64         `env:"OFFERFLOW_STREAM_REFUSED_MIB" envDefault:"256" help:"size of the stream of refused postbacks on their way to the log, in MiB"`
	StreamEventsMiB    int64         `env:"OFFERFLOW_STREAM_EVENTS_MIB" envDefault:"2048" help:"size of the stream of events, in MiB"`

	RefusedPerAddress int `env:"OFFERFLOW_REFUSED_PER_ADDRESS" envDefault:"50" help:"refused postbacks per second that an API accepts from one address, with bursts of ten seconds' worth; further ones are answered 503. The same number of refused clicks is recorded; further members are redirected without a record"`
	RefusedPerKey     int `env:"OFFERFLOW_REFUSED_PER_KEY" envDefault:"100" help:"the same per advertiser's key"`
	RefusedTotal      int `env:"OFFERFLOW_REFUSED_TOTAL" envDefault:"500" help:"the same in total; of refused clicks, half of it per tenant"`

	TemporalUIURL      string         `env:"OFFERFLOW_TEMPORAL_UI_URL" help:"base URL of the Temporal UI for links in traces"`
	CallbackAllowCIDRs []netip.Prefix `env:"OFFERFLOW_CALLBACK_ALLOW_CIDRS" help:"private ranges that callbacks may reach, with http and on any port, except Offerflow's own parts. Standalone on a loopback address allows 127.0.0.0/8,::1/128 unless this is set; set it to nothing to allow none"`
	SMTPURL            string         `env:"OFFERFLOW_SMTP_URL" secret:"true" help:"mail server for notices: smtp://user:password@host:587 (STARTTLS required; relax it with ?starttls=optional or ?starttls=never) or smtps://user:password@host:465. Without one, notices are stored as failed and can be resent later"`
	MailFrom           string         `env:"OFFERFLOW_MAIL_FROM" help:"sender of mails, such as Offerflow <notices@example.com> (required with OFFERFLOW_SMTP_URL)"`
	AttributionStart   worker.Start   `env:"OFFERFLOW_ATTRIBUTION_START" envDefault:"on_click" help:"when a click's workflow starts: on_click or on_first_postback"`
	RetentionDays      int            `env:"OFFERFLOW_RETENTION_DAYS" envDefault:"0" help:"days after which clicks without a conversion, the log of postbacks, attempts of deliveries, views of offers and the audit log may be deleted; 0 keeps them forever, otherwise 90 or more"`
	OperatorLogDays    int            `env:"OFFERFLOW_OPERATOR_LOG_DAYS" envDefault:"14" help:"days after which refused postbacks without a known tenant are deleted; 0 keeps them"`
	RefusedRows        int32          `env:"OFFERFLOW_REFUSED_LOG_ROWS" envDefault:"1000000" help:"maximum number of refused postbacks without a known tenant, and of refused postbacks and refused clicks of each tenant, about 2 kB each; 0 keeps all"`
	RefusedClickDays   int            `env:"OFFERFLOW_REFUSED_CLICK_DAYS" envDefault:"90" help:"days after which refused clicks are deleted; 0 keeps them as long as other clicks"`
	LogFormat          string         `env:"OFFERFLOW_LOG_FORMAT" envDefault:"text" help:"text or json"`
	LogLevel           string         `env:"OFFERFLOW_LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`

	// Standalone says that the parts beside this process are embedded in it.
	Standalone bool `env:"-"`
	// AdoptKeys has standalone go on with other secret keys than those that the data were made with.
	AdoptKeys bool `env:"-"`
	// OwnParts are parts that callbacks never reach, beside those that the settings name.
	OwnParts []outbound.OwnPart `env:"-"`
	// Resolver is nil for the system's; tests have one that never answers.
	Resolver outbound.Resolver `env:"-"`
}

// maxDrainWait is more than any load balancer takes to notice.
const maxDrainWait = 5 * time.Minute

// The days that OFFERFLOW_RETENTION_DAYS may say. EPC looks 30 days back, lists of conversions three
// months.
const (
	leastRetentionDays = 90
	maxRetentionDays   = 36_500
)

// FromEnv reads the environment and checks what every role needs. Its error has a line for each setting
// that is wrong.
func FromEnv() (Config, error) {
	environment := env.ToMap(os.Environ())
	config, err := env.ParseAsWithOptions[Config](env.Options{Environment: environment})
	if err != nil {
		names, wrong := unreadable(err)
		for _, name := range names {
			delete(environment, name)
		}
		// The others are checked all the same, with defaults for those that cannot be read.
		if config, err = env.ParseAsWithOptions[Config](env.Options{Environment: environment}); err != nil {
			return config, wrong
		}
		return config, errors.Join(wrong, config.check())
	}
	if _, set := os.LookupEnv("OFFERFLOW_CALLBACK_ALLOW_CIDRS"); set && config.CallbackAllowCIDRs == nil {
		config.CallbackAllowCIDRs = []netip.Prefix{} // set to nothing: then no default stands in its place
	}
	return config, config.check()
}

// check names each setting whose value cannot be, and says what to write. It makes PublicURL as it is used.
func (c *Config) check() error {
	_, connections := c.connections()
	_, mail := c.mailer()
	c.PublicURL = strings.TrimRight(c.PublicURL, "/") // empty until the address is known, where it is not set
	return errors.Join(
		c.checkAddresses(), c.checkParts(), connections, c.checkRefused(), c.checkTimes(), c.Streams().Validate(), mail, c.checkNames(),
	)
}

// checkNames checks the settings that are words of a list.
func (c *Config) checkNames() error {
	var wrong []error
	if c.AttributionStart != worker.StartOnClick && c.AttributionStart != worker.StartOnFirstPostback {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_ATTRIBUTION_START is %q: use on_click or on_first_postback", c.AttributionStart))
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_LOG_FORMAT is %q: use text or json", c.LogFormat))
	}
	if _, err := c.logLevel(); err != nil {
		wrong = append(wrong, err)
	}
	if c.CountryHeader != "" && !httpguts.ValidHeaderFieldName(c.CountryHeader) {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_COUNTRY_HEADER is %q: use the name of a header, like CF-IPCountry", c.CountryHeader))
	}
	return errors.Join(wrong...)
}

// checkRefused checks what bounds refused postbacks.
func (c *Config) checkRefused() error {
	var wrong []error
	for _, one := range []struct {
		name      string
		perSecond int
	}{
		{"PER_ADDRESS", c.RefusedPerAddress}, {"PER_KEY", c.RefusedPerKey}, {"TOTAL", c.RefusedTotal},
	} {
		if one.perSecond < 0 {
			wrong = append(wrong, fmt.Errorf("OFFERFLOW_REFUSED_%s is %d: use 1 or more", one.name, one.perSecond))
		}
	}
	if c.OperatorLogDays < 0 || c.OperatorLogDays > maxRetentionDays {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_OPERATOR_LOG_DAYS is %d: use 0 to keep everything, or 1 to %d", c.OperatorLogDays, maxRetentionDays))
	}
	if c.RefusedClickDays < 0 || c.RefusedClickDays > maxRetentionDays {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_REFUSED_CLICK_DAYS is %d: use 0 to keep everything, or 1 to %d", c.RefusedClickDays, maxRetentionDays))
	}
	if c.RefusedRows < 0 {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_REFUSED_LOG_ROWS is %d: use 0 to keep all, or 1 or more", c.RefusedRows))
	}
	return errors.Join(wrong...)
}

// checkTimes checks the settings that are times.
func (c *Config) checkTimes() error {
	var wrong []error
	for _, one := range []struct {
		name  string
		limit time.Duration
	}{
		{"OFFERFLOW_STATEMENT_TIMEOUT", c.StatementTimeout}, {"OFFERFLOW_REPORT_TIMEOUT", c.ReportTimeout}, {"OFFERFLOW_SCHEDULE_TIMEOUT", c.ScheduleTimeout},
		{"OFFERFLOW_LOCK_TIMEOUT", c.LockTimeout}, {"OFFERFLOW_IDLE_TRANSACTION_TIMEOUT", c.IdleTransactionTimeout},
	} {
		if one.limit < 0 {
			wrong = append(wrong, fmt.Errorf("%s is %v: use 0s for no limit, or more", one.name, one.limit))
		}
	}
	if c.DrainWait < 0 || c.DrainWait > maxDrainWait {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_DRAIN_WAIT is %v: use 0s to %v", c.DrainWait, maxDrainWait))
	}
	if c.RetentionDays != 0 && (c.RetentionDays < leastRetentionDays || c.RetentionDays > maxRetentionDays) {
		wrong = append(wrong, fmt.Errorf("OFFERFLOW_RETENTION_DAYS is %d: use 0 to keep everything, or %d to %d",
			c.RetentionDays, leastRetentionDays, maxRetentionDays))
	}
	return errors.Join(wrong...)
}

// limits are those of requests and decisions.
func (c *Config) limits() db.Limits {
	return db.Limits{Statement: c.StatementTimeout, Report: c.ReportTimeout, Lock: c.LockTimeout, IdleInTransaction: c.IdleTransactionTimeout}
}

// scheduleLimits are those of schedules.
func (c *Config) scheduleLimits() db.Limits {
	limits := c.limits()
	limits.Statement = c.ScheduleTimeout
	return limits
}

// Streams are the settings of the streams; 0 takes the default.
func (c *Config) Streams() stream.Settings {
	settings := stream.Settings{Replicas: c.NATSReplicas, Keep: c.StreamKeep, Bytes: map[string]int64{
		stream.Clicks: c.StreamClicksMiB << 20, stream.Starts: c.StreamStartsMiB << 20,
		stream.Postbacks: c.StreamPostbacksMiB << 20, stream.Refused: c.StreamRefusedMiB << 20, stream.Events: c.StreamEventsMiB << 20,
	}}
	return settings.WithDefaults()
}

// mailer is the way to the mail server, nil without one.
func (c *Config) mailer() (*outbound.Mailer, error) {
	if c.SMTPURL == "" {
		return nil, nil
	}
	return outbound.NewMailer(c.SMTPURL, c.MailFrom)
}

// mailURL is what links in mails begin with: those of a worker of its own lead to the API.
func (c *Config) mailURL(role Role, address *net.TCPAddr) string {
	if role == RoleWorker && c.PublicURL == "" {
		return "http://" + c.HTTPAddr
	}
	return c.publicURL(address)
}

// publicURL is what links are made with: as set, or the address that the process listens on.
func (c *Config) publicURL(address *net.TCPAddr) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	host := address.IP.String()
	if address.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(address.Port))
}
