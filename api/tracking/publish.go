package tracking

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"

	"github.com/offerflow/offerflow/domain"
	"github.com/offerflow/offerflow/stream"
)

// What the test tool sends goes the way of what members and advertisers send, behind the edge's checks.

// PublishClick puts a click on disk, as the edge does for a member. offersTenant is the offer's, which is
// another than the click's where the offer is shared.
func (t *Edge) PublishClick(ctx context.Context, click *domain.Click, offersTenant *uuid.UUID) error {
	t.addDecider(click, offersTenant)
	return t.clicks.Publish(ctx, click)
}

// PublishPostback puts a postback on disk and waits for its decision, as an edge does for its sender.
func (t *Edge) PublishPostback(ctx context.Context, postback *domain.Postback) (domain.Answer, error) {
	message := stream.PostbackMessage{Postback: *postback}
	wait, _ := t.replies.expect(postback.ID, "")
	defer wait.done()
	message.ReplyTo = wait.replyTo
	data, err := json.Marshal(message)
	if err != nil {
		return domain.Answer{}, err
	}
	if err := t.messages.Publish(ctx, stream.SubjectPostbacks, postback.ID.String(), data); err != nil {
		return domain.Answer{}, err
	}
	return awaitAnswer(ctx, wait.decided, domain.Answer{PostbackID: postback.ID, Outcome: domain.OutcomeQueued}), nil
}
