package api

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/activities/attribution"
	"github.com/offerflow/offerflow/activities/erasure"
	"github.com/offerflow/offerflow/db/dbgen"
	"github.com/offerflow/offerflow/domain"
)

type erasureOutput struct {
	Body struct {
		JobID uuid.UUID `json:"jobId" doc:"GET /api/v1/jobs/{id} shows how far it is. While it runs, asking again names the same job."`
	}
}

// pseudonymBytes are random: nothing leads from the pseudonym back to the member.
const pseudonymBytes = 16

// eraseMember makes a job that replaces a member's id by a random pseudonym (docs/members-data.md). A member that
// was never seen gets one too: a click of it may be on its way. What is made from this instant on is a new
// member's.
func (s *Server) eraseMember(ctx context.Context, in *memberInput) (*erasureOutput, error) {
	out := &erasureOutput{}
	err := s.tenant(ctx, func(ctx context.Context, tx pgx.Tx) error {
		queries, tenantID := dbgen.New(), principal(ctx).TenantID
		hash := erasure.MemberHash(s.Keys, tenantID, in.Member)
		if err := queries.LockErasures(ctx, tx, tenantID, hash); err != nil {
			return err
		}
		pseudonym := newPseudonym()
		switch last, err := queries.LastErasure(ctx, tx, tenantID, hash); {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return err
		case last.FinishedAt == nil && last.State != attribution.JobDone:
			out.Body.JobID = last.JobID
			return nil
		case last.FinishedAt == nil: // it failed half way: what is left gets the same pseudonym
			pseudonym = last.Pseudonym
		}
		out.Body.JobID = newID()
		return s.insertErasure(ctx, tx, in.Member, dbgen.InsertErasureParams{
			TenantID: tenantID, JobID: out.Body.JobID, Pseudonym: pseudonym, ErasedBefore: s.now(), MemberHash: hash, MemberSealed: s.Keys.Seal([]byte(in.Member)),
		})
	})
	s.nudge()
	return out, err
}

// insertErasure stores the job with its stages. Nothing of it names the member but what is sealed.
func (s *Server) insertErasure(ctx context.Context, tx pgx.Tx, member string, row dbgen.InsertErasureParams) error {
	queries := dbgen.New()
	clicks, err := queries.CountClicksOfMember(ctx, tx, dbgen.CountClicksOfMemberParams{
		TenantID: row.TenantID, PubMemberID: member, Before: row.ErasedBefore, AtMost: erasure.MaxClicks,
	})
	if err != nil {
		return err
	}
	lines := erasure.Stages(clicks)
	numbers := make([]int64, len(lines))
	for i := range numbers {
		numbers[i] = int64(i) + 1
	}
	if _, err := queries.InsertJob(ctx, tx, dbgen.InsertJobParams{
		TenantID: row.TenantID, ID: row.JobID, Action: string(attribution.JobErase), State: attribution.JobRunning,
		Actor: principal(ctx).Actor, Columns: []string{}, Total: int64(len(lines)), CreatedAt: row.ErasedBefore,
	}); err != nil {
		return err
	}
	if err := queries.InsertJobLines(ctx, tx, dbgen.InsertJobLinesParams{
		TenantID: row.TenantID, JobID: row.JobID, Numbers: numbers, Lines: lines,
	}); err != nil {
		return err
	}
	if err := queries.InsertErasure(ctx, tx, row); err != nil {
		return err
	}
	return s.announceMadeJob(ctx, tx, row.JobID)
}

func newPseudonym() string {
	var digits [pseudonymBytes]byte
	_, _ = rand.Read(digits[:]) // it never fails
	return domain.ErasedMember(hex.EncodeToString(digits[:]))
}
