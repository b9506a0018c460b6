# SPDX-License-Identifier: Apache-2.0
"""What mcutrain.toml gives to commands, and how it is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.command import Run
from tests.support.small_models import write_dataset

PLAN = """
[defaults]
update = "last:2"
classes = 3

[plan]
errors = "e8"
stream-input = true
class-names = ["a", "b", "c"]
"""


@pytest.fixture
def project(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a project, in which the command is run."""
    folder = tmp_path / "project"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(model, folder / "m.tflite")
    monkeypatch.chdir(folder)
    return folder


def write(folder: Path, text: str) -> Path:
    path = folder / "mcutrain.toml"
    path.write_text(text)
    return path


def test_options_come_from_the_file_and_the_command_line_wins(project: Path, run: Run) -> None:
    write(project, PLAN)
    given = ("--update", "last:2", "--classes", 3, "--errors", "e8", "--class-names", "a,b,c")
    expected = run("plan", "m.tflite", *given, "--stream-input", "--no-config", "--json").json
    found = run("plan", "m.tflite", "--json")

    assert found.err.splitlines()[0] == (
        "mcutrain.toml: --update last:2 --classes 3 --class-names a,b,c --errors e8 --stream-input"
    )
    assert found.json.pop("config") == {
        "file": "mcutrain.toml",
        "options": {
            "update": "last:2", "classes": 3, "errors": "e8", "stream-input": True,
            "class-names": "a,b,c",
        },
    }  # fmt: skip
    assert {**found.json, "config": None} == {**expected, "config": None}
    won = run("plan", "m.tflite", "--update", "head", "--json")
    assert won.json["scheme"] == "head"
    assert "--update" not in won.err and "update" not in won.json["config"]["options"]


def test_the_file_is_found_above_up_to_the_repository(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, '[plan]\nupdate = "bias"\n')
    monkeypatch.chdir(project / "deep")

    assert run("plan", "../m.tflite", "--json").json["config"]["file"] == "../mcutrain.toml"
    (project / "deep" / ".git").mkdir()
    assert "config" not in run("plan", "../m.tflite", "--json").json
    other = ("--config", "../mcutrain.toml")
    assert run("plan", "../m.tflite", *other, "--json").json["scheme"] == "bias"
    refused = run("plan", "../m.tflite", "--config", "no.toml")
    assert refused.status == 1 and "no.toml: no such file" in refused.err.lower()


def test_paths_are_relative_to_the_file(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "s.toml").write_text("head = true\n")
    (project / "names.txt").write_text("a\nb\nc\nd\n")
    write_dataset(project / "d.npz")
    write(
        project,
        '[train]\nmodel = "m.tflite"\nupdate = "s.toml"\nclass-names = "names.txt"\n'
        'data = "d.npz"\nsave = "out.npz"\nlr = 0.015625\nguard = false\nsteps = 1\n',
    )
    monkeypatch.chdir(project / "deep")
    ran = run("train", "--json")

    assert ran.json["steps"] == 1
    assert (project / "out.npz").is_file()
    assert ran.json["config"]["options"]["save"] == "../out.npz"
    assert "--no-guard" in ran.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[plan]\nupdte = 'head'\n", "updte, in [plan], is no option: did you mean update?"),
        ("[plan]\nsave = 'a.npz'\n", "save, in [plan], is no option: did you mean"),
        ("[trian]\n", "[trian] is no command: did you mean train?"),
        ("[defaults]\nhelp = true\n", "help, in [defaults], is no option: did you mean"),
        ("plan = 1\n", "plan is no table: write it as [plan]"),
        ("update = 'head'\n", "[update] is no command: did you mean"),
        ("[plan]\nstream-input = 'yes'\n", "stream-input is 'yes': give true or false"),
        ("[plan]\nclasses = true\n", "classes is True: give a number, a text or a list"),
        ("[plan]\nclasses = [[1]]\n", "classes holds tables"),
        ("[plan\n", "mend the line, or give --no-config"),
        ("a = " + 5000 * "[", "mend the line, or give --no-config"),
        ("\0", "mend the line, or give --no-config"),
    ],
)
def test_what_is_wrong_in_it_is_one_line(text: str, said: str, project: Path, run: Run) -> None:
    write(project, text)
    ran = run("plan", "m.tflite")

    assert ran.status == 1
    assert ran.err.startswith("error: mcutrain.toml: ") and said in ran.err
    assert len(ran.err.splitlines()) == 1
    assert run("plan", "m.tflite", "--no-config").status == 0


def test_a_file_that_is_no_text_is_refused(project: Path, run: Run) -> None:
    (project / "mcutrain.toml").write_bytes(b"\xff\xfe[plan]")

    assert "mend the line, or give --no-config" in run("plan", "m.tflite").err


def test_a_wrong_value_is_refused_as_on_the_command_line(project: Path, run: Run) -> None:
    write(project, '[plan]\naccumulate = "many"\n')
    ran = run("plan", "m.tflite")

    assert ran.status == 2 and "--accumulate" in ran.err


def test_help_does_not_change_with_it(project: Path, run: Run) -> None:
    page = run("plan", "--help-all").out
    write(project, PLAN)

    assert run("plan", "--help-all").out == page


def test_what_goes_on_does_so_without_the_file(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exported model has its head and scheme; those of the file would begin anew."""
    from mcutrain.host.training import loop

    write(project, '[train]\nupdate = "last:2"\nclasses = 4\nexport = "out.tflite"\n')
    write_dataset(project / "d.npz")
    steps, run_steps = [0], loop.run_steps

    def stopping(run: loop.TrainingRun, *rest: object) -> None:
        run_steps(run, *rest)  # type: ignore[arg-type]
        steps[0] += 1
        run.interrupt.number = 2

    monkeypatch.setattr(loop, "run_steps", stopping)
    ran = run("train", "m.tflite", "--data", "d.npz", "--lr", "0.015625", "--no-guard")
    line = next(line for line in ran.err.splitlines() if "go on with: " in line)

    assert "--no-config" in line and "train out.tflite" in line
    assert "--update" not in line and "--classes" not in line
