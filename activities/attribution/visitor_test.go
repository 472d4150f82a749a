package attribution_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/offerflow/offerflow/activities/activitytest"
	"github.com/offerflow/offerflow/domain"
)

// A conversion without a click id is its visitor's last click, where that can be nobody else's.
func TestClickOfVisitor(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	other := rig.Offer([]domain.Event{activitytest.Goal("B")})
	clicked := func(o *domain.Offer, member string, change ...func(*domain.Click)) uuid.UUID {
		return rig.Click(o, append([]func(*domain.Click){func(c *domain.Click) {
			c.IP, c.UserAgent, c.PartnerID, c.PubMemberID = "192.0.2.7", "iPhone", &rig.Partner, &member
			if member == "" {
				c.PubMemberID = nil
			}
		}}, change...)...).ID
	}
	found := func(change func(*domain.Postback)) (uuid.UUID, bool) {
		p := domain.Postback{ID: uuid.New(), ReceivedAt: rig.Time(), SourceIP: "192.0.2.7",
			Visitor: &domain.Visitor{OfferID: o.ID, PartnerID: rig.Partner, UserAgent: "iPhone"}}
		if change != nil {
			change(&p)
		}
		id, ok, err := rig.ClickOfVisitor(t.Context(), &p)
		require.NoError(t, err)
		return id, ok
	}
	nothing := func(why string, change func(*domain.Postback)) {
		t.Helper()
		_, ok := found(change)
		require.False(t, ok, why)
	}
	nothing("no click yet", nil)
	clicked(o, "m")
	rig.Wait(time.Minute)
	last := clicked(o, "m")
	clicked(other, "n")
	clicked(o, "n", func(c *domain.Click) { c.RefusedReason = domain.ReasonCapped })
	clicked(o, "n", func(c *domain.Click) { c.PartnerID = nil })
	clicked(o, "n", func(c *domain.Click) { c.IP = "192.0.2.8" })
	clicked(o, "n", func(c *domain.Click) { c.UserAgent = "Android" })
	rig.Wait(time.Minute)
	id, ok := found(nil)
	require.True(t, ok)
	require.Equal(t, last, id, "the latest of the same offer, partner, address and User-Agent that converts")
	nothing("another address", func(p *domain.Postback) { p.SourceIP = "192.0.2.9" })
	nothing("another User-Agent", func(p *domain.Postback) { p.Visitor.UserAgent = "iphone" })
	nothing("another partner", func(p *domain.Postback) { p.Visitor.PartnerID = uuid.New() })
	nothing("another offer", func(p *domain.Postback) { p.Visitor.OfferID = uuid.New() })
	nothing("received before any click", func(p *domain.Postback) { p.ReceivedAt = p.ReceivedAt.Add(-3 * time.Minute) })
	nothing("a day later", func(p *domain.Postback) { p.ReceivedAt = p.ReceivedAt.Add(domain.VisitorWindow) })

	clicked(o, "somebody else")
	rig.Wait(time.Minute)
	nothing("two members behind one address", nil)
	id, ok = found(func(p *domain.Postback) { p.ReceivedAt = p.ReceivedAt.Add(-90 * time.Second) })
	require.True(t, ok, "a later click changes nothing of what was received before it")
	require.Equal(t, last, id)
}

// What comes by an opaque address and belongs to no click is in the offer's own log.
func TestRefusedByOpaqueAddress(t *testing.T) {
	t.Parallel()
	rig := activitytest.New(t, 4)
	o := rig.Offer([]domain.Event{activitytest.Goal("A")})
	unknown := uuid.New()
	for _, c := range []struct {
		address *domain.Address
		want    *uuid.UUID
	}{
		{&domain.Address{OfferID: &o.ID, Opaque: true}, &rig.TenantID},
		{&domain.Address{OfferID: &o.ID}, nil}, // anybody can name an offer
		{&domain.Address{OfferID: &unknown, Opaque: true}, nil},
		{nil, nil},
	} {
		p := domain.Postback{ID: uuid.New(), ReceivedAt: rig.Time(), Address: c.address, Params: map[string]string{}}
		_, err := rig.Refuse(t.Context(), p, domain.ReasonUnknownClick)
		require.NoError(t, err)
		require.Equal(t, c.want, activitytest.Value[*uuid.UUID](rig, "SELECT tenant_id FROM postbacks WHERE id = $1", p.ID))
	}
}
