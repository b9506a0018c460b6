# SPDX-License-Identifier: Apache-2.0
"""Models of other kinds than int8 from one input to one output: what works, and what is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.building.source import constant_bytes
from mcutrain.host.request import Request
from mcutrain.host.shrinking.job import ShrinkJob, prepared, run_shrink
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.tflite.reader import load
from tests.support.autoencoder import autoencoder
from tests.support.file_parts import parts
from tests.support.micro import Micro
from tests.support.model_maker import ModelMaker
from tests.support.random_recurrent import streaming
from tests.support.unsigned_model import UnsignedModel

LENGTH = 3  # inputs that follow each other


def int16_file() -> bytes:
    made = parts()
    for name in ("x", "a", "y"):
        made.change(name, dtype="int16")
    return made.write()


def stream_job(tmp_path: Path, length: int) -> ShrinkJob:
    """Of a model that keeps what it read; it has less flash than the whole model needs."""
    make = ModelMaker(5)
    streaming(make)
    path, rng = tmp_path / "stream.tflite", np.random.default_rng(0)
    path.write_bytes(make.finish())
    model = load(path)
    assert model.states
    shape = (length * model.input.type.shape[1], *model.input.type.shape[2:])
    x = rng.integers(-128, 128, (40, *shape)).astype(np.int8)
    np.savez(tmp_path / "x.npz", x_train=x, y_train=rng.integers(0, 3, 40))
    request = Request.of(path, "full", sequence_length=length)
    flash = constant_bytes(request.plan_of(model)) - 4
    return ShrinkJob(
        request.but(flash=flash), tmp_path / "x.npz", output=tmp_path / "out.tflite",
        epochs=1, steps=32, rate=2**-6,
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, LENGTH])
def test_a_model_that_keeps_states_is_cut_and_told(tmp_path: Path, length: int) -> None:
    job = stream_job(tmp_path, length)
    found, whole = run_shrink(job, SILENT), load(job.request.model)
    small = load(job.output)
    kept, units = found.sizes

    assert kept < units and len(small.states) == len(whole.states)
    assert constant_bytes(job.request.plan_of(small)) == found.prices[-1].cost.constants
    (note,) = [each for each in found.notes if each.about == whole.name]
    assert "keeps 1 tensors from input to input" in str(note)
    assert "--sequence-length N" in str(note)
    # tflite-micro reads the file, too.
    assert Micro(job.output.read_bytes()).run(np.zeros(small.input.type.shape, np.int8))


def test_what_gives_back_its_input_is_trained_by_that(tmp_path: Path) -> None:
    """Of 40 inputs without labels."""
    path, data = tmp_path / "auto.tflite", tmp_path / "x.npz"
    path.write_bytes(autoencoder())
    rng = np.random.default_rng(0)
    np.savez(data, x_train=rng.integers(-128, 128, (40, 12)).astype(np.int8))
    job = ShrinkJob(Request.of(path, "full"), data, 300, output=tmp_path / "out.tflite", steps=32)
    assert run_shrink(job, SILENT).command.endswith("--loss reconstruction")


@pytest.mark.exhaustive
def test_labels_of_a_new_task_are_those_of_a_whole_sequence(tmp_path: Path) -> None:
    job = stream_job(tmp_path, LENGTH)
    asked = job.request.without(["flash"]).but(classes=3)
    flash = constant_bytes(asked.plan_of(asked.read())) - 4
    found = run_shrink(replace(job, request=asked.but(flash=flash)), SILENT)

    assert found.sizes[0] < found.sizes[1] and found.adapted is not None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (UnsignedModel().file(), "computes in uint8.*; convert the float model to int8"),
        (int16_file(), r"int16; int8 activations are supported; convert it to int8.*--from"),
    ],
    ids=["uint8", "int16"],
)
def test_other_types_are_refused_before_the_inputs_are_read(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "m.tflite").write_bytes(content)
    job = ShrinkJob(Request.of(tmp_path / "m.tflite"), tmp_path / "none.npz", 1000)
    with pytest.raises(ModelError, match=said) as refused:
        prepared(replace(job, unlabelled=True))

    assert "\n" not in str(refused.value)
