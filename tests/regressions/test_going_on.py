# SPDX-License-Identifier: Apache-2.0
"""Training that stops and goes on: from a saved state, and from an exported model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mcutrain.host.cli.reporter import ConsoleReporter
from mcutrain.host.request import Request, read_class_names
from mcutrain.host.training.evaluate_command import EvaluationJob, run_evaluation
from mcutrain.host.training.export import export_saved, export_state
from mcutrain.host.training.job import Outcome, TrainingJob
from mcutrain.host.training.reporter import SILENT
from mcutrain.host.training.run import run_job
from mcutrain.host.training.state import save_state
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.host.training.verify import Verifier
from mcutrain.trainer.errors import DataError, ModelError
from mcutrain.trainer.interpreter import Interpreter, pack_state, unpack_state
from mcutrain.trainer.options import PlanOptions, Scheme
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from mcutrain.trainer.training_state import TrainingState
from tests.support.small_models import CLASSES, SHAPE, write_dataset

OPTIONS = TrainingOptions(epochs=1, schedule="constant", rate=2**-6)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "d.npz", per_class=8)  # 32 samples


def values_data(path: Path, shape: tuple[int, ...] = SHAPE[1:]) -> Path:
    rng = np.random.default_rng(0)
    x = rng.integers(-100, 100, (16, *shape)).astype(np.int8)
    y = rng.integers(-50, 50, (16, CLASSES)).astype(np.int8)
    np.savez(path, x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    return path


def train(request: Request, data: Path, state: Path | None = None, **options: Any) -> Outcome:
    """In the reference."""
    job = TrainingJob(request, data, "reference", None, replace(OPTIONS, **options), state=state)
    return run_job(job)


def learned(outcome: Outcome) -> dict[str, list[Any]]:
    """Everything that a plan remembers, by name."""
    tensors = unpack_state(outcome.plan, outcome.result.state)
    return {t.name: v.tolist() for t, v in tensors.items()}


def exported(outcome: Outcome, path: Path) -> Path:
    export_state(outcome.job.request, outcome.plan, outcome.result.state, path)
    return path


CASES: dict[str, dict[str, Any]] = {
    "plain": {"update": "last:2"},
    "new head": {"update": "full", "classes": 4},
    "squared error": {"update": "last:2", "loss": "mse"},
    "room": {"update": "head", "loss": "mse"},
    "tail": {"update": "head", "start": "sum"},
    "spare": {"update": "head", "classes": 4, "spare_classes": 2},
    "kept": {"update": "head", "spare_classes": 2, "absent": "keep"},
    "names": {"update": "head", "class_names": ("a", "b", "c", "d")},
}


# Each case one way, and in make test-all both ways.
WAYS = [(case, ("export", "state")[(k + j) % 2]) for j in (0, 1) for k, case in enumerate(CASES)]


@pytest.mark.parametrize(
    ("case", "way"),
    [
        pytest.param(*each, marks=[pytest.mark.exhaustive] if k >= len(CASES) else [])
        for k, each in enumerate(WAYS)
    ],
)
def test_parts_of_a_run_are_the_whole_run(
    case: str, way: str, model: Path, data: Path, tmp_path: Path
) -> None:
    """Not at the end of an epoch, and twice over: 20 + 5 + 15 steps are 40."""
    if case == "tail" or CASES[case].get("loss") == "mse":
        shape = SHAPE[1:] if CASES[case].get("loss") == "mse" else (5, 4, 8)
        data = values_data(data, shape)
    if case == "tail":
        arrays = dict(np.load(data))
        for part in ("train", "test"):
            arrays[f"y_{part}"] = np.arange(len(arrays[f"x_{part}"])) % CLASSES
        np.savez(data, **arrays)
    request = Request.of(model, **CASES[case])
    whole = train(request, data, epochs=3, steps=40, seed=5)
    part, state = train(request, data, epochs=2, steps=20, seed=5), None
    for k, steps in enumerate((5, 15)):
        if way == "export":
            request = Request(exported(part, tmp_path / f"e{k}.tflite"))
        else:
            state = tmp_path / f"s{k}.npz"
            save_state(state, part.plan, part.result.state, part.job.request)
        part = train(request, data, state, epochs=2, steps=steps)

    assert learned(part) == learned(whole)
    assert part.plan.options.class_names == whole.plan.options.class_names
    assert part.result.seed == 5


def test_a_saved_state_exports_as_the_run_does(model: Path, data: Path, tmp_path: Path) -> None:
    outcome = train(Request.of(model, "last:2", classes=3 + 1, spare_classes=1), data)
    at_once = exported(outcome, tmp_path / "a.tflite")
    save_state(tmp_path / "s.npz", outcome.plan, outcome.result.state, outcome.job.request)
    export_saved(model, tmp_path / "s.npz", tmp_path / "b.tflite")

    assert at_once.read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_an_export_with_every_class_in_use_goes_on(model: Path, data: Path, tmp_path: Path) -> None:
    outcome = train(Request.of(model, "head", classes=2, spare_classes=2), data)
    again = train(Request(exported(outcome, tmp_path / "e.tflite")), data)

    assert again.plan.task.active is None and again.plan.classes == 4
    assert again.result.before == outcome.result.after


def test_classes_taken_out_of_use_come_back_untrained(model: Path, tmp_path: Path) -> None:
    request = Request.of(model, "head", classes=2, spare_classes=2)
    plan = request.plan()
    reference = Interpreter(plan)
    reference.set_classes(4)
    for k in range(8):
        reference.step(np.full(SHAPE, 16 * k, np.int8), k % 4)
    reference.set_classes(3)
    export_state(request, plan, reference.state_bytes(), tmp_path / "e.tflite")
    again = Interpreter(Request(tmp_path / "e.tflite").but(spare_classes=1).plan())
    sample = np.full(SHAPE, 7, np.int8)

    assert again.classes == 3 and again.plan.classes == 4
    np.testing.assert_array_equal(again.infer(sample)[:3], reference.infer(sample)[:3])


def test_a_seed_given_beside_a_state_is_taken(model: Path, data: Path, tmp_path: Path) -> None:
    request, saved = Request.of(model, "head"), tmp_path / "s.npz"
    first = train(request, data, seed=3)
    save_state(saved, first.plan, first.result.state, request)
    second = train(request, data, saved, seed=9)

    assert second.result.seed == learned(second)["sgd"][0] == 9


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("loss", "mse", "--loss was cross-entropy"), ("start", "sum", "--from was None"),
     ("spare_classes", 3, "--spare-classes was 0")],
)  # fmt: skip
def test_options_that_an_export_was_not_trained_with_are_refused(
    field: str, value: object, said: str, model: Path, data: Path, tmp_path: Path
) -> None:
    path = exported(train(Request.of(model, "head"), data), tmp_path / "e.tflite")
    with pytest.raises(ModelError, match=said):
        Request(path).but(**{field: value}).plan()

    assert Request.of(path, "head", **{field: value}).plan() is not None


def test_a_state_that_is_left_out_is_told(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = exported(train(Request.of(model, "last:2"), data), tmp_path / "e.tflite")
    printed = ConsoleReporter(Console())
    run_job(TrainingJob(Request.of(path, "head"), data, "reference", None, OPTIONS), printed)

    assert "holds the state of an earlier training" in capsys.readouterr().out


def test_another_plans_state_is_refused_with_its_options(
    model: Path, data: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "s.npz"
    first = train(Request.of(model, "head", classes=4, spare_classes=2), data)
    save_state(saved, first.plan, first.result.state, first.job.request)
    with pytest.raises(
        DataError, match=r"--update head --classes 4 --spare-classes 2 --precondition inputs$"
    ):
        train(Request.of(model, "head", classes=6), data, saved)


def test_a_state_out_of_range_is_refused(model: Path, data: Path, tmp_path: Path) -> None:
    """A class count beyond the head would lead the device out of its logits."""
    request, saved = Request.of(model, "head", classes=4, spare_classes=2), tmp_path / "s.npz"
    first = train(request, data)
    tensors = unpack_state(first.plan, first.result.state)
    assert first.plan.task.active is not None
    tensors[first.plan.task.active] = np.array([99], np.uint32)
    save_state(saved, first.plan, pack_state(first.plan, tensors), request)
    with pytest.raises(ModelError, match="class count out of range"):
        train(request, data, saved)


@pytest.mark.parametrize("kind", ["weights", "fractions", "histories", "sgd", "stored"])
def test_a_saved_state_that_was_changed_is_named(
    kind: str, model: Path, data: Path, tmp_path: Path
) -> None:
    """Each tensor, also where no checksum of the file is wrong."""
    saved, request = tmp_path / "s.npz", Request.of(model, "last:2")
    first = train(request, data)
    save_state(saved, first.plan, first.result.state, request)
    assert train(request, data, saved).result.steps > 0
    arrays, names = dict(np.load(saved)), [t.name for t in first.plan.learning.state]
    part = {
        "weights": first.plan.learned[0].name,
        "fractions": next(n for n in names if "frac" in n),
        "histories": first.plan.learning.histories[0].name,
        "sgd": first.plan.learning.sgd.name,
        "stored": "training_state",
    }[kind]
    arrays[part].reshape(-1)[arrays[part].size // 2] ^= 1
    np.savez(saved, **arrays)

    with pytest.raises((DataError, ModelError), match=f"{saved}.* damaged"):
        train(request, data, saved)
    with pytest.raises((DataError, ModelError), match=f"{saved}.* damaged"):
        export_saved(model, saved, tmp_path / "e.tflite")


@pytest.mark.parametrize("options", [{"classes": 1}, {"loss": "mse"}])
def test_what_a_softmax_would_hide_is_refused_before_training(
    options: dict[str, Any], model: Path, data: Path, tmp_path: Path
) -> None:
    job = TrainingJob(Request.of(model, "head", **options), data, "reference", None, OPTIONS)
    with pytest.raises(ModelError, match="ends in a SOFTMAX"):
        run_job(replace(job, export=tmp_path / "e.tflite"))


def test_an_unexplained_difference_is_named_where_no_node_writes_a_state(model: Path) -> None:
    plan = Request.of(model, "head", classes=2, spare_classes=1).plan()
    verifier = Verifier(plan, 0)

    assert not verifier._state_difference(0, pack_state(plan, verifier.reference.state)).reproduced


@pytest.mark.parametrize("name", ["a */ int evil; /*", "\ud800", "a\nb", "x" * 300, ""])
def test_a_stored_scheme_has_a_proper_name(name: str, model: Path, data: Path) -> None:
    outcome = train(Request.of(model, "head"), data)
    tensors = unpack_state(outcome.plan, outcome.result.state)
    stored = TrainingState.of(outcome.plan, tensors, {})
    raw = replace(stored, scheme=replace(stored.scheme, name=name))
    try:
        found = TrainingState.unpack(raw.pack()).scheme
    except (ModelError, UnicodeEncodeError):
        assert not name.isprintable() or len(name) > 255
    else:
        assert found == Scheme(name, stored.scheme.ratios, stored.scheme.biases)


def test_many_class_names_fit_the_command_line(tmp_path: Path) -> None:
    names = [f"class_{k:03}" for k in range(60)]
    file = tmp_path / "labels.txt"
    file.write_text("\n".join(names))

    assert read_class_names(",".join(names)) == read_class_names(str(file)) == tuple(names)
    with pytest.raises(DataError, match="No such file"):
        read_class_names(str(tmp_path / "none.txt"))


def test_a_model_in_a_file_keeps_its_state(model: Path, data: Path, tmp_path: Path) -> None:
    outcome = train(Request.of(model, "head"), data)
    path = exported(outcome, tmp_path / "e.tflite")
    export_state(outcome.job.request, outcome.plan, outcome.result.state, tmp_path / "f.tflite",
                 resumable=False)  # fmt: skip

    assert load(path).training_state is not None
    assert load(tmp_path / "f.tflite").training_state is None


def test_an_evaluation_is_of_the_file_and_not_of_a_head_with_room(
    model: Path, tmp_path: Path
) -> None:
    data = values_data(tmp_path / "values.npz")
    request = Request.of(model, loss="mse")
    found = run_evaluation(EvaluationJob(request, data), SILENT).found
    plain, roomy = (make_plan(load(model), PlanOptions(loss="mse", headroom=n)) for n in (1, None))
    samples = np.load(data)["x_test"]
    wanted, other = (
        [Interpreter(plan).infer(x.reshape(plan.task.input.type.shape)) for x in samples]
        for plan in (plain, roomy)
    )
    targets = np.load(data)["y_test"].astype(int)
    scale = plain.task.logits.type.scale

    def mse(outputs: list[Any]) -> float:
        return float(np.mean((np.stack(outputs).astype(int) - targets) ** 2)) * scale**2

    assert found.figure == pytest.approx(mse(wanted)) != pytest.approx(mse(other))
