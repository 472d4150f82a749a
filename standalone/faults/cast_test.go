package faults

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/offerflow/offerflow/standalone/blackbox"
)

const (
	// capOf is the capped offer's cap over all time: no midnight changes it.
	capOf = 7
	// grace is how long an early event is held, releaseAfter how long a late one is Pending.
	grace        = 4 * time.Second
	releaseAfter = 2 * time.Second
)

// cast is a tenant with its offers and the endpoint that hears its callbacks.
type cast struct {
	tenant *blackbox.Client
	inbox  *inbox
	// levels is three events in order, the last Pending for a while; manual waits for a person.
	levels, capped, manual offer
}

type offer struct{ id, link string }

var levelEvents = []string{"Install", "Level 3", "Level 7"}

// newCast makes a tenant. Its requests are noted in the journal.
func newCast(ctx context.Context, operator *blackbox.Client, mail *mail, j *journal) (*cast, error) {
	tenant, err := operator.NewTenant(ctx, nil)
	if err != nil {
		return nil, err
	}
	noted := *tenant.HTTP
	noted.Transport = strict{j, noted.Transport}
	tenant.HTTP = &noted
	c := &cast{tenant: tenant}
	if c.inbox, err = mail.open(ctx, tenant); err != nil {
		return nil, err
	}
	return c, c.makeOffers(ctx)
}

func (c *cast) makeOffers(ctx context.Context) error {
	advertiser, err := c.tenant.NewAdvertiser(ctx, nil)
	if err != nil {
		return err
	}
	age, err := c.tenant.EveryoneAge(ctx)
	if err != nil {
		return err
	}
	for _, made := range []struct {
		offer    *offer
		document map[string]any
	}{
		{&c.levels, blackbox.MultiEvent(advertiser.ID, age, []map[string]any{
			blackbox.Event(levelEvents[0], 1, nil), blackbox.Event(levelEvents[1], 2, nil),
			blackbox.Event(levelEvents[2], 3, map[string]any{"pendingTime": in(24*time.Hour, releaseAfter), "reward": 100}),
		}, map[string]any{"name": "Levels", "outOfOrderGraceMinutes": in(time.Minute, grace)})},
		{&c.capped, blackbox.SingleEvent(advertiser.ID, age, map[string]any{
			"name": "Capped", "allTimeCap": capOf, "fallbackUrl": "https://coins.example/more", "pendingTime": in(24*time.Hour, time.Second),
		})},
		{&c.manual, blackbox.SingleEvent(advertiser.ID, age, map[string]any{"name": "Manual", "rewardType": "Manual"})},
	} {
		if made.offer.id, made.offer.link, err = c.tenant.NewOffer(ctx, made.document); err != nil {
			return err
		}
	}
	return nil
}

// in writes a duration as an offer document does: a number of units.
func in(unit, d time.Duration) json.Number {
	return json.Number(strconv.FormatFloat(d.Seconds()/unit.Seconds(), 'f', 6, 64))
}

// putEndpoint sets a tenant's callback address and returns its signing secret.
func putEndpoint(ctx context.Context, tenant *blackbox.Client, address string) (secret string, err error) {
	var endpoint struct {
		SigningSecret string `json:"signingSecret"`
	}
	err = tenant.Call(ctx, http.MethodPut, "/api/v1/callback-endpoint", map[string]any{
		"url": address, "events": []string{"success", "pending", "rejected"},
	}, &endpoint)
	return endpoint.SigningSecret, err
}
