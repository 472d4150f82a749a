package blackbox

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// Job is what a test reads of a job.
type Job struct {
	ID      string `json:"id"`
	State   string `json:"state"`
	Total   int    `json:"total"`
	Done    int    `json:"done"`
	Changed int    `json:"changed"`
	Failed  int    `json:"failed"`
	Totals  struct {
		Count                   int
		Revenue, Payout, Reward string
	} `json:"totals"`
	Failures []struct {
		Number             int
		Line, Field, Error string
	} `json:"failures"`
}

// ReviewMany makes a job of what a filter finds.
func (c *Client) ReviewMany(ctx context.Context, action string, filter map[string]any) (jobID string, err error) {
	var made struct{ JobID string }
	err = c.Call(ctx, http.MethodPost, "/api/v1/conversions/review", map[string]any{"action": action, "filter": filter, "reason": "reviewed"}, &made)
	return made.JobID, err
}

// Upload makes a job of a CSV file. key is the Idempotency-Key, or empty.
func (c *Client) Upload(ctx context.Context, file io.Reader, key string) (jobID string, err error) {
	const path = "/api/v1/conversions/upload"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+path, file)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "ApiToken "+c.Token)
	request.Header.Set("Content-Type", "text/csv")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusAccepted {
		return "", &StatusError{http.MethodPost, path, response.StatusCode, string(body)}
	}
	var made struct{ JobID string }
	return made.JobID, json.Unmarshal(body, &made)
}

// Job reads a job.
func (c *Client) Job(ctx context.Context, id string) (job Job, err error) {
	return job, c.Call(ctx, http.MethodGet, "/api/v1/jobs/"+id, nil, &job)
}

// TurnJob pauses or resumes a job.
func (c *Client) TurnJob(ctx context.Context, id, turn string) (job Job, err error) {
	return job, c.Call(ctx, http.MethodPost, "/api/v1/jobs/"+id+"/"+turn, nil, &job)
}

// JobDone asks for a job until it is done.
func (c *Client) JobDone(ctx context.Context, id string) (Job, error) {
	for {
		job, err := c.Job(ctx, id)
		if err != nil || job.State == "done" {
			return job, err
		}
		select {
		case <-ctx.Done():
			return job, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
