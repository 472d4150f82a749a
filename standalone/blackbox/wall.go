package blackbox

import (
	"context"
	"net/http"
	"net/url"
)

// WallOffer is what a test reads of an offer on the wall.
type WallOffer struct {
	ID               string `json:"id"`
	Name             string `json:"name"`
	Reward           string `json:"reward"`
	EPC              string `json:"epc"`
	IsOfferAvailable bool   `json:"isOfferAvailable"`
	IsUserCompleted  bool   `json:"isUserCompleted"`
	RewardStatus     string `json:"rewardStatus"`
	ViewID           string `json:"viewId"`
	Events           []struct {
		EventID         string `json:"eventId"`
		IsUserCompleted bool   `json:"isUserCompleted"`
		RewardStatus    string `json:"rewardStatus"`
	} `json:"events"`
}

// Wall lists what a member can start or go on with; more are pairs of further parameters.
func (c *Client) Wall(ctx context.Context, member string, more url.Values) ([]WallOffer, error) {
	var page Page[WallOffer]
	err := c.Call(ctx, http.MethodGet, "/api/v1/offer-wall/offers?"+ofMember(member, more), nil, &page)
	return page.Items, err
}

// Details is an offer as one member sees it, which makes a view.
func (c *Client) Details(ctx context.Context, offerID, member string) (WallOffer, error) {
	var offer WallOffer
	err := c.Call(ctx, http.MethodGet, "/api/v1/offer-wall/offer-details?"+ofMember(member, url.Values{"offerId": {offerID}}), nil, &offer)
	return offer, err
}

// WallLink is where the member of a view is sent.
func (c *Client) WallLink(ctx context.Context, offerID, viewID string) (string, error) {
	var answer struct{ URL string }
	err := c.Call(ctx, http.MethodGet, "/api/v1/offer-wall/offer-link?"+url.Values{"offerId": {offerID}, "viewId": {viewID}}.Encode(), nil, &answer)
	return answer.URL, err
}

// MembersOffers lists what a member has started or completed; progress is InProgress, Completed or
// empty for both.
func (c *Client) MembersOffers(ctx context.Context, member, progress string) ([]WallOffer, error) {
	more := url.Values{}
	if progress != "" {
		more.Set("filter.Progress", progress)
	}
	var page Page[WallOffer]
	err := c.Call(ctx, http.MethodGet, "/api/v1/offer-wall/pub-member/offers?"+ofMember(member, more), nil, &page)
	return page.Items, err
}

func ofMember(member string, more url.Values) string {
	values := url.Values{"pub_member_id": {member}, "page_size": {"100"}}
	for name, value := range more {
		values[name] = value
	}
	return values.Encode()
}
