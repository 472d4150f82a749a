#!/usr/bin/env bash
# Fetches the page at /docs: Scalar's browser bundle from npm, at a fixed version and checksum. The bundle
# is committed, so this does nothing unless the version here was changed.
set -euo pipefail
cd "$(dirname "$0")/.."
version=1.76.0
integrity=sha512-pjqwnzmA9YK3ZX+IZSICMsywm4qI6HLSngR2py9H6TvFApHHuJjkTAd+gFJfnqJDzJuro8k7ji6JCtJ2U+Byng==
target=api/docs/reference-$version.js.gz
[ ! -e "$target" ] || exit 0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
(cd "$tmp" && npm pack --silent "@scalar/api-reference@$version" >name)
archive=$tmp/$(cat "$tmp/name")
found=sha512-$(openssl dgst -sha512 -binary "$archive" | base64 -w0)
[ "$found" = "$integrity" ] || { echo "reference.sh: $found is not the checksum of version $version" >&2; exit 1; }
tar -xzf "$archive" -C "$tmp"
rm -f api/docs/reference-*.js.gz
sed '/^\/\/# sourceMappingURL=/d' "$tmp/package/dist/browser/standalone.js" | gzip -9n >"$target"
echo "fetched $target: look at /docs before you commit it, in light and dark, wide and narrow"
