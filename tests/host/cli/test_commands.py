# SPDX-License-Identifier: Apache-2.0
"""What commands write: the version, firmware beside its C, C without a board."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from mcutrain.host import files
from mcutrain.host.building.source import generate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.command import Run
from tests.support.fresh import environment, fresh, hiding
from tests.support.paths import ROOT, WATCH

MODEL = WATCH / "watch.tflite"
C_FILES = ["mct_selected_model.h", "watch.c", "watch.h", "watch.json"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_version_is_the_packages(run: Run) -> None:
    assert run("--version").out == f"mcutrain {version('mcutrain')}\n"
    assert f'\nversion = "{version("mcutrain")}"' in (ROOT / "pyproject.toml").read_text()


def test_a_build_is_copied_with_its_c(run: Run, tmp_path: Path) -> None:
    made = tmp_path / "deep" / "out"
    built = run("build", MODEL, "--output", made, "--json").json

    assert names(made) == sorted([*C_FILES, "firmware.elf", "firmware.map"])
    assert sorted(built["files"]) == sorted(str(path) for path in made.iterdir())
    assert (made / "firmware.elf").read_bytes() == Path(built["elf"]).read_bytes()
    assert json.loads((made / "watch.json").read_text())["build_hash"] == built["build_hash"]
    plain = run("build", MODEL, "--json").json
    assert plain == {key: value for key, value in built.items() if key != "files"}
    assert f"wrote {made / 'firmware.elf'}" in run("build", MODEL, "--output", made).out


def test_a_folder_that_cannot_be_is_refused_before_the_build(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = run("build", MODEL, "--output", tmp_path / "file")

    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("error: cannot write ") and len(ran.err.splitlines()) == 1


def test_the_reference_generates_what_a_board_with_one_memory_does(
    run: Run, tmp_path: Path
) -> None:
    """Without PlatformIO, and with no board's description."""
    one, other = tmp_path / "reference", tmp_path / "native"
    target = ("--update", "last:2", "--target", "reference")
    code = hiding("platformio", "SCons", "elftools")
    ran = fresh("generate", MODEL, *target, "-o", one, code=code, env=environment(tmp_path / "c"))
    assert run("generate", MODEL, "--update", "last:2", "-o", other).status == 0

    assert ran.status == 0, ran.err
    assert {*C_FILES} < {*names(one / "src")} == {*names(other / "src")}
    for name in ("watch.c", "watch.h"):
        assert (one / "src" / name).read_bytes() == (other / "src" / name).read_bytes()
    found = [folder / "src" / "watch.json" for folder in (one, other)]
    manifests = [json.loads(path.read_text()) for path in found]
    hashes = [manifest.pop("build_hash") for manifest in manifests]
    chips = [manifest.pop("chip")["name"] for manifest in manifests]
    for manifest in manifests:
        manifest.pop("left_out")  # this process may know variants of other tests
    assert manifests[0] == manifests[1] and hashes[0] != hashes[1]
    assert "generic" in chips[0] and chips[1] == "native"
    assert [kept.name for kept in (tmp_path / "c").iterdir()] == ["generated"]  # nothing is built


def test_what_is_written_whole_stays_if_a_part_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(load(MODEL), PlanOptions("head"))
    generate(plan, tmp_path, "native")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    write = files.write_synced

    def full(path: Path, data: bytes) -> None:
        if "watch.json" in path.name:
            write(path, data[:9])
            raise OSError(28, "No space left on device")
        write(path, data)

    monkeypatch.setattr(files, "write_synced", full)
    with pytest.raises(Exception, match=r"cannot write .*watch\.json: No space left on device"):
        generate(make_plan(load(MODEL), PlanOptions("full")), tmp_path, "native")

    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
