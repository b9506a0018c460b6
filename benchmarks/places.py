# SPDX-License-Identifier: Apache-2.0
"""Where the benchmarks read and write."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
