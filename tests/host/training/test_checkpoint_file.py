# SPDX-License-Identifier: Apache-2.0
"""Files of checkpoints: of another run, damaged, or that cannot be written."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.request import Request
from mcutrain.host.training import checkpoints
from mcutrain.host.training.checkpoint_file import (
    Checkpoint,
    digest_of,
    read_checkpoint,
    write_checkpoint,
)
from mcutrain.host.training.checkpoints import Checkpoints
from mcutrain.trainer.errors import DataError, Error
from tests.support.guarded import samples, with_validation, write
from tests.support.resumed import Died, Dying, arrays, run
from tests.support.small_models import residual_model

DIES_AT = 10
FEW = 3  # samples of each class


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its data, and the checkpoint of a run that died after 10 steps."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "m.tflite").write_bytes(residual_model())
    write(folder / "d.npz", with_validation(samples(FEW + 1), 1))
    with pytest.raises(Died):
        begin(folder, Dying(DIES_AT))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


def begin(folder: Path, reporter: Dying | None = None, update: str = "head", **options: Any) -> Any:
    asked: dict[str, Any] = {
        "guard": True, "epochs": 2, "checkpoint": folder / "c.npz", "checkpoint_steps": 4,
        **options,
    }  # fmt: skip
    data, plan = asked.pop("data", folder / "d.npz"), asked.pop("plan", {})
    request = Request.of(folder / "m.tflite", update, **plan)
    return run(request, data, folder, reporter=reporter, **asked)


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "length": ({"epochs": 3}, "--epochs was 2 and is 3; .*go on from its --save with --state"),
    "steps": ({"steps": 20}, "--steps was none and is 20"),
    "seed": ({"seed": 1}, "--seed was none and is 1"),
    "rate": ({"lr": "0.5"}, "--lr was 0.015625 and is 0.5"),
    "schedule": ({"schedule": "cosine"}, "--schedule was cooldown and is cosine"),
    "guard": ({"guard": False}, "--guard was on and is off"),
    "patience": ({"patience": 1}, "--patience was 5 and is 1"),
    "verified": ({"verify": True}, "--verify was off and is on"),
    "augmented": ({"augment": "noise=0.1"}, "--augment was none and is noise=0.1"),
    "scheme": ({"update": "last:2"}, "--update was head and is last:2; the plan's numerics hash"),
    "formats": ({"plan": {"errors": "e8"}}, "--errors was e12 and is e8"),
    "several": ({"seed": 1, "epochs": 3}, "--epochs was 2 and is 3; --seed was none and is 1"),
}
OFTEN = ("length", "rate", "scheme", "several")


@pytest.mark.rows
@pytest.mark.parametrize(
    "case",
    [
        name if name in OFTEN else pytest.param(name, marks=pytest.mark.exhaustive)
        for name in OTHERS
    ],
)
def test_the_checkpoint_of_another_run_is_refused_by_name(case: str, folder: Path) -> None:
    options, said = OTHERS[case]
    before = (folder / "c.npz").read_bytes()
    with pytest.raises(DataError, match=f"is the checkpoint of another run: .*{said}") as told:
        begin(folder, **options)

    assert "\n" not in str(told.value) and "--fresh" in str(told.value)
    assert (folder / "c.npz").read_bytes() == before


@pytest.mark.rows
@pytest.mark.parametrize("name", ["x_train", "y_val"])
def test_data_with_another_byte_are_refused_by_name(name: str, folder: Path) -> None:
    with np.load(folder / "d.npz") as file:
        content = dict(file)
    changed = content[name] = content[name].copy()
    changed.flat[0] = (int(changed.flat[0]) + 1) % 4
    np.savez(folder / "d.npz", **content)
    with pytest.raises(DataError, match=f"another run: {name} of the data is another; "):
        begin(folder)


def test_another_model_is_refused_by_name(folder: Path) -> None:
    (folder / "m.tflite").write_bytes(residual_model(seed=1))
    with pytest.raises(DataError, match="another run: the model's file is another; the plan's"):
        begin(folder)


def test_another_state_to_begin_with_is_refused_by_name(folder: Path) -> None:
    begin(folder, checkpoint=None, checkpoint_steps=None)
    with pytest.raises(DataError, match="another run: --state is another; "):
        begin(folder, state=folder / "s.npz")


def test_what_changes_no_bit_may_change(folder: Path) -> None:
    """Where latents lie, and how the file is called."""
    (folder / "d.npz").rename(folder / "e.npz")
    found = begin(folder, data=folder / "e.npz", latents="off")
    assert found.result.resumed_from == 8  # every 4 steps, and the death at the tenth


def test_with_a_chain_latents_stay_where_they_were(folder: Path) -> None:
    """A chain tells which steps began at one."""
    plan = {"chain": True}
    with pytest.raises(Died):
        begin(folder, Dying(DIES_AT), plan=plan, beginning="fresh")
    with pytest.raises(DataError, match="another run: --latents was host and is off; give that"):
        begin(folder, plan=plan, latents="off")
    assert begin(folder, plan=plan).result.resumed_from == 8


@pytest.mark.exhaustive
def test_with_a_chain_there_are_as_many_slots_as_before(folder: Path) -> None:
    options = {"latents": "device", "target": "native"}
    few, more = ({"chain": True, "latent_slots": slots} for slots in (4, 5))
    with pytest.raises(Died):
        begin(folder, Dying(DIES_AT), plan=few, beginning="fresh", **options)
    with pytest.raises(DataError, match="another run: --latent-slots was 4 and is 5; "):
        begin(folder, plan=more, **options)
    assert begin(folder, plan=few, **options).result.resumed_from == 8


def test_fresh_begins_anew(folder: Path) -> None:
    found = begin(folder, seed=9, beginning="fresh")
    assert found.result.resumed_from is None
    assert begin(folder, seed=9).result.resumed_from == 24


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (0.0, "is no checkpoint: give another file"),
        (0.9, "is damaged, or no checkpoint: .*--fresh"),
    ],
)
def test_a_truncated_checkpoint_is_refused(part: float, said: str, folder: Path) -> None:
    path = folder / "c.npz"
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(DataError, match=said) as told:
        begin(folder)
    assert "\n" not in str(told.value)


def test_no_changed_byte_goes_unseen(folder: Path) -> None:
    """It is refused; or it is of the archive's own, and nothing that is read is another."""
    path, rng = folder / "c.npz", random.Random(0)
    content = path.read_bytes()
    good, refused = read_checkpoint(path), 0
    for _ in range(150):
        at = rng.randrange(len(content))
        path.write_bytes(
            content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        )
        try:
            found = read_checkpoint(path)
        except DataError:
            refused += 1
            continue
        assert digest_of(found.arrays.items()) == digest_of(good.arrays.items())
        assert (found.identity, found.reached) == (good.identity, good.reached)
    assert refused > 100


