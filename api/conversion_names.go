package api

import (
	"bytes"
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
)

// eventKey is an event in one version of an offer.
type eventKey struct {
	offerID uuid.UUID
	version int64
	eventID uuid.UUID
}

// eventNames are what an offer and its event were called when a conversion was decided.
type eventNames struct{ offer, eventID, event string }

func loadEventNames(ctx context.Context, tx pgx.Tx, keys []eventKey) (map[eventKey]eventNames, error) {
	type version struct {
		offerID uuid.UUID
		number  int64
	}
	seen := map[version]bool{}
	var offerIDs []uuid.UUID
	var versions []int64
	for _, key := range keys {
		if v := (version{key.offerID, key.version}); !seen[v] {
			seen[v] = true
			offerIDs, versions = append(offerIDs, key.offerID), append(versions, key.version)
		}
	}
	rows, err := dbgen.New().EventNamesOfVersions(ctx, tx, offerIDs, versions)
	names := make(map[eventKey]eventNames, len(rows))
	for _, row := range rows {
		names[eventKey{row.OfferID, row.Version, row.EventID}] = eventNames{row.OfferName, row.AdvertisersName, row.EventName}
	}
	return names, err
}

// nameConversions fills in the names of offers and events.
func nameConversions(ctx context.Context, tx pgx.Tx, views []conversionView) error {
	if len(views) == 0 {
		return nil
	}
	keys := make([]eventKey, len(views))
	for i, view := range views {
		keys[i] = eventKey{view.OfferID, view.offerVersion, view.OfferEventID}
	}
	names, err := loadEventNames(ctx, tx, keys)
	for i := range views {
		n := names[keys[i]]
		views[i].OfferName, views[i].EventID, views[i].EventName = n.offer, n.eventID, n.event
	}
	return err
}

// describeConversions fills in all that a tenant's own answers show besides a conversion's row.
func describeConversions(ctx context.Context, tx pgx.Tx, views []conversionView) error {
	if err := nameConversions(ctx, tx, views); err != nil {
		return err
	}
	return completeConversions(ctx, tx, views)
}

// completeConversions fills in who the ids are, and what the clicks said. A click of a shared offer is the
// publisher's: its advertiser is told nothing of it here (rule 59).
func completeConversions(ctx context.Context, tx pgx.Tx, views []conversionView) error {
	if len(views) == 0 {
		return nil
	}
	var clicks, named []uuid.UUID
	for i := range views {
		clicks, named = append(clicks, views[i].ClickID), append(named, views[i].AdvertiserID)
		if views[i].PartnerID != nil {
			named = append(named, *views[i].PartnerID)
		}
	}
	slices.SortFunc(named, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	tenantID := principal(ctx).TenantID
	names, err := dbgen.New().NamesOfReport(ctx, tx, slices.Compact(named), tenantID)
	if err != nil {
		return err
	}
	byID := make(map[string]string, len(names))
	for _, name := range names {
		byID[name.Kind+name.ID] = name.Name
	}
	subs, err := subsOf(ctx, tx, clicks)
	for i := range views {
		v, click := &views[i], subs[views[i].ClickID]
		v.AdvertiserName = byID["advertiser"+v.AdvertiserID.String()]
		if v.PartnerID != nil {
			v.PartnerName = byID["partner"+v.PartnerID.String()]
		}
		if v.PubSubs = []string{}; v.Cost == nil {
			v.PubClickID, v.PubSubs = click.PubClickID, append(v.PubSubs, click.PubSubs...)
		}
	}
	return err
}

// subsOf are what clicks said of themselves.
func subsOf(ctx context.Context, tx pgx.Tx, clicks []uuid.UUID) (map[uuid.UUID]dbgen.SubsOfClicksRow, error) {
	rows, err := dbgen.New().SubsOfClicks(ctx, tx, principal(ctx).TenantID, clicks)
	byClick := make(map[uuid.UUID]dbgen.SubsOfClicksRow, len(rows))
	for _, row := range rows {
		byClick[row.ID] = row
	}
	return byClick, err
}
