# SPDX-License-Identifier: Apache-2.0
"""Projects that `mcutrain new` made, in the hands of PlatformIO."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from mcutrain.host.building.pio import seed_core


def pio(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run PlatformIO in a project, as somebody with a core folder of his own and no network.

    Neither this package nor its folders are in its environment.
    """
    core = project.parent / "pio-core"
    seed_core(core)
    ours = ("PYTHONPATH", "MCUTRAIN_CACHE", "PLATFORMIO_WORKSPACE_DIR", "PLATFORMIO_BUILD_DIR")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [sys.executable, "-m", "platformio", *words],
        cwd=project,
        env={**environment, "PLATFORMIO_CORE_DIR": str(core)},
        capture_output=True,
        text=True,
        check=False,
    )


def expected_digest(project: Path) -> int:
    """What the reference's last step leaves, as the project's test has it."""
    text = (project / "test" / "test_learning" / "expected.h").read_text(encoding="utf-8")
    return int(re.findall(r"0x([0-9a-f]{8})u", text)[-1], 16)