def test_other_files_are_no_checkpoints(folder: Path) -> None:
    for other in ("d.npz", "m.tflite"):
        before = (folder / other).read_bytes()
        with pytest.raises(DataError, match=r"no checkpoint: give another file"):
            begin(folder, checkpoint=folder / other)
        assert (folder / other).read_bytes() == before
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        begin(folder, checkpoint=folder)


def lies(found: Checkpoint) -> dict[str, Checkpoint]:
    """Checkpoints whose digest is right, and which no run has written."""
    reached: dict[str, Any] = dict(found.reached or {})
    guard = dict(reached["guard"])

    def but(reached: Any = reached, **more: Any) -> Checkpoint:
        told: dict[str, Any] = {
            "decided": found.decided, "arrays": found.arrays, "reached": reached, **more,
        }  # fmt: skip
        return Checkpoint(found.path, found.identity, **told)

    def decided(name: str, **more: Any) -> Checkpoint:
        return but(decided={**found.decided, name: {**found.decided[name], **more}})

    def guarded(**more: Any) -> Checkpoint:
        return but({**reached, "guard": {**guard, **more}})

    now = found.arrays["now/sgd"].copy()
    now[1] += 1
    (first, *scores), predicted = guard["curve"][0], found.arrays["predicted"].copy()
    predicted[0] = 10**9
    return {
        "steps": but({**reached, "steps": 7}),
        "of the state": but(arrays={**found.arrays, "now/sgd": now}),
        "no text": but({**reached, "epochs": "two"}),
        "epochs": but({**reached, "epochs": 99}),
        "an epoch": but({**reached, "epochs": reached["epochs"] + 1}),
        "planned": but({**reached, "planned": 10**12}),
        "no curve": guarded(best=99),
        "before the curve": guarded(best=-1),
        "empty curve": guarded(curve=[], best=0),
        "score": guarded(curve=[[first, 5, 0, 0.0]]),
        "best state": guarded(curve=[[first + 1, *scores]], best=0),
        "stale": guarded(stale=-1),
        "over": guarded(stopped_early=1),
        "no guard": but({**reached, "guard": None}),
        "no runners": but({k: v for k, v in reached.items() if k != "runners"}),
        "runners": but({**reached, "runners": 5}),
        "a runner": but({**reached, "runners": [5]}),
        "a runner of nothing": but({**reached, "runners": [{}]}),
        "computed": but({**reached, "runners": [{"computed": -1, "reused": 0, "slots": []}]}),
        "no seconds": but({**reached, "seconds": float("inf")}),
        "no list": but([1, 2]),
        "no losses": but(arrays={k: v for k, v in found.arrays.items() if k != "losses"}),
        "misshapen": but(arrays={**found.arrays, "now/sgd": now[:2]}),
        "no state": but(arrays={k: v for k, v in found.arrays.items() if k != "best/sgd"}),
        "answers": but(arrays={**found.arrays, "codes": found.arrays["codes"][:3]}),
        "a class": but(arrays={**found.arrays, "predicted": predicted}),
        "no options": but(decided={}),
        "rate": but(decided={**found.decided, "rate": {"chosen": 1, "other": 2}}),
        "years": decided("options", epochs=10**12),
        "all steps": decided("options", steps=10**12),
        "another rate": decided("options", rate=0.5),
        "no rate": decided("options", rate="x"),
        "guard": decided("options", guard=3),
        "tried": decided("rate", tried=[{"rate": -1.0, "loss": 0.5}]),
        "learns": decided("rate", tried=[{"rate": 1.0, "loss": 0.5}], first_loss=None),
        "minutes": but(decided={**found.decided, "budget": {
            "minutes": 1e9, "steps": 10**12, "samples": 1, "seconds_per_step": 0.0}}),
        "unguarded": but(decided={**found.decided, "unguarded": "a\nb"}),
        "folds": but(decided={**found.decided, "decision": {"before": {}, "after": {}}}),
    }  # fmt: skip


