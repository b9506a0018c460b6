# SPDX-License-Identifier: Apache-2.0
"""The chain of the reference (SPEC 4.2), against hashes that are made here from its text."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import lay_out
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.sgd import LearningRate
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.record_chain import Entry, advance
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import TrainingState, resumed
from tests.support.exports import exported
from tests.support.generated import small
from tests.support.headers import constants
from tests.support.native import NativeModel
from tests.support.small_models import residual_model


def hashed(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()[:16]


def u32(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def chain_of(reference: Interpreter) -> bytes:
    assert reference.plan.learning.chain is not None
    return reference.state[reference.plan.learning.chain].tobytes()


def drawn(plan: TrainingPlan, seed: int = 0) -> Array:
    shape = plan.task.input.type.shape
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


def test_each_step_hashes_its_entry() -> None:
    reference = Interpreter(small("last:2", chain=True), seed=5)
    plan, x = reference.plan, drawn(reference.plan)
    chain = hashed(b"mcutrain record 1", plan.numerics_hash, u32(5))
    assert chain_of(reference) == chain

    reference.step(x, 3)
    chain = hashed(chain, hashed(x.tobytes()), u32(3, 0), bytes([128, 13, 0, 0]), u32(0))
    assert chain_of(reference) == chain

    reference.set_learning_rate(LearningRate(200, 9))
    latent = reference.latent_of(x)
    reference.step_from_latent(latent, 1)
    chain = hashed(chain, hashed(latent.tobytes()), u32(1, 1), bytes([200, 9, 1, 0]), u32(0))
    assert chain_of(reference) == chain

    reference.step_from_latent(latent, 2, x)  # what the reference saves, but the device does not
    chain = hashed(chain, hashed(x.tobytes()), u32(2, 2), bytes([200, 9, 0, 0]), u32(0))
    assert chain_of(reference) == chain

    reference.infer(x)
    with pytest.raises(ValueError, match="label 4"):
        reference.step(x, 4)
    assert chain_of(reference) == chain and reference.steps == 3


def test_a_target_is_hashed_behind_the_sample() -> None:
    reference = Interpreter(small("head", chain=True, loss="mse"))
    x, target = drawn(reference.plan), np.arange(4, dtype=np.int8)
    before = chain_of(reference)
    reference.step(x, target)
    entry = before + hashed(x.tobytes(), target.tobytes()) + u32(0, 0)

    assert chain_of(reference) == hashed(entry, bytes([128, 13, 0, 0]), u32(0))


def test_classes_in_use_are_in_the_entry_where_some_are_spare() -> None:
    reference = Interpreter(small("head", classes=3, spare_classes=2, chain=True))
    reference.step(drawn(reference.plan), 2)
    assert reference.entry is not None and reference.entry.classes == 3
    reference.set_classes(5)
    reference.step(drawn(reference.plan), 4)

    assert reference.entry.classes == 5


def test_an_entry_packs_and_unpacks() -> None:
    entry = Entry(bytes(range(16)), bytes(range(16, 32)), 7, 2**32 - 1, 255, 31, 1, 9)

    assert len(entry.pack()) == constants("record_chain.h", "MCT_RECORD_")["ENTRY_BYTES"] == 48
    assert Entry.unpack(entry.pack()) == entry and entry.began_at_latent
    assert entry.after == advance(*vars(entry).values()) == hashed(entry.pack())


def test_an_export_takes_its_chain_with_it(tmp_path: Path) -> None:
    """Training that goes on in a build of its own begins with the chain value of before."""
    options = PlanOptions("last:2", chain=True)
    model = parse(residual_model(), "small")
    plan = make_plan(model, options)
    reference = Interpreter(plan, 1)
    reference.step(drawn(plan), 2)
    stored = TrainingState.of(plan, reference.state, {})
    again = make_plan(parse(exported(residual_model(), reference), "small"), options)
    again = resumed(again, TrainingState.unpack(stored.pack()))
    before, goes_on = chain_of(reference), Interpreter(again, 9)
    chain = hashed(b"mcutrain record 1", again.numerics_hash, u32(9), before)

    assert again.numerics_hash != plan.numerics_hash
    assert chain_of(goes_on) == chain
    device = NativeModel(again, tmp_path)
    device.reset(9)
    assert again.learning.chain is not None
    for k in range(3):
        assert device[again.learning.chain].tobytes() == chain_of(goes_on)
        device.step(drawn(plan, k), k)
        goes_on.step(drawn(plan, k), k)


def test_the_chain_changes_no_bit_of_what_is_learned() -> None:
    chained, bare = Interpreter(small("full", chain=True)), Interpreter(small("full"))
    for k in range(4):
        record = chained.step(drawn(bare.plan, k), k)
        assert record == bare.step(drawn(bare.plan, k), k)

    assert chained.digest() == bare.digest()
    assert chained.plan.numerics_hash != bare.plan.numerics_hash
    assert chained.plan.memory.state_bytes == bare.plan.memory.state_bytes + 16
    assert chained.plan.memory.arena_bytes == bare.plan.memory.arena_bytes


def test_a_plan_without_a_chain_knows_nothing_of_it() -> None:
    program = lay_out(small("head", stream_input=True))
    found = manifest(program, bytes(8))

    assert "chain" not in emit_source(program).lower()
    assert (found["chain"], found["record_entries"]) == (None, 0)


def test_the_manifest_says_where_the_chain_value_lies() -> None:
    program = lay_out(small("head", chain=True, record_entries=6))
    found = manifest(program, bytes(8))
    (tensor,) = [t for t in found["tensors"] if t["name"] == found["chain"]]
    sgd = next(t for t in found["tensors"] if t["name"] == "sgd")

    assert (tensor["role"], tensor["dtype"], tensor["shape"]) == ("STATE", "u8", [16])
    assert (tensor["region"], tensor["offset"]) == ("state", sgd["offset"] - 16)
    assert found["record_entries"] == 6
    assert found["options"]["chain"] is True


@pytest.mark.parametrize("options", [{"record_entries": 3}])
def test_entries_without_a_chain_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="give --chain too"):
        small("head", **options)
