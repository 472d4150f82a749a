package erasure

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities"
	"github.com/offerflow/offerflow/db"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

// again erases the member in what was made of messages that were on their way when its conversions were erased.
func (e *erasure) again(ctx context.Context) error {
	var after uuid.UUID
	for {
		rows, err := queries.SystemErasedConversions(ctx, e.store.SystemPool(), dbgen.SystemErasedConversionsParams{
			TenantID: e.tenantID, Pseudonym: e.pseudonym, After: after, AtMost: clicksAtOnce,
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		var conversions, clicks []uuid.UUID
		for _, row := range rows {
			conversions, clicks, after = append(conversions, row.ID), append(clicks, row.ClickID), row.ID
		}
		if err := e.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			return errors.Join(e.postbacks(ctx, tx, clicks), e.ofConversions(ctx, tx, conversions))
		}); err != nil {
			return err
		}
	}
}

// logs erases the member in what no index finds it in: tables that are small, and the tenant's audit log.
func (e *erasure) logs(ctx context.Context) error {
	for _, step := range []func(ctx context.Context) error{e.outbox, e.failed, e.jobs, e.audit} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// outbox erases the member in news that is not yet sent to the streams.
func (e *erasure) outbox(ctx context.Context) error {
	return e.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, err := queries.SystemOutboxToErase(ctx, tx, e.tenantID, e.member)
		if err != nil {
			return err
		}
		for _, row := range rows {
			payload, changed, err := e.document(e.isOld).Apply(row.Payload)
			if err != nil {
				return fmt.Errorf("outbox %s: %w", row.ID, err)
			}
			if !changed {
				continue
			}
			if err := queries.SystemSetOutboxPayload(ctx, tx, payload, e.tenantID, row.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// failed erases the member in messages that wait to be sent again. One that is no JSON names no member.
func (e *erasure) failed(ctx context.Context) error {
	isOurs := func(object map[string]any) bool {
		tenant, ok := object["tenantId"].(string)
		return e.isOld(object) && (!ok || tenant == e.tenantID.String())
	}
	var after uuid.UUID
	for {
		rows, err := queries.SystemFailedToErase(ctx, e.store.SystemPool(), &e.tenantID, after, activities.ItemsPage)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			after = row.ID
			payload, changed, err := e.document(isOurs).Apply(row.Payload)
			if err == nil && !changed {
				payload, changed, err = e.failedPostback(ctx, row.Payload)
			}
			if db.Unavailable(err) {
				return err
			}
			if err != nil || !changed {
				continue
			}
			if err := queries.SystemSetFailedPayload(ctx, e.store.SystemPool(), payload, row.ID); err != nil {
				return err
			}
		}
		e.heartbeat(ctx)
	}
}

// failedPostback erases a postback that names one of the member's clicks.
func (e *erasure) failedPostback(ctx context.Context, payload []byte) (erased []byte, changed bool, err error) {
	var postback domain.Postback
	if err := json.Unmarshal(payload, &postback); err != nil || postback.ClickID == nil || len(postback.Params) == 0 {
		return nil, false, nil //nolint:nilerr // no postback
	}
	is, err := queries.SystemIsErasedClick(ctx, e.store.SystemPool(), e.tenantID, *postback.ClickID, e.pseudonym)
	if err != nil || !is {
		return nil, false, err
	}
	postback.Erase()
	erased, err = json.Marshal(&postback)
	return erased, !bytes.Equal(erased, payload), err
}

// shortestMention is how long a member's id must be for texts to be searched for it that are about anything: a
// shorter one is found in sums and dates.
const shortestMention = 4

// inside says whether texts that need not be about the member are searched for its id among other words.
func (e *erasure) inside() bool { return utf8.RuneCountInString(e.member) >= shortestMention }

// renamed is a JSON document, or none, in which no text is the member's id any more. What is no JSON stays.
func (e *erasure) renamed(document []byte) []byte {
	if len(document) == 0 {
		return document
	}
	after, _, err := e.document(nil).Name(document, e.inside())
	if err != nil {
		return document
	}
	return after
}

// renamedText is the same for a text of people's.
func (e *erasure) renamedText(text string) string {
	if text != e.member && !e.inside() {
		return text
	}
	return domain.ReplaceMentions(text, e.member, e.pseudonym)
}

// quoted is the member's id within JSON, as PostgreSQL and as Go write it.
func (e *erasure) quoted() (byPostgres, byGo string) {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(e.member) // a string is always encoded
	escaped, _ := json.Marshal(e.member)
	byPostgres = strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(strings.Trim(plain.String(), "\n"))
	return byPostgres[1 : len(byPostgres)-1], string(escaped[1 : len(escaped)-1])
}

// jobs erases the member in the filters and notes of jobs, and in answers that are kept for the same request.
func (e *erasure) jobs(ctx context.Context) error {
	byPostgres, byGo := e.quoted()
	return e.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		jobs, err := queries.SystemJobsNaming(ctx, tx, e.tenantID, byPostgres, e.member)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			if err := queries.SystemRenameJob(ctx, tx, dbgen.SystemRenameJobParams{
				TenantID: e.tenantID, ID: job.ID, Filter: e.renamed(job.Filter), Note: e.renamedText(job.Note),
			}); err != nil {
				return err
			}
		}
		answers, err := queries.SystemAnswersNaming(ctx, tx, e.tenantID, byPostgres, byGo)
		if err != nil {
			return err
		}
		for _, answer := range answers {
			if err := queries.SystemSetAnswer(ctx, tx, dbgen.SystemSetAnswerParams{
				TenantID: e.tenantID, Key: answer.Key, Route: answer.Route, Answer: string(e.renamed([]byte(*answer.Answer))),
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// audit looks through the tenant's audit log, a page at a time.
func (e *erasure) audit(ctx context.Context) error {
	quoted, _ := e.quoted()
	var after uuid.UUID
	for {
		upTo, err := queries.SystemAuditPage(ctx, e.store.SystemPool(), e.tenantID, after, logPage)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		err = e.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			entries, err := queries.SystemAuditNaming(ctx, tx, dbgen.SystemAuditNamingParams{
				TenantID: e.tenantID, After: after, UpTo: upTo, Text: e.member, Quoted: quoted,
			})
			if err != nil {
				return err
			}
			for _, entry := range entries {
				if entry.NounID == e.member {
					entry.NounID = e.pseudonym
				}
				if err := queries.SystemRenameAudit(ctx, tx, dbgen.SystemRenameAuditParams{
					TenantID: e.tenantID, ID: entry.ID, NounID: entry.NounID, Before: e.renamed(entry.Before), After: e.renamed(entry.After),
				}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		after = upTo
	}
}

// latePasses are how long after the one before each pass follows that looks for what arrived late. The streams
// keep what was handled for a day, and messages wait for their receivers for up to four; the last pass forgets
// the member's id.
var latePasses = []time.Duration{10 * time.Minute, 2 * time.Hour, 24 * time.Hour, 4 * 24 * time.Hour}

// PassLate does the passes that are due.
func (s *Erasures) PassLate(ctx context.Context) (activities.Items, error) {
	now := s.now()
	done := activities.Items{Kind: "erasure"}
	rows, err := queries.SystemDueErasures(ctx, s.Store.SystemPool(), now, activities.ItemsPage)
	if err != nil {
		return done, err
	}
	for i := range rows {
		if err := done.Add(ctx, s.pass(ctx, &rows[i], now)); err != nil {
			return done, err
		}
	}
	return done, nil
}

func (s *Erasures) pass(ctx context.Context, row *dbgen.MemberErasure, now time.Time) error {
	e, err := s.open(row)
	if err != nil {
		return err
	}
	if e != nil {
		if _, err := e.all(ctx); err != nil {
			return fmt.Errorf("late pass of erasure %s: %w", row.JobID, err)
		}
	}
	passed := dbgen.SystemErasurePassedParams{TenantID: row.TenantID, JobID: row.JobID, Passes: row.Passes}
	if next := int(row.Passes) + 1; next < len(latePasses) {
		at := now.Add(latePasses[next])
		passed.NextPassAt = &at
	}
	return queries.SystemErasurePassed(ctx, s.Store.SystemPool(), passed)
}
