#!/usr/bin/env bash
# Fails when something that is made from something else is stale, and says what to type.
set -uo pipefail
cd "$(dirname "$0")/.."
: "${SQLC:?the path of sqlc}"
stale=0
complain() {
	echo "STALE: $1" >&2
	stale=1
}

echo "sqlc: db/dbgen against db/queries and db/migrations"
"$SQLC" diff || complain "db/dbgen: make generate"
for made in db/dbgen/*.sql.go; do
	query=db/queries/$(basename "$made" .go)
	[ -e "$query" ] || complain "$made has no $query any more: remove it"
done

echo "OpenAPI: docs/openapi.json against the route table"
scripts/build.sh offerflow . ./cmd/offerflow || exit 1
bin/offerflow openapi | diff -u --label docs/openapi.json --label "made from the code" docs/openapi.json - | head -n 60
[ "${PIPESTATUS[0]}${PIPESTATUS[1]}" = 00 ] || complain "docs/openapi.json: make generate"

echo "settings: docs/settings.md against the program"
bin/offerflow config --table | diff -u --label docs/settings.md --label "made from the code" docs/settings.md - | head -n 60
[ "${PIPESTATUS[0]}${PIPESTATUS[1]}" = 00 ] || complain "docs/settings.md: make generate"

echo "images: what is pulled has a digest"
scripts/pin-images.sh --check || complain "docker-compose.yml, Dockerfile: scripts/pin-images.sh"

for module in . standalone; do
	echo "go.mod of $module"
	(cd "$module" && go mod tidy -diff) || complain "$module/go.mod: go mod tidy in $module"
done
[ "$stale" = 0 ] && echo "nothing is stale"
exit "$stale"
