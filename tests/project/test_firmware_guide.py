# SPDX-License-Identifier: Apache-2.0
"""The C of the page about firmware: all of it in one program, with the bits of the reference."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.request import Request
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from tests.support.command import Run
from tests.support.documents import blocks
from tests.support.native import SANITIZERS, WARNINGS
from tests.support.paths import ROOT, WATCH
from tests.support.steps import margin_of

GUIDE = ROOT / "docs" / "guides" / "firmware.md"
FLAGS = ["-O1", "-g", "-fPIC", *SANITIZERS, *(w for w in WARNINGS if w != "-Wmissing-prototypes")]
# What the page leaves to the firmware's author, who is this test.
AUTHOR_H = """
#include <stdbool.h>
#include <stdint.h>
void feed_the_watchdog(void);
void do_other_work(void);
void start_dma(int8_t *to, uint32_t nbytes);
"""
AUTHOR_C = """
#include <string.h>
#include "model.h"
uint8_t *lent_ram(uint32_t *nbytes);
bool ask_for_sample(void);
void feed_the_watchdog(void);
void do_other_work(void);
void start_dma(int8_t *to, uint32_t nbytes);
uint32_t fed, refused;
const int8_t *from_sensor;
void feed_the_watchdog(void)
{
    fed++;
}
void do_other_work(void)
{
    uint32_t nbytes;
    refused += !ask_for_sample() && lent_ram(&nbytes) == 0 && model_infer() == MCT_ERR_BUSY;
}
void start_dma(int8_t *to, uint32_t nbytes)
{
    memcpy(to, from_sensor, nbytes);
}
"""


def files() -> dict[str, str]:
    """The C of the page, by the names in the first lines of its blocks."""
    found = {}
    for language in ("c", "cpp"):
        for _, block in blocks(GUIDE, language):
            named = re.match(r"(?:/\* (\w+\.c) \*/|// (\w+\.cpp))\n", block)
            assert named, f"this block does not begin with its file's name:\n{block}"
            found[named[1] or named[2]] = block
    return found


@pytest.fixture
def firmware(run: Run, tmp_path: Path) -> ctypes.CDLL:
    """All that the page has, but for the program of one step, as one library."""
    gen, model = tmp_path / "gen", tmp_path / "model.tflite"
    model.write_bytes((WATCH / "watch.tflite").read_bytes())
    assert run("generate", model, "--update", "last:2", "--output", gen).status == 0
    texts = {**files(), "author.h": AUTHOR_H, "author.c": AUTHOR_C}
    del texts["main.c"]
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    around = [f"-I{gen / 'src'}", "-include", str(tmp_path / "author.h")]
    cpp = ["g++", "-std=c++17", *(f for f in FLAGS if f != "-std=c11"), *around, "-c", "cpp.cpp"]
    subprocess.run([*cpp, "-o", "cpp.o"], cwd=tmp_path, check=True)
    sources = [*(name for name in texts if name.endswith(".c")), *gen.rglob("*.c"), "cpp.o"]
    command = ["gcc", *FLAGS, *around, "-shared", *map(str, sources), "-o", "firmware.so"]
    subprocess.run(command, cwd=tmp_path, check=True)
    library = ctypes.CDLL(str(tmp_path / "firmware.so"))
    library.model_digest.restype = ctypes.c_uint32
    library.lent_ram.restype = ctypes.c_void_p
    library.model_input.restype = ctypes.c_void_p
    for name in ("learn", "save", "restore", "ask_for_sample"):
        getattr(library, name).restype = ctypes.c_bool
    return library


def pointer(sample: Array) -> ctypes.c_void_p:
    return ctypes.c_void_p(sample.ctypes.data)


def counter(library: ctypes.CDLL, name: str) -> int:
    return int(ctypes.c_uint32.in_dll(library, name).value)


@pytest.mark.slow
def test_all_that_the_page_does_has_the_bits_of_the_reference(firmware: ctypes.CDLL) -> None:
    plan = Request.of(WATCH / "watch.tflite", update="last:2").plan()
    reference = Interpreter(plan, seed=1)
    data = np.load(WATCH / "demo.npz")
    x = np.ascontiguousarray(data["x_train"].reshape(-1, *plan.task.input.type.shape))
    y = [int(label) for label in data["y_train"]]

    def check(n: int) -> None:
        reference.step(x[n], y[n])
        assert firmware.model_digest() == reference.digest(), n

    firmware.begin()
    for n in range(4):
        assert firmware.learn(pointer(x[n]), y[n])
        check(n)
    check_answers(firmware, reference, x)
    # In slices, with other work between, which may not have the model.
    assert firmware.model_push(0, pointer(x[4]), x[4].nbytes) == 0
    firmware.learn_in_the_background(y[4])
    check(4)
    assert counter(firmware, "fed") == counter(firmware, "refused") > 10
    ctypes.c_void_p.in_dll(firmware, "from_sensor").value = x[5].ctypes.data
    assert firmware.ask_for_sample() and firmware.learn_what_came(y[5]) == 0
    check(5)
    lend(firmware)
    assert firmware.learn(pointer(x[6]), y[6])
    check(6)
    check_keeping(firmware, lambda: firmware.learn(pointer(x[7]), y[7]))
    check(7)


def check_answers(firmware: ctypes.CDLL, reference: Interpreter, x: Array) -> None:
    """Of recognise and of C++; sure are those of the reference that are nine times as probable."""
    answers = set()
    for sample in x:
        predicted = reference.predict(sample)
        margin = margin_of(reference, reference.infer(sample).reshape(-1))
        is_sure = margin >= int(2.2 / reference.plan.task.logits.type.scale)

        assert firmware.recognise(pointer(sample)) == predicted
        assert firmware.answer_in_cpp(pointer(sample)) == predicted
        assert firmware.sure_answer() == (predicted if is_sure else -1)
        answers.add(is_sure)
    assert answers == {True, False}


def lend(firmware: ctypes.CDLL) -> None:
    nbytes = ctypes.c_uint32()
    address = firmware.lent_ram(ctypes.byref(nbytes))
    assert nbytes.value > 1000 and address % 4 == 0
    ctypes.memset(address, 0xA5, nbytes.value)


def check_keeping(firmware: ctypes.CDLL, learn: object) -> None:
    """A state is saved, lost by a reset, and comes back; damaged or foreign ones do not."""
    saved = ctypes.create_string_buffer(8 + 4096)
    digest = firmware.model_digest()
    assert firmware.save(saved)
    firmware.begin()
    fresh = firmware.model_digest()
    for damaged in (b"\0" + saved.raw[1:], saved.raw[:8] + b"\xff" * 4096):
        assert not firmware.restore(ctypes.create_string_buffer(damaged))
        assert firmware.model_digest() == fresh
    assert firmware.restore(saved) and firmware.model_digest() == digest
    assert callable(learn) and learn()


@pytest.mark.slow
def test_counts_become_what_the_page_says(firmware: ctypes.CDLL) -> None:
    quant = Request.of(WATCH / "watch.tflite").plan().task.input.type
    counts = np.random.default_rng(1).integers(-(2**15), 2**15, 300).astype(np.int16)
    sample = np.zeros(300, np.int8)
    firmware.sample_of(pointer(counts), pointer(sample))
    real = np.floor(counts * (9.81 / 16384) / quant.scale + 0.5) + quant.zero_point

    np.testing.assert_array_equal(sample, np.clip(real, -128, 127))
    assert len(np.unique(sample)) > 20


def test_sections_have_the_names_that_the_page_gives(run: Run, tmp_path: Path, model: Path) -> None:
    assert run("generate", model, "--output", tmp_path / "gen").status == 0
    source = tmp_path / "gen" / "src" / "small.c"
    built = tmp_path / "small.o"
    subprocess.run(["gcc", "-fdata-sections", "-c", source, "-o", built], check=True)
    listed = subprocess.run(["objdump", "-h", built], capture_output=True, text=True, check=True)
    named = set(re.findall(r"\.(?:bss|rodata)\.small_\w+", listed.stdout))

    assert {".bss.small_arena", ".bss.small_state"} <= named
    assert any(name.startswith(".rodata.small_") for name in named)
    page = GUIDE.read_text(encoding="utf-8")
    assert "`.bss.NAME_arena`" in page and "`.bss.NAME_state`" in page
