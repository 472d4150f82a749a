#!/usr/bin/env bash
# build.sh <name> <module folder> <package>: compiles bin/<name> and shows how far it is.
set -euo pipefail
name=$1 module=$2 package=$3
cd "$(dirname "$0")/.."
out=$PWD/bin/$name
mkdir -p bin
[ "$name" != standalone ] || [ -e "$out" ] ||
	echo "building bin/standalone: the first time compiles Temporal and NATS, about five minutes on two cores"
began=$SECONDS

# No -trimpath: the tests then share the build cache. go build -v names each package that it compiles; anything else it says is passed on.
count=0
show() {
	while IFS= read -r line; do
		case $line in
		*[[:space:]:]* | '') printf '%s\n' "$line" >&2 ;;
		*)
			count=$((count + 1))
			if [ -t 1 ]; then
				printf '\r%s: %d packages compiled' "$name" "$count"
			elif ((count % 200 == 0)); then
				echo "$name: $count packages compiled"
			fi
			;;
		esac
	done
	if ((count > 0)) && [ -t 1 ]; then printf '\n'; fi
}
# What `version` says of the commit. Go would find it too, but stops where git mistrusts the folder's owner.
commit=$(git rev-parse HEAD 2>/dev/null || true)
[ -z "$commit" ] || git diff --quiet HEAD 2>/dev/null || commit+=" with changes"
(cd "$module" && go build -buildvcs=false -ldflags "-X 'github.com/offerflow/offerflow/cmd/offerflow/process.commit=$commit'" \
	-v -o "$out" "$package" 2>&1) | show
echo "bin/$name is ready ($((SECONDS - began)) s)"
