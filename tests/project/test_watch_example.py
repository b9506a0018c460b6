# SPDX-License-Identifier: Apache-2.0
"""The files of examples/watch are what their README says, and the script still makes such files."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.making.fitting import fit
from mcutrain.trainer.making.quantiser import quantize_net
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load, parse
from tests.support.paths import WATCH

PARAMETERS = 1175
MACS = 15_272


@pytest.fixture(scope="module")
def make_watch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_watch", WATCH / "make_watch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(WATCH / name, allow_pickle=False) as file:
        return {key: file[key] for key in file}


def test_the_model_is_as_described() -> None:
    model = load(WATCH / "watch.tflite")
    plan = make_plan(model, PlanOptions("full"))

    assert [type(node.op).__name__ for node in model.graph.nodes] == [
        "Conv2D",
        "DepthwiseConv2D",
        "Conv2D",
        "AveragePool2D",
        "Reshape",
        "FullyConnected",
        "Softmax",
    ]
    assert model.input.type.shape == (1, 50, 1, 6)
    assert model.classes == 7
    assert sum(t.type.size for t in plan.learned) == PARAMETERS
    assert plan.forward_macs == MACS


def test_the_data_hold_ten_left_wrists() -> None:
    data = arrays("watch.npz")
    counts = np.array([[np.sum((data["person"] == p) & (data["y"] == c)) for c in range(7)]
                       for p in range(1, 11)])  # fmt: skip

    assert data["x"].shape == (1234, 50, 1, 6)
    assert data["x"].dtype == np.int8
    assert counts.sum() == 1234
    assert counts.min() == 11
    assert (WATCH / "watch.npz").stat().st_size < 500_000


def test_the_demo_is_one_person_with_five_windows_of_each_exercise() -> None:
    demo, left = arrays("demo.npz"), arrays("watch.npz")
    mine = left["person"] == 1
    both = np.concatenate([demo["x_train"], demo["x_test"]])

    assert np.bincount(demo["y_train"]).tolist() == [5] * 7
    assert sorted(x.tobytes() for x in both) == sorted(x.tobytes() for x in left["x"][mine])
    assert len(demo["y_test"]) == mine.sum() - 35


def test_the_model_knows_little_of_the_left_wrist_before_training() -> None:
    demo = arrays("demo.npz")
    interpreter = Interpreter(make_plan(load(WATCH / "watch.tflite"), PlanOptions("head")))
    predicted = [interpreter.infer(x).argmax() for x in demo["x_test"]]

    assert 0.15 < np.mean(predicted == demo["y_test"]) < 0.35


def test_the_notice_is_carried() -> None:
    text = (WATCH / "LICENSE-data").read_text()

    assert "David M. Burns" in text
    assert "Redistributions in binary form must reproduce the above copyright notice" in text


def test_the_script_refuses_another_wheel(make_watch: ModuleType) -> None:
    with pytest.raises(SystemExit, match="SHA-256"):
        make_watch.read_recordings(b"not the wheel")


def fake_recordings() -> dict[str, object]:
    """Two people, both wrists, seven exercises, each a rhythm of its own."""
    rng = np.random.default_rng(0)
    keys = [(p, side, c) for p in (1, 2) for side in (0, 1) for c in range(7)]
    time = np.arange(1250)[:, None] / 50
    waves = [np.sin(time * (c + 1) + np.arange(6)) + 0.1 * rng.normal(size=(1250, 6))
             for _, _, c in keys]  # fmt: skip
    return {
        "X": waves,
        "y": np.array([c for _, _, c in keys]),
        "subject": np.array([p for p, _, _ in keys]),
        "side": np.array([float(side) for _, side, _ in keys]),
    }


def test_the_script_makes_such_files(make_watch: ModuleType, tmp_path: Path) -> None:
    right, left = (make_watch.cut_windows(fake_recordings(), side) for side in (1, 0))
    build = make_watch.make_net()
    x = make_watch.dequantize_array(right.x, make_watch.INPUT_QUANT)
    fit(build.net, build.params, x, right.y, epochs=6)
    model = quantize_net(build.net, build.params, x, make_watch.INPUT_QUANT)
    make_watch.write_files(tmp_path, model, left)

    assert right.x.shape == (2 * 7 * 12, 50, 1, 6)
    assert parse(model, "watch").classes == 7
    with np.load(tmp_path / "demo.npz") as demo:
        assert demo["y_train"].tolist() == list(range(7)) * 5
        assert len(demo["x_test"]) == 7 * 12 - 35
