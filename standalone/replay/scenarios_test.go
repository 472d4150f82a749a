package replay

import (
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// scenario plays one path and keeps its history.
type scenario struct {
	name string
	play func(t *testing.T, s *stage)
}

var onClick = []scenario{
	{"converted", converted},
	{"held, decided by its predecessor", heldDecided},
	{"held, out of sequence when its grace ends", heldOutOfSequence},
	{"rejected", rejected},
	{"pending", pending},
	{"authenticated", authenticated},
	{"closed by its end point, then decided directly", closedByEndPoint},
	{"continued as new", continuedAsNew},
	{"released by its timer", released},
	{"approved before its timer", approved},
	{"rejected by a person", rejectedByPerson},
	{"approved by hand", manual},
	{"refused, then approved", refusedThenApproved},
	{"reversed and revived without a run", reversedAndRevived},
	{"reviewed while Pending without a run", reviewedWithoutRun},
	{"approval that decides a held event", follower},
	{"reviewed by a job", reviewedByJob},
	{"a job paused and resumed", pausedAndResumed},
	{"a job continued as new", jobContinuedAsNew},
	{"an upload's line that is held", uploadHeld},
	{"sweep", sweep},
	{"rollup", rollup},
	{"earnings", earnings},
	{"retention", retention},
	{"scheduled change", scheduledChange},
	{"a sync with the publisher's book", exchangeSynced},
	{"a sync that is told of more while it waits", exchangeSignalled},
	{"news while syncs are closing", exchangeHurried},
	{"an edit of a shared offer", exchangeEdited},
	{"books reconciled, equal and repaired", reconciledEqual},
	{"books reconciled while a sync is on its way", reconciledMoving},
	{"more differs than one reconciliation names", reconciledFull},
}

var onFirstPostback = []scenario{
	{"started by its first postback", firstPostback},
	{"expired after an update", expired},
	{"parked and timed out", parkedAndTimedOut},
	{"every partnership reconciled", reconciledAll}, // here, where no scenario beside it counts its own
}

func TestScenarios(t *testing.T) {
	s := newStage(t)
	playAll := func(name string, scenarios []scenario) {
		t.Run(name, func(t *testing.T) {
			for _, one := range scenarios {
				t.Run(one.name, func(t *testing.T) {
					t.Parallel()
					one.play(t, s)
				})
			}
		})
	}
	playAll("on click", onClick)
	s.onFirstPostback(t)
	playAll("on first postback", onFirstPostback)
}

// Without a cache every workflow task replays the whole history: what is not deterministic fails.
func TestScenariosWithoutACache(t *testing.T) {
	if os.Getenv(withoutCache) != "" {
		t.Skip("this is that run") // the parent runs it
	}
	if testing.Short() {
		t.Skip("the long form of TestScenarios")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestScenarios$", "-test.v="+strconv.FormatBool(testing.Verbose()))
	cmd.Env = append(os.Environ(), withoutCache+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// as is a duration in the offer document's unit; fractions make real waits short.
func as(unit, d time.Duration) json.Number {
	return json.Number(strconv.FormatFloat(d.Seconds()/unit.Seconds(), 'f', 6, 64))
}

const day = 24 * time.Hour
