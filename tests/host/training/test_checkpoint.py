# SPDX-License-Identifier: Apache-2.0
"""A run that is killed goes on from its checkpoint, and ends as if nothing had been."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.request import Request
from mcutrain.host.training import run as jobs
from mcutrain.host.training.latents import CachedRunner, HostLatents
from mcutrain.host.training.runners import ReferenceRunner
from tests.support.guarded import samples, with_validation, write
from tests.support.resumed import Died, Dying, arrays, figures, in_parts, run

EACH = 4  # samples of each class


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def plain(folder: Path) -> Path:
    """16 samples of four classes."""
    return write(folder / "plain.npz", samples(EACH))


@pytest.fixture(scope="module")
def validated(folder: Path) -> Path:
    """Four of them validate."""
    return write(folder / "validated.npz", with_validation(samples(EACH), 1))


@pytest.fixture(scope="module")
def streamed(folder: Path) -> Path:
    """A stream with old samples."""
    data, old = samples(EACH), slice(0, 2 * EACH)
    new = replace(data, x_train=data.x_train[2 * EACH :], y_train=data.y_train[2 * EACH :])
    return write(
        folder / "streamed.npz", replace(new, x_old=data.x_train[old], y_old=data.y_train[old])
    )


def uneven(path: Path) -> Path:
    """One class has few samples, so that classes are balanced."""
    data = samples(EACH)
    kept = np.concatenate([np.flatnonzero(data.y_train > 0), np.flatnonzero(data.y_train == 0)[:1]])
    return write(path, replace(data, x_train=data.x_train[kept], y_train=data.y_train[kept]))


# Options of a plan, options of a run, and the steps at which it dies.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[int]]] = {
    "plain": ({}, {"checkpoint_steps": 5}, [3, 16, 22, 47]),
}  # fmt: skip
MORE_CASES: dict[str, tuple[dict[str, Any], dict[str, Any], list[int]]] = {
    "augmented": (
        {"accumulate": 4},
        {"augment": "shift=0.2,noise=0.1,mixup=0.3", "checkpoint_steps": 5, "latents": "off"},
        [13, 37],
    ),
    "verified": ({}, {"verify": True, "checkpoint_steps": 7, "steps": 30}, [20]),
    "off": ({}, {"latents": "off", "schedule": "cosine", "seed": 7}, [30]),
    "narrow": ({"errors": "e8", "weights": "int8"}, {"checkpoint_steps": 11}, [30]),
    "conditioned": ({"precondition": "inputs"}, {"checkpoint_steps": 10}, [25, 40]),
    "new head": ({"classes": 4, "spare_classes": 2}, {"checkpoint_steps": 10}, [15, 40]),
}  # fmt: skip


@pytest.mark.rows
@pytest.mark.parametrize(
    "case", [*CASES, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in MORE_CASES)]
)
def test_a_run_in_parts_is_the_whole_run(
    case: str, model: Path, plain: Path, tmp_path: Path
) -> None:
    plan, options, deaths = (CASES | MORE_CASES)[case]
    assert_same(Request.of(model, "last:2", **plan), plain, tmp_path, deaths, **options)


def assert_same(
    request: Request, data: Path, folder: Path, deaths: list[int], **options: Any
) -> list[Dying]:
    """The file of --save and all figures are those of a run in one go; what was said on the way."""
    (folder / "whole").mkdir()
    whole_options = {k: v for k, v in options.items() if k != "checkpoint_steps"}
    whole = run(request, data, folder / "whole", **whole_options)

    def begin(folder: Path, **more: Any) -> Any:
        return run(request, data, folder, **more)

    (folder / "parts").mkdir()
    found, told = in_parts(folder / "parts", deaths, begin, **options)
    assert arrays(folder / "parts" / "s.npz") == arrays(folder / "whole" / "s.npz")
    assert figures(found) == figures(whole)
    assert found.result.resumed_from is not None
    return told


@pytest.mark.parametrize(
    "deaths", [[10, 25, 36], pytest.param([24, 36], marks=pytest.mark.exhaustive)]
)
def test_the_guards_curve_and_patience_go_on(
    deaths: list[int], model: Path, validated: Path, tmp_path: Path
) -> None:
    options = {"guard": True, "epochs": 4, "patience": 2, "schedule": "constant", "lr": "0.25"}
    assert_same(
        Request.of(model, "full"), validated, tmp_path, deaths, checkpoint_steps=7, **options
    )


def test_a_run_that_the_guard_ended_is_finished(
    model: Path, validated: Path, tmp_path: Path
) -> None:
    request = Request.of(model, "full")
    options: dict[str, Any] = {"guard": True, "epochs": 9, "patience": 1, "schedule": "constant"}
    options |= {"lr": "200", "checkpoint": tmp_path / "c.npz"}
    first = run(request, validated, tmp_path, **options)
    assert first.result.guarded is not None and first.result.guarded.stopped_early
    again = Dying()
    second = run(request, validated, tmp_path, reporter=again, **options)

    assert figures(second) == figures(first)
    assert "train" not in again.phases and "had finished, in 12 steps" in again.said[-1]


def test_nothing_is_looked_for_twice(model: Path, plain: Path, tmp_path: Path) -> None:
    """The rate and the folds: also where the run died before its first step."""
    options: dict[str, Any] = {"guard": True, "lr": "auto", "steps": 12}
    request = Request.of(model, "last:2")
    with pytest.raises(Died):
        run(request, plain, tmp_path, reporter=Dying(1, "before"), checkpoint=tmp_path / "c.npz",
            **options)  # fmt: skip
    told = Dying()
    found = run(request, plain, tmp_path, reporter=told, checkpoint=tmp_path / "c.npz", **options)
    (tmp_path / "whole").mkdir()
    whole = run(request, plain, tmp_path / "whole", **options)

    assert not {"rate", "guard"} & told.phases and "before" in told.phases
    assert figures(found) == figures(whole) and whole.job.decision is not None
    assert arrays(tmp_path / "s.npz") == arrays(tmp_path / "whole" / "s.npz")


@pytest.mark.parametrize("place", ["off", pytest.param("host", marks=pytest.mark.exhaustive)])
def test_a_stream_goes_on_with_its_buffer(
    place: str, model: Path, streamed: Path, tmp_path: Path
) -> None:
    options = {"replay": 6, "replay_ratio": 2, "latents": place, "checkpoint_steps": 7}
    assert_same(Request.of(model, "head"), streamed, tmp_path, [10, 21, 22], **options)


@pytest.mark.exhaustive
def test_balanced_classes_go_on_in_their_order(model: Path, tmp_path: Path) -> None:
    data = uneven(tmp_path / "uneven.npz")
    assert_same(Request.of(model, "head"), data, tmp_path, [12, 50], checkpoint_steps=8)


@pytest.mark.exhaustive
def test_a_run_from_a_saved_state_goes_on(model: Path, plain: Path, tmp_path: Path) -> None:
    request = Request.of(model, "last:2")
    (tmp_path / "first").mkdir()
    run(request, plain, tmp_path / "first", epochs=1, steps=10)
    state = tmp_path / "first" / "s.npz"
    assert_same(request, plain, tmp_path, [10, 30], state=state, checkpoint_steps=9)


@pytest.mark.exhaustive
def test_minutes_are_timed_once(model: Path, plain: Path, tmp_path: Path) -> None:
    """How many steps they hold is settled before the first."""
    request = Request.of(model, "head")
    options: dict[str, Any] = {"epochs": None, "minutes": 0.002, "checkpoint": tmp_path / "c.npz"}
    with pytest.raises(Died):
        run(request, plain, tmp_path, reporter=Dying(1), **options)
    found = run(request, plain, tmp_path, **options)

    assert found.job.budget is not None and found.result.resumed_from == 0
    (tmp_path / "whole").mkdir()
    steps = {"epochs": None, "steps": found.job.budget.steps}
    whole = run(request, plain, tmp_path / "whole", **steps)
    assert arrays(tmp_path / "s.npz") == arrays(tmp_path / "whole" / "s.npz")
    assert found.result.losses == whole.result.losses


@pytest.mark.parametrize("deaths", [[5, 11, 30]])
def test_samples_keep_their_slots_for_latents(
    deaths: list[int], model: Path, plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slots of a device are too few for all samples, and a chain says which steps begin at a
    latent: as many as there are slots, here in the reference."""

    def few_slots(runner: ReferenceRunner, place: str) -> CachedRunner:
        return CachedRunner(runner.plan, runner, HostLatents(runner), slots=6)

    monkeypatch.setattr(jobs, "with_latents", few_slots)
    assert_same(Request.of(model, "head", chain=True), plain, tmp_path, deaths, checkpoint_steps=5)
    assert "chain" in arrays(tmp_path / "parts" / "s.npz")


@pytest.mark.exhaustive
@pytest.mark.parametrize("target", ["native", "sim:mps2_an386"])
def test_a_device_keeps_its_slots_for_latents(
    target: str, model: Path, plain: Path, tmp_path: Path
) -> None:
    request = Request.of(model, "head", chain=True, latent_slots=6)
    options = {"latents": "device", "target": target, "checkpoint_steps": 5}
    assert_same(request, plain, tmp_path, [5, 11, 30], **options)
