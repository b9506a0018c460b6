# SPDX-License-Identifier: Apache-2.0
"""What the README and the first pages say is true of the code, and their commands run."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mcutrain.host.building.firmware import build, compiler_version
from mcutrain.host.building.target import Target
from mcutrain.host.cli.demo import TARGETS
from mcutrain.host.cost import measured
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import importers, load
from tests.support.command import Run
from tests.support.documents import README, blocks, commands
from tests.support.native import WARNINGS, compile_shared
from tests.support.paths import ROOT, WATCH

DOCS = ROOT / "docs"
TEXT = README.read_text(encoding="utf-8")
# Beside `train` the commands run as printed. It is given the rate that it finds by itself.
FOUND_RATE = ("--lr", "0.125", "--no-guard")
# `mcutrain demo` trains a thousand steps on an emulator: tests of host/cli/demo.py and make demo.
RUN_ELSEWHERE = ("demo", "verify")  # verify needs a firmware

# Functions that the examples in C leave to the firmware's author.
AUTHORS = """
#include <stdbool.h>
#include <stdint.h>
#define VALIDATION_SAMPLES 20
bool next_example(int8_t *window, uint32_t *label);
void show_progress(uint32_t steps, uint32_t digest);
void do_other_work(void);
void train_one_epoch(void);
uint32_t count_right(void);
void start(void);
void learn(void);
uint32_t recognise(void);
void learn_in_the_background(uint32_t label);
void adapt(uint32_t epochs);
void learn_one(uint32_t label);
void begin(uint32_t seed);
void end_of_a_session(void);
void begin_record(void);
void warn(void);
void feed_watchdog(void);
bool sensor_has_a_window(void);
void read_window(int8_t *sample);
bool a_button_is_held(void);
uint32_t class_of_the_button(void);
bool show(uint32_t label);
bool learn_all(void);
bool join(uint32_t label);
void learn_map(const int8_t *image);
#include "model.h"
#ifndef MODEL_TARGET_BYTES /* of another model: the one here has a label for the whole sample */
#define MODEL_TARGET_BYTES 36
mct_status model_push_target(uint32_t offset, const int8_t *target, uint32_t nbytes);
#endif
"""
# The README's firmware, whose author is this test: it shows each sample ten times.
FIRMWARE_AROUND = """
#include <string.h>
const int8_t *samples;
const int32_t *labels;
uint32_t count, shown, last_digest;
bool next_example(int8_t *sample, uint32_t *label)
{
    if (shown == 10 * count) {
        return false;
    }
    memcpy(sample, samples + (shown % count) * MODEL_INPUT_BYTES, MODEL_INPUT_BYTES);
    *label = (uint32_t)labels[shown++ % count];
    return true;
}
void show_progress(uint32_t steps, uint32_t digest)
{
    last_digest = steps == shown ? digest : 0;
}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the model and the data that the pages speak of, in which commands run."""
    monkeypatch.chdir(tmp_path)
    ((_, copies),) = blocks(DOCS / "start.md", "python")
    exec(compile(copies, "start.md", "exec"), {})
    return tmp_path


@pytest.mark.slow
def test_the_commands_of_the_first_pages_run(folder: Path, run: Run) -> None:
    """Of the README and of the page for the first five minutes, each once and in their order."""
    printed = {}
    for words in [*commands(README), *commands(DOCS / "start.md")]:
        line = " ".join(words)
        if words[0] in RUN_ELSEWHERE or line in printed:
            continue
        ran = run(*words, *(FOUND_RATE if words[0] == "train" else ()))

        assert ran.status == 0, f"mcutrain {line}\n{ran.out}\n{ran.err}"
        printed[line] = ran.out
    trained = next(out for line, out in printed.items() if line.startswith("train"))
    told = re.search(r"goes from ([\d.]+) to ([\d.]+) %, in (\d+)", (DOCS / "start.md").read_text())
    shown = [re.search(rf"{row}\s*│\s*([\d.]+)", trained) for row in ("before", "after", "steps")]

    assert told is not None
    assert [row and row[1] for row in shown] == list(told.groups())
    assert len(printed) >= 6 and (folder / "trained.tflite").exists()


@pytest.mark.slow
def test_the_example_in_python_learns(folder: Path) -> None:
    ((_, example),) = blocks(DOCS / "reference" / "python.md", "python")
    at_a_rate = example.replace("verify=True", "verify=True, lr=0.0625, guard=False, epochs=1")
    names: dict[str, Any] = {}
    exec(compile(at_a_rate, "python.md", "exec"), names)

    assert names["run"].bit_exact and names["run"].after > names["run"].before
    assert (folder / "trained.tflite").exists()


@pytest.mark.slow
def test_the_firmware_of_the_readme_learns_as_the_reference(folder: Path, run: Run) -> None:
    assert run("generate", "model.tflite", "--update", "last:2", "--output", "gen").status == 0
    ((_, example),) = blocks(README, "c")
    source = folder / "firmware.c"
    source.write_text(AUTHORS + example + FIRMWARE_AROUND, encoding="utf-8")
    sources = folder / "gen" / "src"
    library = compile_shared(
        [source, *sources.rglob("*.c")],
        (sources,),
        folder / "firmware.so",
        "-DMCT_INSTRUCTIONS_IN_C",
    )
    data = np.load("mine.npz")
    x, y = np.ascontiguousarray(data["x_train"]), data["y_train"].astype(np.int32)
    for name, array in (("samples", x), ("labels", y)):
        ctypes.c_void_p.in_dll(library, name).value = array.ctypes.data
    ctypes.c_uint32.in_dll(library, "count").value = len(x)
    library.start()
    library.learn()
    reference = Interpreter(make_plan(load(folder / "model.tflite"), PlanOptions("last:2")), seed=1)
    for sample, label in zip([*x] * 10, [*y] * 10, strict=True):
        reference.step(sample[None], int(label))

    assert ctypes.c_uint32.in_dll(library, "last_digest").value == reference.digest() != 0
    assert library.recognise() == reference.predict(x[-1][None])


@pytest.mark.slow
def test_the_examples_in_c_compile(folder: Path, run: Run) -> None:
    options = ("--update", "last:2", "--latent-slots", "20", "--absent", "keep", "--chain")
    assert run("generate", "model.tflite", *options, "--output", "gen").status == 0
    pages = [page for page in sorted(DOCS.rglob("*.md")) if page != DOCS / "guides" / "firmware.md"]
    found = [block for page in pages for _, block in blocks(page, "c")]
    for block in found:
        Path("example.c").write_text(AUTHORS + block, encoding="utf-8")
        command = ["gcc", *WARNINGS, "-fsyntax-only", "-Igen/src"]

        assert subprocess.run([*command, "example.c"], check=False).returncode == 0, block
    assert len(found) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("column", range(len(TARGETS)))
def test_the_demonstrations_bytes_are_those_of_a_build(column: int) -> None:
    target = Target.parse(TARGETS[column])
    if "12.2" not in compiler_version(target):
        pytest.skip(f"the README's bytes are gcc 12.2's, this is {compiler_version(target)}")
    plan = make_plan(load(WATCH / "watch.tflite"), PlanOptions("last:2"), target.chip)
    cost = measured(build(plan, target))
    for key, text in (("sram_bytes", "RAM, bytes"), ("flash_bytes", "flash, bytes")):
        shown = re.search(rf"^ *{text} +(\S+) +(\S+)$", TEXT, re.MULTILINE)

        assert shown is not None
        assert shown.group(column + 1) == f"{cost[key]:,}", f"README's demonstration: {text}"


def test_the_commands_of_make_are_those_there_are() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in set(re.findall(r"`make ([a-z-]+)`", TEXT)):
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name


def test_the_operators_are_all_named() -> None:
    page = (DOCS / "guides" / "model.md").read_text(encoding="utf-8")
    sentence = page[page.index("Operators: ") : page.index("Anything else is refused")]

    assert set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", sentence)) >= set(importers())
