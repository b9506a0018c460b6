# SPDX-License-Identifier: Apache-2.0
"""`mcutrain train --record` and `mcutrain audit`: what happened is proved, whatever a run did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mcutrain
from tests.support.command import AT_A_RATE, Run
from tests.support.marks import exhaustive
from tests.support.paths import WATCH
from tests.support.records import PLAIN, RATE, Recorded, files, recorded, recorded_here

KINDS: dict[str, tuple[dict[str, Any], tuple[object, ...]]] = {
    "plain": ({}, PLAIN),
    "validation": ({"validates": True}, RATE),
    "bad rate": ({"validates": True}, ("--lr", 200)),
    "folds and rate": ({}, ()),
    "stream": ({"old": True}, (*PLAIN, "--replay", 6, "--replay-ratio", 2)),
    "augmented stream": ({}, (*PLAIN, "--replay", 6, "--augment", "noise=0.5")),
    "augmented": ({}, (*PLAIN, "--augment", "mixup=0.5,noise=0.2")),
    "balanced": ({}, (*PLAIN, "--balance", "on")),
    "input shifts": ({}, (*PLAIN, "--precondition", "inputs")),
    "spare classes": ({}, (*PLAIN, "--spare-classes", 2)),
    "absent classes": ({}, (*PLAIN, "--absent", "keep")),
    "new head": ({}, (*PLAIN, "--classes", 6, "--schedule", "cosine")),
    "sums": ({}, (*PLAIN, "--accumulate", 3)),
    "whole network": ({}, (*PLAIN, "--update", "full")),
    "no latents": ({}, (*PLAIN, "--latents", "off")),
    "values": ({}, (*PLAIN, "--loss", "mse", "--steps", 9)),
    "no step": ({}, (*PLAIN, "--steps", 0)),
    "stopped epoch": ({}, (*PLAIN, "--steps", 5, "--seed", 9)),
}


SHORT = {"validation", "stream"}


@pytest.mark.parametrize("kind", [exhaustive(kind, {*KINDS} - SHORT) for kind in KINDS])
def test_what_a_run_did_is_proved(kind: str, run: Run, tmp_path: Path) -> None:
    made, options = KINDS[kind]
    found = files(tmp_path, **made)
    if kind == "values":
        arrays = dict(np.load(found.data))
        rng = np.random.default_rng(3)
        for split in ("train", "test"):
            arrays[f"y_{split}"] = rng.normal(size=(len(arrays[f"x_{split}"]), 4)).astype("f4")
        np.savez(found.data, **arrays)  # type: ignore[arg-type]
    recorded(run, found, *options)
    told = found.audited(run, "--state", found.state)

    assert told["proves"], told["failure"]
    lines = found.lines()
    steps = [line for line in lines if "step" in line and "event" not in line]
    assert told["steps"] == len(steps) == lines[-1]["end"]
    assert told["ended"] and not told["notes"] and told["chain"] == lines[-1]["head"]
    assert (np.load(found.state)["chain"].tobytes().hex()) == lines[-1]["head"]


def test_a_run_that_the_guard_takes_back_ends_in_the_state_before(run: Run, tmp_path: Path) -> None:
    found = recorded(run, files(tmp_path, validates=True), "--lr", 200, "--schedule", "step")
    *_, restored, end = found.lines()

    assert restored["event"] == "restored" and restored["step"] == end["kept"] < end["end"]
    assert found.audited(run, "--state", found.state)["proves"]


@pytest.mark.exhaustive
def test_the_record_says_what_a_stream_recalled(run: Run, tmp_path: Path) -> None:
    options = (*PLAIN, "--replay", 6, "--replay-ratio", 2)
    steps = recorded(run, files(tmp_path, old=True), *options).lines()[1:-1]
    new = [step["sample"] for step in steps if not step.get("recalled")]

    assert new == list(range(16)) and len(steps) == 3 * 16
    assert any(step.get("of") == "old" and step["recalled"] for step in steps)


@pytest.mark.exhaustive
def test_an_export_is_proved_and_another_is_not(run: Run, tmp_path: Path) -> None:
    found = recorded(run, files(tmp_path), *PLAIN, "--export", tmp_path / "trained.tflite")

    assert found.audited(run, "--state", found.exported)["proves"]
    raw = bytearray(found.exported.read_bytes())
    raw[len(raw) // 2] ^= 1
    found.exported.write_bytes(raw)
    told = found.audited(run, "--state", found.exported)
    assert not told["proves"] and "is not the export of the state" in told["failure"]


@pytest.mark.exhaustive
def test_going_on_is_recorded_from_the_state_it_began_with(run: Run, tmp_path: Path) -> None:
    found = recorded(run, files(tmp_path), *PLAIN)
    found.state.rename(tmp_path / "before.npz")
    options = (*PLAIN, "--chain", "--state", tmp_path / "before.npz")
    again = recorded(run, found, *options)
    header = again.lines()[0]

    assert header["begin"]["step"] == 32 and header["begin"]["state"]
    assert again.lines()[1]["step"] == 32
    assert again.audited(run, "--state", again.state)["proves"]


@pytest.mark.exhaustive
def test_a_model_beside_the_record_is_found_and_another_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    found = recorded(run, files(tmp_path / "a"), *PLAIN)
    (tmp_path / "a").rename(tmp_path / "b")
    moved = Recorded(tmp_path / "b")

    assert moved.audited(run)["proves"]
    moved.model.write_bytes(moved.model.read_bytes() + b"\0")
    assert "is not the model of" in moved.audited(run)["failure"]
    moved.model.unlink()
    assert "give --model FILE" in moved.audited(run)["failure"]
    assert found.folder != moved.folder


@pytest.mark.exhaustive
def test_data_in_another_order_are_found_by_their_hash(run: Run, tmp_path: Path) -> None:
    found = recorded(run, files(tmp_path), *PLAIN)
    arrays = dict(np.load(found.data))
    arrays |= {name: arrays[name][::-1].copy() for name in ("x_train", "y_train")}
    np.savez(found.data, **arrays)  # type: ignore[arg-type]
    told = found.audited(run)

    assert told["proves"] and "x_train, y_train" in told["notes"][0]


@pytest.mark.exhaustive
@pytest.mark.parametrize("latents", ["off", "host", "device"])
@pytest.mark.parametrize("target", ["native", "sim:mps2_an386"])
def test_a_device_keeps_the_chain_itself(
    target: str, latents: str, run: Run, tmp_path: Path
) -> None:
    slots = ("--latent-slots", 8) if latents == "device" else ()
    options = ("--target", target, "--latents", latents, *slots)
    found = recorded(run, files(tmp_path), *PLAIN, *options)
    told = found.audited(run, "--state", found.state)

    assert told["proves"] and told["kept_by"] == "device"


@pytest.mark.exhaustive
def test_the_reference_is_recorded_with_verify_too(run: Run, tmp_path: Path) -> None:
    """It has no chain of its own to be compared with."""
    args = ("--update", "head", "--epochs", 1, "--verify", "--record", tmp_path / "r.jsonl")
    options = (*AT_A_RATE, "--no-guard", "--json")
    ran = run("train", WATCH / "watch.tflite", "--data", WATCH / "demo.npz", *args, *options)

    assert ran.status == 0, ran.err
    assert (tmp_path / "r.jsonl").is_file()


def test_audit_tells_people_what_it_proved(run: Run, tmp_path: Path) -> None:
    found = recorded(run, files(tmp_path), *PLAIN)
    ran = run("audit", found.record, "--data", found.data, "-q")

    assert ran.status == 0 and "32 steps" in ran.out and "only the host kept" in ran.out
    assert json.loads(found.record.read_text().splitlines()[0])["kept_by"] == "host"


def test_a_run_that_was_stopped_goes_on_in_its_record(run: Run, tmp_path: Path) -> None:
    """The record of a run in two parts is that of one in a piece, but for its header."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = recorded_here(files(tmp_path / "whole"), precondition="auto")
    parts = files(tmp_path / "parts")
    checkpoint = tmp_path / "run.checkpoint"

    class Stop(mcutrain.Callback):
        def on_step(self, step: mcutrain.Step) -> None:
            if step.number == 21:
                raise mcutrain.StopTraining

    def trainer(*callbacks: mcutrain.Callback) -> mcutrain.Trainer:
        return mcutrain.Trainer(
            mcutrain.plan(parts.model, update="last:2"), str(parts.data), epochs=2, lr=0.03125,
            guard=False, record=parts.record, save=parts.state, checkpoint=checkpoint,
            checkpoint_steps=7, callbacks=callbacks,
        )  # fmt: skip

    trainer(Stop()).fit()
    cut = parts.lines()
    trainer().fit()

    assert cut[-1]["end"] == 21 and cut[1:-1] == whole.lines()[1:23]
    assert parts.lines()[1:] == whole.lines()[1:]
    assert parts.audited(run, "--state", parts.state)["proves"]
