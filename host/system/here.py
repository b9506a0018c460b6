# SPDX-License-Identifier: Apache-2.0
"""The names of host/system/posix.py or host/system/windows.py, whichever this computer has."""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from mcutrain.host.system.windows import (
        HAS_PSEUDO_TERMINALS,
        PORT_ERRORS,
        connect_local,
        key_presses,
        lock,
        others_may_read,
        port_obstacle,
        remove_locked,
        running,
        start,
        stop_signals,
    )
else:
    from mcutrain.host.system.posix import (
        HAS_PSEUDO_TERMINALS,
        PORT_ERRORS,
        connect_local,
        key_presses,
        lock,
        others_may_read,
        port_obstacle,
        remove_locked,
        running,
        start,
        stop_signals,
    )

__all__ = [
    "HAS_PSEUDO_TERMINALS",
    "PORT_ERRORS",
    "connect_local",
    "key_presses",
    "lock",
    "others_may_read",
    "port_obstacle",
    "remove_locked",
    "running",
    "start",
    "stop_signals",
]
