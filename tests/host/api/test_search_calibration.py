# SPDX-License-Identifier: Apache-2.0
"""Search and calibration of the Python interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mcutrain
from mcutrain.host.training import tail
from tests.support.command import Run
from tests.support.small_models import residual_model, write_dataset

QUICK: dict[str, Any] = {
    "trials": 2, "promote": 1, "folds": 1, "epochs": 1, "trial_steps": 5, "lr": 2**-6,
}  # fmt: skip


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> mcutrain.Front:
    folder = tmp_path_factory.mktemp("search")
    (folder / "small.tflite").write_bytes(residual_model())
    data = write_dataset(folder / "data.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "native_compiler", lambda: None)
        return mcutrain.search(folder / "small.tflite", data, "8K", **QUICK)


def test_a_search_finds_schemes_that_plans_take(front: mcutrain.Front, model: Path) -> None:
    found = front.to_json()
    plan = mcutrain.plan(model, front.best)

    assert len(front.trials) == 3 and front.trials[0] == front.head
    assert plan.ram_bytes == front.best.ram_bytes <= 8192
    assert front.best.learns == found["best"]["scheme"]
    assert front.best.confirmed == found["best"]["confirmed"]["accuracy"]
    assert [one.ram_bytes for one in front.schemes] == sorted(
        one.ram_bytes for one in front.schemes
    )
    html = front._repr_html_()
    assert front.best.learns in html and "<circle" in html


def test_its_scheme_is_saved(front: mcutrain.Front, model: Path, tmp_path: Path) -> None:
    saved = front.save(tmp_path / "best.toml")

    assert mcutrain.plan(model, saved).ram_bytes == front.best.ram_bytes
    assert saved.read_text().count("mcutrain.search") == 1
    with pytest.raises(mcutrain.Error, match=r"a scheme file ends in \.toml"):
        front.save(tmp_path / "best.txt")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sram": 100}, "100"),
        ({"sram": "x"}, "sram: 'x' is no number of bytes"),
        ({"trials": 0}, "trials is 0: give 1 or more"),
        ({"update": "full"}, "leave update out"),
        ({"validation": 2.0}, "validation is a share between 0 and 1"),
        ({"clases": 3}, "did you mean classes?"),
    ],
)
def test_bad_options_are_refused(
    options: dict[str, Any], said: str, model: Path, tmp_path: Path
) -> None:
    data = write_dataset(tmp_path / "data.npz")
    with pytest.raises(mcutrain.Error) as raised:
        mcutrain.search(model, data, **{"sram": "8K", **QUICK, **options})
    assert said in str(raised.value)


def test_calibrate_writes_what_the_command_writes(model: Path, tmp_path: Path, run: Run) -> None:
    data = write_dataset(tmp_path / "data.npz")
    path = mcutrain.calibrate(model, data, output=tmp_path / "api.tflite", samples=5)
    run("calibrate", model, "--data", data, "--samples", 5, "--output", tmp_path / "command.tflite")

    assert path.read_bytes() == (tmp_path / "command.tflite").read_bytes() != model.read_bytes()
    with pytest.raises(mcutrain.Error, match="is the model itself: give another file"):
        mcutrain.calibrate(model, data, output=model)
    with pytest.raises(mcutrain.Error, match="samples is 0: give 1 or more"):
        mcutrain.calibrate(model, data, output=path, samples=0)
