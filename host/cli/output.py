# SPDX-License-Identifier: Apache-2.0
"""Where commands print: JSON on standard output, what is told meanwhile on standard error."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from rich.console import Console

err = Console(stderr=True)
INTERRUPTED = 130  # as a shell has it for SIGINT


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def drop_output() -> None:
    """Let nothing that could not be printed be tried again when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
