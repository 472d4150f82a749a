package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/offerflow/offerflow/standalone/blackbox"
	"github.com/offerflow/offerflow/standalone/internal/bulk"
)

// The events of the offer that uploads are about: what the clicks have already, and what a line adds.
const (
	eventHad   = "had"
	eventAdded = "added"
)

// badEvery is how often a line of the file is bad.
const badEvery = 100

// measureUpload is how fast a file of conversions is received and decided, one line in a hundred bad.
func measureUpload(ctx context.Context, w *world, r *report) error {
	advertiser, err := w.tenant.NewAdvertiser(ctx, nil)
	if err != nil {
		return err
	}
	_, link, err := w.tenant.NewOffer(ctx, blackbox.MultiEvent(advertiser.ID, w.age,
		[]map[string]any{blackbox.Event(eventHad, nil, nil), blackbox.Event(eventAdded, nil, nil)}, nil))
	if err != nil {
		return err
	}
	clicks, err := w.copiedClicks(ctx, link, w.reviewed)
	if err != nil {
		return err
	}
	before, err := w.holds(ctx)
	if err != nil {
		return err
	}
	begin := time.Now()
	id, err := w.tenant.Upload(ctx, &linesOf{clicks: clicks}, "")
	if err != nil {
		return err
	}
	received := time.Since(begin)
	job, err := w.tenant.JobDone(ctx, id)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	after, err := w.holds(ctx)
	if err != nil {
		return err
	}
	bad := len(clicks) / badEvery
	if job.Changed != len(clicks)-bad || job.Failed != bad {
		return fmt.Errorf("%+v of %d lines, %d of them bad", job, len(clicks), bad)
	}
	r.section(fmt.Sprintf("A file of %d conversions, %d of its lines bad", len(clicks), bad),
		"From the first byte to the answer, and to the last decision; memory is the growth of the resident set, after garbage collection.",
		"received", "decided", "memory")
	r.row(number(float64(len(clicks))/received.Seconds())+"/s", number(float64(len(clicks))/took.Seconds())+"/s",
		fmt.Sprintf("%.1f MiB", float64(after.memory-before.memory)/(1<<20)))
	return nil
}

// copiedClicks are n clicks, made in the database from one that has a conversion.
func (w *world) copiedClicks(ctx context.Context, link string, n int) ([]string, error) {
	click, _, err := w.tenant.Click(ctx, link, nil)
	if err != nil {
		return nil, err
	}
	answer, err := w.tenant.Convert(ctx, click, eventHad)
	if err == nil && answer.Outcome == "queued" {
		answer, err = w.tenant.Decided(ctx, answer.PostbackID)
	}
	if err != nil || answer.ConversionID == "" {
		return nil, fmt.Errorf("no conversion to copy: %+v, %w", answer, err)
	}
	db, err := pgx.Connect(ctx, w.standalone.Engine.DatabaseURL)
	if err != nil {
		return nil, err
	}
	defer db.Close(ctx)
	if err := bulk.Copy(ctx, db, answer.ConversionID, n-1); err != nil {
		return nil, err
	}
	rows, err := db.Query(ctx, `SELECT c.click_id::text FROM conversions c JOIN conversions o ON o.offer_id = c.offer_id WHERE o.id = $1`, answer.ConversionID)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// linesOf is the file, line by line.
type linesOf struct {
	clicks []string
	at     int
	rest   bytes.Buffer
}

func (l *linesOf) Read(p []byte) (int, error) {
	if l.rest.Len() == 0 {
		if l.at == len(l.clicks) {
			return 0, io.EOF
		}
		if l.at == 0 {
			l.rest.WriteString("ClickId,EventID,UserCompletedAt,Revenue,Reward\n")
		}
		reward := "10"
		if (l.at+1)%badEvery == 0 {
			reward = "much"
		}
		fmt.Fprintf(&l.rest, "%s,%s,,1.25,%s\n", l.clicks[l.at], eventAdded, reward)
		l.at++
	}
	return l.rest.Read(p)
}
