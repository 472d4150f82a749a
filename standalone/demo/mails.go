package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/offerflow/offerflow/outbound/mailbox"
)

// Mails are what the demo's own mail server has taken; nil where mails go to a real one.
type Mails func() []mailbox.Mail

// mailed tells of the one mail that the other side got of each edit.
func (s *Story) mailed(ctx context.Context) error {
	s.say("Each of them has one mail about the other's edit.")
	if s.mails == nil {
		s.note("sent by your own mail server (OFFERFLOW_SMTP_URL)")
		return nil
	}
	wanted := map[string]string{
		"partners@coins.example": "Bingo Studio changed Bingo Tour: ", "growth@bingo.example": "Coins changed Bingo Tour: ",
	}
	err := until(ctx, "the mails", func() (bool, error) { return len(s.mails()) >= len(wanted), nil })
	if err != nil {
		return err
	}
	for _, mail := range s.mails() {
		to := strings.Join(mail.To, ", ")
		s.note("to %s: %s", to, mail.Subject)
		if wanted[to] == "" || !strings.HasPrefix(mail.Subject, wanted[to]) {
			return fmt.Errorf("not a mail that was expected, to %s: %s", to, mail.Subject)
		}
		delete(wanted, to)
	}
	if len(wanted) > 0 {
		return errors.New("a mail is missing")
	}
	return nil
}
