package replay

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/temporalproto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// history reads a run's events; an empty runID is the newest run.
func (s *stage) history(t *testing.T, workflowID, runID string) *historypb.History {
	t.Helper()
	history := &historypb.History{}
	events := s.temporal.GetWorkflowHistory(t.Context(), workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			t.Fatal(err)
		}
		history.Events = append(history.Events, event)
	}
	return history
}

func (s *stage) last(t *testing.T, workflowID string) enumspb.EventType {
	t.Helper()
	events := s.history(t, workflowID, "").Events
	return events[len(events)-1].EventType
}

// closed waits for the end of the newest run and returns its history.
func (s *stage) closed(t *testing.T, workflowID string) *historypb.History {
	t.Helper()
	until(t, "the end of "+workflowID, func() bool {
		return s.last(t, workflowID) == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED
	})
	return s.history(t, workflowID, "")
}

// settled waits until a run that goes on has no workflow task under way.
func (s *stage) settled(t *testing.T, workflowID string) *historypb.History {
	t.Helper()
	var history *historypb.History
	until(t, "the workflow task of "+workflowID, func() bool {
		history = s.history(t, workflowID, "")
		scheduled, completed := 0, 0
		for _, event := range history.Events {
			switch event.EventType {
			case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
				scheduled++
			case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
				completed++
			}
		}
		return completed > 0 && scheduled == completed
	})
	return history
}

// keep checks a history and, when recording, writes it as workflows/testdata/<name>.json.
func (s *stage) keep(t *testing.T, name string, history *historypb.History) {
	t.Helper()
	kinds := kindsOf(history)
	t.Logf("%s: %d events: %s", name, len(history.Events), strings.Join(kinds, " "))
	for _, kind := range kinds {
		if kind == "WorkflowTaskFailed" || kind == "WorkflowTaskTimedOut" || kind == "WorkflowExecutionFailed" {
			t.Errorf("%s has %s", name, kind)
		}
	}
	for _, secret := range []string{
		securityToken, signingSecret, member, email, s.tenant.Token, s.Config.OperatorToken, s.Config.SecretKeys, s.Engine.DatabaseURL,
	} {
		if strings.Contains(plain(t, history), secret) {
			t.Errorf("%s contains %q", name, secret)
		}
	}
	if !*record {
		return
	}
	scrub(history.ProtoReflect())
	text, err := temporalproto.CustomJSONMarshalOptions{}.Marshal(history)
	if err != nil {
		t.Fatal(err)
	}
	var indented bytes.Buffer // the marshaller's own white space differs from build to build
	if err := json.Indent(&indented, text, "", " "); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "..", "workflows", "testdata", name+".json")
	if err := os.WriteFile(path, append(indented.Bytes(), '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func kindsOf(history *historypb.History) []string {
	kinds := make([]string, len(history.Events))
	for i, event := range history.Events {
		kinds[i] = event.EventType.String()
	}
	return kinds
}

func count(history *historypb.History, kind enumspb.EventType) int {
	n := 0
	for _, event := range history.Events {
		if event.EventType == kind {
			n++
		}
	}
	return n
}

// plain is everything that stands in a history, payloads decoded.
func plain(t *testing.T, history *historypb.History) string {
	t.Helper()
	data, err := proto.Marshal(history)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// scrub replaces what names the machine that recorded: workers' identities and their own queues.
func scrub(message protoreflect.Message) {
	if queue, ok := message.Interface().(*taskqueuepb.TaskQueue); ok && queue.Kind == enumspb.TASK_QUEUE_KIND_STICKY {
		queue.Name = "sticky"
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Kind() == protoreflect.StringKind && field.Name() == "identity":
			message.Set(field, protoreflect.ValueOfString("offerflow"))
		case field.IsList() && field.Message() != nil:
			for i := range value.List().Len() {
				scrub(value.List().Get(i).Message())
			}
		case field.IsMap() && field.MapValue().Message() != nil:
			value.Map().Range(func(_ protoreflect.MapKey, item protoreflect.Value) bool { scrub(item.Message()); return true })
		case field.Message() != nil && !field.IsMap():
			scrub(value.Message())
		}
		return true
	})
}
