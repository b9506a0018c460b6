# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test files share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host import cli

ROOT = Path(__file__).parents[1]


def models_folder() -> Path | None:
    """The folder of real models: MCUTRAIN_MODELS, or shared/models beside the checkout."""
    places = [os.environ.get("MCUTRAIN_MODELS"), str(ROOT.parent / "shared" / "models")]
    return next((Path(p) for p in places if p and Path(p).is_dir()), None)


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of real models; tests that need it are skipped without."""
    folder = models_folder()
    if folder is None:
        pytest.skip("no real models: set MCUTRAIN_MODELS to their folder")
    return folder


class Ran:
    """Status and output of one command."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        assert self.status == 0, self.err
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def run_(*args: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["mcutrain", *map(str, args)])
        capsys.readouterr()
        try:
            cli.main()
            status = 0
        except SystemExit as done:
            status = int(done.code or 0)
        return Ran(status, *capsys.readouterr())

    return run_


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file with a fixture of its own run in one process: it is made once."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in shared else nodeid

    files = (ROOT / "tests").glob("test_*.py")
    shared = {f"tests/{f.name}" for f in files if 'fixture(scope="module"' in f.read_text()}
    return Scheduling(config, log)
