# SPDX-License-Identifier: Apache-2.0
"""No command puts a file over one that it reads, or over another that it writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from mcutrain.host.cli.app import COMMANDS
from mcutrain.host.cli.files import FileMark, marks
from mcutrain.host.outputs import KEY_FILE, Role
from tests.support.command import Run
from tests.support.small_models import residual_model, write_dataset

KEPT_ELSEWHERE = {"study"}  # a folder of measurements, which only grows
Spelling = Callable[[Path], Path]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Inputs of all kinds, and the place where a command is run."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "m.tflite").write_bytes(residual_model())
    write_dataset(place / "d.npz")
    (place / "s.toml").write_text("head = true\n")
    (place / "c.txt").write_text("a\nb\nc\nd\n")
    np.savez(place / "s.npz", a=np.zeros(1))
    (place / "other").mkdir()
    monkeypatch.chdir(place)
    return place


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def hard_link(path: Path) -> Path:
    os.link(path, path.with_name("hard" + path.suffix))
    return path.with_name("hard" + path.suffix)


def soft_link(path: Path) -> Path:
    link = path.with_name("other") / ("soft" + path.suffix)
    link.symlink_to(path)
    return link


def through_a_folder(path: Path) -> Path:
    (path.parent / "linked").symlink_to(path.parent)
    return path.parent / "linked" / path.name


SPELLINGS: dict[str, Spelling] = {
    "itself": lambda path: path,
    "relative": lambda path: Path(path.name),
    "dots": lambda path: Path("other") / ".." / path.name,
    "hard link": hard_link,
    "soft link": soft_link,
    "folder": through_a_folder,
}
TRAIN = ("train", "m.tflite", "--data", "d.npz", "--update", "s.toml", "--class-names", "c.txt")
STATE = (*TRAIN, "--state", "s.npz")
SEARCH = ("search", "m.tflite", "--data", "d.npz", "--sram", "64K")
SHRINK = ("shrink", "m.tflite", "--data", "d.npz", "--sram", "2K")
DESIGN = ("design", "--data", "d.npz", "--sram", "64K")
PLAN = ("plan", "m.tflite", "--update", "s.toml", "--flash-latents", "d.npz")
# A command, its output, the input that it must not be put over, and what that is called.
OVER_INPUTS = [
    *((STATE, option, file, said)
      for option in ("--report", "--save", "--export")
      for file, said in (("m.tflite", "the model itself"), ("d.npz", "--data"),
                         ("s.toml", "--update"), ("c.txt", "--class-names"), ("s.npz", "--state"))),
    *((PLAN, option, file, said)
      for option in ("--html", "--png")
      for file, said in (("m.tflite", "the model itself"), ("s.toml", "--update"),
                         ("d.npz", "--flash-latents"))),
    ((*PLAN, "--compare", "--update other/../o.toml"), "--html", "o.toml", "--compare"),
    ((*PLAN, "--compare", "--update=o.toml"), "--png", "o.toml", "--compare"),
    (SEARCH, "--output", "d.npz", "--data"),
    (DESIGN, "--output", "d.npz", "--data"),
    (SEARCH, "--plot", "m.tflite", "the model itself"),
    (SEARCH, "--storage", "d.npz", "--data"),
    (SHRINK, "--output", "m.tflite", "the model itself"),
    (SHRINK, "--report", "d.npz", "--data"),
    (("calibrate", "m.tflite", "--data", "d.npz"), "--output", "m.tflite", "the model itself"),
    (("calibrate", "m.tflite", "--data", "d.npz"), "-o", "d.npz", "--data"),
    (("export", "m.tflite", "--state", "s.npz"), "--output", "m.tflite", "the model itself"),
    (("export", "m.tflite", "--state", "s.npz"), "-o", "s.npz", "--state"),
]  # fmt: skip


SPELLED = [
    *(("itself", case) for case in OVER_INPUTS),
    *((spelling, case) for spelling in SPELLINGS for case in OVER_INPUTS[:20:9]),
]


@pytest.mark.parametrize(
    ("spelling", "case"), SPELLED, ids=[f"{s} {c[0][0]} {c[1]} {c[2]}" for s, c in SPELLED]
)
def test_an_output_over_an_input_is_refused(
    spelling: str, case: tuple[tuple[str, ...], str, str, str], folder: Path, run: Run
) -> None:
    command, option, file, said = case
    (folder / "o.toml").write_text("head = true\n")
    output = SPELLINGS[spelling](folder / file)
    before = contents(folder)
    ran = run(*command, option, output)

    assert (ran.status, ran.out) == (1, "")
    assert len(ran.err.splitlines()) == 1 and said in ran.err, ran.err
    assert str(output) in ran.err and "so that it is not lost" in ran.err
    assert contents(folder) == before


PAIRS: list[tuple[Any, str, str]] = [
    (TRAIN, "--save", "--report"), (TRAIN, "--export", "--save"), (PLAN, "--html", "--png"),
     (SEARCH, "--output", "--plot"), (SEARCH, "--plot", "--storage"),
]  # fmt: skip
SPELLED_PAIRS = [
    *((False, "itself", pair) for pair in PAIRS),
    *((False, spelling, PAIRS[0]) for spelling in ("dots", "soft link", "folder")),
    *((True, spelling, PAIRS[1]) for spelling in ("dots", "hard link", "soft link", "folder")),
]


@pytest.mark.parametrize(("exists", "spelling", "pair"), SPELLED_PAIRS)
def test_two_outputs_that_are_one_file_are_refused(
    exists: bool, spelling: str, pair: tuple[Any, str, str], folder: Path, run: Run
) -> None:
    command, first, second = pair
    output = folder / "out.toml"
    if exists:
        output.write_text("old")
    other = SPELLINGS[spelling](output)
    before = contents(folder)
    ran = run(*command, first, output, second, other)

    assert (ran.status, ran.out) == (1, "")
    assert first in ran.err and second in ran.err and "not lost" in ran.err, ran.err
    assert contents(folder) == before


def test_an_sqlite_storage_is_a_file_too(folder: Path, run: Run) -> None:
    ran = run(*SEARCH, "--storage", "sqlite:///other/../d.npz")

    assert ran.status == 1 and "the file of --data itself" in ran.err


@pytest.mark.parametrize(("command", "at"), [("generate", "other/src"), ("build", "other")])
def test_generated_code_is_not_put_over_an_input(
    command: str, at: str, folder: Path, run: Run
) -> None:
    (folder / at).mkdir(exist_ok=True)
    (folder / at / "m.json").symlink_to(folder / "c.txt")
    before = contents(folder)
    ran = run(command, "m.tflite", "--class-names", "c.txt", "-o", "other")

    assert ran.status == 1 and f"{at}/m.json is the file of --class-names itself" in ran.err
    assert contents(folder) == before


OUTPUTS = [
    (TRAIN, "--save"), (TRAIN, "--export"), (TRAIN, "--report"), (PLAN, "--html"), (PLAN, "--png"),
    (SEARCH, "--output"), (SEARCH, "--plot"), (SEARCH, "--storage"), (("demo",), "--report"),
    (("calibrate", "m.tflite", "--data", "d.npz"), "--output"),
    (("export", "m.tflite", "--state", "s.npz"), "--output"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "option"), OUTPUTS)
def test_an_output_needs_a_folder_that_is_there(
    command: Any, option: str, folder: Path, run: Run
) -> None:
    before = contents(folder)
    for output, said in (
        ("none/below/o.toml", f"no folder {folder / 'none' / 'below'}; create it (mkdir -p)"),
        ("other", "it is a folder; give a file"),
        ("c.txt/o.toml", "a folder that can be written"),
        ("x" * 300 + ".toml", "name"),
    ):
        ran = run(*command, option, output)
        assert (ran.status, ran.out) == (1, "")
        assert len(ran.err.splitlines()) == 1 and f"cannot write {output}" in ran.err
        assert said in ran.err
    assert contents(folder) == before


def test_what_is_no_file_is_not_replaced(folder: Path, run: Run) -> None:
    os.mkfifo(folder / "pipe")
    for output in ("pipe", "/dev/null"):
        assert "no file that could be replaced" in run(*TRAIN, "--save", output).err


def test_a_file_of_keys_is_not_replaced(folder: Path, run: Run) -> None:
    assert run("key", "new", "device.key").status == 0
    for options in (("--save", "device.key"), ("--checkpoint", "device.key", "--fresh")):
        assert "may hold the only copy of a key" in run(*TRAIN, *options).err
    assert (folder / "device.key").read_bytes().startswith(KEY_FILE)


def test_outputs_beside_inputs_are_written(folder: Path, run: Run) -> None:
    """Also over what was written before, and of a name that an input has elsewhere."""
    outputs = ("--save", "other/d.npz", "--export", "m2.tflite")
    for _ in range(2):
        assert run(*TRAIN, "--steps", 1, *outputs).status == 0

    assert (folder / "other" / "d.npz").is_file()
    plan = ("plan", "m.tflite", "--update", "s.toml")
    assert run(*plan, "--compare", "--update full", "--html", "full").status == 0


def alternatives(hint: Any) -> list[Any]:
    """The types behind an annotation: of ``Annotated[Path | None, ...]`` Path and None."""
    return [kind for part in get_args(hint)[:1] for kind in (part, *get_args(part))]


@pytest.mark.parametrize("command", [command for command, *_ in COMMANDS], ids=lambda c: c.__name__)
def test_each_parameter_that_is_a_path_has_a_mark(command: Callable[..., None]) -> None:
    hints = get_type_hints(command, include_extras=True, localns={"Request": object})
    kinds = {name: {Path} & {hint, *alternatives(hint)} for name, hint in hints.items()}
    paths = {name for name, found in kinds.items() if found}

    assert paths - KEPT_ELSEWHERE <= set(marks(command))
    assert all(isinstance(mark, FileMark) for _, mark in marks(command).values())


def test_marks_name_options_as_they_are_written() -> None:
    train, search = ({c.__name__: marks(c) for c, *_ in COMMANDS}[n] for n in ("train", "search"))

    assert {name for name, (_, mark) in train.items() if mark.role is Role.WRITTEN} == {
        "save", "report", "export", "record",
    }  # fmt: skip
    assert train["flash_latents"][0] == "--flash-latents" and train["model"][0] == "MODEL"
    assert search["output"][0] == "--output" and search["storage"][1].role is Role.KEPT
