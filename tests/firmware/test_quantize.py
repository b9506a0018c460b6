# SPDX-License-Identifier: Apache-2.0
"""mct/quantize.h: counts of a sensor become the int8 that a model takes."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.native import WARNINGS, compile_shared
from tests.support.paths import FIRMWARE

# Unit of a count, scale and zero point of the input: an accelerometer, a pixel, a microphone of 24
# bits, a sensor whose counts are coarser than quanta.
CASES = [
    (9.81 / 16384, 0.157, 3),
    (1.0, 1.0, -128),
    (2.0**-23, 0.0078125, 0),
    (0.5, 0.03125, 17),
]
SOURCE = """#include "mct/quantize.h"
{} mct_quantizer case_{} = MCT_QUANTIZER({!r}, {!r}, {});
int32_t quantize_{}(int32_t counts)
{{
    return mct_quantize(case_{}, counts);
}}
"""


def quantize_counts(counts: int, multiplier: int, zero_point: int) -> int:
    """The twin: round half up, then saturate."""
    return max(-128, min(127, (counts * multiplier + 2**23 >> 24) + zero_point))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("quantize")
    texts = [
        SOURCE.format("static const", n, *case, n, n).replace(
            "int32_t quantize", f"int32_t quantize_{n}(int32_t counts);\nint32_t quantize", 1
        )
        for n, case in enumerate(CASES)
    ]
    (folder / "q.c").write_text("".join(texts))
    return compile_shared([folder / "q.c"], [FIRMWARE], folder / "q.so")


@pytest.mark.parametrize("case", range(len(CASES)))
def test_counts_become_what_they_stand_for(library: ctypes.CDLL, case: int) -> None:
    unit, scale, zero_point = CASES[case]
    multiplier = int(unit / scale * 2**24 + 0.5)
    drawn = np.random.default_rng(case).integers(-(2**23), 2**23, 2000)
    edges = [0, 1, -1, 2**31 - 1, -(2**31), *range(-300, 300)]
    for counts in [*map(int, drawn), *edges]:
        found = getattr(library, f"quantize_{case}")(ctypes.c_int32(counts))
        real = counts * unit / scale + zero_point

        assert found == quantize_counts(counts, multiplier, zero_point)
        # Half a quantum of rounding, and what the multiplier was rounded by.
        assert abs(found - max(-128.0, min(127.0, real))) <= 0.5 + abs(counts) * 2.0**-25


def test_it_is_cpp_and_c99_too(tmp_path: Path) -> None:
    flags = [each for each in WARNINGS if each not in ("-std=c11", "-Wmissing-prototypes")]
    text = SOURCE.format("static const", 0, *CASES[0], 0, 0)
    for language, standard in (("c++", "c++17"), ("c", "c99")):
        command = ["gcc", "-x", language, f"-std={standard}", *flags, "-fsyntax-only", "-"]
        subprocess.run([*command, f"-I{FIRMWARE}"], input=text, text=True, check=True)
