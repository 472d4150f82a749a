// Command bench measures what docs/benchmarks.md promises: each figure against its baseline in the
// same run on the same machine, one after the other and in turns, so that what else the machine
// does falls on both. It boots everything in this process, on a temporary folder and free ports.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
	_ "time/tzdata" // tenants' time zones, also where the system has none
)

// scale is how much of everything is measured.
type scale struct {
	pairs int
	// window is how long one contender is measured at a time; steady the same at a fixed rate.
	window, steady time.Duration
	conns          int
	// backlog and parked are numbers of clicks; drained, postbacks and chains are counts per pair.
	backlog, parked            int
	drained, postbacks, chains int
	// reviewed is how many conversions one job decides.
	reviewed int
	// calm is how many postbacks are sent one after the other at low load.
	calm int
	// copied is how long conversions are accepted at a fixed rate while their copies are timed, edits how
	// many there are a side, partnerships how many an advertiser has that has many.
	copied              time.Duration
	edits, partnerships int
	// profiles is a folder for CPU profiles, or "".
	profiles string
	// lean replaces Go's own HTTP client where redirects are counted.
	lean bool
}

// profiled runs one turn, the first one under the CPU profiler where that was asked for.
func (s *scale) profiled(name string, turn int, run func() error) error {
	if s.profiles == "" || turn > 0 {
		return run()
	}
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, name)
	f, err := os.Create(filepath.Join(s.profiles, name+".pprof"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	return run()
}

func fullScale() scale {
	return scale{
		pairs: 5, window: 4 * time.Second, steady: 8 * time.Second, conns: 64,
		backlog: 50_000, parked: 100_000, drained: 3_000, postbacks: 1_000, chains: 1_000, reviewed: 100_000, calm: 100,
		copied: time.Minute, edits: 200, partnerships: 1_000,
	}
}

func quickScale() scale {
	s := fullScale()
	s.pairs, s.window, s.steady = 3, 2*time.Second, 3*time.Second
	s.backlog, s.parked, s.drained, s.postbacks, s.chains, s.reviewed, s.calm = 5_000, 5_000, 1_000, 300, 300, 5_000, 40
	s.copied, s.edits = 20*time.Second, 50
	return s
}

// figure is one thing that is measured.
type figure struct {
	name    string
	measure func(ctx context.Context, w *world, r *report) error
}

var figures = []figure{
	{"redirects", measureRedirects},
	{"latency", measureLatency},
	{"drain", measureDrain},
	{"backlog", measureBacklog},
	{"postbacks", measurePostbacks},
	{"forms", measureForms},
	{"chains", measureChains},
	{"review", measureReview},
	{"upload", measureUpload},
	{"exchange", measureExchange},
	{"parked", measureParked},
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	quick := flags.Bool("quick", false, "smaller numbers: minutes instead of half an hour")
	pairs := flags.Int("pairs", 0, "how often each figure and its baseline are measured in turn (5)")
	only := flags.String("only", "", "figures to measure, separated by commas: "+names())
	backlog := flags.Int("backlog", 0, "clicks waiting while redirects are measured (50000)")
	parked := flags.Int("parked", 0, "parked clicks whose memory and disk are measured (100000)")
	file := flags.String("out", "", "write the result as Markdown to this file too")
	leanly := flags.Bool("lean", false, "count redirects with a client that does less than Go's own")
	profiles := flags.String("profiles", "", "write a CPU profile of each contender's first turn into this folder")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := fullScale()
	if *quick {
		s = quickScale()
	}
	for _, override := range []struct{ given, to *int }{{pairs, &s.pairs}, {backlog, &s.backlog}, {parked, &s.parked}} {
		if *override.given > 0 {
			*override.to = *override.given
		}
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	s.profiles, s.lean = *profiles, *leanly
	r, err := measure(ctx, s, chosen, out)
	if err != nil {
		return err
	}
	if *file == "" {
		return nil
	}
	command := strings.TrimSpace("go run ./bench " + strings.Join(args, " "))
	return writeBelowMark(*file, r.markdown(command))
}

// mark is what stands above the measured part of a file; what people wrote above it stays.
const mark = "<!-- measured: what is below is written by the benchmark -->\n"

func writeBelowMark(file, measured string) error {
	written, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above, _, _ := strings.Cut(string(written), mark)
	return os.WriteFile(file, []byte(above+mark+"\n"+measured), 0o644)
}

// measure boots a world, takes the figures one after the other, and ends the world.
func measure(ctx context.Context, s scale, chosen []figure, out io.Writer) (*report, error) {
	r := newReport(out)
	w, err := newWorld(ctx, s)
	if err != nil {
		return nil, err
	}
	defer w.close()
	for _, f := range chosen {
		if err := w.quiet(ctx); err != nil {
			return nil, err
		}
		if err := f.measure(ctx, w, r); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return r, nil
}

func names() string {
	list := make([]string, len(figures))
	for i, f := range figures {
		list[i] = f.name
	}
	return strings.Join(list, ",")
}

func choose(only string) ([]figure, error) {
	if only == "" {
		return figures, nil
	}
	var chosen []figure
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(figures, func(f figure) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no figure %q: there are %s", name, names())
		}
		chosen = append(chosen, figures[i])
	}
	return chosen, nil
}
