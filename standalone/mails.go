package main

import (
	"log/slog"
	"os"
	"path/filepath"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/outbound/mailbox"
)

// mailSender is who the demo's mails come from.
const mailSender = "Offerflow <notices@offerflow.example>"

// openMailbox gives the demo a mail server on loopback, unless there is one already. Each mail is kept
// below the data folder as a file that mail programs open; nothing leaves this machine.
func openMailbox(config *process.Config, dataDir string) (*mailbox.Mailbox, error) {
	if config.SMTPURL != "" {
		return nil, nil
	}
	dir := filepath.Join(dataDir, "mails")
	box, err := mailbox.Open(mailbox.Options{OnMail: func(mail mailbox.Mail) {
		// Not before the first mail: the engine makes the data folder, with a mode that PostgreSQL's user can enter.
		if err := os.MkdirAll(dir, 0o700); err != nil {
			slog.Warn("a mail could not be kept", "error", err)
			return
		}
		if err := os.WriteFile(filepath.Join(dir, mail.ID()+".eml"), mail.Raw, 0o600); err != nil {
			slog.Warn("a mail could not be kept", "error", err)
		}
	}})
	if err != nil {
		return nil, err
	}
	config.SMTPURL, config.MailFrom = box.URL(), mailSender
	return box, nil
}
