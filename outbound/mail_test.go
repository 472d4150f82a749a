package outbound

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/outbound/mailbox"
)

const sender = "Offerflow <notices@offerflow.example>"

func openMailbox(t *testing.T, options mailbox.Options) *mailbox.Mailbox {
	t.Helper()
	box, err := mailbox.Open(options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = box.Close() })
	return box
}

func newMailer(t *testing.T, url string) *Mailer {
	t.Helper()
	mailer, err := NewMailer(url, sender)
	require.NoError(t, err)
	return mailer
}

func letter() Mail {
	return Mail{
		ID: uuid.New(), To: "Ann <ann@publisher.example>", Subject: "Acme änderte „Würfel“: reward", Text: "Größe: 1 → 2\n.\nend\n",
		HTML: "<p>Größe: <b>1 → 2</b></p>" + strings.Repeat("x", 3000),
	}
}

// selfMade is a certificate of our own for 127.0.0.1, and what trusts it.
func selfMade(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{raw}, PrivateKey: key}}},
		&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
}

func TestMailArrivesWhole(t *testing.T) {
	t.Parallel()
	box := openMailbox(t, mailbox.Options{})
	mailer, mail := newMailer(t, box.URL()), letter()
	for range 2 {
		answer := mailer.Send(t.Context(), mail)
		require.Equal(t, 250, answer.StatusCode, "%+v", answer)
		require.Empty(t, answer.Error)
		require.True(t, strings.HasPrefix(answer.Body, "250 "), "the server's reply: %q", answer.Body)
		require.WithinDuration(t, time.Now(), answer.At, time.Minute)
	}
	mails := box.Mails()
	require.Len(t, mails, 2)
	got := mails[0]
	require.Equal(t, "notices@offerflow.example", got.From)
	require.Equal(t, []string{"ann@publisher.example"}, got.To)
	require.Equal(t, mail.Subject, got.Subject)
	require.Equal(t, mail.Text, got.Text, "a line that is a point does not end the message")
	require.Equal(t, mail.HTML, got.HTML)
	require.Equal(t, "<"+mail.ID.String()+"@offerflow.example>", got.Header.Get("Message-Id"))
	require.Equal(t, got.Header.Get("Message-Id"), mails[1].Header.Get("Message-Id"), "sent again it is the same message")
	require.Equal(t, "auto-generated", got.Header.Get("Auto-Submitted"))
	_, err := got.Header.Date()
	require.NoError(t, err)
	require.False(t, got.Secure)
}

// Whatever stands in a subject or an address, there is one message with the headers that we set.
func TestMailHeadersCannotBeInjected(t *testing.T) {
	t.Parallel()
	box := openMailbox(t, mailbox.Options{})
	mailer := newMailer(t, box.URL())
	for _, hostile := range []string{
		"x\r\nBcc: victim@example.com", "x\nBcc: victim@example.com\n\nbody", "x\rBcc: victim@example.com", "\r\n\r\n<script>", "x\r\n.\r\nMAIL FROM:<a@b.example>",
		"x\u2028Bcc: victim@example.com", "x\x00y", strings.Repeat("ü\r\n ", 300),
	} {
		mail := letter()
		mail.Subject = hostile
		require.Equal(t, 250, mailer.Send(t.Context(), mail).StatusCode, "%q", hostile)
		got := box.Mails()[len(box.Mails())-1]
		require.Equal(t, []string{"ann@publisher.example"}, got.To)
		require.Empty(t, got.Header.Get("Bcc"), "%q", hostile)
		require.Equal(t, mail.Text, got.Text)
		require.Len(t, got.Header, 8, "%q: %v", hostile, got.Header)

		count := len(box.Mails())
		mail = letter()
		mail.To = "ann@publisher.example" + hostile
		answer := mailer.Send(t.Context(), mail)
		if answer.StatusCode == 250 { // white space at the end of an address is none of it
			require.Equal(t, []string{"ann@publisher.example"}, box.Mails()[count].To)
			continue
		}
		require.Equal(t, errMailAddress, answer.Error, "%q", hostile)
		require.Len(t, box.Mails(), count)
	}
}

