# SPDX-License-Identifier: Apache-2.0
"""What pip installs: one package, whole, that works where there is no checkout.

It is installed into a folder whose name has a space and a letter outside ASCII, and builds into a
cache there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.marks import exhaustive
from tests.support.paths import ROOT, WATCH

pytestmark = [pytest.mark.slow, pytest.mark.board]
COPIED = ("trainer", "codegen", "firmware", "host", "examples", "mcutrain")
FILES = ("pyproject.toml", "platformio.ini", "README.md", "LICENSE", "docs/glossary.md")
SHIPPED = (
    "mcutrain/platformio.ini",
    "mcutrain/host/show/templates/glossary.md",
    "mcutrain/firmware/library.json",
    "mcutrain/firmware/kernels/conv2d.c",
    "mcutrain/firmware/kernels/conv2d.h",
    "mcutrain/firmware/mct/model.h",
    "mcutrain/firmware/ports/cortex_m/cortex_m.ld",
    "mcutrain/firmware/platform/platform.py",
    "mcutrain/firmware/platform/platform.json",
    "mcutrain/firmware/platform/builder/main.py",
    "mcutrain/firmware/platform/boards/native.json",
    "mcutrain/firmware/platform/emulators/qemu/region_counter.c",
    "mcutrain/firmware/platform/emulators/rp2040js/board.mjs",
    "mcutrain/firmware/platform/emulators/rp2040js/package.json",
    "mcutrain/firmware/platform/builder/checksums.py",
    "mcutrain/firmware/project/platformio.ini.in",
    "mcutrain/firmware/project/src/main.c",
    "mcutrain/firmware/project/src/board_arduino.cpp",
    "mcutrain/firmware/project/test/test_custom_runner.py",
    "mcutrain/examples/watch/watch.tflite",
    "mcutrain/examples/watch/demo.npz",
    "mcutrain/examples/watch/LICENSE-data",
    "mcutrain/examples/camera/camera.tflite",
    "mcutrain/examples/camera/demo.npz",
    "mcutrain/examples/camera/scenes.py",
    "mcutrain/examples/machine/machine.tflite",
    "mcutrain/examples/machine/demo.npz",
    "mcutrain/examples/machine/vibration.py",
)
# The files of a run that has few steps, for both kinds of devices.
SHORT = ("watch.tflite", "--data", "demo.npz", "--update", "head", "--steps", "5", "--no-guard")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheel of a clean tree, and that of its sdist."""
    tree = tmp_path_factory.mktemp("tree")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=ignored)
    for name in FILES:
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    found = []
    for kind in (("--wheel",), ()):  # without a choice: an sdist, and of that a wheel
        output = tmp_path_factory.mktemp("dist")
        command = [sys.executable, "-m", "build", "--no-isolation", *kind, "--outdir", output, tree]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        found += output.glob("*.whl")
    return found


def test_a_wheel_holds_the_package_and_nothing_else(built: list[Path]) -> None:
    direct, from_sdist = (zipfile.ZipFile(path).namelist() for path in built)
    roots = {name.split("/")[0] for name in direct}
    (metadata,) = roots - {"mcutrain"}

    assert metadata.endswith(".dist-info")
    assert set(direct) == set(from_sdist)
    assert not set(SHIPPED) - set(direct)
    assert f"{metadata}/licenses/LICENSE" in direct


def test_a_wheel_holds_every_file_of_the_firmware(built: list[Path]) -> None:
    names = set(zipfile.ZipFile(built[0]).namelist())
    tracked = [path for path in (ROOT / "firmware").rglob("*") if path.is_file()]
    expected = {f"mcutrain/{path.relative_to(ROOT)}" for path in tracked}

    assert not {name for name in expected - names if "__pycache__" not in name}


