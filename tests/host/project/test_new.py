# SPDX-License-Identifier: Apache-2.0
"""`mcutrain new`: what is in a project, what is refused, and that nothing of the user's is lost."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from mcutrain.host.boards import board_names, real_board_names
from mcutrain.host.places import EXAMPLES
from mcutrain.host.project import project
from mcutrain.host.project.boards import ProjectBoard, target_of
from mcutrain.host.project.environments import settings as environment
from mcutrain.host.project.signal import Learned, learn
from mcutrain.host.request import Request
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Run
from tests.support.paths import ROOT, WATCH

MODEL = WATCH / "watch.tflite"


LEARNED: dict[bytes, Learned] = {}


@pytest.fixture(autouse=True)
def learned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference learns the signal once for each plan: that is most of what a command takes."""

    def remembered(plan: TrainingPlan) -> Learned:
        if plan.numerics_hash not in LEARNED:
            LEARNED[plan.numerics_hash] = learn(plan)
        return LEARNED[plan.numerics_hash]

    monkeypatch.setattr(project, "learn", remembered)


def new(folder: Path, *options: object, model: Path = MODEL) -> tuple[object, ...]:
    return ("new", folder, "--model", model, *options)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_project_has_all_that_it_needs(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "my firmware"
    told = run(*new(folder, "--update", "last:2", "--board", "sim:microbit", "--json")).json
    found = contents(folder)

    assert sorted(told["written"]) == sorted(
        str(folder / path) for path in found if path != ".mcutrain-new.json"
    )
    assert {
        "platformio.ini", "README.md", ".gitignore", ".github/workflows/build.yml", "src/main.c",
        "src/board_script.c", "lib/sensor/sensor.c", "lib/watch/src/watch.c",
        "test/test_learning/test_learning.c", "test/test_learning/expected.h",
        "platform/boards/microbit.json", "src/ports/nrf51/uart.c", "model/watch.tflite",
    } <= found.keys()  # fmt: skip
    for path, content in found.items():
        if path.endswith((".c", ".h", ".ini", ".md", ".yml", ".cpp")):
            text = content.decode()
            assert not re.search(r"@\w+@|/\*@|\bMODEL_|\bmodel_\w+\(", text), path
            assert str(ROOT) not in text and str(tmp_path) not in text, path
    assert told["made_up_signal"] == {"samples": 20, "steps": 40, "before": 2, "after": 20}
    assert (told["model"], told["update"], told["kept"]) == ("watch", "last:2", [])


def test_a_dry_run_writes_nothing_and_tells_the_same(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    dry = run(*new(folder, "--dry-run", "--json")).json
    assert not folder.exists()
    real = run(*new(folder, "--json")).json

    assert dry == real | {"dry_run": True}
    assert "dry run: would write" in run(*new(tmp_path / "q", "--dry-run")).out
    assert f"next: cd {tmp_path / 'r'}" in run(*new(tmp_path / "r")).out


def test_a_folder_with_files_is_refused_and_force_keeps_them(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    for name in ("README.md", "a.txt", "b.txt", "c.txt"):
        (folder / name).write_text("mine")
    ran = run(*new(folder))

    assert ran.status == 1
    assert f"{folder} holds README.md, a.txt, b.txt and 1 more: give a new folder" in ran.err
    assert len(list(folder.iterdir())) == 4
    told = run(*new(folder, "--force", "--json")).json
    assert told["kept"] == [str(folder / "README.md")]
    assert (folder / "README.md").read_text() == (folder / "a.txt").read_text() == "mine"
    assert "kept, since it is yours" in run(*new(folder, "--force")).out


def test_anew_it_replaces_what_was_left_as_it_was(run: Run, tmp_path: Path) -> None:
    """The user has filled in the sensor, and then wants two layers to learn."""
    folder, again = tmp_path / "p", tmp_path / "again"
    run(*new(folder, "--update", "head"))
    first = run(*new(folder, "--update", "head", "--force", "--json")).json
    assert first["written"] == [] and first["kept"] == []
    sensor = folder / "lib" / "sensor" / "sensor.c"
    sensor.write_text(sensor.read_text() + "/* mine */\n")
    (folder / "src" / "mine.c").write_text("/* mine */\n")
    mine = sensor.read_bytes()
    # As the project's own page says.
    line = next(w for w in (folder / "README.md").read_text().splitlines() if "mcutrain new ." in w)
    assert line == "mcutrain new . --model model/watch.tflite --board native --update head --force"
    asked = ("--update", "last:2", "--force", "--json")
    told = run(*new(folder, *asked, model=folder / "model" / "watch.tflite")).json
    run(*new(again, "--update", "last:2"))

    assert told["kept"] == [str(sensor)] and sensor.read_bytes() == mine
    fresh = contents(again)
    for path, content in contents(folder).items():
        if path not in ("lib/sensor/sensor.c", "src/mine.c", ".mcutrain-new.json", "README.md",
                        "platformio.ini"):  # fmt: skip
            assert fresh[path] == content, path


@pytest.mark.parametrize("record", ["", "[]", '{"README.md": 3}', "{"])
def test_without_its_record_all_files_are_the_users(run: Run, tmp_path: Path, record: str) -> None:
    folder = tmp_path / "p"
    run(*new(folder, "--update", "head"))
    (folder / ".mcutrain-new.json").write_text(record)
    told = run(*new(folder, "--update", "last:2", "--force", "--json")).json

    assert str(folder / "lib" / "watch" / "src" / "watch.c") in told["kept"]


def test_where_a_file_is_a_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p" / "README.md").mkdir(parents=True)
    ran = run(*new(tmp_path / "p", "--force"))
    assert ran.status == 1 and "README.md: it is no file; move it away" in ran.err
    (tmp_path / "file").write_text("")
    ran = run(*new(tmp_path / "file"))

    assert ran.status == 1 and "file" in ran.err and len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--board", "nucleo_f446"), "nucleo_f446re"),
        (("--board", "reference"), "reference is no board: give native"),
        (("--board", "unicorn:cortex-m4"), "unicorn:cortex-m4 is no board: give native"),
        (("--board", "sim:nothing"), "sim:microbit"),
        (("--loss", "mse"), "learns without labels"),
        (("--update", "lst:2"), "lst:2"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_project_is_one_line(
    options: tuple[str, ...], said: str, run: Run, tmp_path: Path
) -> None:
    ran = run(*new(tmp_path / "p", *options))

    assert ran.status == 1 and said in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "p").exists()


def test_a_model_that_has_no_room_is_told_in_bytes(run: Run, tmp_path: Path) -> None:
    camera = EXAMPLES / "camera" / "camera.tflite"
    asked = ("--update", "full", "--board", "stm32vldiscovery")
    ran = run(*new(tmp_path / "p", *asked, model=camera))

    assert ran.status == 1
    assert re.search(r"needs [\d,]+ bytes of RAM .* has 8,192; .*Train fewer", ran.err)
    assert not (tmp_path / "p").exists()


def test_a_model_that_is_called_as_a_file_of_the_project(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sensor.tflite").write_bytes(MODEL.read_bytes())
    ran = run(*new(tmp_path / "p", model=tmp_path / "sensor.tflite"))

    assert ran.status == 1 and "may not be called sensor" in ran.err


def test_what_the_model_does_not_learn_is_told(run: Run, tmp_path: Path, model: Path) -> None:
    """The head of a network of random weights."""
    told = run(*new(tmp_path / "p", "--update", "head", "--json", model=model)).json
    figures = told["made_up_signal"]

    assert figures["after"] <= figures["before"]
    assert [note["kind"] for note in told["notes"]].count("made-up signal") == 1


@pytest.mark.parametrize(
    ("example", "options"),
    [("watch", {}), ("camera", {"classes": 2, "update": "last:2"}), ("camera", {})],
)
def test_the_examples_learn_the_made_up_signal(example: str, options: dict[str, object]) -> None:
    request = Request.of(EXAMPLES / example / f"{example}.tflite").but(**options)
    learned = learn(request.plan())

    assert Learned.right(learned.after) >= 18 > Learned.right(learned.before)


@pytest.mark.parametrize("name", [*board_names(), *(f"board:{n}" for n in real_board_names())])
def test_each_board_has_its_files_and_an_environment(name: str) -> None:
    board = ProjectBoard.of(name)
    files = board.files()

    assert f"[env:{board.env}]" in board.sections and "[env:native]" in board.sections
    assert "platform/builder/main.py" in files and "src/ports/native/port.c" in files
    families = re.findall(r"\+<ports/(\w+)", board.sections)
    for path, content in files.items():
        if path.startswith("src/ports/"):
            found = re.findall(r'^#include "ports/(\w+)/|^INCLUDE (\w+)/', content.decode(), re.M)
            families += [name for names in found for name in names if name]
    for family in families:
        assert any(path.startswith(f"src/ports/{family}/") for path in files), family
    assert (ROOT / "firmware" / "project" / "src" / board.board_file).is_file()
    told = re.findall(r"-D (MCT_\S+)", environment(board.target.env).get("build_flags", ""))
    for define in set(told) - {"MCT_WITH_STORE"}:  # which the model's own header says in a project
        assert f"-D {define}" in board.sections, define


def test_a_board_on_a_desk_comes_before_an_emulated_one_of_its_name() -> None:
    assert target_of("pico").name == "board:pico"
    assert target_of("mps2_an386").name == "sim:mps2_an386"
    assert target_of("native").name == "native"


def test_the_record_names_what_was_written(run: Run, tmp_path: Path) -> None:
    run(*new(tmp_path / "p"))
    record = json.loads((tmp_path / "p" / ".mcutrain-new.json").read_text())

    assert record.keys() == contents(tmp_path / "p").keys() - {".mcutrain-new.json"}
