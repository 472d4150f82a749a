package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// databaseFault says why PostgreSQL cannot be used, by the setting that names it, and what to do. It is one
// line, without the password.
func databaseFault(setting, address string, err error) error {
	config, unreadable := pgx.ParseConfig(address)
	if unreadable != nil { // the settings were checked
		return fmt.Errorf("%s: %s", setting, oneLine(err))
	}
	at := fmt.Sprintf("%s: PostgreSQL at %s", setting, net.JoinHostPort(config.Host, fmt.Sprint(config.Port)))
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refusedByDatabase(at, &config.Config, refused, err)
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s does not answer: start it, or set the right address (%s)", at, networkCause(err))
	}
	return fmt.Errorf("%s cannot be used: %s", at, oneLine(err))
}

func refusedByDatabase(at string, config *pgconn.Config, refused *pgconn.PgError, err error) error {
	isRole := strings.Contains(refused.Message, "set role")
	said := refused.Message + ", SQLSTATE " + refused.Code
	switch {
	case refused.Code == "28P01" || refused.Code == "28000":
		return fmt.Errorf("%s refuses the login %q: write the right user and password (%s)", at, config.User, said)
	case refused.Code == "3D000":
		return fmt.Errorf("%s has no database %q: use the right name, or create it like deploy/postgres-init.sh (%s)", at, config.Database, said)
	case strings.Contains(refused.Message, `role "offerflow_`) && (refused.Code == "22023" || refused.Code == "42704"):
		return fmt.Errorf("%s is not ready for Offerflow: run `offerflow migrate` first (%s)", at, said)
	case isRole && refused.Code == "42501":
		return fmt.Errorf("%s does not allow the login %[2]q to use Offerflow's roles: GRANT offerflow_app, offerflow_system TO %[2]q, like deploy/postgres-init.sh (%[3]s)", at, config.User, said)
	case refused.Code == "42501":
		return fmt.Errorf("%s does not allow the login %q to do this: use the owner of the database, which may create roles (docs/operations.md, PostgreSQL): %s", at, config.User, oneLine(err))
	case refused.Code == "53300":
		return fmt.Errorf("%s accepts no more connections: raise its max_connections, or lower OFFERFLOW_DATABASE_CONNS (%s)", at, said)
	case refused.Code == "57P03":
		return fmt.Errorf("%s is starting or stopping: start again when it is ready (%s)", at, said)
	default:
		return fmt.Errorf("%s: %s", at, oneLine(err))
	}
}

// networkCause is the innermost reason why a connection could not be made.
func networkCause(err error) string {
	var (
		name *net.DNSError
		dial *net.OpError
	)
	switch {
	case errors.As(err, &name):
		return name.Error()
	case errors.As(err, &dial):
		return dial.Err.Error()
	default:
		return oneLine(err)
	}
}
