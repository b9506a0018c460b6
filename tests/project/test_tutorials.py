# SPDX-License-Identifier: Apache-2.0
"""The pages that a reader follows run as they are printed, and their figures are true."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.boards import chip_of
from mcutrain.host.building.pio import seed_core
from mcutrain.host.cost import planned
from mcutrain.host.prediction.density import traced
from mcutrain.host.prediction.predict import predict
from mcutrain.host.training.dataset import load_dataset
from mcutrain.trainer.chip import GENERIC
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import load
from tests.support.command import Run
from tests.support.documents import blocks
from tests.support.marks import exhaustive
from tests.support.paths import ROOT, WATCH
from tests.support.tutorials import commands, figures, file_name, printed_by

__all__ = ["commands"]  # the fixture

DATA = ROOT / "docs" / "data.md"
OWN = ROOT / "docs" / "tutorials" / "own.md"
MODEL = ROOT / "docs" / "guides" / "model.md"
FIRMWARE = ROOT / "docs" / "guides" / "firmware.md"
LEARNS = ROOT / "docs" / "guides" / "learns.md"
FIRST = ROOT / "docs" / "how" / "first.md"
BEGIN = ROOT / "docs" / "tutorials" / "firmware.md"
ALONE = ROOT / "docs" / "guides" / "alone.md"

# The program around the functions of the page about training without a host, whose author is this
# test: samples that are all zero, of two classes by turns, and a validation that always fails.
AROUND_ALONE = """
#include <string.h>
#include "mct/port_flash.h"
#include "model.h"
#define VALIDATION_SAMPLES 20
static int8_t sample[MODEL_INPUT_BYTES];
static void train_one_epoch(void);
static uint32_t count_right(void) { return 0; }
static void warn(void) {}
static void feed_watchdog(void) {}
static bool sensor_has_a_window(void) { return false; }
static void read_window(int8_t *to) { (void)to; }
static bool a_button_is_held(void) { return false; }
static uint32_t class_of_the_button(void) { return 0; }
static uint8_t flash[12 * 4096]; /* the store's, and those of a record behind them */
mct_flash_geometry mct_port_flash_geometry(void)
{
    mct_flash_geometry geometry = {4096, 8, 4};
    return geometry;
}
bool mct_port_flash_read(uint32_t at, void *to, uint32_t nbytes)
{
    memcpy(to, flash + at, nbytes);
    return true;
}
bool mct_port_flash_program(uint32_t at, const void *from, uint32_t nbytes)
{
    memcpy(flash + at, from, nbytes);
    return true;
}
bool mct_port_flash_erase(uint32_t page)
{
    memset(flash + 4096u * page, 0xff, 4096u);
    return true;
}
"""
PROGRAM_ALONE = """
static void train_one_epoch(void)
{
    for (uint32_t label = 2; label < 4; label++) {
        if (model_push(0, sample, sizeof sample) == MCT_OK) {
            learn_one(label);
        }
    }
}
int main(void)
{
    model_reset(1);
    uint32_t fresh = model_digest();
    train_one_epoch();
    bool has_repeated = model_steps() == 4; /* each sample, and a latent from the buffer */
    bool has_learned = model_digest() != fresh;
    uint32_t learned = model_digest();
    end_of_a_session();
    model_reset(1);
    begin(1); /* what was saved is there again */
    bool is_kept = model_digest() == learned;
    model_reset(1);
    adapt(5);
    return has_repeated && has_learned && is_kept && model_digest() == fresh ? 0 : 1;
}
"""


def without_check(command: str) -> str:
    """The lines that need tflite-micro fall away, as the tutorial says."""
    return "".join(
        line for line in command.splitlines(True) if not line.startswith("mcutrain check")
    )


@pytest.fixture(scope="module")
def has_micro() -> bool:
    try:
        import tflite_micro  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.mark.exhaustive
@pytest.mark.slow
def test_our_own_model_learns_on_the_device(
    tmp_path: Path, has_micro: bool, commands: Path
) -> None:
    printed = ""
    for language, block in blocks(OWN):
        if language == "python":
            (tmp_path / file_name(block)).write_text(block, encoding="utf-8")
        else:
            printed += printed_by(block if has_micro else without_check(block), tmp_path, commands)
    before, after = (
        [float(value) for value in figures(printed, f"accuracy {when}")]
        for when in ("before", "after")
    )
    text = OWN.read_text(encoding="utf-8")
    told = re.search(r"from 25 to about (\d+) %", text)

    assert before == [25.0, 25.0]
    # 100 samples; sums of floats differ between processors in their last bits, and so, after
    # training, do a few int8 weights: five of the samples may fall otherwise.
    assert told is not None and abs(after[0] - int(told[1])) <= 5
    assert after[1] > 75
    assert figures(printed, "verified steps") == ["480", "480"]
    assert printed.count(" 0 differ") == 2 * has_micro
    exported = Interpreter(make_plan(load(tmp_path / "mine.tflite"), PlanOptions("head")))
    data = load_dataset(tmp_path / "user.npz", exported.plan)
    right = np.mean(
        [exported.predict(x) == y for x, y in zip(data.x_test, data.y_test, strict=True)]
    )
    assert round(100 * right, 1) == after[0]


@pytest.mark.slow
def test_the_page_about_data_runs_as_it_is_printed(tmp_path: Path, commands: Path) -> None:
    printed = ""
    for language, block in blocks(DATA):
        if language == "python":
            (tmp_path / file_name(block)).write_text(block, encoding="utf-8")
        else:
            printed += printed_by(block, tmp_path, commands)

    assert printed.count("accuracy 100.0 %") == 3  # of images, of a table, of an .npz
    assert "8 of 8 test samples of stripes" in printed
    assert re.search(r"(across|down)/\d\d\.png", printed)  # a worst sample, by its file


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the model, and with the program that the page about firmware lets you save."""
    shutil.copy(WATCH / "watch.tflite", tmp_path / "model.tflite")
    (program,) = (block for _, block in blocks(FIRMWARE, "c") if "/* main.c */" in block)
    (tmp_path / "main.c").write_text(program, encoding="utf-8")
    return tmp_path


