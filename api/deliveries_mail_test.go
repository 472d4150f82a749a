package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/delivery"
	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/outbound"
	"github.com/offerflow/offerflow/outbound/mailbox"
	"github.com/offerflow/offerflow/stream"
)

type mailDelivery struct {
	ID, Kind, EndpointID, State, LastError string
	Sequence                               int64
	AttemptCount                           int
	Attempts                               []struct {
		StatusCode         int
		URL, Answer, Error string
	}
}

func (c *caller) mails(query string) []mailDelivery {
	c.t.Helper()
	var page struct{ Items []mailDelivery }
	c.get("/api/v1/deliveries?filter.kind=email"+query).into(http.StatusOK, &page)
	return page.Items
}

// Rules 51 and 56: the mail about an edit is in the recipient's log of deliveries like any callback,
// failed while there is no mail server, and goes out when a person sends it again, alone or in bulk.
func TestRule56MailsAreLoggedAndSentAgain(t *testing.T) {
	t.Parallel()
	x := newExchange(t)
	made := x.share(x.offer(nil), x.publisher)
	deliveries := delivery.NewDeliveries(x.store, x.api.Keys, nil, nil)
	var versions []int64
	for _, name := range []string{"Dice <b>one</b>", "Dice two"} {
		x.advertiser.edit(made.SharedOfferID, map[string]any{"name": name}).into(http.StatusOK, &struct{}{})
		_, version := x.advertiser.sharedOffer(made.SharedOfferID)
		versions = append(versions, version)
		require.NoError(t, deliveries.NoticeOfEdit(t.Context(), uuid.MustParse(made.PartnershipID), version, domain.SideAdvertiser))
	}
	require.Empty(t, x.advertiser.mails(""), "who edited gets no mail")
	failed := x.publisher.mails("&filter.state=failed&orderby=id&order_asc=true")
	require.Len(t, failed, 2)
	for i, mail := range failed {
		require.Equal(t, []any{"email", made.PartnershipID, versions[i], 0, "no mail server is set (OFFERFLOW_SMTP_URL)"},
			[]any{mail.Kind, mail.EndpointID, mail.Sequence, mail.AttemptCount, mail.LastError})
	}

	box, err := mailbox.Open(mailbox.Options{User: "anna", Password: "swordfish"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = box.Close() })
	mailer, err := outbound.NewMailer("smtp://anna:swordfish@"+box.Addr()+"?starttls=never", "Offerflow <notices@example.com>")
	require.NoError(t, err)
	deliveries.WithMail(mailer, "https://offerflow.example")
	x.advertiser.post("/api/v1/deliveries/"+failed[0].ID+"/resend", nil).refused(http.StatusNotFound)
	x.publisher.post("/api/v1/deliveries/"+failed[0].ID+"/resend", nil).into(http.StatusAccepted, &struct{}{})
	require.Equal(t, []string{failed[0].ID}, x.sendQueued(deliveries))
	require.Len(t, box.Mails(), 1)

	var bulk struct{ Count int }
	x.publisher.post("/api/v1/deliveries/resend", map[string]any{"kind": "email"}).into(http.StatusAccepted, &bulk)
	require.Equal(t, 1, bulk.Count, "what was delivered stays")
	require.Equal(t, []string{failed[1].ID}, x.sendQueued(deliveries))
	require.Len(t, box.Mails(), 2)
	delivered := x.publisher.mails("&filter.state=delivered")
	require.Len(t, delivered, 2)
	for _, mail := range delivered {
		require.Len(t, mail.Attempts, 1)
		require.Equal(t, 250, mail.Attempts[0].StatusCode)
		require.Equal(t, "mailto:"+box.Mails()[0].To[0], mail.Attempts[0].URL)
		require.Contains(t, mail.Attempts[0].Answer, "250 ")
	}
	require.NotContains(t, string(x.publisher.get("/api/v1/deliveries").body), "swordfish")
	require.Equal(t, []string{"partners@example.com"}, box.Mails()[0].To, "the profile's contact")
	require.Contains(t, box.Mails()[0].HTML, "Dice &lt;b&gt;one&lt;/b&gt;")
	require.Contains(t, box.Mails()[1].Text, "name\n  before: Dice <b>one</b>\n  after:  Dice two\n")

	// Its end is the last edit (rule 60), here by the publisher: the advertiser hears why.
	x.publisher.post(exchangePath+"/partnerships/"+made.PartnershipID+"/end", map[string]any{"reason": "season is over"}).into(http.StatusOK, &struct{}{})
	require.NoError(t, deliveries.NoticeOfEdit(t.Context(), uuid.MustParse(made.PartnershipID), versions[1]+1, domain.SidePublisher))
	deliveries.Wait()
	last := box.Mails()[2]
	require.Equal(t, []string{"ops@example.com"}, last.To, "without a profile the tenant's own address")
	require.Equal(t, "Coins ended the partnership on Dice two", last.Subject)
	require.Contains(t, last.Text, "season is over")
}

// sendQueued does what the worker does with the deliveries that lie in the outbox, and empties it of
// them.
func (x *exchange) sendQueued(deliveries *delivery.Deliveries) (ids []string) {
	x.t.Helper()
	rows, err := x.store.SystemPool().Query(x.t.Context(), "DELETE FROM outbox WHERE subject = $1 RETURNING payload", stream.SubjectDelivery)
	require.NoError(x.t, err)
	var events []stream.DeliveryEvent
	for rows.Next() {
		var payload []byte
		var event stream.DeliveryEvent
		require.NoError(x.t, rows.Scan(&payload))
		require.NoError(x.t, json.Unmarshal(payload, &event))
		events = append(events, event)
	}
	require.NoError(x.t, rows.Err())
	for _, event := range events {
		require.NotEqual(x.t, uuid.Nil, event.DeliveryID)
		ids = append(ids, event.DeliveryID.String())
		require.NoError(x.t, deliveries.HandleDelivery(x.t.Context(), event))
	}
	deliveries.Wait()
	return ids
}
