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


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a fixture of their module run in one process (``--dist loadgroup``)."""
    for item in items:
        if isinstance(item, pytest.Function):
            fixtures = item._fixtureinfo.name2fixturedefs.values()
            if any(f.scope == "module" for named in fixtures for f in named):
                item.add_marker(pytest.mark.xdist_group(item.path.stem))
