# SPDX-License-Identifier: Apache-2.0
"""What is packed behind a model stays sound where the model grows before it."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from mcutrain.trainer.calibration import calibrate
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.behind import moved, split
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import parse
from tests.support.exports import exported, train
from tests.support.small_models import SHAPE, residual_model

MODEL = residual_model()
LABELS = {"labels.txt": "sit\nrun\n", "more/b.json": "{}" * 900}


def with_labels(model: bytes = MODEL, comment: bytes = b"", is_wide: bool = False) -> bytes:
    file = io.BytesIO(model)
    with pytest.MonkeyPatch.context() as patch:
        if is_wide:
            patch.setattr(zipfile, "ZIP64_LIMIT", 1)
        with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as packed:
            for name, text in LABELS.items():
                packed.writestr(name, text)
            packed.comment = comment
    return file.getvalue()


def assert_sound(data: bytes) -> None:
    """As `unzip -t` finds it: nothing is read that lies elsewhere than the zip says."""
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        assert {name: packed.read(name).decode() for name in packed.namelist()} == LABELS
        end = data.rfind(b"PK\x05\x06")
        nbytes, at = struct.unpack_from("<2I", data, end + 12)
        assert packed.start_dir == at or at == 0xFFFFFFFF
        assert data[packed.start_dir : packed.start_dir + 4] == b"PK\x01\x02"
        if at != 0xFFFFFFFF and data[end - 20 : end - 16] != b"PK\x06\x07":
            assert at + nbytes == end
        for info in packed.infolist():
            assert data[info.header_offset : info.header_offset + 4] == b"PK\x03\x04"


@pytest.mark.parametrize("comment", [b"", b"PK\x05 of labels"])
@pytest.mark.parametrize("is_wide", [False, True])
def test_a_zip_moves_with_the_model_before_it(is_wide: bool, comment: bytes) -> None:
    data = with_labels(comment=comment, is_wide=is_wide)
    model, packed = split(data)

    assert (model, model + packed) == (MODEL, data)
    for grown in (MODEL, MODEL + bytes(96), MODEL[:-5]):
        new = grown + moved(packed, len(model), len(grown))
        assert_sound(new)
        assert (new == data) is (grown == MODEL)


def test_what_was_exported_and_calibrated_has_it_still() -> None:
    data = with_labels()
    plan = make_plan(parse(data, "m"), PlanOptions("head", 9))
    new = exported(data, train(Interpreter(plan, 1), 0, 2))
    samples = np.random.default_rng(0).integers(-128, 128, (4, *SHAPE[1:])).astype(np.int8)
    fitted = calibrate(data, samples, lambda done, total: None).data

    for found, plain in (
        (new, exported(MODEL, train(Interpreter(plan, 1), 0, 2))),
        (fitted, calibrate(MODEL, samples, lambda done, total: None).data),
    ):
        assert_sound(found)
        assert split(found)[0] == plain
    assert TflitePatch(data).finish() == data


def test_a_zip_that_is_told_from_its_own_beginning_stays_as_it_is() -> None:
    packed = with_labels(b"")
    model, behind = split(MODEL + packed)

    assert (model, behind) == (MODEL, packed)
    assert moved(behind, len(MODEL), len(MODEL) + 96) == packed


@pytest.mark.parametrize("data", [MODEL, b"", MODEL + b"PK\x05\x06", MODEL + b"PK\x05\x06" * 9])
def test_without_a_zip_nothing_is_behind(data: bytes) -> None:
    assert split(data) == (data, b"")


def test_a_damaged_zip_does_not_stop_the_export() -> None:
    data = bytearray(with_labels())
    at = data.index(b"PK\x01\x02")
    data[at] = 0

    assert split(bytes(data)) == (bytes(data), b"")
    assert TflitePatch(bytes(data)).finish() == bytes(data)