func TestMailOverTLS(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := selfMade(t)
	for name, c := range map[string]struct {
		options mailbox.Options
		url     string
	}{
		"STARTTLS":         {mailbox.Options{TLS: serverTLS, User: "anna@example.com", Password: "p%:/@ä"}, "smtp://anna%40example.com:p%25%3A%2F%40%C3%A4@"},
		"TLS at once":      {mailbox.Options{TLS: serverTLS, Implicit: true, User: "anna", Password: "secret"}, "smtps://anna:secret@"},
		"TLS, no login":    {mailbox.Options{TLS: serverTLS, Implicit: true}, "smtps://"},
		"STARTTLS, either": {mailbox.Options{TLS: serverTLS}, "smtp://"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			box := openMailbox(t, c.options)
			mailer := newMailer(t, c.url+box.Addr())
			// A certificate that nobody vouches for is refused, and nothing is said to such a server.
			answer := mailer.Send(t.Context(), letter())
			require.Zero(t, answer.StatusCode)
			require.Equal(t, errMailUnreachable, answer.Error)
			require.Empty(t, box.Mails())
			mailer.roots = clientTLS
			answer = mailer.Send(t.Context(), letter())
			require.Equal(t, 250, answer.StatusCode, "%+v", answer)
			require.True(t, box.Mails()[0].Secure)
			require.Equal(t, c.options.User, box.Mails()[0].User)
		})
	}
	// A server without STARTTLS gets nothing by default, and in the clear where that is wanted.
	box := openMailbox(t, mailbox.Options{})
	require.Equal(t, errMailUnreachable, newMailer(t, "smtp://"+box.Addr()).Send(t.Context(), letter()).Error)
	require.Equal(t, 250, newMailer(t, "smtp://"+box.Addr()+"?starttls=optional").Send(t.Context(), letter()).StatusCode)
	require.Len(t, box.Mails(), 1)
}

// A wrong login is the operator's to mend: it says nothing of the message, which is tried again.
func TestMailLoginRefused(t *testing.T) {
	t.Parallel()
	box := openMailbox(t, mailbox.Options{User: "anna", Password: "right"})
	answer := newMailer(t, "smtp://anna:wrong-horse@"+box.Addr()+"?starttls=never").Send(t.Context(), letter())
	require.Zero(t, answer.StatusCode)
	require.Equal(t, errMailRefusedUs, answer.Error)
	require.NotContains(t, answer.Body+answer.Error, "wrong-horse")
	require.Equal(t, 250, newMailer(t, "smtp://anna:right@"+box.Addr()+"?starttls=never").Send(t.Context(), letter()).StatusCode)
}

// What a server echoes of the login is replaced before the log cuts it: no half of a password is left.
func TestMailLoginIsNotLogged(t *testing.T) { //nolint:paralleltest // it reads the process's log
	var logged bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, nil)))
	defer slog.SetDefault(before)
	mailer := newMailer(t, "smtp://anna:swordfish-swordfish@127.0.0.1:1?starttls=never")
	for n := range 40 {
		mailer.notTaken(t.Context(), errors.New(strings.Repeat("x", maxErrorBytes-n)+"swordfish-swordfish"), errMailBrokenOff)
	}
	require.Contains(t, logged.String(), "mail server")
	require.NotContains(t, logged.String(), "xsword")
}

func TestMailRepliesOfTheServer(t *testing.T) {
	t.Parallel()
	box := openMailbox(t, mailbox.Options{User: "anna", Password: "swordfish"})
	mailer := newMailer(t, "smtp://anna:swordfish@"+box.Addr()+"?starttls=never")
	for code, text := range map[int]string{450: "busy", 452: "mailbox full", 550: "no such user; was the password swordfish?", 554: "spam"} {
		box.Answers(func(string) error { return mailbox.Reply(code, text) })
		answer := mailer.Send(t.Context(), letter())
		require.Equal(t, code, answer.StatusCode)
		require.NotContains(t, answer.Body, "swordfish", "what a server echoes of the login is not shown")
		require.Contains(t, answer.Body, text[:4])
		require.NotEmpty(t, answer.Error)
	}
	require.Empty(t, box.Mails())
}

