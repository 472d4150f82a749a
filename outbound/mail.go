package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	netmail "net/mail"
	"net/textproto"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/offerflow/offerflow/db/txmark"
)

// Mail is one message to one address.
type Mail struct {
	// ID makes its Message-ID: the same message sent again is one to its receiver.
	ID      uuid.UUID
	To      string
	Subject string
	Text    string
	HTML    string
}

// Mailer hands messages to the operator's mail server. What tenants may read of an attempt is the
// server's reply to the message; who the server is, and what is wrong between it and us, is for the log.
type Mailer struct {
	server mailServer
	from   *netmail.Address
	roots  *tls.Config
}

// NewMailer reads OFFERFLOW_SMTP_URL and OFFERFLOW_MAIL_FROM. Its errors name the setting, say what
// to type, and hold no password.
func NewMailer(serverURL, from string) (*Mailer, error) {
	server, err := parseMailServer(serverURL)
	if err != nil {
		return nil, err
	}
	sender, err := netmail.ParseAddress(from)
	if err != nil {
		return nil, fmt.Errorf("OFFERFLOW_MAIL_FROM is %q: write the sender of mails, like Offerflow <notices@example.com>", from)
	}
	return &Mailer{server: server, from: sender, roots: &tls.Config{MinVersion: tls.VersionTLS12}}, nil
}

// What an attempt says of failures that are none of the recipient's.
const (
	errMailAddress     = "the recipient's address is not an email address"
	errMailUnreachable = "the mail server could not be reached"
	errMailRefusedUs   = "the mail server refuses us"
	errMailBrokenOff   = "the mail server closed the connection"
)

// Send makes one attempt and always returns an Answer. StatusCode is the server's reply to the message
// (250; 4yz: again later; 5yz: never); 0 when it did not get as far as that.
func (m *Mailer) Send(ctx context.Context, message Mail) Answer {
	begin := time.Now()
	answer := m.send(ctx, message)
	answer.At, answer.Latency = begin.UTC(), time.Since(begin)
	answer.Body, answer.Error = m.server.withoutSecrets(answer.Body), m.server.withoutSecrets(answer.Error)
	return answer
}

func (m *Mailer) send(ctx context.Context, message Mail) Answer {
	if err := txmark.Check(ctx, "sending mail"); err != nil {
		return Answer{Error: err.Error()}
	}
	to, err := netmail.ParseAddress(message.To)
	if err != nil {
		return Answer{Error: errMailAddress}
	}
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	line := &mailLine{ctx: ctx, server: m.server, tls: m.server.tlsConfig(m.roots)}
	defer line.close()
	client, err := line.dial()
	if err != nil {
		return m.notTaken(ctx, err, errMailUnreachable)
	}
	reply, err := transfer(client, m.from.Address, to.Address, m.compose(message, to))
	if err != nil {
		return m.notTaken(ctx, err, errMailBrokenOff)
	}
	_ = client.Quit() // it has the message: how we part changes nothing
	return Answer{StatusCode: 250, Body: cleanText([]byte(m.server.withoutSecrets(reply)), maxAnswerBytes)}
}

// compose makes RFC 5322: a text for those who read text, and the same as HTML. The library encodes
// headers, so that no value can begin another.
func (m *Mailer) compose(message Mail, to *netmail.Address) *mail.Msg {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(m.from)
	msg.ToMailAddress(to)
	msg.Subject(message.Subject)
	msg.SetDate()
	msg.SetMessageIDWithValue(message.ID.String() + m.from.Address[strings.LastIndexByte(m.from.Address, '@'):])
	// Nobody's out-of-office answers it (RFC 3834).
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, message.Text)
	msg.AddAlternativeString(mail.TypeTextHTML, message.HTML)
	return msg
}

// transfer hands the message over and returns the server's last word.
func transfer(client *smtp.Client, from, to string, msg *mail.Msg) (reply string, err error) {
	if err := client.Mail(from); err != nil {
		return "", messageError{err}
	}
	if err := client.Rcpt(to); err != nil {
		return "", messageError{err}
	}
	body, err := client.Data()
	if err != nil {
		return "", messageError{err}
	}
	if _, err := msg.WriteTo(body); err != nil {
		return "", err
	}
	if err := body.Close(); err != nil {
		return "", messageError{err}
	}
	if closer, ok := body.(*smtp.DataCloser); ok {
		reply = closer.ServerResponse()
	}
	return "250 " + reply, nil
}

// messageError is an error of a command that spoke of the message.
type messageError struct{ error }

func (e messageError) Unwrap() error { return e.error }

// notTaken is the Answer when the server did not take the message. A refusal before the message was
// spoken of (the greeting, TLS, the login) says nothing about it: the operator mends it, and the
// message is tried again.
func (m *Mailer) notTaken(ctx context.Context, err error, without string) Answer {
	var reply *textproto.Error
	var ofMessage messageError
	isReply := errors.As(err, &reply)
	if isReply && errors.As(err, &ofMessage) {
		return Answer{
			StatusCode: reply.Code, Body: cleanText([]byte(m.server.withoutSecrets(reply.Error())), maxAnswerBytes),
			Error: fmt.Sprintf("the mail server answered %d", reply.Code),
		}
	}
	slog.Warn("mail server", "error", cleanText([]byte(m.server.withoutSecrets(err.Error())), maxErrorBytes))
	var timeout net.Error
	switch {
	case isReply:
		return Answer{Error: errMailRefusedUs}
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return Answer{Error: fmt.Sprintf("no answer of the mail server within %s", Timeout)}
	default:
		return Answer{Error: without}
	}
}

// mailLine is one connection. The library lets go of one whose beginning fails; this one is closed
// whatever happens, and at the end of its context in the midst of any command.
type mailLine struct {
	ctx    context.Context
	server mailServer
	tls    *tls.Config
	conn   net.Conn
}

func (l *mailLine) dial() (*smtp.Client, error) {
	options := []mail.Option{
		mail.WithPort(l.server.port), mail.WithTimeout(Timeout), mail.WithTLSPolicy(l.server.policy()), mail.WithTLSConfig(l.tls),
		mail.WithDialContextFunc(l.connect),
	}
	if l.server.user != "" {
		options = append(options, mail.WithUsername(l.server.user), mail.WithPassword(l.server.password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthPlain, mail.SMTPAuthLogin, mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthCramMD5))
	}
	client, err := mail.NewClient(l.server.host, options...)
	if err != nil {
		return nil, err
	}
	return client.DialToSMTPClientWithContext(l.ctx)
}

func (l *mailLine) connect(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.conn = conn
	context.AfterFunc(l.ctx, func() { _ = conn.Close() })
	if l.server.scheme != schemeSMTPS {
		return conn, nil
	}
	secured := tls.Client(conn, l.tls)
	return secured, secured.HandshakeContext(ctx)
}

func (l *mailLine) close() {
	if l.conn != nil {
		_ = l.conn.Close()
	}
}
