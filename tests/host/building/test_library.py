# SPDX-License-Identifier: Apache-2.0
"""The generated C in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcutrain.host.building.kernel_archive import kernel_archive
from mcutrain.host.building.library import in_process
from mcutrain.host.request import Request
from tests.support.paths import WATCH


@pytest.mark.board
def test_a_model_may_be_called_like_a_header_of_the_compiler(tmp_path: Path) -> None:
    model = tmp_path / "stdint.tflite"
    shutil.copy(WATCH / "watch.tflite", model)

    with in_process(Request.of(model).plan()) as runner:
        assert runner.digest() != 0


def test_kernels_are_compiled_once_for_a_compiler_and_its_flags(tmp_path: Path) -> None:
    firmware = tmp_path / "firmware"
    shared = ("alive", "crc32", "digest", "fixedpoint", "record_chain", "sha256")
    for name in ("kernels/one.c", *(f"mct/{each}.c" for each in shared)):
        (firmware / name).parent.mkdir(parents=True, exist_ok=True)
        (firmware / name).write_text(f"extern int {Path(name).stem};\n")
    made = [kernel_archive(tmp_path, ("-march=native",), firmware) for _ in range(2)]
    other = kernel_archive(tmp_path, ("-march=native", "-O1"), firmware)

    assert made[0] == made[1] != other
    assert sorted(tmp_path.glob("*.a")) == sorted({made[0], other})
