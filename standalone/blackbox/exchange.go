package blackbox

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Shared is the answer to a share.
type Shared struct {
	SharedOfferID string `json:"sharedOfferId"`
	PartnershipID string `json:"partnershipId"`
}

// List puts the tenant into the Exchange's directory.
func (c *Client) List(ctx context.Context, description, contact string) error {
	return c.Call(ctx, http.MethodPut, "/api/v1/exchange/profile", map[string]any{
		"listed": true, "description": description, "contact": contact,
	}, nil)
}

// Share shares an offer with a publisher.
func (c *Client) Share(ctx context.Context, offerID, publisherTenantID string) (Shared, error) {
	var shared Shared
	err := c.Call(ctx, http.MethodPost, "/api/v1/exchange/shares", map[string]any{"offerId": offerID, "publisherTenantId": publisherTenantID}, &shared)
	return shared, err
}

// SharedOffer is what a test reads of a shared offer.
type SharedOffer struct {
	Offer
	Side     string `json:"side"`
	Name     string `json:"name"`
	Headline string `json:"headline"`
}

// SharedOffer reads a shared offer.
func (c *Client) SharedOffer(ctx context.Context, id string) (SharedOffer, error) {
	var offer SharedOffer
	err := c.Call(ctx, http.MethodGet, "/api/v1/exchange/offers/"+id, nil, &offer)
	return offer, err
}

// Edit changes fields of a shared offer, from a version.
func (c *Client) Edit(ctx context.Context, id string, version int64, fields map[string]any) (SharedOffer, error) {
	var offer SharedOffer
	err := c.Call(ctx, http.MethodPatch, "/api/v1/exchange/offers/"+id, fields, &offer, "If-Match", strconv.FormatInt(version, 10))
	return offer, err
}

// Change is an entry of a shared offer's change log.
type Change struct {
	Version int64           `json:"version"`
	By      string          `json:"by"`
	Side    string          `json:"side"`
	Field   string          `json:"field"`
	Old     json.RawMessage `json:"old"`
	New     json.RawMessage `json:"new"`
}

// Changes reads a shared offer's change log, newest first.
func (c *Client) Changes(ctx context.Context, id string) ([]Change, error) {
	var page Page[Change]
	err := c.Call(ctx, http.MethodGet, "/api/v1/exchange/offers/"+id+"/changes?page_size=100", nil, &page)
	return page.Items, err
}

// Reconciliation is one comparison of both books.
type Reconciliation struct {
	ID      string `json:"id"`
	IsEqual bool   `json:"isEqual"`
	Days    []struct {
		Day        string `json:"day"`
		Status     string `json:"status"`
		Advertiser struct {
			Count int
			Cost  string
		} `json:"advertiser"`
		Publisher struct {
			Count   int
			Revenue string
		} `json:"publisher"`
	} `json:"days"`
	Differences []struct {
		ConversionID string `json:"conversionId"`
		Repaired     bool   `json:"repaired"`
	} `json:"differences"`
}

// Reconcile asks for a comparison of both books now.
func (c *Client) Reconcile(ctx context.Context, partnershipID string) error {
	return c.Call(ctx, http.MethodPost, "/api/v1/exchange/partnerships/"+partnershipID+"/reconciliation", nil, nil)
}

// Reconciliations reads how earlier comparisons went, newest first.
func (c *Client) Reconciliations(ctx context.Context, partnershipID string) ([]Reconciliation, error) {
	var page Page[Reconciliation]
	err := c.Call(ctx, http.MethodGet, "/api/v1/exchange/partnerships/"+partnershipID+"/reconciliation", nil, &page)
	return page.Items, err
}

// End ends a partnership.
func (c *Client) End(ctx context.Context, partnershipID, reason string) error {
	return c.Call(ctx, http.MethodPost, "/api/v1/exchange/partnerships/"+partnershipID+"/end", map[string]any{"reason": reason}, nil)
}

// LiveEvent is one event of the live stream.
type LiveEvent struct {
	ID, Name string
	Data     json.RawMessage
}

// Live opens the live stream, after an event's id or from now on, and hands each event to take until
// it says false, the stream ends or ctx is done. opened is called when the stream is open.
func (c *Client) Live(ctx context.Context, lastEventID string, opened func(), take func(LiveEvent) bool) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/api/v1/exchange/stream", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "ApiToken "+c.Token)
	request.Header.Set("Accept", "text/event-stream")
	if lastEventID != "" {
		request.Header.Set("Last-Event-ID", lastEventID)
	}
	endless := *c.HTTP
	endless.Timeout = 0
	response, err := endless.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return &StatusError{http.MethodGet, "/api/v1/exchange/stream", response.StatusCode, ""}
	}
	if opened != nil {
		opened()
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 1<<20)
	var event LiveEvent
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			event.ID = value
		case "event":
			event.Name = value
		case "data":
			event.Data = append(event.Data, value...)
		case "":
			if len(event.Data) > 0 && !take(event) {
				return nil
			}
			event = LiveEvent{}
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("the live stream ended: %w", lines.Err())
}

// Conversions lists conversions of an offer completed within the last days.
func (c *Client) Conversions(ctx context.Context, query url.Values) ([]Conversion, error) {
	var page Page[Conversion]
	err := c.Call(ctx, http.MethodGet, "/api/v1/sdk-conversion-system/conversions?"+query.Encode(), nil, &page)
	return page.Items, err
}
