package db

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

func TestUnavailable(t *testing.T) {
	t.Parallel()
	_, refused := pgx.Connect(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"nothing":            {nil, false},
		"nobody listens":     {refused, true},
		"starting":           {&pgconn.PgError{Code: "57P03"}, true},
		"stopping":           {&pgconn.PgError{Code: "57P01"}, true},
		"crashed":            {&pgconn.PgError{Code: "57P02"}, true},
		"too many":           {&pgconn.PgError{Code: "53300"}, true},
		"connection lost":    {fmt.Errorf("commit: %w", io.ErrUnexpectedEOF), true},
		"unique":             {&pgconn.PgError{Code: "23505"}, false},
		"no rows":            {pgx.ErrNoRows, false},
		"something of ours":  {errors.New("x"), false},
		"deadlock":           {&pgconn.PgError{Code: "40P01"}, true},
		"connection failure": {&pgconn.PgError{Code: "08006"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Unavailable(c.err); got != c.want {
				t.Errorf("%v: %t", c.err, got)
			}
		})
	}
}
