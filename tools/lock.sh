#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lock.sh UV LOCK: resolves the extra `dev` for every Python that is supported, with hashes.
# The extra `benchmarks` stays out: torch has a build for each kind of computer, each with a hash
# of its own. Nothing in the file says where packages come from.
set -eu
uv=$1
lock=$2

mkdir -p "$(dirname "$lock")"
new=$(mktemp)
trap 'rm -f "$new"' EXIT
"$uv" pip compile pyproject.toml --quiet --extra dev --universal --python-version 3.10 \
    --upgrade --generate-hashes --no-header --no-annotate --no-emit-index-url \
    --no-emit-find-links --output-file "$new" >/dev/null
if grep -nE '://|^--' "$new"; then
    echo "error: the lock names a place that packages come from" >&2
    exit 1
fi
{
    echo "# SPDX-License-Identifier: Apache-2.0"
    echo "# Made by make lock: what development and CI install. Not the extra benchmarks, whose torch"
    echo "# has other files on other computers."
    cat "$new"
} >"$lock"
