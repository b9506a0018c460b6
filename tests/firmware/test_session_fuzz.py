# SPDX-License-Identifier: Apache-2.0
"""The corpus of the session's fuzzer (tests/fuzz) again, and the fuzzer itself for a minute."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fuzz.builds import BUILDS, clang, compile_build, folder_of
from tests.fuzz.runs import corpus, fuzz, replay

MINUTE = 60


@pytest.mark.slow
@pytest.mark.rows
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is missing: apt install gcc")
@pytest.mark.parametrize("build", BUILDS)
def test_every_session_of_the_corpus_leaves_memory_in_order(build: str, tmp_path: Path) -> None:
    program = compile_build(build, tmp_path, "gcc")
    failed = {path.name: why for path in corpus(build) if (why := replay(program, [path]))}

    assert not failed


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.skipif(
    clang() is None, reason="clang is missing: apt install clang libclang-rt-14-dev"
)
@pytest.mark.parametrize("build", BUILDS)
def test_the_fuzzer_finds_nothing(build: str) -> None:
    program = compile_build(build, folder_of(build, "clang"), "clang")
    done = fuzz(program, build, MINUTE // len(BUILDS))

    assert done.find is None, done.find
    assert done.inputs > len(corpus(build))
