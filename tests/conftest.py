# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from mcutrain.host.cli import app as cli
from tests.support.command import Ran, Run
from tests.support.marks import BUDGET
from tests.support.paths import ROOT, models_folder
from tests.support.small_models import residual_model

# No example of a property has a limit in seconds, which a busy computer would break.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


class OneName(MetaPathFinder):
    """Refuses to import a package of ours by its folder's name, as Python could from here.

    Its modules would be there twice: each class beside another of the same name, each operator
    registered again.
    """

    def find_spec(self, name: str, *rest: object) -> None:
        if name in ("trainer", "codegen", "host"):
            raise ImportError(f"import mcutrain.{name}, not {name}")


sys.meta_path.insert(0, OneName())
# Under nohup this process ignores it, and so would the commands that tests start and signal.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ.setdefault("MCUTRAIN_CACHE", str(ROOT / "build" / "cache"))  # not the user's own


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of real models; tests that need it are skipped without."""
    folder = models_folder()
    if folder is None:
        pytest.skip("no real models: set MCUTRAIN_MODELS to their folder")
    return folder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file of the small residual network."""
    path = tmp_path / "small.tflite"
    path.write_bytes(residual_model())
    return path


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


# What `make quick` tries: no whole runs, as the tests of the host and the benchmarks are.
QUICK = ("trainer", "codegen", "firmware", "project", "regressions")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help=f"tests/ of {', '.join(QUICK)}, and doctests: what is not slow and needs no board or"
        " models, and each test with its first parameters only unless it is marked `rows`",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With --quick, does not even import what is left out."""
    is_package = collection_path.is_dir() and collection_path.parent == ROOT / "tests"
    is_left_out = is_package and collection_path.name not in QUICK
    return True if is_left_out and config.getoption("quick") else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what uses the real models; with --quick, drops what is not quick."""
    for item in items:
        if "models" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.models)
    if not config.getoption("quick"):
        return
    kept: dict[str, pytest.Item] = {}
    for item in items:
        if any(map(item.get_closest_marker, ("slow", "board", "models"))):
            continue
        name = item.nodeid if item.get_closest_marker("rows") else item.nodeid.partition("[")[0]
        kept.setdefault(name, item)
    chosen = set(kept.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """The figures of the rows that were measured: nothing that a worker prints would be seen."""
    reports = (r for each in ("passed", "failed") for r in terminalreporter.stats.get(each, ()))
    properties = (p for r in reports for p in getattr(r, "user_properties", ()))
    if lines := sorted({text for name, text in properties if name == BUDGET}):
        terminalreporter.section("figures against their budgets")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def thorough(pytestconfig: pytest.Config) -> bool:
    """Whether the largest cases run as well: then the many rounds of a case do, too."""
    return "exhaustive" not in pytestconfig.getoption("markexpr")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """The tests of a file with a fixture of its own run in one process: it is made once."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file in shared else nodeid

    files = (ROOT / "tests").rglob("test_*.py")
    shared = {str(f.relative_to(ROOT)) for f in files if 'fixture(scope="module"' in f.read_text()}
    return Scheduling(config, log)
