// Package command is how both programs read their command line, and what they answer to help, --help,
// version and mistakes.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/offerflow/offerflow/cmd/offerflow/process"
	"github.com/offerflow/offerflow/domain"
)

// Command is one word after the program's name.
type Command struct {
	Name string
	// Summary is for the list of all commands, Help what `help <name>` says besides.
	Summary, Help string
	// Flags adds the command's own flags; nil where it has none.
	Flags func(*flag.FlagSet)
	Run   func(ctx context.Context, out io.Writer) error
}

// Program is a program and its commands.
type Program struct {
	Name, About string
	Commands    []Command
	// Alone is what happens without a command; nil where one must be given.
	Alone func(ctx context.Context, out io.Writer) error
}

// The codes that a program ends with.
const (
	codeDone   = 0
	codeFailed = 1
	codeUsage  = 2
)

// Main runs what the arguments say, and returns the code to end with. Failures are told as lines that
// begin with the program's name.
func (p Program) Main(ctx context.Context, args []string, out, errs io.Writer) int {
	if len(args) == 0 && p.Alone != nil {
		return p.end(p.Alone(ctx, out), errs)
	}
	if len(args) == 0 {
		p.usage(errs)
		return codeUsage
	}
	name, args := args[0], args[1:]
	switch name {
	case "help", "--help", "-help", "-h":
		return p.help(args, out, errs)
	case "version", "--version", "-version":
		name = "version"
	}
	for _, one := range p.commands() {
		if one.Name == name {
			return p.run(ctx, one, args, out, errs)
		}
	}
	return p.unknown(name, errs)
}

// commands are the program's own and those that every program has.
func (p Program) commands() []Command {
	return append(p.Commands[:len(p.Commands):len(p.Commands)],
		Command{Name: "version", Summary: "print the version, the commit and Go's version", Run: func(_ context.Context, out io.Writer) error {
			_, err := fmt.Fprintln(out, process.Version(p.Name))
			return err
		}},
		Command{Name: "help", Summary: "print this list, or explain a command: " + p.Name + " help COMMAND"},
	)
}

func (p Program) help(args []string, out, errs io.Writer) int {
	name := strings.Join(args, " ")
	if name == "" {
		p.usage(out)
		return codeDone
	}
	for _, one := range p.commands() {
		if one.Name == name {
			p.explain(one, out)
			return codeDone
		}
	}
	return p.unknown(name, errs)
}

func (p Program) unknown(name string, errs io.Writer) int {
	var names []string
	for _, one := range p.commands() {
		names = append(names, one.Name)
	}
	hint := ""
	if near := domain.Nearest(name, names); len(near) > 0 {
		hint = "; did you mean " + near[0] + "?"
	}
	fmt.Fprintf(errs, "%s: unknown command %q%s (%s help lists all commands)\n", p.Name, name, hint, p.Name)
	return codeUsage
}

func (p Program) run(ctx context.Context, one Command, args []string, out, errs io.Writer) int {
	flags := one.flagSet()
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp) || one.Run == nil:
		p.explain(one, out)
		return codeDone
	case err == nil && flags.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(errs, "%s %s: %v (%s help %s)\n", p.Name, one.Name, err, p.Name, one.Name)
		return codeUsage
	}
	return p.end(one.Run(ctx, out), errs)
}

func (p Program) end(err error, errs io.Writer) int {
	if err == nil {
		return codeDone
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(errs, p.Name+":", strings.TrimRight(line, "\n"))
	}
	return codeFailed
}

func (one Command) flagSet() *flag.FlagSet {
	flags := flag.NewFlagSet(one.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	if one.Flags != nil {
		one.Flags(flags)
	}
	return flags
}

func (p Program) usage(out io.Writer) {
	command := "COMMAND"
	if p.Alone != nil {
		command = "[COMMAND]"
	}
	fmt.Fprintf(out, "%s\n\nusage: %s %s\n\n", p.About, p.Name, command)
	commands := p.commands()
	widest := 0
	for _, one := range commands {
		widest = max(widest, len(one.Name))
	}
	for _, one := range commands {
		fmt.Fprintf(out, "  %-*s  %s\n", widest, one.Name, one.Summary)
	}
}

func (p Program) explain(one Command, out io.Writer) {
	var flags strings.Builder
	one.flagSet().VisitAll(func(f *flag.Flag) {
		value, help := flag.UnquoteUsage(f)
		fmt.Fprintf(&flags, "  %s\n      %s\n", strings.TrimSpace("--"+f.Name+" "+value), help)
	})
	usage := "usage: " + p.Name + " " + one.Name
	if flags.Len() > 0 {
		usage += " [flags]"
	}
	fmt.Fprintf(out, "%s\n\n%s.\n", usage, strings.ToUpper(one.Summary[:1])+one.Summary[1:])
	if one.Help != "" {
		fmt.Fprintf(out, "\n%s\n", one.Help)
	}
	if flags.Len() > 0 {
		fmt.Fprintf(out, "\n%s", flags.String())
	}
}
