# SPDX-License-Identifier: Apache-2.0
"""The camera and the machine of examples/ are what their pages say; their scripts make them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from mcutrain.examples.camera import make_camera, scenes
from mcutrain.examples.machine import make_machine, vibration
from mcutrain.host.cli.demo import DEMOS, detections
from mcutrain.host.request import Request
from mcutrain.host.training.anomaly import Detection, in_turn
from mcutrain.host.training.dataset import load_dataset
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.ops.softmax import Softmax
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.command import Run
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"


def plan_of(name: str) -> TrainingPlan:
    demo = DEMOS[name]
    request = Request.of(demo.paths[0], demo.update, loss=demo.loss, class_names=demo.classes)
    return request.plan()


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(DEMOS[name].paths[1], allow_pickle=False) as file:
        return {key: file[key] for key in file}


@pytest.mark.parametrize("name", DEMOS)
def test_a_readme_gives_the_command_and_the_model_is_small(name: str) -> None:
    demo = DEMOS[name]
    text = (EXAMPLES / demo.folder / "README.md").read_text(encoding="utf-8")
    size = demo.paths[0].stat().st_size

    assert name == "gestures" or f"mcutrain demo {name}" in text
    assert f"{size:,} bytes" in text
    assert size < 100_000


def test_classes_have_the_names_of_their_pages() -> None:
    text = " ".join((EXAMPLES / "watch" / "README.md").read_text(encoding="utf-8").split())
    told = re.findall(r"(\d) ([a-z ]+) \([A-Z]+\)", text)

    assert [number for number, _ in told] == [*"0123456"]
    assert tuple(words for _, words in told) == DEMOS["gestures"].classes
    assert DEMOS["camera"].classes == scenes.CLASSES


@pytest.mark.parametrize("name", DEMOS)
def test_no_note_is_made_of_an_examples_data(name: str) -> None:
    assert not load_dataset(DEMOS[name].paths[1], plan_of(name)).notes


def test_the_cameras_data_are_as_described() -> None:
    made, there = make_camera.make_data(), arrays("camera")

    assert there.keys() == made.keys()
    assert np.bincount(there["y_train"]).tolist() == [10] * len(scenes.CLASSES)
    assert np.bincount(there["y_test"]).tolist() == [30] * len(scenes.CLASSES)
    for key in there:  # a sum may be rounded otherwise elsewhere
        assert np.abs(there[key].astype(int) - made[key]).max() <= 1


def test_the_camera_knows_its_old_place_and_little_of_the_new() -> None:
    interpreter, data = Interpreter(plan_of("camera")), arrays("camera")
    x, y = scenes.pictures(scenes.FACTORY, 10, seed=9)
    old = [
        interpreter.predict(one) for one in make_camera.quantize_array(x, make_camera.INPUT_QUANT)
    ]
    new = [interpreter.predict(one) for one in data["x_test"][:60]]

    assert np.mean(old == y) > 0.9
    assert 0.25 < np.mean(new == data["y_test"][:60]) < 0.6


def test_the_cameras_script_makes_a_model() -> None:
    model = parse(make_camera.make_model(per_class=6, epochs=1), "camera")

    assert model.classes == len(scenes.CLASSES)
    assert model.input.type.shape == (1, scenes.SIZE, scenes.SIZE, 1)


def test_a_part_looks_the_same_however_it_is_turned() -> None:
    """Each kind covers much the same share of the picture at any angle."""
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-1.2, 1.2, (2, 20_000))
    for kind in range(len(scenes.CLASSES)):
        turns = rng.uniform(0, 6.3, 4)
        shares = [
            scenes.covers(kind, u * np.cos(a) + v * np.sin(a), v * np.cos(a) - u * np.sin(a)).mean()
            for a in turns
        ]
        assert max(shares) - min(shares) < 0.06
        assert 0.1 < np.mean(shares) < 0.6


def test_the_machines_data_are_as_described() -> None:
    made, there = make_machine.make_data(), arrays("machine")

    assert there.keys() == made.keys()
    assert there["x_train"].shape == (256, vibration.BANDS)
    assert np.bincount(there["y_faulty"]).tolist() == [160] * len(vibration.FAULTS)
    for key in there:
        assert np.abs(there[key].astype(int) - made[key]).max() <= 1


def test_the_machines_script_makes_an_autoencoder() -> None:
    model = parse(make_machine.make_model(windows=64, epochs=1), "machine")

    assert not [node for node in model.graph.nodes if isinstance(node.op, Softmax)]
    assert model.input.type.shape == (1, vibration.BANDS)


def test_a_shortened_training_finds_more_faults() -> None:
    demo, plan, data = DEMOS["machine"], plan_of("machine"), arrays("machine")
    runner = ReferenceRunner(plan)
    runner.reset(0)
    runner.set_learning_rate(LearningRate.from_real(2.0**-9))
    for sample in data["x_train"]:
        runner.step(sample, np.zeros(0, np.int8), False)
    before, after = detections(plan, demo.paths[1], runner.state(), demo)

    assert 0.9 < before.auc < after.auc
    assert before.detected < 0.9 < after.detected


def test_a_detection_counts_pairs_and_alarms() -> None:
    normal = np.arange(100.0)

    assert Detection.of(normal, normal).auc == 0.5
    assert Detection.of(normal, normal + 1000) == Detection(1.0, 1.0)
    assert Detection.of(normal, normal).detected == pytest.approx(0.05)
    assert in_turn(np.arange(7.0), 3).tolist() == [1.0, 4.0]


def test_an_unknown_demonstration_is_told_with_the_known_ones(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "garden", "--report", tmp_path / "demo.html")

    assert ran.status == 1
    assert ran.err == (
        "error: there is no demonstration 'garden': give gestures, camera, machine\n"
    )


@pytest.mark.board
@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_watch_confuses_what_its_readme_says(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "gestures", "--report", tmp_path / "demo.html", "--json").json
    text = (EXAMPLES / "watch" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (\w+ rotation|the \w+ others) \| (\d+) \| (\d+) \| (\d+) \|$", text, re.M
    )
    told = {name: [int(count) for count in counts] for name, *counts in rows}

    for each in ran["runs"]:
        found = {name: np.zeros(3, int) for name in told}
        for one in each["class_changes"]:
            name = one["name"] if one["name"] in told else "the five others"
            recalls = (1, one["recall_before"], one["recall_after"])
            found[name] += [round(one["samples"] * recall) for recall in recalls]
        assert {name: counts.tolist() for name, counts in found.items()} == told


@pytest.mark.board
@pytest.mark.slow
@pytest.mark.exhaustive  # `demo --fast` of the gestures is in test_cli.py
def test_the_camera_learns_as_its_readme_says(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "camera", "--report", tmp_path / "demo.html", "--json").json
    text = (EXAMPLES / "camera" / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"accuracy after +(\S+) % +(\S+) %", text)

    assert shown is not None
    assert [f"{100 * each['accuracy_after']:.1f}" for each in ran["runs"]] == [*shown.groups()]
    assert all(each["bit_exact"] for each in ran["runs"])


@pytest.mark.board
@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_machine_learns_as_its_readme_says(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "machine", "--report", tmp_path / "demo.html").out
    text = (EXAMPLES / "machine" / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^faults found.*\narea under.*$", text, re.MULTILINE)

    assert len(shown) == 1 and shown[0] in ran
