# SPDX-License-Identifier: Apache-2.0
"""No key of a board's description stands there twice: the first would be lost without a word."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mcutrain.host.places import BOARDS_DIR, REAL_BOARDS_DIR

FILES = sorted([*BOARDS_DIR.glob("*.json"), *REAL_BOARDS_DIR.glob("*.json")])


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    counts = Counter(key for key, _ in pairs)
    assert counts.total() == len(counts), counts.most_common(1)
    return dict(pairs)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_key_stands_once(file: Path) -> None:
    json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=unique)
