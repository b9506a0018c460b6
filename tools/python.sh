#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# python.sh VERSION: the path of a Python of that version that runs and can make environments.
set -u
version=$1

works() {
    "$1" -c "import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" \
        >/dev/null 2>&1
}

for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python \
    "/usr/local/bin/python$version" "/opt/python/$version/bin/python" python3; do
    if works "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done
exit 1
