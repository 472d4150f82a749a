package outbound

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"
)

// mailServer is what OFFERFLOW_SMTP_URL says.
type mailServer struct {
	scheme         string
	host           string
	port           int
	starttls       string
	user, password string
}

// The schemes: SMTP that changes to TLS by STARTTLS, and SMTP inside TLS from its first byte.
const (
	schemeSMTP  = "smtp"
	schemeSMTPS = "smtps"
)

// What ?starttls= may say.
const (
	starttlsRequired = "required"
	starttlsOptional = "optional"
	starttlsNever    = "never"
)

const smtpURLForm = "write smtps://user:password@mail.example.com or smtp://user:password@mail.example.com:587, " +
	"with %XX for characters of user and password other than letters, digits and -._~"

// The reasons why OFFERFLOW_SMTP_URL is refused. None repeats it: it holds a password.
var (
	errSMTPURL      = errors.New("OFFERFLOW_SMTP_URL is not the address of a mail server: " + smtpURLForm)
	errSMTPUser     = errors.New("OFFERFLOW_SMTP_URL has a user without a password: " + smtpURLForm)
	errSMTPPort     = errors.New("OFFERFLOW_SMTP_URL has an invalid port: use 1 to 65535, or omit it for 587 (smtp) or 465 (smtps)")
	errSMTPStarttls = errors.New("OFFERFLOW_SMTP_URL may end in ?starttls=required (smtp's default), ?starttls=optional or ?starttls=never, " +
		"and in nothing else; smtps always uses TLS and accepts none of them")
	errSMTPClear = errors.New("OFFERFLOW_SMTP_URL would send the password without TLS: " +
		"use smtps:// or omit ?starttls= (only a server on this machine may do without TLS)")
)

func parseMailServer(raw string) (mailServer, error) {
	parsed, err := url.Parse(raw)
	if err != nil || parsed.Hostname() == "" || parsed.Opaque != "" || parsed.Fragment != "" || strings.Trim(parsed.Path, "/") != "" ||
		(parsed.Scheme != schemeSMTP && parsed.Scheme != schemeSMTPS) {
		return mailServer{}, errSMTPURL
	}
	server := mailServer{scheme: parsed.Scheme, host: parsed.Hostname()}
	if server.port, err = smtpPort(parsed); err != nil {
		return server, err
	}
	if server.starttls, err = smtpStarttls(parsed); err != nil {
		return server, err
	}
	if parsed.User == nil {
		return server, nil
	}
	server.user = parsed.User.Username()
	server.password, _ = parsed.User.Password()
	switch {
	case server.user == "" || server.password == "":
		return server, errSMTPUser
	case server.scheme == schemeSMTP && server.starttls != starttlsRequired && !isLoopback(server.host):
		return server, errSMTPClear
	}
	return server, nil
}

func smtpPort(parsed *url.URL) (int, error) {
	if parsed.Port() == "" && !strings.HasSuffix(parsed.Host, ":") {
		return map[string]int{schemeSMTP: 587, schemeSMTPS: 465}[parsed.Scheme], nil
	}
	port, err := strconv.ParseUint(parsed.Port(), 10, 16)
	if err != nil || port == 0 {
		return 0, errSMTPPort
	}
	return int(port), nil
}

func smtpStarttls(parsed *url.URL) (string, error) {
	if parsed.RawQuery == "" {
		return starttlsRequired, nil
	}
	values, err := url.ParseQuery(parsed.RawQuery)
	policy := values.Get("starttls")
	known := policy == starttlsRequired || policy == starttlsOptional || policy == starttlsNever
	if err != nil || len(values) != 1 || len(values["starttls"]) != 1 || !known || parsed.Scheme == schemeSMTPS {
		return "", errSMTPStarttls
	}
	return policy, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// policy is the library's word for the use of STARTTLS; inside TLS there is none.
func (s mailServer) policy() mail.TLSPolicy {
	switch {
	case s.scheme == schemeSMTPS || s.starttls == starttlsNever:
		return mail.NoTLS
	case s.starttls == starttlsOptional:
		return mail.TLSOpportunistic
	default:
		return mail.TLSMandatory
	}
}

func (s mailServer) tlsConfig(base *tls.Config) *tls.Config {
	config := base.Clone()
	config.ServerName = s.host
	return config
}

// withoutSecrets takes out of a text what a server may have echoed of the login.
func (s mailServer) withoutSecrets(text string) string {
	if s.password == "" {
		return text
	}
	encode := base64.StdEncoding.EncodeToString
	return strings.NewReplacer(
		encode([]byte("\x00"+s.user+"\x00"+s.password)), "[login]", encode([]byte(s.password)), "[password]", s.password, "[password]",
	).Replace(text)
}
