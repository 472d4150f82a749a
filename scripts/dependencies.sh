#!/usr/bin/env bash
# Prints the modules that the binaries use directly, with their versions: the lower part of
# docs/dependencies.md. dependencies.sh --write puts them there.
set -euo pipefail
cd "$(dirname "$0")/.."
page=docs/dependencies.md
mark='<!-- written by scripts/dependencies.sh -->'
list() {
	echo "$mark"
	for module in . standalone; do
		printf '\n## %s\n\n| module | version |\n|---|---|\n' "$(cd "$module" && go list -m)"
		(cd "$module" && go list -m -f '{{if not (or .Main .Indirect .Replace)}}| `{{.Path}}` | {{.Version}} |{{end}}' all | grep . | LC_ALL=C sort)
		printf '\n%s modules in all, indirect ones included.\n' "$(cd "$module" && go list -m all | tail -n +2 | wc -l | tr -d ' ')"
	done
}
if [ "${1-}" = --write ]; then
	above=$(awk -v mark="$mark" '$0 == mark { exit } { print }' "$page")
	{
		printf '%s\n\n' "$above"
		list
	} >"$page.new"
	mv "$page.new" "$page"
else
	list
fi
