#!/usr/bin/env bash
# Checks docker-compose.yml with whatever compose tool there is.
set -euo pipefail
cd "$(dirname "$0")/.."
if docker compose version >/dev/null 2>&1; then
	compose=(docker compose)
elif command -v docker-compose >/dev/null; then
	compose=(docker-compose)
elif command -v podman-compose >/dev/null; then
	compose=(podman-compose)
else
	echo "no compose tool here: docker-compose.yml is not checked"
	exit 0
fi
env=$(mktemp)
trap 'rm -f "$env"' EXIT
sed '/^[A-Z_]*=$/s/$/checked/' .env.example >"$env"
"${compose[@]}" --env-file "$env" config >/dev/null
echo "docker-compose.yml is sound (${compose[*]})"