@dataclass(frozen=True)
class Installed:
    """An environment, and the folder that its commands are run in."""

    folder: Path
    python: Path

    def pip(self, *requirements: str) -> None:
        command = [
            sys.executable, "-m", "pip", "--python", self.python, "install", "--quiet",
            *requirements,
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, env=self.environment
        )
        assert done.returncode == 0, done.stderr

    def run(self, *args: str, succeeds: bool = True) -> str:
        """What `mcutrain` prints, or what it says when it fails."""
        command = [self.python.parent / "mcutrain", *args]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self.folder, env=self.environment
        )
        assert (done.returncode == 0) == succeeds, f"{args}\n{done.stdout}\n{done.stderr}"
        return done.stdout if succeeds else done.stderr

    @property
    def environment(self) -> dict[str, str]:
        """Without this checkout, and with a cache in the folder."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "MCUTRAIN"))}
        return {**kept, "MCUTRAIN_CACHE": str(self.folder / "cache")}

    @property
    def package(self) -> Path:
        (found,) = (self.python.parents[1] / "lib").glob("python*/site-packages/mcutrain")
        return found


@pytest.fixture(scope="module")
def installed(built: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The core alone."""
    folder = tmp_path_factory.mktemp("installed") / "my projects ä"
    folder.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "v"], check=True)
    made = Installed(folder, folder / "v" / "bin" / "python")
    made.pip(str(built[1]))
    for name in ("watch.tflite", "demo.npz"):
        shutil.copy(WATCH / name, folder / name)
    return made


@pytest.fixture(scope="module")
def complete(installed: Installed, built: list[Path]) -> Installed:
    """With what builds and reports need; comes behind the tests of the core."""
    installed.pip(f"{built[1]}[build,report]")
    return installed


@pytest.fixture
def unchanged(installed: Installed) -> Iterator[None]:
    """Nothing is written where the package lies: made read-only, which root could pass over."""

    def listing() -> dict[str, tuple[int, str]]:
        return {
            str(path.relative_to(installed.package)): (
                path.stat().st_mtime_ns,
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            )
            for path in installed.package.rglob("*")
        }

    before = listing()
    subprocess.run(["chmod", "-R", "a-w", installed.package], check=True)
    yield
    subprocess.run(["chmod", "-R", "u+w", installed.package], check=True)

    assert listing() == before


@pytest.mark.usefixtures("unchanged")
def test_the_core_alone_plans_generates_and_trains_in_the_reference(installed: Installed) -> None:
    assert "conv" in installed.run("inspect", "watch.tflite")
    assert "learned weights" in installed.run("plan", "watch.tflite", "--update", "last:2")
    for target in ((), ("--target", "reference")):
        output = f"gen{len(target)}"
        args = ("generate", "watch.tflite", "--update", "head", *target, "--output", output)
        installed.run(*args)
        assert (installed.folder / output / "src" / "watch.c").is_file()
    result = json.loads(installed.run("train", *SHORT, "--target", "reference", "--json"))

    assert result["steps"] == 5


def test_the_core_alone_tells_its_version(installed: Installed, built: list[Path]) -> None:
    assert installed.run("--version").split() == built[0].name.split("-")[:2]


@pytest.mark.usefixtures("unchanged")
def test_the_core_alone_says_what_a_build_needs(installed: Installed) -> None:
    args = ("build", "watch.tflite", "--update", "head", "--target", "native")
    said = installed.run(*args, succeeds=False)

    assert said.count("\n") == 1 and "pip install 'mcutrain[build]'" in said


@pytest.mark.exhaustive
@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("target", [exhaustive("native", ["native"]), "sim:mps2_an386"])
def test_with_its_extras_it_builds_and_trains(complete: Installed, target: str) -> None:
    complete.run("build", "watch.tflite", "--update", "head", "--target", target)
    verified = json.loads(complete.run("train", *SHORT, "--target", target, "--verify", "--json"))

    assert verified["verified_steps"] == 5


@pytest.mark.exhaustive  # `make demo` does it from a checkout
@pytest.mark.usefixtures("unchanged")
def test_with_its_extras_it_demonstrates_and_lists_ports(complete: Installed) -> None:
    complete.run("demo", "--fast")

    assert list(complete.folder.rglob("*demo.html"))
    assert "native" in complete.run("ports")
