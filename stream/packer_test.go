package stream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/offerflow/offerflow/stream"
)

func TestPackerSharesAWrite(t *testing.T) {
	var mu sync.Mutex
	var packs [][]string
	began, goOn := make(chan struct{}, 100), make(chan struct{})
	p := stream.NewPacker(func(packed []byte) error {
		var pack []string
		if err := json.Unmarshal(packed, &pack); err != nil {
			t.Errorf("%q: %v", packed, err)
		}
		mu.Lock()
		packs = append(packs, pack)
		mu.Unlock()
		began <- struct{}{}
		<-goOn
		if strings.Contains(string(packed), "bad") {
			return errors.New("refused")
		}
		return nil
	})
	var all sync.WaitGroup
	put := func(text string, wantErr bool) {
		all.Go(func() {
			if err := p.Put(context.Background(), []byte(text)); (err != nil) != wantErr {
				t.Errorf("%s: %v", text, err)
			}
		})
	}
	put(`"first"`, false)
	<-began
	for i := range 50 { // these come while the first is being written
		put(fmt.Sprintf(`"a%d","b%d"`, i, i), true)
	}
	put(`"bad"`, true)
	for p.Waiting() < 51 {
		time.Sleep(time.Millisecond)
	}
	close(goOn)
	all.Wait()
	p.Close()
	if len(packs) != 2 || len(packs[1]) != 101 {
		t.Fatalf("%d packs; want the first alone and 101 records in one second", len(packs))
	}
}

func TestPackerKeepsBelowTheLargestMessage(t *testing.T) {
	goOn, began := make(chan struct{}), make(chan struct{}, 100)
	written := 0
	p := stream.NewPacker(func(packed []byte) error {
		began <- struct{}{}
		<-goOn
		if len(packed) > 1<<20 {
			t.Errorf("a pack of %d bytes", len(packed))
		}
		var pack []string
		if err := json.Unmarshal(packed, &pack); err != nil {
			t.Error(err)
		}
		written += len(pack)
		return nil
	})
	record, _ := json.Marshal(strings.Repeat("x", 100_000))
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			if err := p.Put(context.Background(), record); err != nil {
				t.Error(err)
			}
		})
	}
	<-began
	close(goOn)
	all.Wait()
	p.Close()
	if written != 40 {
		t.Errorf("%d of 40 records were written", written)
	}
}

func TestRecords(t *testing.T) {
	for packed, want := range map[string]string{`[{"a":1},{"b":2}]`: `{"a":1},{"b":2}`, " [1] ": "1", "[]": "", "[ ]": ""} {
		if got, ok := stream.Records([]byte(packed)); !ok || string(got) != want {
			t.Errorf("%q: %q, %v", packed, got, ok)
		}
	}
	for _, packed := range []string{"", "[", "]", `{"a":1}`, "[1", `[1]x`, "null"} {
		if _, ok := stream.Records([]byte(packed)); ok {
			t.Errorf("%q passed for an array", packed)
		}
	}
}
