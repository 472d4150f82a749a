#!/usr/bin/env bash
# Pins the images of docker-compose.yml and the Dockerfile by digest: tag@sha256:…, as the registry says
# it now. Needs a registry within reach, and docker with buildx, or crane, or skopeo. Run it again after
# a tag was changed by hand; --check says which images have no digest, and changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
files=(docker-compose.yml Dockerfile)

# Every image by its tag, with or without a digest; those that are built here have none.
images() {
	sed -nE -e 's/^ *image: +([^ #]+).*/\1/p' -e 's/^FROM +([^ ]+).*/\1/p' "${files[@]}" | grep -v '^offerflow:' | sort -u
}

# The digest of the index for all platforms.
digest() {
	if docker buildx version >/dev/null 2>&1; then
		docker buildx imagetools inspect "$1" --format '{{.Manifest.Digest}}'
	elif command -v crane >/dev/null; then
		crane digest "$1"
	elif command -v skopeo >/dev/null; then
		skopeo inspect --raw "docker://$1" | sha256sum | sed 's/^/sha256:/;s/ .*//'
	else
		echo "docker with buildx, crane or skopeo is needed" >&2
		return 1
	fi
}

if [ "${1-}" = --check ]; then
	open=$(images | grep -v '@sha256:' || true)
	[ -z "$open" ] || printf 'not pinned by digest: %s\n' $open
	exit 0
fi
images | while IFS= read -r image; do
	tag=${image%@*}
	found=$(digest "$tag")
	[[ $found =~ ^sha256:[0-9a-f]{64}$ ]] || {
		echo "$tag: no digest found ($found)" >&2
		exit 1
	}
	sed -i -E "s#(image: +|FROM +)${image//./\\.}( |\$)#\\1$tag@$found\\2#" "${files[@]}"
	echo "$tag@$found"
done
