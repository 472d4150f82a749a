// Package cluster manages a private PostgreSQL cluster: a data folder of our
// own and one postmaster that is our child.
//
// It is what a developer's machine, the tests and the standalone process use
// in place of a PostgreSQL that somebody installed and configured. Only the
// system's binaries are needed, never the system's service.
//
// A cluster's folder looks like this, all of it readable by one user only:
//
//	data/          PGDATA, renamed into place once initdb has finished
//	password       the superuser's password, minted once
//	run/           the unix socket, when the path is short enough for one
//	postgres.log   what the server says
//	location       only where root's folder is out of the server's user's
//	               reach: names the folder that holds all of the above
//	belongs-to     in that other folder: names this one
package cluster
