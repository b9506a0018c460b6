# SPDX-License-Identifier: Apache-2.0
"""`mcutrain unlearn`: what is learned again does not depend on the samples that were left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.record.unlearn import Unlearned, UnlearnJob, run_unlearn
from mcutrain.host.training.augmentation import Augmentation
from mcutrain.host.training.balance import balanced_order
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.feed import Feed
from mcutrain.host.training.leaving_out import LeftOut, without
from mcutrain.host.training.rates import NO_SAMPLE
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.errors import DataError, Error
from tests.support.command import Run
from tests.support.guarded import samples, small_plan
from tests.support.marks import exhaustive
from tests.support.records import PLAIN, Recorded, files, recorded, recorded_here

OUT = LeftOut.parse("3,7,test:2")
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "everything is decided": ({"per_class": 5}, {"lr": "auto", "guard": True, "epochs": 1}),
    "best state": ({"validates": True}, {"guard": True}),
    "stream": ({"old": True}, {"replay": 6, "replay_ratio": 2}),
    "augmented": ({}, {"augment": "mixup=0.5,noise=0.5"}),
    "augmented stream": ({"old": True}, {"replay": 6, "augment": "noise=0.5"}),
    "balanced": ({}, {"balance": "on"}),
    "input shifts": ({}, {"precondition": "inputs"}),
    "absent classes": ({}, {"absent": "keep"}),
    "spare classes": ({}, {"spare_classes": 2}),
}
LONG = {*KINDS} - {"augmented", "balanced"}


def unlearned(found: Recorded, out: LeftOut = OUT, **options: Any) -> Unlearned:
    save, new = found.folder / "new.npz", found.folder / "new.jsonl"
    return run_unlearn(UnlearnJob(found.record, found.data, out, save, new, **options))


def spoil(found: Recorded, splits: tuple[str, ...]) -> None:
    """Make other samples of those that are left out, of another class."""
    arrays = dict(np.load(found.data))
    for split, numbers in OUT.parts():
        if split in splits:
            for name in (f"x_{split}", f"y_{split}"):
                arrays[name] = arrays[name].copy()
            x, y = arrays[f"x_{split}"], arrays[f"y_{split}"]
            for number in numbers:
                x[number], y[number] = 127 - x[number] // 2, (y[number] + 1) % 4
    np.savez(found.data, **arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [exhaustive(kind, LONG) for kind in KINDS])
def test_nothing_depends_on_what_was_left_out(kind: str, run: Run, tmp_path: Path) -> None:
    """The same with other samples in their place, of other classes: all else is equal in all bits,
    the record too."""
    made, options = KINDS[kind]
    found = list[Recorded]()
    told = list[Unlearned]()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        each = files(tmp_path / name, **made)
        if name == "b":
            spoil(each, ("train", "test"))
        recorded_here(each, **options)
        found.append(each)
        told.append(unlearned(each))
    one, other = ([json.loads(x) for x in (f.folder / "new.jsonl").open()] for f in found)

    assert told[0].claims and told[0].state == told[1].state
    assert one[1:] == other[1:] and len(one) > 10
    assert one[0]["data"]["arrays"] == other[0]["data"]["arrays"]
    assert found[0].lines()[1:] != found[1].lines()[1:]  # which could tell the samples apart
    with np.load(found[0].folder / "new.npz") as a, np.load(found[1].folder / "new.npz") as b:
        assert all(np.array_equal(a[key], b[key]) for key in a.files)
    new = Recorded(found[0].folder)
    (new.folder / "new.jsonl").rename(new.record)
    assert new.audited(run, "--state", new.folder / "new.npz")["proves"]


def test_the_numbers_of_all_other_steps_stay(run: Run, tmp_path: Path) -> None:
    found = recorded_here(files(tmp_path))
    before = found.lines()[1:-1]
    told = unlearned(found)
    after = [json.loads(line) for line in (tmp_path / "new.jsonl").open()][1:-1]
    kept = {line["step"]: (line["sample"], line["label"], line["rate"]) for line in before}
    events = [line["step"] for line in after if line.get("event") == "left out"]
    steps = {
        line["step"]: (line["sample"], line["label"], line["rate"])
        for line in after
        if "event" not in line
    }

    assert told.steps == len(steps) == 28 and told.left_steps == len(events) == 4
    assert steps == {k: v for k, v in kept.items() if v[0] not in (3, 7)}
    assert {*events} == {k for k, v in kept.items() if v[0] in (3, 7)}


@pytest.mark.exhaustive
def test_data_without_the_samples_prove_the_new_record_and_go_on(run: Run, tmp_path: Path) -> None:
    """Whoever has deleted the samples can audit still, and leave out others; numbers stay."""
    found = recorded_here(files(tmp_path))
    unlearned(found)
    (tmp_path / "new.jsonl").rename(found.record)
    arrays = dict(np.load(found.data))
    rest, tests = np.delete(np.arange(16), [3, 7]), np.delete(np.arange(12), [2])
    for name, chosen in (("train", rest), ("test", tests)):
        arrays |= {f"{axis}_{name}": arrays[f"{axis}_{name}"][chosen] for axis in "xy"}
    np.savez(found.data, **arrays)  # type: ignore[arg-type]

    assert found.audited(run)["proves"] and not found.audited(run)["notes"]
    told = unlearned(found, LeftOut.parse("8"))
    header = json.loads((tmp_path / "new.jsonl").open().readline())
    assert header["left_out"] == {"train": [3, 7, 8], "test": [2]} and told.left_steps == 6


def test_what_cannot_be_claimed_is_said_before_anything_is_learned(
    run: Run, tmp_path: Path
) -> None:
    found = recorded_here(files(tmp_path))
    found.state.rename(tmp_path / "before.npz")
    recorded(run, found, *PLAIN, "--chain", "--state", tmp_path / "before.npz")
    with pytest.raises(Error, match="began with a state of 32 steps, and this record does not"):
        unlearned(found)
    assert not (tmp_path / "new.npz").exists()
    ran = run(
        "unlearn", found.record, "--data", found.data, "--without", "3", "--save",
        tmp_path / "new.npz", "--unclaimed", "-q",
    )  # fmt: skip
    assert ran.status == 3 and "not claimed: the run began" in ran.out
    assert (tmp_path / "new.npz").exists()


def test_the_model_that_the_record_names_is_not_written_over(tmp_path: Path) -> None:
    found = recorded_here(files(tmp_path))
    before = found.model.read_bytes()
    with pytest.raises(Error, match=r"--save: .* is the model itself"):
        run_unlearn(UnlearnJob(found.record, found.data, OUT, found.model, None))
    assert found.model.read_bytes() == before


def test_a_twin_of_a_sample_is_a_reason_not_to_claim(tmp_path: Path) -> None:
    found = files(tmp_path, validates=True)
    arrays = dict(np.load(found.data))
    arrays["x_val"] = arrays["x_val"].copy()
    arrays["x_val"][1] = arrays["x_train"][3]
    np.savez(found.data, **arrays)  # type: ignore[arg-type]
    recorded_here(found)

    with pytest.raises(Error, match="sample val:1 is equal to sample 3: leave them out as well"):
        unlearned(found, LeftOut.parse("3"))
    assert unlearned(found, LeftOut.parse("3,val:1")).claims


@pytest.mark.exhaustive
def test_a_model_that_learned_before_is_a_reason_not_to_claim(run: Run, tmp_path: Path) -> None:
    """Though its state is not gone on with: its weights know what they learned from."""
    found, trained = files(tmp_path), tmp_path / "trained.tflite"
    recorded(run, found, *PLAIN, "--export", trained)
    trained.replace(found.model)
    recorded(run, found, "--update", "last:1", *PLAIN)

    with pytest.raises(Error, match="holds what an earlier training learned"):
        unlearned(found)


def test_a_model_that_was_calibrated_is_a_reason_not_to_claim(run: Run, tmp_path: Path) -> None:
    found = files(tmp_path)
    original = tmp_path / "original.tflite"
    found.model.rename(original)
    ran = run("calibrate", original, "--data", found.data, "--output", found.model, "-q")
    assert ran.status == 0, ran.err
    recorded_here(found)

    with pytest.raises(Error, match=r"were calibrated with samples \(16 samples\): calibrate"):
        unlearned(found)


@pytest.mark.exhaustive
def test_sums_of_several_samples_cannot_lose_one(tmp_path: Path) -> None:
    found = recorded_here(files(tmp_path), accumulate=4)

    with pytest.raises(Error, match="--accumulate 4 several samples make one change together"):
        unlearned(found, unclaimed=True)


@pytest.mark.parametrize(
    ("asked", "steps"),
    [({"epochs": 10**6}, "16,000,000"), ({"replay": 6, "replay_ratio": 10**5}, "1,600,016")],
)
def test_a_record_cannot_ask_for_a_run_without_end(
    asked: dict[str, int], steps: str, tmp_path: Path
) -> None:
    found = recorded_here(files(tmp_path))
    lines = found.lines()
    lines[0]["asked"] |= asked
    found.write(lines)
    with pytest.raises(Error, match=f"line 1: it asks for {steps} steps, and its run took 32: "):
        unlearned(found)
    lines[0]["asked"] |= {"replay": None, "epochs": 10**6, "steps": 32}  # which end it
    found.write(lines)
    assert unlearned(found).steps == 28


def test_other_data_and_other_samples_are_refused(tmp_path: Path) -> None:
    found = recorded_here(files(tmp_path))
    with pytest.raises(DataError, match="there is no sample 99 in train: its numbers are 0 to 15"):
        unlearned(found, LeftOut.parse("3,99"))
    with pytest.raises(DataError, match="there is no sample 0 in val: its numbers are none"):
        unlearned(found, LeftOut.parse("val:0"))
    with pytest.raises(DataError, match="no sample of train would be left"):
        unlearned(found, LeftOut.parse("0-15"))
    arrays = dict(np.load(found.data))
    arrays["y_train"] = (arrays["y_train"] + 1) % 4
    np.savez(found.data, **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="not the data of the record: y_train differ"):
        unlearned(found)


@pytest.mark.parametrize(
    "text", ["", "x", "3,,4", "5-3", "0-99999999", "old", "mine:3", "-1", "1.5"]
)
def test_what_is_no_list_of_samples_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="--without: '"):
        LeftOut.parse(text)


def test_a_list_is_told_as_it_can_be_given() -> None:
    found = LeftOut.parse("9,2-4,old:1,val:5")

    assert LeftOut.parse(str(found)) == found and str(found) == "2,3,4,9,val:5,old:1"
    assert str(found.joined(LeftOut.parse("3,8"))) == "2,3,4,8,9,val:5,old:1"


def test_an_order_has_gaps_where_samples_were_left_out() -> None:
    plan, data = small_plan(), samples(4)
    less = without(data, LeftOut.parse("3,7"))
    options = TrainingOptions(3)
    whole, gaps = (Feed(plan, each, options, 5, 6).order for each in (data, less))
    numbers = np.array([NO_SAMPLE if k == NO_SAMPLE else less.number_of(k) for k in gaps])

    assert len(gaps) == len(whole) == 48
    np.testing.assert_array_equal(numbers, np.where(np.isin(whole, [3, 7]), NO_SAMPLE, whole))


def test_a_balanced_order_knows_only_what_is_left() -> None:
    y = np.array([0, 0, 0, 0, 0, 1])
    order = balanced_order(y, 2, 3, left_out=2).reshape(2, 8)
    alone = balanced_order(y, 2, 3).reshape(2, 6)

    np.testing.assert_array_equal(order[:, :6], alone)
    assert (order[:, 6:] == NO_SAMPLE).all()


def test_augmentation_keeps_its_draws_and_forgets_what_is_gone() -> None:
    """Noise is drawn by the number that a sample had; its spread is that of what is left."""
    plan, data = small_plan(), samples(4)
    less = without(data, LeftOut.parse("0"))
    asked = TrainingOptions(1, augment=Augmentation.parse("gain=0.5"))
    whole, gaps = (Feed(plan, each, asked, 5, 0) for each in (data, less))
    k = int(np.flatnonzero(whole.order == 9)[0])

    np.testing.assert_array_equal(whole.at(k)[0], gaps.at(k)[0])
    spoiled = Dataset(data.x_train.copy(), data.y_train, data.x_test, data.y_test)
    spoiled.x_train[0] = 127
    asked = TrainingOptions(1, augment=Augmentation.parse("noise=1"))
    a, b = (Feed(plan, without(d, LeftOut.parse("0")), asked, 5, 0) for d in (data, spoiled))
    np.testing.assert_array_equal(a.at(k)[0], b.at(k)[0])
