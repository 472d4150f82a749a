package command

import (
	"context"
	"errors"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func program() Program {
	return Program{Name: "offer", About: "A program.", Commands: []Command{
		{Name: "work", Summary: "work for a while", Help: "Until it is done.", Run: func(_ context.Context, out io.Writer) error {
			_, err := io.WriteString(out, "worked\n")
			return err
		}},
		{Name: "fail", Summary: "fail twice", Flags: func(f *flag.FlagSet) { f.Int("often", 2, "how `OFTEN`") }, Run: func(context.Context, io.Writer) error {
			return errors.Join(errors.New("one"), errors.New("two"))
		}},
	}}
}

func TestCommandLines(t *testing.T) {
	for line, want := range map[string]struct {
		code      int
		out, errs []string
	}{
		"work":           {0, []string{"worked\n"}, nil},
		"fail":           {1, nil, []string{"offer: one\noffer: two\n"}},
		"fail --often 3": {1, nil, []string{"offer: one\n"}},
		"":               {2, nil, []string{"usage: offer COMMAND", "  work     work for a while\n", "  version  "}},
		"help":           {0, []string{"A program.", "usage: offer COMMAND", "  fail     fail twice\n", "  help     "}, nil},
		"--help":         {0, []string{"usage: offer COMMAND"}, nil},
		"-h":             {0, []string{"usage: offer COMMAND"}, nil},
		"work --help":    {0, []string{"usage: offer work\n", "Work for a while.", "Until it is done."}, nil},
		"help work":      {0, []string{"usage: offer work\n"}, nil},
		"fail -h":        {0, []string{"usage: offer fail [flags]", "--often OFTEN\n      how OFTEN"}, nil},
		"version":        {0, []string{"offer ", ", commit ", ", database schema 000", ", go1."}, nil},
		"--version":      {0, []string{"offer ", ", commit "}, nil},
		"worg":           {2, nil, []string{`offer: unknown command "worg"; did you mean work? (offer help lists all commands)`}},
		"something":      {2, nil, []string{`offer: unknown command "something" (offer help lists all commands)`}},
		"help something": {2, nil, []string{"unknown command"}},
		"work hard":      {2, nil, []string{`offer work: unexpected argument "hard" (offer help work)`}},
		"work --hard":    {2, nil, []string{"offer work: flag provided but not defined: -hard (offer help work)"}},
		"fail --often x": {2, nil, []string{"offer fail: invalid value"}},
	} {
		t.Run(line, func(t *testing.T) {
			var out, errs strings.Builder
			require.Equal(t, want.code, program().Main(t.Context(), strings.Fields(line), &out, &errs))
			for _, one := range []struct {
				got  string
				says []string
			}{{out.String(), want.out}, {errs.String(), want.errs}} {
				require.Equal(t, len(one.says) == 0, one.got == "", one.got)
				for _, says := range one.says {
					require.Contains(t, one.got, says)
				}
			}
		})
	}
}

// A program may do something without a command.
func TestAloneIsACommandToo(t *testing.T) {
	p := program()
	p.Alone = func(_ context.Context, out io.Writer) error { return errors.New("alone") }
	var out, errs strings.Builder
	require.Equal(t, 1, p.Main(t.Context(), nil, &out, &errs))
	require.Equal(t, "offer: alone\n", errs.String())
	require.Zero(t, p.Main(t.Context(), []string{"help"}, &out, &errs))
	require.Contains(t, out.String(), "usage: offer [COMMAND]")
}
