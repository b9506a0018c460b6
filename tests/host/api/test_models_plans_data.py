# SPDX-License-Identifier: Apache-2.0
"""Models, plans and data of the Python interface, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mcutrain
from tests.support.command import Run
from tests.support.paths import WATCH
from tests.support.small_models import SHAPE


def test_a_model_says_what_it_is() -> None:
    model = mcutrain.load(WATCH / "watch.tflite")

    assert model.name == "watch" and model.inputs[0].shape == (1, 50, 1, 6)
    assert model.inputs[0].real_range == (-4.0, 3.96875)
    assert [each.index for each in model.layers if each.index is not None] == [0, 1, 2, 3]
    assert model.outputs[0].shape == (1, 7) and model.notes == ()
    assert "<th" in model._repr_html_() and mcutrain.load(model) is model


def test_a_plan_says_what_the_command_says(run: Run) -> None:
    path = WATCH / "watch.tflite"
    told = run("plan", path, "--update", "last:2", "--errors", "e8", "--json").json
    plan = mcutrain.plan(path, "last:2", errors="e8")

    assert plan.to_json() == told
    assert plan.ram_bytes == told["arena_bytes"] + told["learned_bytes"]
    assert plan.flash_bytes == told["constant_bytes"]
    assert plan.instructions.step == told["predicted_instructions"]["step"]
    assert [*plan.learned] == [n for r in told["layers"] for n in r["learns"]] or set(
        plan.learned
    ) == {n for r in told["layers"] for n in r["learns"]}
    assert "last:2" in plan._repr_html_() and plan.update == "last:2"


def test_a_plan_is_drawn(tmp_path: Path) -> None:
    path = mcutrain.plan(WATCH / "watch.tflite").html(tmp_path / "p.html")

    assert "<html" in path.read_text()


def test_a_plan_fits_a_budget() -> None:
    path = WATCH / "watch.tflite"
    free = mcutrain.plan(path, "full")
    fitted = mcutrain.plan(path, "full", sram=free.ram_bytes - 400)

    assert fitted.ram_bytes <= free.ram_bytes - 400 < free.ram_bytes
    with pytest.raises(mcutrain.Error, match="bytes"):
        mcutrain.plan(path, "full", sram="1K")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"clases": 5}, "no option clases: did you mean classes?"),
        ({"qqq": 5}, "no option qqq: there are update, classes"),
        ({"classes": "five"}, "classes is 'five': give a whole number"),
        ({"classes": True}, "classes is True: give a whole number"),
        ({"classes": 0}, "a head has 1 to 65535 classes"),
        ({"update": "last:x"}, "scheme 'last:x'"),
        ({"update": 3}, "update is 3: give a text"),
        ({"stream_input": 1}, "stream_input is 1: give True or False"),
        ({"errors": "e9"}, "e9"),
        ({"class_names": [1, 2]}, "give a list of texts"),
        ({"latent_slots": -1}, "latent_slots is -1: give 0 or more"),
        ({"recompute_to": "much"}, "recompute_to: 'much' is no number of bytes"),
        ({"sram": "much"}, "sram: 'much' is no number of bytes"),
        ({"target": "sim:x"}, "unknown target 'sim:x'"),
        ({"start": "nowhere"}, "no activation 'nowhere'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(mcutrain.Error) as raised:
        mcutrain.plan(WATCH / "watch.tflite", **options)

    assert said in str(raised.value) and "--" not in str(raised.value)


@pytest.mark.parametrize("model", ["nope.tflite", "", 3, None, __file__])
def test_what_is_no_model_is_refused(model: Any) -> None:
    with pytest.raises(mcutrain.Error):
        mcutrain.load(model)


def test_data_are_a_file_or_arrays(tmp_path: Path) -> None:
    data = mcutrain.load_data(WATCH / "demo.npz")
    arrays = {name: data[name] for name in data.shapes}
    held = mcutrain.load_data(arrays)

    assert data.shapes["x_train"] == (35, 50, 1, 6) == held.shapes["x_train"]
    assert mcutrain.load_data(data) is data and "x_train" in data._repr_html_()
    np.testing.assert_array_equal(held["x_test"], arrays["x_test"])
    place = held.path
    assert place.is_file()
    del held
    assert not place.exists()
    with pytest.raises(mcutrain.Error, match="no array 'x_tset'; they have x_train"):
        data["x_tset"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("nope.npz", "there is no file nope.npz"),
        (None, "data are NoneType: give the path of a file, or a dict"),
        ({"x_train": [[1], [1, 2]]}, "x_train is no array of numbers"),
        ({"x_train": np.array([object()])}, "x_train holds values of type object"),
        ({"x_train": ["a"]}, "x_train holds values of type <U1"),
    ],
)
def test_what_are_no_data_is_refused(given: Any, said: str) -> None:
    with pytest.raises(mcutrain.Error, match=said):
        mcutrain.load_data(given)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(b"PK\x03\x04 no")
    with pytest.raises(mcutrain.Error, match="of plain arrays"):
        mcutrain.load_data(path)


def test_a_table_is_read_as_its_options_say(model: Path, tmp_path: Path) -> None:
    size = int(np.prod(SHAPE))
    rows = [",".join(f"f{k}" for k in range(size)) + ",kind"]
    for k in range(40):
        values = np.random.RandomState(k).uniform(-1, 1, size).round(3)
        rows.append(",".join(map(str, values)) + f",{'ab'[k % 2]}")
    path = tmp_path / "samples.csv"
    path.write_text("\n".join(rows) + "\n")
    data = mcutrain.load_data(path, label="kind", split_seed=3)

    run = mcutrain.Trainer(
        mcutrain.plan(model, classes=2), data, lr=0.0625, guard=False, steps=4
    ).fit()

    assert data.reading.label == "kind" and run.steps == 4
    assert run.confusion is not None and run.confusion.sum() == 8  # a fifth of the rows


@pytest.mark.parametrize(
    ("reading", "words"),
    [({"lable": "kind"}, "load_data has no option lable"), ({"label": "y"}, "only a folder")],
)
def test_options_that_do_not_fit_are_refused(reading: dict[str, str], words: str) -> None:
    with pytest.raises(mcutrain.Error, match=words):
        mcutrain.load_data({"x_train": np.zeros((2, 4))}, **reading)
