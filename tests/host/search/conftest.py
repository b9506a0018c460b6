# SPDX-License-Identifier: Apache-2.0
"""A small search, and the study of one that is finished."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.host.search.command import SearchJob, run_search
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.training import tail as tail_module
from mcutrain.host.training.reporter import SILENT
from tests.support.command import Ran, Run
from tests.support.small_models import residual_model, write_dataset
from tests.support.small_search import BUDGET, ONE, QUICK


@pytest.fixture
def in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains in the reference: for a few steps quicker than compiling a model for each scheme."""
    monkeypatch.setattr(tail_module, "native_compiler", lambda: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data.npz")


@pytest.fixture
def search(run: Run, model: Path, data: Path, tmp_path: Path, in_numpy: None) -> Run:
    """The search of the small model; a first argument names its output and study."""

    def search_(name: str, *args: object) -> Ran:
        output = tmp_path / name / "scheme.toml"
        output.parent.mkdir(exist_ok=True)
        given = ("--data", data, "--sram", BUDGET, "--output", output, "--json")
        return run("search", model, *given, *QUICK, *ONE, *args)

    return search_


@pytest.fixture(scope="module")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study of a finished search as `search` makes it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.tflite").write_bytes(residual_model())
    data = write_dataset(folder / "data.npz")
    effort = SearchPlan(trials=4, promoted=1, folds=1, epochs=1, steps=5)
    request, output = Request(folder / "small.tflite"), folder / "scheme.toml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail_module, "native_compiler", lambda: None)
        job = SearchJob(request, data, Limits(BUDGET), effort, rate=2**-6, jobs=1, output=output)
        run_search(job, SILENT, "")
    return folder / "scheme.study"


@pytest.fixture
def study(finished_study: Path, tmp_path: Path) -> Path:
    """A finished study where the search "a" looks for its own."""
    return Path(shutil.copytree(finished_study, tmp_path / "a" / "scheme.study"))
