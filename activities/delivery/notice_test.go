package delivery

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/outbound/mailbox"
)

// noticeRig is a partnership: the deliveryRig's tenant is its publisher, another one its advertiser.
// The mail server is a real one.
type noticeRig struct {
	*deliveryRig
	box                              *mailbox.Mailbox
	advertiser, partnership, offerID uuid.UUID
}

const (
	publisherMail  = "exchange@publisher.example"
	advertiserMail = "a@example.com" // the tenant's own: it has no profile
)

func newNoticeRig(t *testing.T) *noticeRig {
	t.Helper()
	rig := &noticeRig{deliveryRig: newDeliveryRig(t), partnership: uuid.New(), offerID: uuid.New()}
	rig.openMailbox("")
	rig.advertiser = rig.addTenant(rig.receiver.URL+"/other", nil)
	advertiserID := uuid.New()
	rig.system(`INSERT INTO advertisers (tenant_id, id, key, name, created_at) VALUES ($1, $2, $3, 'A', $4)`, rig.advertiser, advertiserID, uuid.NewString(), rig.now())
	rig.system(`INSERT INTO offers (tenant_id, id, advertiser_id, version, name, offer_type, is_paused, launch_at, created_at, updated_at)
		VALUES ($1, $2, $3, 1, 'Dice Quest', 'SingleEvent', false, $4, $4, $4)`, rig.advertiser, rig.offerID, advertiserID, rig.now())
	rig.system(`INSERT INTO offer_access (tenant_id, offer_id, side, created_at) VALUES ($1, $3, 'advertiser', $4), ($2, $3, 'publisher', $4)`,
		rig.advertiser, rig.tenantID, rig.offerID, rig.now())
	rig.system(`INSERT INTO partnerships (id, offer_id, source_offer_id, advertiser_tenant_id, advertiser_name, publisher_tenant_id, publisher_name, created_at, created_by)
		VALUES ($1, $2, $2, $3, 'Acme Games', $4, 'Playworld', $5, 'test')`, rig.partnership, rig.offerID, rig.advertiser, rig.tenantID, rig.now())
	rig.profile(publisherMail)
	return rig
}

// quietAddr is at a port below those that the kernel gives to whoever asks for any: while the server is
// away it is nobody else's.
func quietAddr() string { return fmt.Sprint("127.0.0.1:", 15_000+rand.IntN(17_000)) }

// openMailbox starts the mail server, or starts it anew at the address that it had.
func (rig *noticeRig) openMailbox(addr string) {
	rig.t.Helper()
	box, err := mailbox.Open(mailbox.Options{Addr: cmp.Or(addr, quietAddr())})
	for try := 0; err != nil && addr == "" && try < 100; try++ {
		box, err = mailbox.Open(mailbox.Options{Addr: quietAddr()})
	}
	require.NoError(rig.t, err)
	rig.t.Cleanup(func() { _ = box.Close() })
	mailer, err := outbound.NewMailer(box.URL(), "Offerflow <notices@offerflow.example>")
	require.NoError(rig.t, err)
	rig.box = box
	rig.WithMail(mailer, "https://offerflow.example")
}

func (rig *noticeRig) system(query string, args ...any) {
	rig.t.Helper()
	_, err := rig.store.SystemPool().Exec(context.Background(), query, args...)
	require.NoError(rig.t, err)
}

