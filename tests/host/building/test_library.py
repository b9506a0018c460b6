# SPDX-License-Identifier: Apache-2.0
"""The generated C in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mcutrain.host.building.library import in_process
from mcutrain.host.request import Request
from tests.support.paths import WATCH


@pytest.mark.board
def test_a_model_may_be_called_like_a_header_of_the_compiler(tmp_path: Path) -> None:
    model = tmp_path / "stdint.tflite"
    shutil.copy(WATCH / "watch.tflite", model)

    with in_process(Request.of(model).plan()) as runner:
        assert runner.digest() != 0
