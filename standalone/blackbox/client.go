// Package blackbox uses Offerflow as its customers do, over HTTP alone. Its structs are its own,
// so that a changed wire format breaks the demo, the tests and the benchmarks.
package blackbox

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls the API with one token.
type Client struct {
	URL   string
	Token string
	// TenantID is whose token it is; empty for the operator's.
	TenantID string
	// Product is the tenant's; empty for a publisher.
	Product string
	HTTP    *http.Client
}

// New makes a client that follows no redirects: where one leads is what matters.
func New(address, token string) *Client {
	return &Client{URL: strings.TrimRight(address, "/"), Token: token, HTTP: &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 512, MaxIdleConns: 1024},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// StatusError is an answer other than 2xx.
type StatusError struct {
	Method, Path string
	Status       int
	Body         string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s %s: %d %s", e.Method, e.Path, e.Status, e.Body)
}

// Call sends body as JSON and reads the answer into out; both may be nil. header holds pairs.
func (c *Client) Call(ctx context.Context, method, path string, body, out any, header ...string) error {
	var reader io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, reader)
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.Token != "" {
		request.Header.Set("Authorization", "ApiToken "+c.Token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return &StatusError{method, path, response.StatusCode, string(data)}
	}
	if out == nil || len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, out)
}

// Page is a list's answer.
type Page[T any] struct {
	TotalCount int `json:"totalCount"`
	TotalPages int `json:"totalPages"`
	Items      []T `json:"items"`
}

// NewTenant makes a tenant as the operator and returns a client with its management token. Its postbacks
// need no key unless fields say so: most tests are about something else, and post to /track.
func (c *Client) NewTenant(ctx context.Context, fields map[string]any) (*Client, error) {
	body := map[string]any{"name": "Coins App", "product": "publisher", "email": "ops@coins.example", "postbackSecurity": "open"}
	for name, value := range fields {
		body[name] = value
	}
	var made struct{ ID, APIToken string }
	if err := c.Call(ctx, http.MethodPost, "/api/v1/tenants", body, &made); err != nil {
		return nil, err
	}
	tenant := New(c.URL, made.APIToken)
	tenant.HTTP, tenant.TenantID = c.HTTP, made.ID
	tenant.Product, _ = body["product"].(string)
	return tenant, nil
}

// Advertiser is a made advertiser.
type Advertiser struct {
	ID          string `json:"id"`
	PostbackURL string `json:"postbackUrl"`
}

// NewAdvertiser makes an advertiser.
func (c *Client) NewAdvertiser(ctx context.Context, fields map[string]any) (Advertiser, error) {
	body := map[string]any{"name": "Game Studio"}
	for name, value := range fields {
		body[name] = value
	}
	var made Advertiser
	err := c.Call(ctx, http.MethodPost, "/api/v1/advertisers", body, &made)
	return made, err
}

// NewPartner makes a partner and returns its id.
func (c *Client) NewPartner(ctx context.Context, fields map[string]any) (string, error) {
	body := map[string]any{"name": "Traffic Partner"}
	for name, value := range fields {
		body[name] = value
	}
	var made struct{ ID string }
	err := c.Call(ctx, http.MethodPost, "/api/v1/partners", body, &made)
	return made.ID, err
}

// offersPath is of the tenant's own product.
func (c *Client) offersPath() string {
	return "/api/v1/sdk-offer-management/" + cmp.Or(c.Product, "publisher") + "/offers"
}

// NewOffer makes an offer from a document and returns its id and the path of its tracking link.
func (c *Client) NewOffer(ctx context.Context, document map[string]any) (id, link string, err error) {
	var made struct{ ID string }
	if err := c.Call(ctx, http.MethodPost, c.offersPath(), document, &made); err != nil {
		return "", "", err
	}
	offer, err := c.Offer(ctx, made.ID)
	if err != nil {
		return "", "", err
	}
	address, err := url.Parse(offer.RedirectLink)
	if err != nil {
		return "", "", err
	}
	return made.ID, address.Path, nil
}

// Offer is what a test reads of an offer.
type Offer struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	Version      int64  `json:"version"`
	RedirectLink string `json:"redirectLink"`
	OfferEvents  []struct {
		ID      string `json:"id"`
		EventID string `json:"eventId"`
	} `json:"offerEvents"`
}

// Offer reads an offer.
func (c *Client) Offer(ctx context.Context, id string) (Offer, error) {
	var offer Offer
	err := c.Call(ctx, http.MethodGet, c.offersPath()+"/"+id, nil, &offer)
	return offer, err
}

