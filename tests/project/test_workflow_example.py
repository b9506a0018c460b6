# SPDX-License-Identifier: Apache-2.0
"""Each command of the workflow that users copy into their repositories runs as it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.support.paths import ROOT, WATCH

EXAMPLE = ROOT / "examples" / "ci" / "train.yml"
OURS = ("mcutrain", "python")  # what installs packages is not run


def own_commands(job: dict[str, list[dict[str, str]]]) -> list[str]:
    given = [step["run"] for step in job["steps"] if "run" in step]
    return [command for command in given if command.startswith(OURS)]


@pytest.mark.board
@pytest.mark.slow
@pytest.mark.exhaustive
def test_each_command_of_the_workflow_runs(tmp_path: Path) -> None:
    workflow = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    with np.load(WATCH / "demo.npz") as file:
        arrays = {name: file[name][::12] for name in file.files}
    np.savez(tmp_path / "samples.npz", **arrays)
    (tmp_path / "model.tflite").write_bytes((WATCH / "watch.tflite").read_bytes())
    folder = tmp_path / "commands"
    folder.mkdir()
    for name, arguments in (("python", ""), ("mcutrain", "-m mcutrain")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (folder / name).chmod(0o755)
    environment = os.environ | workflow["env"]
    environment |= {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}

    commands = own_commands(workflow["jobs"]["train"])
    for command in commands:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, command + done.stdout + done.stderr

    run = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert len(commands) == 4
    assert run["bit_exact"] and run["target"] == workflow["env"]["TARGET"]
    for path in ("report.html", "trained.tflite"):
        assert (tmp_path / path).stat().st_size
