# SPDX-License-Identifier: Apache-2.0
"""``python -m mcutrain`` is the command ``mcutrain``."""

from mcutrain.host.cli.app import main

main()