// Click follows a tracking link and returns the click id that the destination was given, or the
// address of a fallback.
func (c *Client) Click(ctx context.Context, linkPath string, params url.Values) (clickID, location string, err error) {
	path := linkPath
	if len(params) > 0 {
		path += "?" + params.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, nil)
	if err != nil {
		return "", "", err
	}
	request.Header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1")
	response, err := c.HTTP.Do(request)
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", "", err
	}
	if response.StatusCode != http.StatusFound {
		return "", "", &StatusError{http.MethodGet, path, response.StatusCode, string(body)}
	}
	location = response.Header.Get("Location")
	destination, err := url.Parse(location)
	if err != nil {
		return "", "", err
	}
	return destination.Query().Get("sub1"), location, nil
}

// Answer is the answer to a postback.
type Answer struct {
	HTTPStatus   int        `json:"-"`
	PostbackID   string     `json:"postbackId"`
	Outcome      string     `json:"outcome"`
	Reason       string     `json:"reason"`
	ConversionID string     `json:"conversionId"`
	Status       string     `json:"status"`
	ReleaseAt    *time.Time `json:"releaseAt"`
	Detail       string     `json:"detail"`
}

// Postback sends a postback to path (such as /track) and returns what the sender is told, whatever
// the status code.
func (c *Client) Postback(ctx context.Context, path string, params url.Values) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path+"?"+params.Encode(), nil)
	if err != nil {
		return Answer{}, err
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	answer := Answer{HTTPStatus: response.StatusCode}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer, err
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return answer, &StatusError{http.MethodGet, path, response.StatusCode, string(body)}
	}
	return answer, nil
}

// Convert is a postback for a click and an event, without a key.
func (c *Client) Convert(ctx context.Context, clickID, eventID string, more ...string) (Answer, error) {
	return c.convertAt(ctx, "/track", clickID, eventID, more)
}

// ConvertBy is Convert by an advertiser's own address.
func (c *Client) ConvertBy(ctx context.Context, advertiser Advertiser, clickID, eventID string, more ...string) (Answer, error) {
	address, err := url.Parse(advertiser.PostbackURL)
	if err != nil {
		return Answer{}, err
	}
	return c.convertAt(ctx, address.Path, clickID, eventID, more)
}

func (c *Client) convertAt(ctx context.Context, path, clickID, eventID string, more []string) (Answer, error) {
	params := url.Values{"gk_click_id": {clickID}}
	if eventID != "" {
		params.Set("cnv_event_id", eventID)
	}
	for i := 0; i+1 < len(more); i += 2 {
		params.Set(more[i], more[i+1])
	}
	return c.Postback(ctx, path, params)
}

// Decided asks for an answer until the postback is decided.
func (c *Client) Decided(ctx context.Context, postbackID string) (Answer, error) {
	for {
		answer, err := c.Postback(ctx, "/track/"+postbackID, nil)
		var refused *StatusError
		if errors.As(err, &refused) && refused.Status == http.StatusServiceUnavailable {
			err = nil // asked too fast
		}
		if err != nil || (answer.Outcome != "queued" && answer.Outcome != "") {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return answer, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Conversion is what a test reads of a conversion.
type Conversion struct {
	ID              string `json:"id"`
	Status          string `json:"status"`
	RejectionReason string `json:"rejectionReason"`
	ClickID         string `json:"clickId"`
	EventID         string `json:"eventId"`
	Revenue         string `json:"revenue"`
	// Cost is what an advertiser's side of a shared offer reads in place of Revenue.
	Cost   string `json:"cost"`
	Reward string `json:"reward"`
}

// Conversion reads a conversion.
func (c *Client) Conversion(ctx context.Context, id string) (Conversion, error) {
	var conversion Conversion
	err := c.Call(ctx, http.MethodGet, "/api/v1/conversions/"+id, nil, &conversion)
	return conversion, err
}

// Reviewed is the answer to a review.
type Reviewed struct {
	Results []struct{ ID, Status, Error string } `json:"results"`
	Totals  struct {
		Count                   int
		Revenue, Payout, Reward string
	} `json:"totals"`
}

// Review approves, rejects or reverses conversions.
func (c *Client) Review(ctx context.Context, action string, ids ...string) (Reviewed, error) {
	var reviewed Reviewed
	err := c.Call(ctx, http.MethodPost, "/api/v1/conversions/review", map[string]any{"action": action, "ids": ids, "reason": "reviewed"}, &reviewed)
	return reviewed, err
}

// Balance is a member's points.
type Balance struct {
	Points        string `json:"points"`
	PendingPoints string `json:"pendingPoints"`
}

// Balance reads a member's points.
func (c *Client) Balance(ctx context.Context, member string) (Balance, error) {
	var balance Balance
	err := c.Call(ctx, http.MethodGet, "/api/v1/members/"+url.PathEscape(member)+"/balance", nil, &balance)
	return balance, err
}

// EveryoneAge is the id of the first age range, which is everyone.
func (c *Client) EveryoneAge(ctx context.Context) (string, error) {
	var ages struct{ Items []struct{ ID string } }
	if err := c.Call(ctx, http.MethodGet, "/api/v1/lookups/ages", nil, &ages); err != nil {
		return "", err
	}
	return ages.Items[0].ID, nil
}
