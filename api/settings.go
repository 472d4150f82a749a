package api

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones are the same wherever this runs

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

type settingsDocument struct {
	Timezone string `json:"timezone" doc:"The current time zone of caps and budgets."`
	// NextTimezone takes over at NextTimezoneAt, a midnight there.
	NextTimezone   *string    `json:"nextTimezone" doc:"Takes over at nextTimezoneAt."`
	NextTimezoneAt *time.Time `json:"nextTimezoneAt"`
	Currency       string     `json:"currency"`
	RewardRatio    *Decimal   `json:"rewardRatio" doc:"Points per currency unit."`
	FallbackURL    string     `json:"fallbackUrl"`
	GoalsEnabled   bool       `json:"goalsEnabled"`

	PostbackSecurity string `json:"postbackSecurity" enum:"keyed,open" doc:"keyed: a postback counts only if sent to the advertiser's secret address, or with its token, signature or IP allowlist; pixels wait for a person. open: a click id is enough."`
	// DestinationSchemes is never null.
	DestinationSchemes []string          `json:"destinationSchemes" nullable:"false" doc:"App schemes allowed in destinations, besides market, intent, itms, itms-apps and itms-appss."`
	FraudChecks        map[string]string `json:"fraudChecks" doc:"What each check does with a finding: off, refuse or hold."`
}

type settingsOutput struct{ Body settingsDocument }

// settingsBody is a PUT's: what it leaves out stays as it is; null sets the default.
type settingsBody struct {
	Timezone     Optional[string]  `json:"timezone,omitempty" doc:"IANA name. A new time zone starts at its next local midnight."`
	RewardRatio  Optional[Decimal] `json:"rewardRatio,omitempty" doc:"Points per currency unit; null means none."`
	FallbackURL  Optional[string]  `json:"fallbackUrl,omitempty" doc:"Destination of clicks that cannot convert."`
	GoalsEnabled *bool             `json:"goalsEnabled,omitempty" doc:"Off: only default goals convert."`

	PostbackSecurity *string `json:"postbackSecurity,omitempty" enum:"keyed,open" doc:"With open, anyone who sees a click id can post its conversion."`

	DestinationSchemes Optional[[]string] `json:"destinationSchemes,omitempty" doc:"App schemes allowed in destinations; null means none."`

	FraudChecks Optional[map[string]string] `json:"fraudChecks,omitempty" doc:"What the named checks do with a finding: off, refuse or hold."`
	Currency    *string                     `json:"currency,omitempty" doc:"Must be the current value: the currency cannot be changed."`

	// Sent back as they were shown, they keep a planned change.
	NextTimezone   Optional[string] `json:"nextTimezone,omitempty" readOnly:"true"`
	NextTimezoneAt any              `json:"nextTimezoneAt,omitempty" readOnly:"true"`
}

type updateSettingsInput struct{ Body settingsBody }

// fraudDefaults are the checks (rule 47) and what each does until the tenant says otherwise.
var fraudDefaults = map[string]string{
	"bot": domain.FraudActionRefuse, "proxy": domain.FraudActionOff, "ipVelocity": domain.FraudActionOff, "deviceVelocity": domain.FraudActionOff, "memberVelocity": domain.FraudActionOff,
	"blocklist": domain.FraudActionOff, "clickToConversionTime": domain.FraudActionOff, "accounts": domain.FraudActionOff, "geo": domain.FraudActionOff, "conversionRate": domain.FraudActionOff,
}

// fraudRun are the checks that something runs, and what each can do. To take a setting that nothing heeds
// would be to say that the tenant is safe.
var fraudRun = map[string][]string{"bot": {domain.FraudActionOff, domain.FraudActionRefuse}}

func (s *Server) getSettings(ctx context.Context, _ *struct{}) (*settingsOutput, error) {
	out := &settingsOutput{}
	return out, s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetTenant(ctx, tx, principal(ctx).TenantID)
		if err != nil {
			return orNotFound(err)
		}
		out.Body, err = settingsOf(row, s.now())
		return err
	})
}

func (s *Server) updateSettings(ctx context.Context, in *updateSettingsInput) (*settingsOutput, error) {
	out := &settingsOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		row, err := dbgen.New().GetTenantForUpdate(ctx, tx, principal(ctx).TenantID)
		if err != nil {
			return orNotFound(err)
		}
		at := s.now()
		settleZone(&row, at)
		before, err := settingsOf(row, at)
		if err != nil {
			return err
		}
		if err := changeSettings(&row, in.Body, at); err != nil {
			return err
		}
		if err := updateSettingsRow(ctx, tx, row); err != nil {
			return err
		}
		if err := dbgen.New().SetDestinationSchemes(ctx, tx, row.DestinationSchemes, row.TenantID); err != nil {
			return err
		}
		if out.Body, err = settingsOf(row, at); err != nil {
			return err
		}
		return s.changedForRedirect(ctx, tx, "update", "settings", row.TenantID, before, out.Body)
	})
	s.nudge()
	return out, err
}

func updateSettingsRow(ctx context.Context, tx pgx.Tx, row dbgen.Tenant) error {
	_, err := dbgen.New().UpdateSettings(ctx, tx, dbgen.UpdateSettingsParams{
		Timezone: row.Timezone, NextTimezone: row.NextTimezone, NextTimezoneAt: row.NextTimezoneAt,
		RewardRatioMicros: row.RewardRatioMicros, FallbackUrl: row.FallbackUrl, GoalsEnabled: row.GoalsEnabled,
		FraudChecks: row.FraudChecks, PostbackSecurity: row.PostbackSecurity, TenantID: row.TenantID,
	})
	return err
}

