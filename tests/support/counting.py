# SPDX-License-Identifier: Apache-2.0
"""How much work a function does, counted: the same on an idle machine and on a busy one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def calls_of(run: Callable[[], object]) -> int:
    """Functions that ``run`` calls, those written in C too: for NumPy, about one per operation."""
    found = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        run()
    finally:
        sys.setprofile(before)
    return found


def lines_of(run: Callable[[], object]) -> int:
    """Lines of Python that ``run`` executes."""
    found = 0

    def count(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal found
        found += event == "line"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        run()
    finally:
        sys.settrace(before)
    return found
