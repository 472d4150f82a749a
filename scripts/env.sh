#!/usr/bin/env bash
# Makes .env for docker-compose.yml out of .env.example, every empty value filled at random.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -e .env ]; then
	echo ".env is there already: remove it to have new secrets made" >&2
	exit 1
fi
umask 077
while IFS= read -r line; do
	case $line in
	NATS_TOKEN=) line+=t$(openssl rand -hex 32) ;;
	[A-Z]*=) line+=$(openssl rand -hex 32) ;;
	esac
	printf '%s\n' "$line"
done <.env.example >.env