// changeSettings applies a body to a row.
func changeSettings(row *dbgen.Tenant, body settingsBody, at time.Time) error {
	var c checks
	if body.DestinationSchemes.given {
		row.DestinationSchemes = c.schemes("destinationSchemes", body.DestinationSchemes.or(nil))
	}
	row.FallbackUrl = c.destination("fallbackUrl", body.FallbackURL.or(row.FallbackUrl), row.FallbackUrl, row.DestinationSchemes)
	if body.RewardRatio.given {
		row.RewardRatioMicros = c.notNegative("rewardRatio", body.RewardRatio.value)
	}
	if body.GoalsEnabled != nil {
		row.GoalsEnabled = *body.GoalsEnabled
	}
	if body.PostbackSecurity != nil {
		row.PostbackSecurity = c.postbackSecurity("postbackSecurity", *body.PostbackSecurity)
	}
	if body.Currency != nil && *body.Currency != row.Currency {
		c.add("currency", "cannot be changed: money is never converted")
	}
	if body.Timezone.given && !sentBack(row, body) {
		c.changeZone(row, body.Timezone.or(defaultTimezone), at)
	}
	if body.FraudChecks.given {
		if err := c.changeFraudChecks(row, body.FraudChecks.or(nil)); err != nil {
			return err
		}
	}
	return c.err()
}

// postbackSecurity is keyed or open (rule 78).
func (c *checks) postbackSecurity(field, value string) string {
	if value != string(domain.PostbackSecurityKeyed) && value != string(domain.PostbackSecurityOpen) {
		c.add(field, "must be keyed or open")
	}
	return value
}

// sentBack says that a body holds the zones as they are, planned change included.
func sentBack(row *dbgen.Tenant, body settingsBody) bool {
	return row.NextTimezone != nil && body.NextTimezone.or("") == *row.NextTimezone && body.Timezone.or("") == row.Timezone
}

// changeFraudChecks keeps what differs from the defaults; null sets all of them back.
func (c *checks) changeFraudChecks(row *dbgen.Tenant, given map[string]string) error {
	kept := map[string]string{}
	if given != nil {
		if err := json.Unmarshal(row.FraudChecks, &kept); err != nil {
			return err
		}
	}
	for _, check := range sortedKeys(given) {
		switch action := given[check]; {
		case fraudDefaults[check] == "":
			c.add("fraudChecks."+check, "is not a check; the checks are: %s", strings.Join(sortedKeys(fraudDefaults), ", "))
		case action != domain.FraudActionOff && action != domain.FraudActionRefuse && action != domain.FraudActionHold:
			c.add("fraudChecks."+check, "must be off, refuse or hold")
		case action != fraudDefaults[check] && fraudRun[check] == nil:
			c.add("fraudChecks."+check, "cannot be enabled: this check does not exist yet")
		case fraudRun[check] != nil && !slices.Contains(fraudRun[check], action):
			c.add("fraudChecks."+check, "must be %s: this check supports nothing else yet", strings.Join(fraudRun[check], " or "))
		default:
			kept[check] = action
		}
	}
	text, err := json.Marshal(kept)
	row.FraudChecks = text
	return err
}

// changeZone plans the change to a zone, at its next midnight; back to the zone that counts now
// takes a planned change back.
func (c *checks) changeZone(row *dbgen.Tenant, name string, at time.Time) {
	name = c.timezone("timezone", name)
	row.NextTimezone, row.NextTimezoneAt = nil, nil
	zone, err := time.LoadLocation(name)
	if err != nil || name == row.Timezone {
		return // timezone has complained, or nothing changes
	}
	midnight := domain.NextDayStart(at, zone).UTC()
	row.NextTimezone, row.NextTimezoneAt = &name, &midnight
}

// timezone is a zone by its IANA name.
func (c *checks) timezone(field, name string) string {
	name = strings.TrimSpace(name)
	if _, err := time.LoadLocation(name); err != nil || name == "" || name == "Local" {
		c.add(field, "is not an IANA time zone such as Europe/Berlin")
	}
	return name
}

// settleZone makes a planned zone that has taken over the current one.
func settleZone(row *dbgen.Tenant, at time.Time) {
	if row.NextTimezone != nil && row.NextTimezoneAt != nil && !at.Before(*row.NextTimezoneAt) {
		row.Timezone, row.NextTimezone, row.NextTimezoneAt = *row.NextTimezone, nil, nil
	}
}

func settingsOf(row dbgen.Tenant, at time.Time) (settingsDocument, error) {
	settleZone(&row, at)
	doc := settingsDocument{
		Timezone: row.Timezone, NextTimezone: row.NextTimezone, NextTimezoneAt: row.NextTimezoneAt, Currency: row.Currency,
		RewardRatio: decimalOf(row.RewardRatioMicros), FallbackURL: row.FallbackUrl, GoalsEnabled: row.GoalsEnabled,
		PostbackSecurity: row.PostbackSecurity, DestinationSchemes: append([]string{}, row.DestinationSchemes...), FraudChecks: map[string]string{},
	}
	for check, action := range fraudDefaults {
		doc.FraudChecks[check] = action
	}
	err := json.Unmarshal(row.FraudChecks, &doc.FraudChecks)
	return doc, err
}
