# SPDX-License-Identifier: Apache-2.0
"""Generating again: free where nothing changed, never taken for unchanged where something did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mcutrain.host.building import generated
from mcutrain.host.building.generated import Asked
from mcutrain.host.building.target import Target
from mcutrain.host.request import Request
from tests.support.command import Run
from tests.support.fresh import environment, start
from tests.support.paths import ROOT
from tests.support.small_models import residual_model

SCHEME = "head = true\n"
Folder = Callable[[Path], object]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A request with a scheme's file, of a cache of its own."""
    monkeypatch.setenv("MCUTRAIN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "small.tflite").write_bytes(residual_model())
    (tmp_path / "scheme.toml").write_text(SCHEME)
    model, scheme = tmp_path / "small.tflite", tmp_path / "scheme.toml"
    return ["generate", model, "--update", scheme, "-o", tmp_path / "gen", "--json"]


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in files_of(folder)}


def test_again_nothing_is_planned_and_nothing_written(
    asked: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(*asked)
    before = {path: path.stat().st_mtime_ns for path in files_of(tmp_path / "gen")}
    monkeypatch.setattr(Request, "plan", None)
    again = run(*asked)

    assert first.json == again.json | {"up_to_date": False}
    assert again.json["up_to_date"]
    assert again.err == first.err  # the notes
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert {*map(str, before)} == {*first.json["files"]}
    assert run(*asked[:-1]).out.startswith(f"up to date: {len(before)} files in ")


def edited(gen: Path) -> None:
    source = gen / "src" / "small.c"
    source.write_text(source.read_text() + "\n")


def manifest(at: Path) -> Path:
    return at / "gen" / "src" / "small.json"


CHANGES: dict[str, tuple[Folder, tuple[object, ...]]] = {
    "an edited file": (lambda at: edited(at / "gen"), ()),
    "a missing file": (lambda at: (at / "gen" / "src" / "small.h").unlink(), ()),
    "a file that is a folder": (
        lambda at: (manifest(at).unlink(), manifest(at).mkdir()),
        (),
    ),
    "another model": (
        lambda at: (at / "small.tflite").write_bytes(residual_model() + b"\0\0\0\0"), (),
    ),
    "another scheme": (lambda at: (at / "scheme.toml").write_text("bias_last = 2\n" + SCHEME), ()),
    "another option": (lambda at: None, ("--errors", "e8")),
    "a switch": (lambda at: None, ("--stream-input",)),
    "another target": (lambda at: None, ("--target", "reference")),
    "the link": (lambda at: None, ("--runtime",)),
    "another source": (lambda at: (at / "gen" / "src" / "mct" / "digest.c").unlink(), ()),
    "a record cut short": (
        lambda at: next((at / "cache").rglob("record.json")).write_text('{"key": "'), (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_made_again(
    change: str, asked: list[object], tmp_path: Path, run: Run
) -> None:
    apply, options = CHANGES[change]
    assert not run(*asked).json["up_to_date"]
    apply(tmp_path)
    ran = run(*asked, *options)
    if change == "a file that is a folder":
        assert ran.status == 1 and "small.json" in ran.err
        return

    assert not ran.json["up_to_date"]
    alone = [tmp_path / "alone" if part == tmp_path / "gen" else part for part in asked]
    assert not run(*alone, *options).json["up_to_date"]
    assert contents(tmp_path / "gen") == contents(tmp_path / "alone")
    assert run(*asked, *options).json["up_to_date"]


def test_another_source_of_this_package_makes_it_again(
    asked: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "mcutrain"
    shutil.copytree(ROOT / "mcutrain", package, ignore=lambda *_: ["__pycache__"])
    monkeypatch.setattr(generated, "PACKAGE", package)
    monkeypatch.setattr(generated, "FIRMWARE_DIR", package / "firmware")
    said = []
    for source in ("codegen/c.py", "firmware/mct/model.h", "trainer/ops/add.py", "platformio.ini"):
        said += [run(*asked).json["up_to_date"] for _ in range(2)]
        (package / source).write_text((package / source).read_text() + "\n")

    assert said == [False, True] * 4


def test_what_changes_while_it_is_planned_is_not_recorded(
    asked: list[object], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Request.plan

    def slow(request: Request) -> object:
        found = plan(request)
        (tmp_path / "scheme.toml").write_text("bias_last = 2\n" + SCHEME)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Request, "plan", slow)
        assert not run(*asked).json["up_to_date"]
    (tmp_path / "scheme.toml").write_text(SCHEME)

    assert not run(*asked).json["up_to_date"]


def test_two_processes_generate_into_one_folder(asked: list[object], tmp_path: Path) -> None:
    """A third generates elsewhere: in this process, tests may have added variants of operators,
    which a manifest names."""
    running = [start(*asked, env=environment()) for _ in range(2)]
    said = [process.communicate()[0] for process in running]
    alone = [tmp_path / "alone" if part == tmp_path / "gen" else part for part in asked]

    assert sorted(json.loads(out)["up_to_date"] for out in said) == [False, True]
    assert not json.loads(start(*alone, env=environment()).communicate()[0])["up_to_date"]
    assert contents(tmp_path / "gen") == contents(tmp_path / "alone")


def test_a_key_has_every_option_in_it(tmp_path: Path) -> None:
    model, target = tmp_path / "m.tflite", Target.parse("native")
    plain = Request.of(model)
    asked = [
        Asked((each,), target, (None,))
        for each in (plain, plain.but(accumulate=4), plain.but(class_names=("a, b",)),
                     plain.but(class_names=("a", "b")), plain.on(Target.parse("sim:microbit").chip))
    ]  # fmt: skip
    asked += [
        replace(asked[0], has_link=True),
        replace(asked[0], name="m"),
        Asked((plain, plain), target, (None, None)),
    ]
    keys = [*map(generated.key_of, asked)]

    assert len(set(keys)) == len(keys)
    assert keys[0] == generated.key_of(Asked((Request.of(model),), target, (None,)))
