#!/usr/bin/env bash
# usage: scripts/test.sh [full]
# The tests of both modules. Without full, the longest tests take their short forms (testing.Short), and the race detector
# watches the packages whose goroutines share memory only. .ci/run takes all of it.
set -euo pipefail
cd "$(dirname "$0")/.."
timeout=${TEST_TIMEOUT:-30m}
short=-short
[ "${1-}" != full ] || short=

# The race detector needs a C compiler. It watches the product's own module: the embedded servers with it would take an hour
# to compile, and are not ours.
race=
for compiler in gcc clang cc; do
	! command -v "$compiler" >/dev/null || race=-race
done
[ -n "$race" ] || echo "no C compiler here: the tests run without the race detector"

step() { printf '== %s (after %d s)\n' "$*" "$SECONDS"; }

step "the product"
if [ -z "$short" ]; then
	go test -vet=off $race -timeout "$timeout" ./...
else
	watched='/(inbound|outbound|stream|worker|cmd)(/|$)'
	# shellcheck disable=SC2046 # package paths have no spaces
	go test -vet=off -short $race -timeout "$timeout" $(go list ./... | grep -E "$watched")
	# shellcheck disable=SC2046
	go test -vet=off -short -timeout "$timeout" $(go list ./... | grep -vE "$watched")
fi
go test -vet=off -run '^$' -bench . -benchtime 1x ./domain

# Most packages of standalone/ wait more than they compute: two at a time. Those that measure how long something takes, or
# start and kill many processes, have the machine to themselves.
cd standalone
alone='/(abuse|bench|faults)$'
step "standalone: two packages at a time"
# shellcheck disable=SC2046
go test -vet=off $short -p 2 -timeout "$timeout" $(go list ./... | grep -vE "$alone")
step "standalone: one package at a time"
# shellcheck disable=SC2046
go test -vet=off $short -p 1 -timeout "$timeout" $(go list ./... | grep -E "$alone")
step "done"
