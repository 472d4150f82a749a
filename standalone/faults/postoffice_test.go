package faults

import (
	"context"
	"net/http"
	"testing"

	"github.com/offerflow/offerflow/outbound/mailbox"
	"github.com/offerflow/offerflow/standalone/internal/ports"
)

// postOffice is the mail server: dead from the start, until it opens.
type postOffice struct {
	addr string
	box  *mailbox.Mailbox
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	picked, err := ports.Pick(1)
	if err != nil {
		t.Fatal(err)
	}
	return &postOffice{addr: ports.Address(picked[0])}
}

func (o *postOffice) settings() []string {
	return []string{"OFFERFLOW_SMTP_URL=smtp://" + o.addr + "?starttls=never", "OFFERFLOW_MAIL_FROM=Offerflow <notices@offerflow.example>"}
}

// opens lets the mail server answer, and has what waits for it sent now.
func (o *postOffice) opens(ctx context.Context, t *testing.T, all *trade) {
	t.Helper()
	var err error
	if o.box, err = mailbox.Open(mailbox.Options{Addr: o.addr}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.box.Close() })
	tenants := []*publisher{{cast: cast{tenant: all.studio}}}
	for _, p := range append(tenants, all.publishers...) {
		waitFor(ctx, t, "the mails that waited", func() (bool, error) {
			var sent struct{ Count int }
			err := p.tenant.Call(ctx, http.MethodPost, "/api/v1/deliveries/resend", map[string]any{"kind": "email", "state": "waiting"}, &sent)
			return err == nil && sent.Count == 0, err
		})
	}
}

// verify wants each mail delivered, and to the receiver each of them once: what came twice has the
// same Message-ID.
func (o *postOffice) verify(ctx context.Context, t *testing.T, i *inspector) {
	t.Helper()
	got := map[string]int{}
	for _, mail := range o.box.Mails() {
		got[mail.ID()]++
	}
	rows, err := i.db.Query(ctx, "SELECT id::text, state, attempts FROM deliveries WHERE kind = 'email'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var mails, tries int
	for rows.Next() {
		var id, state string
		var attempts int
		if err := rows.Scan(&id, &state, &attempts); err != nil {
			t.Fatal(err)
		}
		if state != "delivered" || got[id] == 0 {
			t.Errorf("mail %s is %s and came %d times", id, state, got[id])
		}
		delete(got, id)
		mails, tries = mails+1, tries+attempts
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(got) > 0 {
		t.Errorf("%d mails came of which nobody knows: %v", len(got), got)
	}
	t.Logf("%d mails after %d attempts, %d messages at the mail server", mails, tries, len(o.box.Mails()))
}
