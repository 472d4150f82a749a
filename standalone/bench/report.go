package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// report is what was measured, printed as it comes and kept for the Markdown.
type report struct {
	out      io.Writer
	sections []*section
}

type section struct {
	title, note string
	columns     []string
	rows        [][]string
}

func newReport(out io.Writer) *report {
	fmt.Fprintln(out, machine())
	return &report{out: out}
}

func (r *report) section(title, note string, columns ...string) {
	r.sections = append(r.sections, &section{title: title, note: note, columns: columns})
	fmt.Fprintf(r.out, "\n%s\n%s\n  %s\n", title, note, strings.Join(columns, " | "))
}

func (r *report) row(cells ...string) {
	last := r.sections[len(r.sections)-1]
	last.rows = append(last.rows, cells)
	fmt.Fprintf(r.out, "  %s\n", strings.Join(cells, " | "))
}

func (r *report) markdown(command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Measured %s with `%s` on: %s.\n", time.Now().UTC().Format(time.DateOnly), command, machine())
	for _, s := range r.sections {
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n| %s |\n|%s\n", s.title, s.note, strings.Join(s.columns, " | "), strings.Repeat("---|", len(s.columns)))
		for _, row := range s.rows {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	return b.String()
}

// machine describes what this runs on.
func machine() string {
	kernel, memory := "", ""
	var name syscall.Utsname
	if syscall.Uname(&name) == nil {
		kernel = ", Linux " + text(name.Release[:])
	}
	for line := range strings.Lines(readFile("/proc/meminfo")) {
		var kib int
		if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 {
			memory = fmt.Sprintf(", %d GiB memory", (kib+1<<19)>>20)
		}
	}
	model := ""
	for line := range strings.Lines(readFile("/proc/cpuinfo")) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			model = " (" + strings.TrimSpace(value) + ")"
			break
		}
	}
	return fmt.Sprintf("%d cores%s%s%s, %s %s/%s", runtime.NumCPU(), model, memory, kernel, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func text(of []int8) string {
	b := make([]byte, 0, len(of))
	for _, c := range of {
		if c == 0 {
			break
		}
		b = append(b, byte(c)) //nolint:gosec // C's characters, whose sign says nothing
	}
	return string(b)
}

// readFile is empty where there is no such file.
func readFile(path string) string {
	data, _ := os.ReadFile(path)
	return string(data)
}

func number(f float64) string {
	if f < 10 {
		return fmt.Sprintf("%.2f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// versus is a ratio beside its target: won says whether it holds.
func versus(ratio float64, sign string, target float64) (cell, verdict string) {
	won := ratio >= target
	if sign == "≤" {
		won = ratio <= target
	}
	verdict = "yes"
	if !won {
		verdict = "**no**"
	}
	return fmt.Sprintf("%.2f", ratio), fmt.Sprintf("%s %g: %s", sign, target, verdict)
}

// spread shows the lowest and the highest of several.
func spread(of []float64) string {
	if len(of) == 0 {
		return ""
	}
	low, high := of[0], of[0]
	for _, f := range of {
		low, high = min(low, f), max(high, f)
	}
	return fmt.Sprintf("%.2f–%.2f", low, high)
}
