// Package mailbox is a mail server on the loopback address that keeps what it takes: for tests, and
// for the demo, which shows what a person would have got. It hands nothing on.
package mailbox

import (
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Options are what a server does differently; the zero value takes every message.
type Options struct {
	// Addr is where to listen; empty: any port of 127.0.0.1.
	Addr string
	// TLS is offered by STARTTLS, or with Implicit spoken from the first byte.
	TLS      *tls.Config
	Implicit bool
	// User and Password, if set, must be given before a message is taken.
	User, Password string
	// OnMail is called with each message that was taken.
	OnMail func(Mail)
}

// Mailbox is a running server.
type Mailbox struct {
	options  Options
	server   *smtp.Server
	listener net.Listener

	mu     sync.Mutex
	mails  []Mail
	reply  func(to string) error
	visits int
}

// limits of what it takes.
const (
	maxMessageBytes = 16 << 20
	maxRecipients   = 50
	timeout         = 30 * time.Second
)

// Open starts a server. Close must be called.
func Open(options Options) (*Mailbox, error) {
	if options.Addr == "" {
		options.Addr = "127.0.0.1:0"
	}
	box := &Mailbox{options: options}
	listener, err := net.Listen("tcp", options.Addr)
	if err != nil {
		return nil, err
	}
	if options.Implicit {
		listener = tls.NewListener(listener, options.TLS)
	}
	box.listener = listener
	box.server = smtp.NewServer(smtp.BackendFunc(box.begin))
	box.server.Domain = "localhost"
	box.server.AllowInsecureAuth = options.TLS == nil
	box.server.EnableSMTPUTF8 = true
	box.server.MaxMessageBytes, box.server.MaxRecipients = maxMessageBytes, maxRecipients
	box.server.ReadTimeout, box.server.WriteTimeout = timeout, timeout
	box.server.ErrorLog = slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)
	if !options.Implicit {
		box.server.TLSConfig = options.TLS
	}
	go func() { _ = box.server.Serve(listener) }() // ends with Close
	return box, nil
}

// Addr is where it listens.
func (b *Mailbox) Addr() string { return b.listener.Addr().String() }

// URL is the address for OFFERFLOW_SMTP_URL of a server without TLS and login.
func (b *Mailbox) URL() string { return "smtp://" + b.Addr() + "?starttls=never" }

// Close ends every connection and forgets nothing.
func (b *Mailbox) Close() error {
	err := b.server.Close()
	_ = b.listener.Close() // the server's own, unless it had not begun to serve
	return err
}

// Mails are what was taken, in order.
func (b *Mailbox) Mails() []Mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.mails)
}

// Visits is how often somebody began a session.
func (b *Mailbox) Visits() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.visits
}

// Answers sets what recipients are answered: nil takes the message, a *smtp.SMTPError is the reply
// in its place.
func (b *Mailbox) Answers(reply func(to string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reply = reply
}

// Reply is a reply for Answers: its code, and its text.
func Reply(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: text}
}

func (b *Mailbox) begin(conn *smtp.Conn) (smtp.Session, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.visits++
	return &session{box: b, conn: conn}, nil
}

// session is one connection's present message.
type session struct {
	box  *Mailbox
	conn *smtp.Conn
	user string
	from string
	to   []string
}

var errLogin = &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Wrong user or password"}

func (s *session) AuthMechanisms() []string {
	if s.box.options.User == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != s.box.options.User || password != s.box.options.Password {
			return errLogin
		}
		s.user = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.user != s.box.options.User {
		return smtp.ErrAuthRequired
	}
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.box.mu.Lock()
	reply := s.box.reply
	s.box.mu.Unlock()
	if reply != nil {
		if err := reply(to); err != nil {
			return err
		}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(body io.Reader) error {
	raw, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	mail, err := Read(raw)
	if err != nil {
		return errors.Join(err, Reply(554, "not a message"))
	}
	_, secure := s.conn.TLSConnectionState()
	mail.From, mail.To, mail.Secure, mail.User = s.from, slices.Clone(s.to), secure, s.user
	s.box.mu.Lock()
	s.box.mails = append(s.box.mails, mail)
	s.box.mu.Unlock()
	if s.box.options.OnMail != nil {
		s.box.options.OnMail(mail)
	}
	return nil
}

func (s *session) Reset() { s.from, s.to = "", nil }

func (s *session) Logout() error { return nil }
