#!/usr/bin/env bash
# Creates .env for docker-compose.yml from .env.example, with random values for the empty ones. If .env exists,
# the secrets that it lacks are added and everything else is kept.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 077
secret() { # a line of .env.example, filled
	case $1 in
	NATS_TOKEN=) printf '%st%s\n' "$1" "$(openssl rand -hex 32)" ;;
	[A-Z]*=) printf '%s%s\n' "$1" "$(openssl rand -hex 32)" ;;
	*) printf '%s\n' "$1" ;;
	esac
}
if [ ! -e .env ]; then
	while IFS= read -r line; do secret "$line"; done <.env.example >.env.new
	mv .env.new .env
	exit 0
fi
added=0
while IFS= read -r line; do
	case $line in [A-Z]*=) ;; *) continue ;; esac
	if grep -q "^$line" .env; then continue; fi
	[ -z "$(tail -c 1 .env)" ] || echo >>.env # its last line has no end
	secret "$line" >>.env
	echo "added to .env: ${line%=}"
	added=1
done <.env.example
((added)) || echo "nothing is missing in .env: remove it to have new secrets made"
