# SPDX-License-Identifier: Apache-2.0
"""What a test sees of one `mcutrain` command."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

AT_A_RATE = ("--lr", "0.015625")  # options of train: no search for one


class Ran:
    """Status and output of one command."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


Run = Callable[..., Ran]