// Nothing of the server's address is in what tenants read.
func TestMailServerAway(t *testing.T) {
	t.Parallel()
	box := openMailbox(t, mailbox.Options{})
	mailer := newMailer(t, box.URL())
	require.NoError(t, box.Close())
	answer := mailer.Send(t.Context(), letter())
	require.Zero(t, answer.StatusCode)
	require.Equal(t, errMailUnreachable, answer.Error)
	require.Empty(t, answer.Body)

	// One that takes the connection and says nothing is waited for as long as the caller does.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	silent := newMailer(t, "smtp://"+listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begin := time.Now()
	answer = silent.Send(ctx, letter())
	require.Zero(t, answer.StatusCode)
	require.Contains(t, answer.Error, "no answer of the mail server")
	require.Less(t, time.Since(begin), Timeout, "not for as long as it would by itself")
}

func TestMailSettings(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]mailServer{
		"smtp://mail.example.com":                            {scheme: "smtp", host: "mail.example.com", port: 587, starttls: "required"},
		"smtps://mail.example.com/":                          {scheme: "smtps", host: "mail.example.com", port: 465, starttls: "required"},
		"smtp://u:p%40%3A@mail.example.com:25":               {scheme: "smtp", host: "mail.example.com", port: 25, starttls: "required", user: "u", password: "p@:"},
		"smtp://10.0.0.5:25?starttls=never":                  {scheme: "smtp", host: "10.0.0.5", port: 25, starttls: "never"},
		"smtp://u:p@[::1]:2525?starttls=optional":            {scheme: "smtp", host: "::1", port: 2525, starttls: "optional", user: "u", password: "p"},
		"smtp://u:p@mail.example.com?starttls=required":      {scheme: "smtp", host: "mail.example.com", port: 587, starttls: "required", user: "u", password: "p"},
		"smtp://user%40example.com:%C3%A4@mail.example.com/": {scheme: "smtp", host: "mail.example.com", port: 587, starttls: "required", user: "user@example.com", password: "ä"},
	} {
		mailer, err := NewMailer(url, sender)
		require.NoError(t, err, url)
		require.Equal(t, want, mailer.server)
	}
	for url, want := range map[string]string{
		"mail.example.com:587": "write smtps://", "http://mail.example.com": "write smtps://", "smtp://": "write smtps://", "smtp:mail": "write smtps://",
		"smtp://mail.example.com/inbox": "write smtps://", "smtp://u:hunter2%zz@mail.example.com": "write smtps://", "smtp://u:hunter2@mail ex": "write smtps://",
		"smtp://mail.example.com#x": "write smtps://", "smtp://u@mail.example.com": "without a password", "smtp://u:@mail.example.com": "without a password",
		"smtp://:hunter2@mail.example.com": "without a password", "smtp://mail.example.com:0": "use 1 to 65535", "smtp://mail.example.com:": "use 1 to 65535",
		"smtp://mail.example.com:99999": "use 1 to 65535", "smtp://mail.example.com?starttls=maybe": "?starttls=required",
		"smtp://mail.example.com?tls=1": "?starttls=required", "smtps://mail.example.com?starttls=required": "?starttls=required",
		"smtp://u:hunter2@mail.example.com?starttls=optional": "without TLS", "smtp://u:hunter2@10.0.0.5?starttls=never": "without TLS",
	} {
		_, err := NewMailer(url, sender)
		require.ErrorContains(t, err, want, url)
		require.ErrorContains(t, err, "OFFERFLOW_SMTP_URL", url)
		require.NotContains(t, err.Error(), "hunter2", "no password in an error")
	}
	for _, from := range []string{"", "notices", "a@b.example, c@d.example", "Offerflow"} {
		_, err := NewMailer("smtp://mail.example.com", from)
		require.ErrorContains(t, err, "OFFERFLOW_MAIL_FROM", from)
		require.ErrorContains(t, err, "Offerflow <notices@example.com>")
	}
}
