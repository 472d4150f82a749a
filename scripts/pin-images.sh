#!/usr/bin/env bash
# Pins the images of docker-compose.yml and the Dockerfile by digest: tag@sha256:…, as the registry says
# it now. Needs a registry within reach, and docker with buildx, or crane, or skopeo. Run it again after
# a tag was changed by hand; --check fails when an image has no digest, says which, and changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
files=(docker-compose.yml Dockerfile)

# Every image that is pulled, with or without a digest: not those that are built here, and no stage of the Dockerfile.
images() {
	{
		sed -nE "s/^ *image: *[\"']?([^ #\"']+).*/\\1/p" docker-compose.yml
		sed -nE -e 's/^FROM +(--[^ ]+ +)*([^ ]+).*/\2/Ip' -e 's/^COPY .*--from=([^ ]+).*/\1/Ip' -e 's/.*--mount=[^ ]*from=([^ ,]+).*/\1/p' \
			-e 's/^# *syntax=([^ ]+).*/\1/p' Dockerfile
	} | grep -vxE 'offerflow(-engine)?:local|[0-9]+' | grep -vxF "$(sed -nE 's/^FROM .* AS +([^ ]+).*/\1/Ip' Dockerfile)" | sort -u
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
	open=$(images | grep -vE '@sha256:[0-9a-f]{64}$' || true)
	[ -n "$open" ] || exit 0
	printf 'neither built here nor pinned by digest: %s\n' $open >&2
	exit 1
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
