# SPDX-License-Identifier: Apache-2.0
"""Whoever built a firmware and still has it is waited for by nobody: two such processes, each
asking for the other's firmware again, once waited for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.fresh import environment
from tests.support.paths import ROOT, WATCH

LONG_S = 300  # only keeps a fault from hanging the suite
AGAIN = """
from pathlib import Path
from mcutrain.host.building.firmware import build
from mcutrain.host.building.target import Target
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
import sys
plan = make_plan(load(Path(sys.argv[1])), PlanOptions("head"))
held = build(plan, Target.parse("native"))
held = build(plan, Target.parse("native"))
print(held.elf)
"""


@pytest.mark.slow
@pytest.mark.exhaustive
def test_a_firmware_in_use_is_built_again_by_nobody_and_waited_for_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, model = tmp_path / "cache", WATCH / "watch.tflite"
    monkeypatch.setenv("MCUTRAIN_CACHE", str(cache))
    plan = make_plan(load(model), PlanOptions("head"))
    held = build(plan, Target.parse("native"))
    written = held.elf.stat().st_mtime_ns

    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(model)],
        env=environment(cache), cwd=ROOT, capture_output=True, text=True, timeout=LONG_S,
    )  # fmt: skip

    assert done.stdout.strip() == str(held.elf), done.stderr
    assert build(plan, Target.parse("native")).elf.stat().st_mtime_ns == written
