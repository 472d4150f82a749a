#!/usr/bin/env bash
# Checks what building and running need, and installs PostgreSQL's programs where apt-get can.
# Says nothing when all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

need_go=$(sed -n 's/^go //p' go.mod)
if ! command -v go >/dev/null; then
	echo "Go $need_go or newer is not installed: get it from https://go.dev/dl/ and put its bin folder into PATH." >&2
	exit 1
fi
# Inside the module a Go that is too old either fetches the right one or says so.
if ! have_go=$(go env GOVERSION 2>&1); then
	echo "Go $need_go or newer is needed: get it from https://go.dev/dl/ ($have_go)" >&2
	exit 1
fi
have_go=${have_go#go}
if [ "$(printf '%s\n%s\n' "$need_go" "${have_go%% *}" | sort -V | head -n 1)" != "$need_go" ]; then
	echo "Go $need_go or newer is needed, here is $have_go: get it from https://go.dev/dl/." >&2
	exit 1
fi

minimum=15
major() { "$1/postgres" --version 2>/dev/null | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p'; }
has_postgres() {
	local dir version
	for dir in "${OFFERFLOW_POSTGRES_BIN:-}" /usr/lib/postgresql/*/bin \
		"$(dirname "$(readlink -f "$(command -v postgres || echo /)")")"; do
		[ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] || continue
		version=$(major "$dir")
		[ -n "$version" ] && [ "$version" -ge "$minimum" ] && return 0
	done
	return 1
}
has_postgres && exit 0

type_this="apt-get install postgresql"
command -v apt-get >/dev/null || type_this="brew install postgresql@17"
as_root=()
if ! command -v apt-get >/dev/null; then
	as_root=(false)
elif [ "$(id -u)" != 0 ]; then
	type_this="sudo $type_this"
	if ! command -v sudo >/dev/null; then
		as_root=(false)
	elif sudo -n true 2>/dev/null; then
		as_root=(sudo -n)
	elif [ -t 0 ] && [ -z "${CI:-}" ]; then
		as_root=(sudo)
	else
		as_root=(false)
	fi
fi
if [ "${as_root[*]-}" != false ]; then
	echo "installing PostgreSQL's programs (apt-get install postgresql)"
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	if "${as_root[@]}" apt-get update >"$log" 2>&1 &&
		"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends postgresql >>"$log" 2>&1 </dev/null &&
		has_postgres; then
		exit 0
	fi
	tail -n 15 "$log" >&2
fi
echo "PostgreSQL $minimum or newer is not installed and could not be installed from here: type \`$type_this\`, or set OFFERFLOW_POSTGRES_BIN to the folder with initdb and postgres." >&2
exit 1
