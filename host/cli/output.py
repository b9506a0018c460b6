# SPDX-License-Identifier: Apache-2.0
"""Where commands print: JSON on standard output, what is told meanwhile on standard error."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

err = Console(stderr=True)
# The options of the running command that ``mcutrain.toml`` gave: its path, and they by name.
taken_from_file: ContextVar[dict[str, Any] | None] = ContextVar("taken_from_file", default=None)
INTERRUPTED = 130  # as a shell has it for SIGINT


def progress(is_quiet: bool) -> Console:
    """Where a command tells of its work: nowhere if it is to be quiet."""
    return Console(stderr=True, quiet=True) if is_quiet else err


def interruption(number: int = signal.SIGINT) -> int:
    """The exit status of a command that a signal has ended, as a shell has it."""
    return 128 + number


def say(text: str) -> None:
    """Print a line on standard error as it is."""
    err.print(text, style=None, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def goes_on(folder: Path) -> Iterator[None]:
    """A command that the same command goes on with: Ctrl-C ends it by a line that says so."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted: {folder} keeps what was finished; the same command goes on")
        raise typer.Exit(INTERRUPTED) from None


def print_json(value: Any) -> None:
    """Print a value; of an object also what a file gave to the command, as its ``config``."""
    if (taken := taken_from_file.get()) is not None and isinstance(value, dict):
        value = value | {"config": taken}
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def drop_output() -> None:
    """Let nothing that could not be printed be tried again when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
