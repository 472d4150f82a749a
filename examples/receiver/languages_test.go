package receiver_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/offerflow/offerflow/domain"
)

// languages are the examples in other languages: the program that runs each, and its file.
var languages = []struct{ program, file string }{
	{"node", "receiver-node/receiver.mjs"},
	{"python3", "receiver-python/receiver.py"},
}

// Each example credits a Success once, however often it comes, takes a reversal back, drops news that is
// older than what it knows, and answers 401 to what is not signed by us, or was long ago.
func TestTheExamplesInOtherLanguages(t *testing.T) {
	t.Parallel()
	secret := domain.NewSigningSecret(domain.SignatureV1, [domain.SigningSeedBytes]byte{1})
	other := domain.NewSigningSecret(domain.SignatureV1, [domain.SigningSeedBytes]byte{2})
	for _, language := range languages {
		t.Run(language.program, func(t *testing.T) {
			t.Parallel()
			r := startExample(t, language.program, language.file, secret)
			for i, step := range []struct {
				id        string
				sequence  int
				status    string
				reason    string
				conv      string
				secrets   []string
				at        time.Time
				want      int
				then      string
				isTest    bool
				noMember  bool
				explained string
			}{
				{id: "m1", sequence: 1, status: "Pending", conv: "a", then: "Pending a member-42"},
				{id: "m3", sequence: 3, status: "Success", conv: "a", then: "credit a member-42 70.00"},
				{id: "m3", sequence: 3, status: "Success", conv: "a", explained: "a repeat"},
				{id: "m2", sequence: 2, status: "Pending", conv: "a", explained: "older than what is known"},
				{id: "m4", sequence: 4, status: "Rejected", reason: "reversed", conv: "a", then: "take back a member-42 70.00"},
				{id: "m5", sequence: 1, status: "Rejected", reason: "capped", conv: "b", then: "Rejected b member-42"},
				{id: "m6", sequence: 1, status: "Success", conv: "c", isTest: true, then: "test c"},
				{id: "m8", sequence: 1, status: "Success", conv: "e", noMember: true, then: "no member e"},
				{id: "m7", sequence: 1, status: "Success", conv: "d", secrets: []string{other}, want: 401, explained: "forged"},
				{id: "m7", sequence: 1, status: "Success", conv: "d", at: time.Now().Add(-time.Hour), want: 401, explained: "an old one played again"},
				{id: "m7", sequence: 1, status: "Success", conv: "d", secrets: []string{other, secret}, then: "credit d member-42 70.00", explained: "a secret that is rotated"},
			} {
				member := `"member-42"`
				if step.noMember {
					member = "null"
				}
				reason := "null"
				if step.reason != "" {
					reason = strconv.Quote(step.reason)
				}
				body := fmt.Sprintf(`{"id":%q,"sequence":%d,"conversion":{"conversionId":%q,"status":%q,"rejectionReason":%s,"pubMemberId":%s,"rewardPoints":"70.00","isTest":%t,"offerName":"Café – 100 %%"}}`,
					step.id, step.sequence, step.conv, step.status, reason, member, step.isTest)
				if step.secrets == nil {
					step.secrets = []string{secret}
				}
				if step.at.IsZero() {
					step.at = time.Now()
				}
				if step.want == 0 {
					step.want = http.StatusNoContent
				}
				if got := r.post(t, step.id, step.at, step.secrets, body); got != step.want {
					t.Errorf("step %d %s: answered %d, want %d", i, step.explained, got, step.want)
				}
				if step.then != "" {
					r.expected = append(r.expected, step.then)
				}
			}
			if lines := r.stop(t); !slices.Equal(lines, r.expected) {
				t.Errorf("it did\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(r.expected, "\n"))
			}
		})
	}
}

// example is a running one.
type example struct {
	url      string
	cmd      *exec.Cmd
	lines    *bufio.Scanner
	expected []string
}

func startExample(t *testing.T, program, file, secret string) *example {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", program)
		}
		t.Skipf("%s is not installed", program)
	}
	cmd := exec.CommandContext(t.Context(), path, filepath.Join("..", filepath.FromSlash(file)))
	cmd.Env = append(os.Environ(), "SECRET="+secret, "PORT=0")
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", file, errors.String())
		}
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("it ended before it listened")
	}
	port, isListening := strings.CutPrefix(lines.Text(), "listening ")
	if !isListening {
		t.Fatalf("it said %q", lines.Text())
	}
	return &example{url: "http://127.0.0.1:" + port + "/", cmd: cmd, lines: lines}
}

func (e *example) post(t *testing.T, id string, at time.Time, secrets []string, body string) int {
	t.Helper()
	signature, err := domain.SignCallback(secrets, id, at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	request.Header.Set("webhook-signature", signature)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// stop ends it and returns what it said after it listened. Each line was written before its answer.
func (e *example) stop(t *testing.T) (lines []string) {
	t.Helper()
	if err := e.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for e.lines.Scan() {
		lines = append(lines, e.lines.Text())
	}
	return lines
}
