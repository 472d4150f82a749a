#!/usr/bin/env bash
# Makes .env for docker-compose.yml out of .env.example, every empty value filled at random. To an .env that is
# there it adds the secrets that a newer release needs, and leaves everything else as it is.
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
