#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the system packages that are missing: compilers, emulators, Python's venv.
# As root or with sudo through apt; otherwise it says what to install.
set -eu

python=${PYTHON:-python3}
missing=""

need() { # need COMMAND PACKAGE...
    command=$1
    shift
    command -v "$command" >/dev/null 2>&1 || missing="$missing $*"
}

need gcc gcc libc6-dev
need g++ g++
need arm-none-eabi-gcc gcc-arm-none-eabi libnewlib-arm-none-eabi
need qemu-system-arm qemu-system-arm
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing="$missing python3-venv"
case ${EXTRAS:-} in
*dev*)
    need chromium chromium # looks at the pages
    need node nodejs       # emulates the board pico
    need npm npm
    ;;
esac
case ${EXTRAS:-} in
*benchmarks*) # their data
    need npm npm
    [ -d /usr/share/datasets/fashion-mnist ] || missing="$missing dataset-fashion-mnist"
    ;;
esac
case ${EXTRAS:-} in
*fuzz*) need clang clang libclang-rt-dev ;;
esac
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "error: install these first (names of Debian's packages):$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo="sudo"
else
    echo "error: run this first: sudo apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "installing:$missing"
$sudo apt-get update -q
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends $missing