# Of the path from pip to a firmware what a test cannot do: install, and have a board.
NOT_RUN = ("apt-get", "pip install", "--port")


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_path_to_a_firmware_of_ones_own_runs_as_it_is_printed(
    tmp_path: Path, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed_core(tmp_path / "core")
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    ((_, script),) = blocks(BEGIN, "python")
    (tmp_path / file_name(script)).write_text(script, encoding="utf-8")
    printed = ""
    for _, block in blocks(BEGIN, "sh"):
        if not any(part in block for part in NOT_RUN):
            ended = re.sub(r"^qemu.*$", r"timeout 20 \g<0> || true", block, flags=re.M)
            printed += printed_by(ended, tmp_path, commands)
    page = BEGIN.read_text(encoding="utf-8")
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.M | re.S)
    shown = [line for language, text in fences if not language for line in text.splitlines()]

    assert len(shown) == 6
    for line in shown:
        assert line in printed, line
    for figure in re.findall(r"[\d,]+ (?:bytes of RAM|of flash)", page):
        assert figure in printed, figure


def command_with(page: Path, part: str) -> str:
    """The one block of sh of a page in which ``part`` stands."""
    (found,) = (block for _, block in blocks(page, "sh") if part in block)
    return found


@pytest.mark.slow
def test_the_pages_about_firmware_name_all_that_it_compiles(project: Path, commands: Path) -> None:
    """Of the page's own program, and of the functions of the page about training alone."""
    compile_and_run = command_with(FIRMWARE, "./program")
    printed_by(command_with(FIRMWARE, "--output gen\n") + compile_and_run, project, commands)
    shutil.copy(WATCH / "demo.npz", project / "mine.npz")
    prepared = command_with(ALONE, "--export prepared.tflite").replace("--steps", "--chain --steps")
    printed_by(prepared, project, commands)
    functions = "".join(block for _, block in blocks(ALONE, "c"))
    (project / "main.c").write_text(AROUND_ALONE + functions + PROGRAM_ALONE, encoding="utf-8")
    flags = "-DMCT_WITH_STORE -DMCT_WITH_RECORD_LOG"
    generated = command_with(ALONE, "--latent-slots 20").replace("--output", "--chain --output")
    printed_by(generated + compile_and_run.replace("gcc ", f"gcc {flags} ", 1), project, commands)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_program_of_the_page_links_for_a_cortex_m4(project: Path, commands: Path) -> None:
    printed = printed_by(command_with(FIRMWARE, "arm-none-eabi-gcc"), project, commands)

    assert re.search(r"text\s+data\s+bss.*program\.elf", printed, re.S)


