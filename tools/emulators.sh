#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the emulators that npm has, as they are locked, into a folder: `tools/emulators.sh FOLDER`.
# Without npm or network it says so and leaves them out: the boards that they run are skipped then.
set -eu

folder=$1
locked=firmware/platform/emulators/rp2040js

if cmp -s "$locked/package-lock.json" "$folder/package-lock.json" && [ -d "$folder/node_modules" ]; then
    exit 0
fi
if ! command -v npm >/dev/null 2>&1; then
    echo "npm is not installed: the board pico cannot be emulated" >&2
    exit 0
fi
mkdir -p "$folder"
cp "$locked/package.json" "$locked/package-lock.json" "$folder"
if ! npm ci --prefix "$folder" --silent --no-audit --no-fund; then
    rm -f "$folder/package-lock.json" # so that the next time tries again
    echo "rp2040js could not be installed: the board pico cannot be emulated" >&2
fi
