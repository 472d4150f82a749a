package mailbox

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// Mail is one message as its reader's program shows it: decoded.
type Mail struct {
	// From and To are the envelope's.
	From string
	To   []string
	// Secure says that it came inside TLS; User is who had logged in.
	Secure bool
	User   string

	Header     mail.Header
	Subject    string
	Text, HTML string
	Raw        []byte
}

// ID is the message's, as it stands before the @: for us the delivery's.
func (m *Mail) ID() string {
	id, _, _ := strings.Cut(strings.TrimPrefix(m.Header.Get("Message-Id"), "<"), "@")
	return id
}

// Read takes a message apart: a text and the same as HTML, the only form that we send.
func Read(raw []byte) (Mail, error) {
	message, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Mail{}, err
	}
	out := Mail{Header: message.Header, Raw: raw}
	if out.Subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		return out, err
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return out, err
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return out, out.add(kind, decoded(message.Header.Get("Content-Transfer-Encoding"), message.Body))
	}
	parts := multipart.NewReader(message.Body, parameters["boundary"])
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil {
			return out, err
		}
		if err := out.add(kind, decoded(part.Header.Get("Content-Transfer-Encoding"), part)); err != nil {
			return out, err
		}
	}
}

func decoded(encoding string, body io.Reader) io.Reader {
	if strings.EqualFold(encoding, "quoted-printable") {
		return quotedprintable.NewReader(body)
	}
	return body
}

func (m *Mail) add(kind string, body io.Reader) error {
	text, err := io.ReadAll(body)
	content := strings.ReplaceAll(string(text), "\r\n", "\n")
	switch kind {
	case "text/plain":
		m.Text = content
	case "text/html":
		m.HTML = content
	}
	return err
}