func (rig *noticeRig) profile(contact string) {
	rig.t.Helper()
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO exchange_profiles (tenant_id, listed, contact, updated_at) VALUES ($1, true, $2, $3)
			ON CONFLICT (tenant_id) DO UPDATE SET contact = excluded.contact`, rig.tenantID, contact, rig.now())
		return err
	})
}

// change writes one entry of the change log; old and new are JSON, "" for none.
func (rig *noticeRig) change(version int64, side domain.Side, field, old, new string) {
	rig.t.Helper()
	rig.system(`INSERT INTO offer_changes (offer_id, version, field, old, new, at, by, side) VALUES ($1, $2, $3, nullif($4, '')::jsonb, nullif($5, '')::jsonb, $6, 'Acme Games (token of Maria)', $7)`,
		rig.offerID, version, field, old, new, rig.now(), side)
}

func (rig *noticeRig) notice(version int64, side domain.Side) {
	rig.t.Helper()
	require.NoError(rig.t, rig.NoticeOfEdit(rig.t.Context(), rig.partnership, version, side))
	rig.Wait()
}

// emails are a tenant's deliveries of that kind.
func (rig *noticeRig) emails(tenantID uuid.UUID) (out []dbgen.Delivery) {
	rig.t.Helper()
	rig.tenant(tenantID, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "SELECT id FROM deliveries WHERE kind = 'email' ORDER BY created_at, id")
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		for _, id := range ids {
			row, err := queries.GetDelivery(ctx, tx, tenantID, id)
			if err != nil {
				return err
			}
			out = append(out, row)
		}
		return err
	})
	return out
}

func TestRule56AnEditIsOneEmailToTheOtherSide(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	at := rig.now()
	rig.change(2, domain.SideAdvertiser, "offerEvents[7].revenue", `2.5`, `3`)
	rig.change(2, domain.SideAdvertiser, "name", `"Dice"`, `"Dice Quest"`)
	rig.change(2, domain.SideAdvertiser, "expiresAt", `null`, `"2027-01-01T00:00:00Z"`)
	rig.change(2, domain.SideAdvertiser, "isPaused", `false`, `true`)
	rig.change(2, domain.SideAdvertiser, "countries", `["DE","FR"]`, `[]`)
	rig.change(2, domain.SideAdvertiser, "creatives", ``, `[{"url":"https://a.example/x.png"}]`)
	rig.notice(2, domain.SideAdvertiser)

	require.Empty(t, rig.emails(rig.advertiser), "who edited gets none")
	rows := rig.emails(rig.tenantID)
	require.Len(t, rows, 1)
	row := rows[0]
	require.Equal(t, []any{"email", rig.partnership, int64(2), stateDelivered, int32(1), ""},
		[]any{row.Kind, row.EndpointID, row.Sequence, row.State, row.Attempts, row.LastError})
	require.NotContains(t, row.Body, publisherMail, "the address is looked up when it is sent")
	attempts := rig.attempts(row.ID)
	require.Len(t, attempts, 1)
	require.Equal(t, []any{int32(250), "mailto:" + publisherMail}, []any{attempts[0].StatusCode, attempts[0].Url})
	require.Contains(t, attempts[0].Answer, "250 ", "the server's own words")

	mails := rig.box.Mails()
	require.Len(t, mails, 1)
	mail := mails[0]
	require.Equal(t, []string{publisherMail}, mail.To)
	require.Equal(t, "<"+row.ID.String()+"@offerflow.example>", mail.Header.Get("Message-Id"))
	require.Equal(t, "Acme Games changed Dice Quest: countries, creatives, expiresAt and 3 more", mail.Subject)
	when := at.Format("2 January 2006, 15:04:05 UTC")
	for _, part := range []string{mail.Text, mail.HTML} {
		for _, want := range []string{
			"Dice Quest", "Acme Games (token of Maria)", "advertiser", when, "offerEvents[7].revenue", "2.5", "3", "nothing", "2027-01-01T00:00:00Z",
			"no", "yes", "DE, FR", "none", "https://offerflow.example/api/v1/exchange/offers/" + rig.offerID.String() + "/changes?filter.version=2",
		} {
			require.Contains(t, part, want)
		}
	}
	require.Contains(t, mail.Text, "isPaused\n  before: no\n  after:  yes\n")
	require.Contains(t, mail.Text, "countries\n  before: DE, FR\n  after:  none\n")

	// The other way round, to the tenant's own address, since it has no profile.
	rig.change(3, domain.SidePublisher, "reward", `100`, `150`)
	rig.notice(3, domain.SidePublisher)
	require.Len(t, rig.emails(rig.advertiser), 1)
	mail = rig.box.Mails()[1]
	require.Equal(t, []string{advertiserMail}, mail.To)
	require.Equal(t, "Playworld changed Dice Quest: reward", mail.Subject)
	require.Contains(t, mail.Text, "you share this offer as its advertiser")
}

// Rule 56: people read events by their names, of one that the edit took away by its last; the change log
// keeps the field as it is.
func TestRule56AMailNamesEvents(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	level, gone, unnamed, unknown := uuid.New(), uuid.New(), uuid.New(), uuid.New()
	version := func(version int64, events ...domain.Event) {
		document, err := json.Marshal(domain.Offer{ID: rig.offerID, TenantID: rig.advertiser, Version: version, Events: events})
		require.NoError(t, err)
		rig.system(`INSERT INTO offer_versions (tenant_id, offer_id, version, document, created_at, created_by) VALUES ($1, $2, $3, $4, $5, 'test')`,
			rig.advertiser, rig.offerID, version, string(document), rig.now())
	}
	version(1, domain.Event{ID: level, Name: "Level"}, domain.Event{ID: gone, Name: "Tutorial"}, domain.Event{ID: unnamed, EventID: "buy"})
	version(2, domain.Event{ID: level, Name: "Level\n10"}, domain.Event{ID: unnamed, EventID: "buy"})
	for _, id := range []uuid.UUID{level, gone, unnamed, unknown} {
		rig.change(2, domain.SideAdvertiser, "offerEvents["+id.String()+"].status", `"active"`, `"deleted"`)
	}
	rig.notice(2, domain.SideAdvertiser)
	mails := rig.box.Mails()
	require.Len(t, mails, 1)
	labels := []string{"status of event “Level 10”", "status of event “Tutorial”", "status of event “buy”", "offerEvents[" + unknown.String() + "].status"}
	for _, part := range []string{mails[0].Text, mails[0].HTML} {
		for _, label := range labels {
			require.Contains(t, part, label)
		}
		require.NotContains(t, part, level.String())
	}
	require.NotContains(t, mails[0].Subject, level.String())
	require.Contains(t, mails[0].Subject, "status of event “")
}

func TestRule56TheLastEditSaysThatItEnded(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	rig.change(2, domain.SidePublisher, "reward", `1`, `2`)
	rig.advanceClock(time.Second)
	rig.system(`UPDATE partnerships SET ended_at = $2, ended_by = 'test', ended_side = 'publisher', end_reason = 'season is over' WHERE id = $1`, rig.partnership, rig.now())
	rig.change(3, domain.SidePublisher, "expiresAt", ``, `"2026-11-21T19:00:00Z"`)
	rig.notice(2, domain.SidePublisher)
	rig.notice(3, domain.SidePublisher)
	mails := rig.box.Mails()
	require.Len(t, mails, 2)
	require.Equal(t, "Playworld changed Dice Quest: reward", mails[0].Subject)
	require.Equal(t, "Playworld ended the partnership on Dice Quest", mails[1].Subject)
	require.Contains(t, mails[1].Text, "season is over")
	require.Contains(t, mails[1].HTML, "season is over")
}

// Twenty workers at once, and the same activity again and again: one delivery, one message.
func TestRule56OneEmailHoweverOftenItIsCalled(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	rig.change(2, domain.SideAdvertiser, "name", `"a"`, `"b"`)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := rig.NoticeOfEdit(context.Background(), rig.partnership, 2, domain.SideAdvertiser); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	rig.Wait()
	for range 3 {
		rig.notice(2, domain.SideAdvertiser)
	}
	require.Len(t, rig.emails(rig.tenantID), 1)
	require.Len(t, rig.box.Mails(), 1)
	require.Len(t, rig.attempts(rig.emails(rig.tenantID)[0].ID), 1)
	// A version that changed nothing, and a partnership that is none.
	rig.notice(9, domain.SideAdvertiser)
	require.Len(t, rig.box.Mails(), 1)
	require.Error(t, rig.NoticeOfEdit(t.Context(), uuid.New(), 2, domain.SideAdvertiser))
	require.Error(t, rig.NoticeOfEdit(t.Context(), rig.partnership, 2, domain.SideOwner))
}

// Rules 51 and 56: the server is away for most of two days. The mail is tried by the schedule, each
// attempt is kept, and it arrives once, at the address that is right by then.
func TestRule51TheMailServerIsAwayForDays(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	addr := rig.box.Addr()
	require.NoError(t, rig.box.Close())
	rig.change(2, domain.SideAdvertiser, "name", `"a"`, `"b"`)
	begin := rig.now()
	rig.notice(2, domain.SideAdvertiser)
	row := rig.emails(rig.tenantID)[0]
	require.Equal(t, []any{stateWaiting, int32(1)}, []any{row.State, row.Attempts})
	handed := rig.handOvers()
	require.Len(t, handed, 1)
	require.Equal(t, begin.Add(5*time.Second), handed[0].at)
	rig.advanceClock(5 * time.Second)
	for rig.now().Sub(begin) < 30*time.Hour {
		rig.advanceClock(retryDelay(t, rig.DeliverLater(t.Context(), rig.ref(&row))))
	}
	failed := rig.attempts(row.ID)
	require.GreaterOrEqual(t, len(failed), 7)
	for _, attempt := range failed {
		require.Equal(t, []any{int32(0), "", "the mail server could not be reached"}, []any{attempt.StatusCode, attempt.Answer, attempt.Error},
			"who the server is does not concern the tenant")
	}
	rig.openMailbox(addr)
	rig.profile("new@publisher.example")
	require.NoError(t, rig.DeliverLater(t.Context(), rig.ref(&row)))
	require.NoError(t, rig.DeliverLater(t.Context(), rig.ref(&row)))
	mails := rig.box.Mails()
	require.Len(t, mails, 1)
	require.Equal(t, []string{"new@publisher.example"}, mails[0].To)
	require.Equal(t, stateDelivered, rig.emails(rig.tenantID)[0].State)
}

// Rule 51 in SMTP's codes: 4yz is tried again, 5yz is final, and both can be sent again by a person.
func TestRule51RepliesOfTheMailServer(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	rig.change(2, domain.SideAdvertiser, "name", `"a"`, `"b"`)
	rig.box.Answers(func(string) error { return mailbox.Reply(451, "try later") })
	rig.notice(2, domain.SideAdvertiser)
	row := rig.emails(rig.tenantID)[0]
	require.Equal(t, stateWaiting, row.State)
	rig.box.Answers(nil)
	rig.advanceClock(5 * time.Second)
	require.NoError(t, rig.DeliverLater(t.Context(), rig.ref(&row)))
	attempts := rig.attempts(row.ID)
	require.Len(t, attempts, 2)
	require.Equal(t, []int32{451, 250}, []int32{attempts[0].StatusCode, attempts[1].StatusCode})
	require.Contains(t, attempts[0].Answer, "try later")
	require.Equal(t, stateDelivered, rig.emails(rig.tenantID)[0].State)

	rig.change(3, domain.SideAdvertiser, "name", `"b"`, `"c"`)
	rig.box.Answers(func(to string) error { return mailbox.Reply(550, "no mailbox "+to) })
	rig.handOvers()
	rig.notice(3, domain.SideAdvertiser)
	row = rig.emails(rig.tenantID)[1]
	require.Equal(t, []any{stateFailed, int32(1), int32(550)}, []any{row.State, row.Attempts, *row.LastStatusCode})
	require.Equal(t, "the mail server answered 550", row.LastError)
	require.Empty(t, rig.handOvers(), "it is not tried again")
	rig.box.Answers(nil)
	rig.resend(row.ID)
	require.Equal(t, stateDelivered, rig.emails(rig.tenantID)[1].State)
	require.Len(t, rig.box.Mails(), 2)
}

// resend does what the API does for a person.
func (rig *noticeRig) resend(id uuid.UUID) {
	rig.t.Helper()
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		kind := kindEmail
		found, err := queries.DeliveriesToResend(ctx, tx, dbgen.DeliveriesToResendParams{TenantID: rig.tenantID, ID: &id, Kind: &kind, PageLimit: 1})
		require.Equal(rig.t, []uuid.UUID{id}, found)
		if err != nil {
			return err
		}
		return queries.ResendDeliveries(ctx, tx, dbgen.ResendDeliveriesParams{TenantID: rig.tenantID, Ids: found, Now: rig.now(), LeaseUntil: rig.now().Add(lease)})
	})
	row := dbgen.Delivery{TenantID: rig.tenantID, ID: id}
	require.NoError(rig.t, rig.HandleDelivery(rig.t.Context(), rig.ref(&row)))
	rig.Wait()
}

// Without a mail server nothing is lost: it is there as failed, says why, and goes out later.
func TestRule56NoMailServer(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	mail := rig.mail
	rig.mail = nil
	rig.change(2, domain.SideAdvertiser, "name", `"a"`, `"b"`)
	rig.notice(2, domain.SideAdvertiser)
	row := rig.emails(rig.tenantID)[0]
	require.Equal(t, []any{stateFailed, int32(0), errorNoMail}, []any{row.State, row.Attempts, row.LastError})
	require.Empty(t, rig.handOvers())
	rig.resend(row.ID)
	row = rig.emails(rig.tenantID)[0]
	require.Equal(t, []any{stateFailed, errorNoMail}, []any{row.State, row.LastError}, "as before")
	rig.mail = mail
	rig.resend(row.ID)
	require.Equal(t, stateDelivered, rig.emails(rig.tenantID)[0].State)
	require.Len(t, rig.box.Mails(), 1)
}

// Rule 52: a mail server that is dead, for many partnerships, takes nothing from callbacks.
func TestRule52ADeadMailServerDelaysNoCallback(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	require.NoError(t, rig.box.Close())
	for version := int64(2); version < 12; version++ {
		rig.change(version, domain.SideAdvertiser, "name", `"a"`, `"b"`)
		rig.notice(version, domain.SideAdvertiser)
	}
	var tried int
	for _, row := range rig.emails(rig.tenantID) {
		require.Equal(t, stateWaiting, row.State)
		tried += int(row.Attempts)
	}
	require.Equal(t, breakAfter, tried, "the server's breaker is open: the others are for the durable retry")
	require.Zero(t, rig.mails.first, "slots are given back")
	rig.mails.first = maxFirstAttempts // as if all of them hung
	rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	require.Equal(t, []string{"Success"}, rig.statuses())
	rig.mails.first = 0
	// And dead callbacks delay no mail.
	rig.openMailbox("")
	rig.advanceClock(breakFor)
	rig.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	for range breakAfter {
		rig.handle(rig.event(uuid.New(), 1, "", domain.StatusSuccess))
	}
	rig.change(20, domain.SideAdvertiser, "name", `"a"`, `"b"`)
	rig.notice(20, domain.SideAdvertiser)
	require.Len(t, rig.box.Mails(), 1)
}

// What a crash cut short is found by its lease, and by the sweep where the hand-over was lost.
func TestRule56ACrashedAttemptIsTakenUp(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	rig.box.Answers(func(string) error { return mailbox.Reply(450, "later") })
	rig.change(2, domain.SideAdvertiser, "name", `"a"`, `"b"`)
	rig.notice(2, domain.SideAdvertiser)
	rig.box.Answers(nil)
	rig.advanceClock(5*time.Second + overdueAfter + time.Second)
	found, err := rig.SweepDeliveries(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, found.Found)
	rig.Wait()
	require.Len(t, rig.box.Mails(), 1)

	rig.change(3, domain.SideAdvertiser, "name", `"b"`, `"c"`)
	rig.box.Answers(func(string) error { return mailbox.Reply(450, "later") })
	rig.notice(3, domain.SideAdvertiser)
	rig.box.Answers(nil)
	rig.advanceClock(5*time.Second + overdueAfter + time.Second)
	require.NoError(t, rig.resumeAttempts(t.Context()))
	rig.Wait()
	require.Len(t, rig.box.Mails(), 2)
}

// hostile is what somebody on the other side may type.
const hostile = `</td></table><script>alert(1)</script><img src=x onerror=alert(2)>"'&{{.Link}}`

// Whatever stands in names and values, it is text: it closes no tag, begins no header, and forges no
// line of the mail's own.
func TestRule56HostileValues(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	forged := "x\r\nBcc: victim@example.com\r\n\r\nChange log:\nhttps://evil.example\u202e\u2028--\x07"
	rig.system(`UPDATE offers SET name = $2 WHERE id = $1`, rig.offerID, hostile+forged)
	rig.system(`UPDATE partnerships SET advertiser_name = $2 WHERE id = $1`, rig.partnership, hostile+forged)
	rig.system(`INSERT INTO offer_changes (offer_id, version, field, old, new, at, by, side) VALUES ($1, 2, $2, to_jsonb($3::text), jsonb_build_array(jsonb_build_object('a', $3::text)), $4, $3, 'advertiser')`,
		rig.offerID, hostile+"\nlink", hostile+forged, rig.now())
	rig.change(2, domain.SideAdvertiser, "description", `"`+strings.Repeat("ä", 5000)+`"`, `"first\nChange log:\nhttps://evil.example"`)
	rig.notice(2, domain.SideAdvertiser)
	mails := rig.box.Mails()
	require.Len(t, mails, 1)
	mail := mails[0]
	require.Equal(t, []string{publisherMail}, mail.To)
	require.Len(t, mail.Header, 8, "%v", mail.Header)
	require.NotContains(t, mail.Subject, "\n")
	require.Less(t, len([]rune(mail.Subject)), 300)
	require.NotContains(t, mail.HTML, "<script")
	require.NotContains(t, mail.HTML, "<img")
	require.Contains(t, mail.HTML, "&lt;script&gt;")
	require.Equal(t, 1, strings.Count(mail.HTML, "href="), "the only link is ours")
	require.Contains(t, mail.HTML, `href="https://offerflow.example/api/v1/exchange/offers/`+rig.offerID.String()+`/changes?filter.version=2"`)
	for _, part := range []string{mail.Text, mail.HTML, mail.Subject} {
		require.NotContains(t, part, "\u202e")
		require.NotContains(t, part, "\x07")
		require.NotContains(t, part, strings.Repeat("ä", maxValue+1), "long values are cut")
	}
	var links []string
	for _, line := range strings.Split(mail.Text, "\n") {
		if strings.HasPrefix(line, "http") || strings.HasPrefix(line, "Change log") || strings.HasPrefix(line, "Bcc") || strings.HasPrefix(line, "--") {
			links = append(links, line)
		}
	}
	require.Equal(t, []string{"Change log:", "https://offerflow.example/api/v1/exchange/offers/" + rig.offerID.String() + "/changes?filter.version=2", "--"}, links)
}

// Rule 58: the publisher asks, the advertiser hears of it once.
func TestRule58ARequestIsOneEmailToTheAdvertiser(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	request, conversion := uuid.New(), uuid.New()
	rig.tenant(rig.tenantID, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO conversion_requests (partnership_id, id, conversion_id, action, reason, at, by)
			VALUES ($1, $2, $3, 'reverse', $4, $5, 'token of Paul')`, rig.partnership, request, conversion, "a bot\r\n"+hostile, rig.now())
		return err
	})
	for range 3 {
		require.NoError(t, rig.NoticeOfRequest(t.Context(), rig.partnership, request))
		rig.Wait()
	}
	require.Error(t, rig.NoticeOfRequest(t.Context(), rig.partnership, uuid.New()))
	require.Empty(t, rig.emails(rig.tenantID))
	require.Len(t, rig.emails(rig.advertiser), 1)
	mails := rig.box.Mails()
	require.Len(t, mails, 1)
	require.Equal(t, []string{advertiserMail}, mails[0].To)
	require.Equal(t, "Playworld asks you to reverse a conversion of Dice Quest", mails[0].Subject)
	for _, part := range []string{mails[0].Text, mails[0].HTML} {
		require.Contains(t, part, conversion.String())
		require.Contains(t, part, "a bot")
		require.Contains(t, part, "https://offerflow.example/api/v1/conversions/"+conversion.String())
		require.Contains(t, part, "decide with a review")
	}
	require.NotContains(t, mails[0].HTML, "<script")
}

// Rule 57: a proposal is one email to the other side, and one to its own where the other declines it.
func TestRule57AProposalIsToldByMail(t *testing.T) {
	t.Parallel()
	rig := newNoticeRig(t)
	const hostile = "<script>alert(1)</script>"
	proposed, declined := uuid.New(), uuid.New()
	exec := func(tenantID uuid.UUID, sql string, args ...any) {
		rig.tenant(tenantID, func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, sql, args...)
			return err
		})
	}
	for _, id := range []uuid.UUID{proposed, declined} {
		exec(rig.tenantID, `INSERT INTO offer_proposals (id, partnership_id, offer_id, side, by, at, version, patch, event_ids, changes, fingerprint, state)
			VALUES ($1, $2, $3, 'publisher', 'Playworld (token of Paul)', $4, 3, '{}', '{}', '[{"field": "revenue", "old": "4.00", "new": "5.00"}]', $5, 'open')`,
			id, rig.partnership, rig.offerID, rig.now(), id[:])
	}
	exec(rig.advertiser, `UPDATE offer_proposals SET state = 'declined', decided_at = $2, decided_by = 'Acme Games (token of Maria)', decided_side = 'advertiser', reason = $3
		WHERE id = $1`, declined, rig.now(), "too much "+hostile)
	for range 3 {
		require.NoError(t, rig.NoticeOfProposal(t.Context(), rig.partnership, proposed, domain.SidePublisher))
		rig.Wait()
	}
	require.NoError(t, rig.NoticeOfProposal(t.Context(), rig.partnership, declined, domain.SideAdvertiser))
	rig.Wait()
	require.Error(t, rig.NoticeOfProposal(t.Context(), rig.partnership, uuid.New(), domain.SidePublisher))
	mails := rig.box.Mails()
	require.Len(t, mails, 2)
	require.Equal(t, []string{advertiserMail, publisherMail}, []string{mails[0].To[0], mails[1].To[0]})
	require.Equal(t, "Playworld proposes a change of Dice Quest: revenue", mails[0].Subject)
	require.Equal(t, "Acme Games declined your proposal for Dice Quest: revenue", mails[1].Subject)
	for i, id := range []uuid.UUID{proposed, declined} {
		for _, part := range []string{mails[i].Text, mails[i].HTML} {
			require.Contains(t, part, "4.00")
			require.Contains(t, part, "5.00")
			require.Contains(t, part, "https://offerflow.example/api/v1/exchange/offers/"+rig.offerID.String()+"/proposals?filter.id="+id.String())
		}
	}
	require.Contains(t, mails[0].Text, "token of Paul")
	require.Contains(t, mails[1].Text, "token of Maria")
	require.Contains(t, mails[1].Text, "too much")
	require.NotContains(t, mails[1].HTML, "<script")
}
