# SPDX-License-Identifier: Apache-2.0
"""The corpus of the session's fuzzer (tests/fuzz) again, and the fuzzer itself for a minute."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.fuzz.builds import BUILDS, GCC, clang, compile_build, compile_harness, folder_of
from tests.fuzz.runs import corpus, fuzz, replay
from tests.support.marks import exhaustive
from tests.support.paths import FIRMWARE

MINUTE = 60
LONG = {"rows-flash", "e8", "int8", "keyed"}  # whose sessions are like those of others
# A check of the device that is left out, and a build whose corpus shows that.
FAULTS = {
    "classes": ("spare", "mct/model_body.h", "classes < 2u || classes > MCT_API_CONST(CLASSES)",
                "classes < 2u"),
    "rows": ("rows", "mct/model_arrival.h", "offset == *came && nbytes <= limit_bytes - offset",
             "offset == *came"),
    "state": ("spare", "runtime/execute.h", "!MCT_MODEL(state_is_valid)()", "false"),
    "once": ("plain", "mct/model_arrival.h", "lacks_bytes != 0u ? MCT_ERR_SAMPLE : MCT_OK",
             "MCT_OK"),
    "slot": ("latents", "mct/model_latents.h", "slot >= MCT_API_LATENT_SLOTS) {\n        return "
             "MCT_ERR_RANGE", "false) {\n        return MCT_ERR_RANGE"),
    "place": ("plain", "runtime/execute.h", "offset <= limit_bytes && nbytes <= limit_bytes - "
              "offset", "offset + nbytes <= limit_bytes"),
    "twice": ("plain", "runtime/session.c",
              "mct_link_session.was_new || request.type == MCT_MSG_HELLO", "true"),
    "key": ("keyed", "runtime/seal.c", "!are_equal(code, body + nbytes)", "false"),
    "shown": ("keyed", "runtime/execute.h", "!is_shown(index, data, nbytes)", "false"),
    "frame": ("plain", "runtime/frame.c", "d->nbytes < d->capacity", "true"),
}  # fmt: skip

needs_gcc = pytest.mark.skipif(
    shutil.which(GCC) is None, reason="gcc is missing: apt install gcc libc6-dev"
)


def failures(program: Path, build: str) -> dict[str, str]:
    """Why each input of the corpus fails that does."""
    replayed = {path.name: replay(program, [path]) for path in corpus(build)}
    return {name: why for name, why in replayed.items() if why is not None}


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("build", [exhaustive(build, LONG) for build in BUILDS])
def test_every_session_of_the_corpus_leaves_memory_in_order(build: str, tmp_path: Path) -> None:
    assert not failures(compile_build(build, tmp_path, GCC), build)


@needs_gcc
@pytest.mark.slow
@pytest.mark.parametrize("name", [exhaustive(name, {"key", "shown"}) for name in FAULTS])
def test_the_corpus_finds_a_check_that_is_left_out(name: str, tmp_path: Path) -> None:
    build, file, right, wrong = FAULTS[name]
    tree = tmp_path / "firmware"
    shutil.copytree(FIRMWARE, tree)
    text = (tree / file).read_text()
    assert text.count(right) == 1, f"{file} holds {text.count(right)} times: {right}"
    (tree / file).write_text(text.replace(right, wrong))

    assert failures(compile_build(build, tmp_path, GCC, tree), build)


@needs_gcc
@pytest.mark.slow
def test_a_write_within_the_arena_that_the_plan_does_not_give_is_found(tmp_path: Path) -> None:
    program = compile_build("plain", tmp_path, GCC)
    assert not failures(program, "plain")
    header = tmp_path / "fuzz_writes.h"
    rows = header.read_text().splitlines(keepends=True)
    header.write_text("".join(row for row in rows if not row.startswith("    {2,")))
    found = failures(compile_harness(tmp_path, GCC), "plain")

    assert set(found.values()) == {"WRONG: a kernel wrote what is not its own"}


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.skipif(clang() is None, reason="clang is missing: apt install clang libclang-rt-dev")
@pytest.mark.parametrize("build", BUILDS)
def test_the_fuzzer_finds_nothing(build: str) -> None:
    program = compile_build(build, folder_of(build, "clang"), "clang")
    done = fuzz(program, build, MINUTE // len(BUILDS))

    assert done.find is None, done.find
    assert done.inputs > len(corpus(build))
