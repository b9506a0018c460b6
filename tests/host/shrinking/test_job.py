# SPDX-License-Identifier: Apache-2.0
"""`mcutrain shrink`: what it writes, that it goes on, what it refuses."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import mcutrain
from mcutrain.host.request import Request
from mcutrain.host.shrinking import adapting as adapting_module
from mcutrain.host.shrinking import shrinking as shrinking_module
from mcutrain.host.shrinking.adapting import adapted
from mcutrain.host.shrinking.inputs import Inputs
from mcutrain.host.shrinking.job import ShrinkJob, check_loss, run_shrink
from mcutrain.host.shrinking.phases import Phases
from mcutrain.host.shrinking.quality import Quality
from mcutrain.host.shrinking.result import Adapted, Shrunk
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.making.options import FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from mcutrain.trainer.model import forward
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.shrinking.int4 import is_int4
from mcutrain.trainer.tflite.reader import load
from tests.support.command import Ran, Run
from tests.support.sample_files import dense_model
from tests.support.small_models import drawn_samples, residual_model, write_dataset

BUDGET = 1300  # bytes: less than the small model needs in any format, more than its least cut
STEPS = 64


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "data.npz")


@dataclass(frozen=True)
class Finished:
    """A shrinking that has ended, in a folder with its phases."""

    job: ShrinkJob
    found: Shrunk

    @property
    def path(self) -> Path:
        return self.job.output

    @cached_property
    def told(self) -> dict[str, Any]:
        return self.found.to_json()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Finished:
    folder = tmp_path_factory.mktemp("small")
    (folder / "small.tflite").write_bytes(residual_model())
    job = ShrinkJob(
        Request.of(folder / "small.tflite"), data, BUDGET, output=folder / "out.tflite",
        epochs=1, steps=STEPS,
    )  # fmt: skip
    return Finished(job, run_shrink(job, SILENT))


@pytest.fixture
def shrink(run: Run, model: Path, data: Path, tmp_path: Path) -> Run:
    def shrink_(*args: object, data: Path = data) -> Ran:
        given = ("--data", data, "--output", tmp_path / "out.tflite", "--steps", STEPS)
        return run("shrink", model, *given, "--epochs", 1, *args)

    return shrink_


def test_what_was_made_fits_and_is_a_normal_file(finished: Finished) -> None:
    path, found = finished.path, finished.told
    small = load(path)
    formats = PlanOptions("full", errors="e8", weights="int8")
    plan = make_plan(small, formats)

    assert plan.memory.arena_bytes + plan.memory.state_bytes == found["prices"][-1]["sram_bytes"]
    assert found["prices"][-1]["sram_bytes"] <= BUDGET < found["prices"][0]["sram_bytes"]
    assert path.stat().st_size == found["bytes"] < found["original_bytes"] == len(residual_model())


def test_tflite_micro_computes_the_same_bits(finished: Finished) -> None:
    from tests.support.micro import Micro

    path = finished.path
    small, micro = load(path), Micro(path.read_bytes())
    for sample in drawn_samples(8)[1][0][:, None]:
        found = forward(small, sample)[small.output]

        np.testing.assert_array_equal(found, micro.run(sample)[-1])


def test_it_says_what_left_and_what_that_cost(finished: Finished) -> None:
    path, found = finished.path, finished.told
    kept = {g["name"]: (g["kept"], g["units"]) for g in found["groups"]}
    names = [row["stage"] for row in found["stages"]]

    assert kept and all(0 < stay <= units for stay, units in kept.values())
    assert sum(stay for stay, _ in kept.values()) < sum(units for _, units in kept.values())
    assert names == ["original", "channels cut", "least squares", "distillation"]
    assert found["stages"][0]["agreement"] == 1.0
    assert all(0 <= row["accuracy"] <= 1 for row in found["stages"])
    assert all(g["nbytes"] <= g["was_bytes"] for g in found["groups"])
    assert found["adaptation"]["update"] == "full" and found["adaptation"]["original"] is not None
    assert found["stays"].keys() and str(path) in found["command"]
    assert "--errors e8 --weights int8" in found["command"]
    assert found["curve"][-1]["sram"] <= BUDGET < found["curve"][0]["sram"]
    assert [each["about"] for each in found["notes"]] == ["x_train"]  # 32 inputs are few


def test_the_same_command_goes_on(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    found = finished.told
    for name in ("taylor_scores", "choose", "channel_means", "least_squares", "distil"):
        monkeypatch.setattr(shrinking_module, name, None)

    assert run_shrink(finished.job, SILENT).to_json() == found


def test_a_damaged_phase_is_done_again(finished: Finished) -> None:
    path, found = finished.path, finished.told
    folder = path.with_suffix(".shrink")
    least = next(folder.glob("least-squares-*.npz"))
    before, content = least.read_bytes(), path.read_bytes()
    least.write_bytes(before[: len(before) // 2])
    again = run_shrink(finished.job, SILENT)

    assert again.data == content and again.to_json() == found
    assert np.load(least).files


@pytest.mark.exhaustive
def test_inputs_alone_are_enough(shrink: Run, tmp_path: Path) -> None:
    (x, _), _ = drawn_samples(8)
    np.savez(tmp_path / "x.npz", x_train=x)
    found = shrink("--sram", BUDGET, "--json", data=tmp_path / "x.npz").json

    assert found["adaptation"] is None
    assert {row["accuracy"] for row in found["stages"]} == {None}
    assert found["inputs"] == 26 and found["held_out_inputs"] == 6
    assert any("were held out" in note["text"] for note in found["notes"])


def test_a_budget_that_formats_reach_cuts_nothing(shrink: Run, model: Path, tmp_path: Path) -> None:
    said = shrink("--sram", "64K", "--unlabelled")

    assert said.status == 0 and "no channel had to leave" in said.out
    assert (tmp_path / "out.tflite").read_bytes() == model.read_bytes()


def test_frozen_weights_get_four_bits(shrink: Run, tmp_path: Path) -> None:
    found = shrink("--frozen", "int4", "--update", "head", "--unlabelled", "--json").json
    small = load(tmp_path / "out.tflite")

    assert [row["stage"] for row in found["stages"]] == ["original", "4-bit weights"]
    assert [is_int4(node) for node in small.weighted] == [False, True, True, False]


def three_layers() -> bytes:
    """Dense ones of 12 inputs; the second has no bias, and one scale for all its filters."""
    rng, tensors, layers = np.random.default_rng(4), [], []
    tensors.append(WriterTensor("x0", (1, 12), "int8", QuantParams((0.05,), 3)))
    for k, (inputs, outputs, scale) in enumerate(((12, 16, 0.3), (16, 16, 0.8), (16, 4, 2.5))):
        w = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
        b = rng.integers(-999, 999, outputs).astype(np.int32)
        tensors += [
            WriterTensor(f"w{k}", w.shape, "int8", QuantParams((0.01,), 0), w),
            WriterTensor(f"b{k}", (outputs,), "int32", None, b),
            WriterTensor(f"x{k + 1}", (1, outputs), "int8", QuantParams((scale,), -4)),
        ]
        given = (f"x{k}", f"w{k}") + ((f"b{k}",) if k != 1 else ())
        layers.append(WriterOp("FULLY_CONNECTED", given, (f"x{k + 1}",), FullyConnectedOptions()))
    unused = [t for t in tensors if t.name != "b1"]
    return write_model(unused, layers, ["x0"], ["x3"])


def test_a_layer_without_bias_is_written_as_it_was_judged(run: Run, tmp_path: Path) -> None:
    """In 4 bits it gets one, which makes up for the mean that rounding moved."""
    (tmp_path / "three.tflite").write_bytes(three_layers())
    x = np.random.default_rng(2).integers(-128, 128, (60, 12)).astype(np.int8)
    np.savez(tmp_path / "x.npz", x_train=x)
    made = run(
        "shrink", tmp_path / "three.tflite", "--data", tmp_path / "x.npz", "--frozen", "int4",
        "--update", "head", "--output", tmp_path / "out.tflite", "--json",
    )  # fmt: skip
    first, small = load(tmp_path / "three.tflite"), load(tmp_path / "out.tflite")
    codes = [
        np.array([forward(m, s[None])[m.logits].ravel() for s in x], int) for m in (first, small)
    ]

    assert made.status == 0, made.err
    assert is_int4(small.weighted[1]) and isinstance(small.weighted[1].op, Weighted)
    assert small.weighted[1].op.has_bias
    assert np.mean((codes[0] - codes[1]) ** 2) < 10  # 42 without the bias


def test_another_scheme_is_trained_anew(tmp_path: Path, model: Path, monkeypatch: Any) -> None:
    """Of one model in one folder: what the schemes come to is no matter of the phases before."""
    asked: list[str] = []

    def trained(request: Request, *_: object) -> SimpleNamespace:
        asked.append(request.options.update_name)
        return SimpleNamespace(metric="accuracy", before=0.5, after=0.6)

    monkeypatch.setattr(adapting_module, "trained", trained)
    (x, y), (held_x, held_y) = drawn_samples(3)
    inputs, loaded = Inputs(x, held_x, y, held_y), load(model)
    found = [
        adapted(
            (request, request),
            (loaded, loaded),
            inputs,
            1,
            0,
            Phases(tmp_path, "k"),
            lambda *progress: None,
        )
        for update in ("head", "bias", "head")
        for request in [Request.of(model, update)]
    ]

    assert asked == ["head", "bias", "head"]
    assert [one and one.update for one in found] == ["head", "bias", "head"]


def test_more_loss_than_is_allowed_is_told(finished: Finished) -> None:
    job, found = finished.job, finished.found
    first, last = replace(found.stages[0], quality=Quality(0.875, None, 1.0)), found.stages[-1]
    stages = (first, replace(last, quality=Quality(0.25, None, 0.5)))
    of = replace(found, stages=stages, adapted=None)
    with pytest.raises(DataError) as raised:
        check_loss(replace(job, max_loss=2.0), of)
    lost = "loses 62.5 points, --max-loss allows 2: accuracy 25.0 % of 87.5 %"
    assert lost in str(raised.value) and "nothing was written" in str(raised.value)
    unlabelled = [replace(s, quality=replace(s.quality, accuracy=None)) for s in of.stages]
    with pytest.raises(DataError, match=r"loses 50.0 points.* agreement with the original 50.0 %"):
        check_loss(replace(job, max_loss=49.0), replace(of, stages=tuple(unlabelled)))
    check_loss(replace(job, max_loss=100.0), of)
    trained = Adapted("accuracy", "full", 100, original=0.9, smaller=0.8, before=0.25)
    behind = replace(found, stages=(first, first), adapted=trained)
    with pytest.raises(DataError, match=r"loses 10.0 points.* accuracy after training 80.0 %"):
        check_loss(replace(job, max_loss=9.0), behind)
    check_loss(replace(job, max_loss=11.0), behind)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --sram, --flash or --instructions, or --frozen int4"),
        (("--sram", 100), "no cut reaches 100 bytes of RAM"),
        (("--sram", BUDGET, "--max-loss", -1), "--max-loss is -1: give points"),
        (("--sram", BUDGET, "--output", "small.bin"), "give a file that ends in .tflite"),
        (("--sram", BUDGET, "--report", "small.pdf"), "give a file that ends in .html"),
        (("--sram", BUDGET, "--lr", "1e9"), "is no learning rate"),
        (("--search", "--instructions", 9), "--search looks for what fits a budget of RAM"),
        (("--sram", BUDGET, "--search", "--update", "head"), "leave --update out"),
        (("--frozen", "int4", "--update", "full"), "no layer behind the first one is frozen"),
    ],
)
def test_what_cannot_be_is_one_line(shrink: Run, options: tuple[object, ...], said: str) -> None:
    found = shrink(*options)

    assert found.status == 1 and said in found.err
    assert found.err.strip().splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x_train": np.zeros((5, 9, 7, 3), np.int8)}, "has 5 inputs"),
        ({"x_train": np.full((40, 9, 7, 3), 3, np.int8)}, "all 40 inputs are the same"),
        ({"x_train": np.zeros((40, 2), np.int8)}, "x_train"),
        ({"x_train": np.zeros((40, 9, 7, 3), complex)}, "x_train"),
        ({"y_train": np.full(32, 7)}, "holds the label 7 (sample 0), but the model has 4 classes"),
        ({"group_train": np.zeros(3)}, "group_train is float64 of shape (3,)"),
    ],
)
def test_inputs_that_say_nothing_are_refused(
    shrink: Run, data: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    arrays = dict(np.load(data))
    if "x_train" in change:
        arrays = {}
    np.savez(tmp_path / "bad.npz", **{**arrays, **change})
    found = shrink("--sram", BUDGET, data=tmp_path / "bad.npz")

    assert found.status == 1 and said in found.err and "Traceback" not in found.err


def test_labels_of_other_classes_are_not_looked_at(shrink: Run, data: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(data))
    np.savez(tmp_path / "other.npz", **{**arrays, "y_train": np.full(32, 7)})
    found = shrink(
        "--sram", BUDGET, "--unlabelled", "--dry-run", "--json", data=tmp_path / "other.npz"
    ).json

    assert found["samples"] == {"inputs": 32, "held-out inputs": 12}


def test_a_model_without_room_says_so(run: Run, tmp_path: Path) -> None:
    """Its only layer is its head."""
    (tmp_path / "dense.tflite").write_bytes(dense_model((6,), 3, -1, 1))
    size = load(tmp_path / "dense.tflite").input.type.size
    x = np.random.default_rng(0).integers(-128, 128, (40, size)).astype(np.int8)
    np.savez(tmp_path / "x.npz", x_train=x)
    found = run(
        "shrink", tmp_path / "dense.tflite", "--data", tmp_path / "x.npz", "--sram", 20,
        "--output", tmp_path / "out.tflite",
    )  # fmt: skip

    assert found.status == 1 and "no cut reaches 20 bytes of RAM" in found.err


@pytest.mark.exhaustive
def test_a_rate_that_diverges_leaves_what_was_before(shrink: Run) -> None:
    found = shrink("--sram", BUDGET, "--unlabelled", "--lr", 200, "--json").json
    quality = {row["stage"]: row["agreement"] for row in found["stages"]}

    assert not found["distillation"]["kept"]
    assert quality["distillation"] == quality["least squares"]


def test_a_dry_run_leaves_nothing(shrink: Run, tmp_path: Path) -> None:
    before = {*tmp_path.iterdir()}
    found = shrink("--sram", BUDGET, "--dry-run", "--json").json

    assert {*tmp_path.iterdir()} == before
    assert found["update"] == "full" and found["samples"] == {"inputs": 32, "held-out inputs": 12}
    assert str(tmp_path / "out.tflite") in found["files"]


def test_python_makes_what_the_command_makes(
    finished: Finished, data: Path, tmp_path: Path
) -> None:
    path, found = finished.path, finished.told
    study = path.with_suffix(".shrink")
    small = mcutrain.shrink(
        path.with_name("small.tflite"), data, BUDGET, epochs=1, steps=STEPS, study=study
    )

    assert small.save(tmp_path / "api.tflite").read_bytes() == path.read_bytes()
    assert small.ram_bytes == found["prices"][-1]["sram_bytes"]
    assert small.agreement == found["stages"][-1]["agreement"]
    assert small.options == ("--errors e8", "--weights int8")
    assert "channels" in repr(small) and "least squares" in small._repr_html_()
    with pytest.raises(mcutrain.Error, match="search=True"):
        small.save_scheme(tmp_path / "s.toml")
    with pytest.raises(mcutrain.Error, match="steps is 0: give 1 or more"):
        mcutrain.shrink(path.with_name("small.tflite"), data, BUDGET, steps=0)


def test_the_json_can_be_read_again(finished: Finished) -> None:
    assert json.loads(json.dumps(finished.told))["groups"] == finished.told["groups"]
