#!/usr/bin/env bash
# tool.sh <file> <package>@<version>: installs a Go program under a name that holds its version.
set -euo pipefail
target=$1 package=$2
dir=$(dirname "$target")
mkdir -p "$dir"
tmp=$(mktemp -d "$dir/.install-XXXXXX")
trap 'rm -rf "$tmp"' EXIT
echo "installing $package (once; the first time compiles it)"
GOBIN=$tmp GOFLAGS= CGO_ENABLED=0 go install "$package"
mv "$tmp"/* "$target"