LIES = (
    "steps", "of the state", "no text", "epochs", "an epoch", "planned", "no curve",
    "before the curve", "empty curve", "score", "best state", "stale", "over", "no guard",
    "no runners", "runners", "a runner", "a runner of nothing", "computed", "no seconds",
    "no list", "no losses", "misshapen", "no state", "answers", "a class", "no options", "rate",
    "years", "all steps", "another rate", "no rate", "guard", "tried", "learns", "minutes",
    "unguarded", "folds",
)  # fmt: skip


@pytest.mark.rows
@pytest.mark.parametrize("case", LIES)
def test_a_checkpoint_that_lies_is_refused_in_one_line(case: str, folder: Path) -> None:
    found = lies(read_checkpoint(folder / "c.npz"))
    assert {*found} == {*LIES}
    write_checkpoint(found[case])
    with pytest.raises(Error, match=r"is damaged: ") as told:
        begin(folder)
    assert "\n" not in str(told.value) and len(str(told.value)) < 500


def test_a_verified_run_needs_to_know_how_many_steps_were(folder: Path) -> None:
    with pytest.raises(Died):
        begin(folder, Dying(DIES_AT), verify=True, beginning="fresh")
    found = read_checkpoint(folder / "c.npz")
    for verified in ({}, {"verified": "x"}, {"verified": 10**6}):
        told = {k: v for k, v in (found.reached or {}).items() if k != "verified"}
        write_checkpoint(replace(found, reached={**told, **verified}))
        with pytest.raises(DataError, match=r"is damaged: where its steps began"):
            begin(folder, verify=True)


def test_a_later_version_is_refused(folder: Path) -> None:
    with np.load(folder / "c.npz") as file:
        content = {name: file[name] for name in file.files if name != "sha256"}
    header = json.loads(content["checkpoint"].tobytes())
    header["version"] = 99
    content["checkpoint"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    digest = np.frombuffer(digest_of(content.items()), np.uint8)
    np.savez(folder / "c.npz", **content, sha256=digest)
    with pytest.raises(DataError, match="has version 99, and this program reads 1"):
        begin(folder)


def test_a_full_disk_stops_no_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkpoint before stays whole, and it is said once."""
    before, told = (folder / "c.npz").read_bytes(), Dying()

    def full(checkpoint: Checkpoint) -> None:
        raise Error(f"cannot write {checkpoint.path}: No space left on device")

    monkeypatch.setattr(checkpoints, "write_checkpoint", full)
    found = begin(folder, told)

    assert found.result.steps == 24
    assert [said for said in told.said if "No space left" in said] == [
        f"note: no checkpoint: cannot write {folder / 'c.npz'}: No space left on device; the one "
        "before stays, and the run goes on"
    ]
    assert (folder / "c.npz").read_bytes() == before
    monkeypatch.undo()
    saved = arrays(folder / "s.npz")
    assert begin(folder).result.steps == 24 and arrays(folder / "s.npz") == saved


class Recorder:
    """Goes along with a run."""

    def __init__(self) -> None:
        self.resumed: list[dict[str, Any]] = []

    def position(self) -> dict[str, Any]:
        return {"lines": 17}

    def resume(self, position: dict[str, Any]) -> None:
        self.resumed.append(position)


def test_who_goes_along_with_a_run_goes_on_with_it(folder: Path) -> None:
    path, recorder = folder / "c.npz", Recorder()
    found = read_checkpoint(path)
    gone_on = Checkpoints(path, None, found.identity, print, found)
    with pytest.raises(Error, match=r"--record: the run of .* has begun without it"):
        gone_on.join("record", recorder)

    anew = Checkpoints(path, None, found.identity, print)
    anew.join("record", recorder)
    anew.decide(found.decided, {})
    anew.reach(found.reached or {}, found.arrays)
    again = Checkpoints(path, None, found.identity, print, read_checkpoint(path))
    again.join("record", recorder)
    again.resume_joined()
    assert recorder.resumed == [{"lines": 17}]