@pytest.mark.slow
def test_the_rate_that_is_found_becomes_a_call(tmp_path: Path, commands: Path) -> None:
    """The page's own training, at a rate: how it finds one is a test of its own."""
    shutil.copy(WATCH / "watch.tflite", tmp_path / "model.tflite")
    shutil.copy(WATCH / "demo.npz", tmp_path / "mine.npz")
    ((_, script),) = blocks(ALONE, "python")
    (tmp_path / file_name(script)).write_text(script, encoding="utf-8")
    training, printing = command_with(ALONE, "run.json"), command_with(ALONE, "rate.py")
    at_a_rate = training.replace(" --json", " --lr 0.0625 --no-guard --epochs 1 --json")
    (printed,) = re.findall(r"prints `(model_set_.*?)`", ALONE.read_text(encoding="utf-8"))

    assert printed_by(at_a_rate + printing, tmp_path, commands).strip() == printed


def test_what_a_target_is_worth_is_as_it_is_told(models: Path) -> None:
    model = load(models / "mlperf-tiny" / "kws_ref_model.tflite")
    told = []
    for chip in (GENERIC, chip_of("mps2_an386")):
        plan = make_plan(model, PlanOptions("last:2"), chip)
        predicted = predict(plan, "cortex-m4", traced(plan))
        told.append((predicted.inference, predicted.step, planned(plan)["constant_bytes"]))
    rows = table(FIRMWARE, "| | instructions, inference |")

    assert [tuple(row[1:]) for row in rows] == [tuple(f"{n:,}" for n in each) for each in told]


def table(page: Path, head: str) -> list[list[str]]:
    """The cells of each row of the table that begins with ``head``."""
    _, _, behind = page.read_text(encoding="utf-8").partition(head)
    lines = behind.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_the_network_of_one_weight_prints_what_is_shown(tmp_path: Path, commands: Path) -> None:
    ((_, script),) = blocks(FIRST, "python")
    ((_, shown),) = blocks(FIRST, "text")
    (tmp_path / file_name(script)).write_text(script, encoding="utf-8")

    assert printed_by(f"python {file_name(script)}", tmp_path, commands) == shown


# The rates that `train` finds by itself for the schemes of the page; a search takes longer.
FOUND_RATES = {"head": 0.0625, "bias": 0.125, "last:2": 0.125, "full": 0.03125}


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme", [exhaustive(name, ("head", "last:2", "full")) for name in FOUND_RATES]
)
def test_a_scheme_takes_and_learns_what_is_told(scheme: str, run: Run) -> None:
    options = ("--update", scheme, "--lr", FOUND_RATES[scheme], "--no-guard", "--json")
    found = run("train", WATCH / "watch.tflite", "--data", WATCH / "demo.npz", *options).json
    nbytes = found["cost"]["arena_bytes"] + found["cost"]["learned_bytes"]
    row = [f"`{scheme}`", f"{nbytes:,}", f"{100 * found['accuracy_after']:.1f}"]

    assert row in table(LEARNS, "| `--update` | arena and learned state, bytes |")


@pytest.mark.parametrize("page", [OWN, MODEL], ids=lambda page: page.stem)
def test_what_a_page_saves_is_python_and_is_run(page: Path) -> None:
    found = blocks(page)
    run_there = "".join(block for language, block in found if language == "sh")

    assert {language for language, _ in found} == {"python", "sh"}
    for language, block in found:
        if language == "python":
            compile(block, file_name(block), "exec")
            assert f"python {file_name(block)}" in run_there
