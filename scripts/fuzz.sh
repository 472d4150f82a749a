#!/usr/bin/env bash
# fuzz.sh <time>: runs every fuzz test of the product's module for that long, one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
grep -rlE '^func Fuzz' --include='*_test.go' --exclude-dir=standalone . | xargs -r -n1 dirname | sort -u |
	while read -r dir; do
		grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go | sed 's/^func //' | sort -u |
			while read -r name; do
				echo "$dir $name"
				go test "./$dir" -run '^$' -fuzz "^$name\$" -fuzztime "$1" </dev/null
			done
	done
