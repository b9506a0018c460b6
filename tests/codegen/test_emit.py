# SPDX-License-Identifier: Apache-2.0
"""The generated C: reproducible, clean under every compiler, and free of floats."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mcutrain.codegen.emit import KERNEL_ABI, emit_source
from mcutrain.codegen.header import emit_header, emit_selection
from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import lay_out
from mcutrain.host.boards import board_description, chip_of
from mcutrain.host.building.kernel_archive import kernel_sources
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import identifier
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.marks import exhaustive
from tests.support.native import FIRMWARE, WARNINGS, write_sources
from tests.support.paths import GOLDEN, ROOT
from tests.support.small_links import needs_arm
from tests.support.small_plans import partial_plan, small_plan
from tests.tools.make_golden import tiny_model, tiny_source

KERNELS = sorted(FIRMWARE.glob("kernels/*.c"))
PORTABLE = kernel_sources(FIRMWARE)
IN_C = "-DMCT_INSTRUCTIONS_IN_C"  # what this computer's compiler has no instructions for


def compile_object(compiler: str, source: Path, out: Path, *flags: str) -> str:
    """Compiles with every warning an error; returns what the compiler said."""
    includes = [f"-I{FIRMWARE}", f"-I{out.parent}"]
    command = [compiler, *WARNINGS, *includes, *flags, "-c", str(source), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_the_golden_model_is_reproduced() -> None:
    assert tiny_source().splitlines() == (GOLDEN / "tiny.c").read_text().splitlines()


PRINT = """
import hashlib, sys
from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.header import emit_header
from mcutrain.codegen.program import lay_out
from mcutrain.codegen.manifest import manifest
from tests.support.small_models import residual_model
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
image = lay_out(make_plan(parse(residual_model(), "small"), PlanOptions("full")))
text = emit_source(image) + emit_header(image) + str(manifest(image, bytes(8)))
print(hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes_in_another_process() -> None:
    found = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", PRINT]
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)

    assert len(found) == 1


@pytest.mark.parametrize("update", ["head", "full"])
def test_no_line_of_generated_code_is_a_loop_or_a_jump(update: str) -> None:
    """But for the one loop of each region."""
    image = lay_out(small_plan(update))
    code = re.sub(r'/\*.*?\*/|".*?"', "", emit_source(image), flags=re.DOTALL)

    assert not re.search(r"\b(goto|float|double|malloc)\b", code)
    assert re.findall(r"\b(?:for|while)\b.*", code) == ["for (;;) {"] * len(image.regions)


def test_every_call_is_numbered_once_and_in_order() -> None:
    image = lay_out(small_plan())
    source = emit_source(image)
    cases = [int(n) for n in re.findall(r"case (\d+)u:", source)]

    assert cases == list(range(len(image.calls)))
    assert f"SMALL_CALLS = {len(image.calls)}," in emit_header(image)
    assert f"SMALL_FORWARD_CALLS = {image.forward_calls},\n" in emit_header(image)
    calls = [call["kernel"] for call in manifest(image, bytes(8))["calls"]]
    called = re.findall(r"^ +mct_(?!port_)(\w+)\((?!crc)", source, re.MULTILINE)
    assert calls == called[: len(calls)]


@pytest.mark.parametrize("name", ["string", "Time", "mct", "int", "3d-net", "", "größe", "a/b"])
def test_a_models_name_begins_identifiers_of_its_own(name: str) -> None:
    found = identifier(name)

    assert re.fullmatch(r"[a-z][a-z0-9_]*", found)
    assert not found.startswith("mct")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-Os",), exhaustive(("-O3",), [("-O3",)])])
def test_gcc_has_no_warning(flags: tuple[str, ...], tmp_path: Path) -> None:
    source = write_sources(partial_plan(tmp_path), tmp_path)
    for path in (source, *{*KERNELS, *PORTABLE}):
        assert compile_object("gcc", path, tmp_path / f"{path.stem}.o", IN_C, *flags) == ""


def test_a_chain_of_reshapes_has_no_unused_names(tmp_path: Path) -> None:
    model = tiny_model()
    graph, last = model.graph, model.logits
    for k, shape in enumerate([(3, 1), (1, 3, 1), (1, 3)]):
        (last,) = graph.add(Reshape(shape), last, name=f"r{k}", index=2 + k)
    plan = make_plan(type(model)("chain", graph, model.input, last, last), PlanOptions("full"))
    compile_object("gcc", write_sources(plan, tmp_path), tmp_path / "chain.o")


needs_cplusplus = pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ to compile with")
HEADERS = sorted(
    path
    for part in ("mct", "kernels", "learning", "runtime")
    for path in (FIRMWARE / part).glob("*.h")
    if not path.stem.startswith(("each_", "model_"))
    and not re.search("Part of (kernels|runtime)/", path.read_text())
)
CPLUSPLUS = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


@needs_cplusplus
@pytest.mark.parametrize("path", HEADERS, ids=lambda path: path.stem)
def test_a_header_of_the_firmware_stands_alone_in_cplusplus(path: Path, tmp_path: Path) -> None:
    source = tmp_path / "alone.cpp"
    include = f'#include "{path.relative_to(FIRMWARE)}"\n'
    source.write_text(f"{include}{include}int main() {{ return 0; }}\n")
    command = [
        *CPLUSPLUS,
        IN_C,
        "-DMCT_LINK_PAYLOAD=128",
        f"-I{FIRMWARE}",
        "-fsyntax-only",
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert path.read_text().count('#ifdef __cplusplus\nextern "C" {\n#endif') == 1


IN_CPLUSPLUS = """
#include <cstdio>
#include <cstring>
#include "one.h"
#include "mct_selected_model.h"
#include "two.h"
#include "one.h"
int main()
{
    one_reset(3u);
    for (uint32_t k = 0; k < 6u; k++) {
        std::memset(one_input(), int(37u * k), MCT_MODEL_CONST(INPUT_BYTES));
        if (one_push(0u, one_input(), ONE_INPUT_BYTES) != MCT_OK ||
            MCT_MODEL(step)(k % ONE_CLASSES) != MCT_OK) {
            return 1;
        }
    }
    two_reset(3u);
    std::printf("%lu %lu %lu\\n", (unsigned long)one_digest(), (unsigned long)two_steps(),
                (unsigned long)one_regions[MCT_REGION_STATE].nbytes);
    return 0;
}
"""


def trained(plan: TrainingPlan) -> Interpreter:
    """The reference after the six steps of the programs here."""
    reference = Interpreter(plan, seed=3)
    for k in range(6):
        value = np.uint8(37 * k & 0xFF).view(np.int8)
        reference.step(np.full(plan.task.input.type.shape, value, np.int8), k % plan.classes)
    return reference


@needs_cplusplus
def test_a_program_in_cplusplus_trains_bit_for_bit(tmp_path: Path) -> None:
    plans = [small_plan("full", "one"), partial_plan(tmp_path, "two")]
    objects = []
    for path in (*(write_sources(plan, tmp_path) for plan in plans), *PORTABLE):
        objects.append(tmp_path / f"{path.stem}.o")
        compile_object("gcc", path, objects[-1], "-O1")
    (tmp_path / "mct_selected_model.h").write_text(emit_selection(plans[0], bytes(8)))
    main = tmp_path / "main.cpp"
    main.write_text(IN_CPLUSPLUS)
    command = [*CPLUSPLUS, f"-I{FIRMWARE}", f"-I{tmp_path}", str(main), *map(str, objects)]
    subprocess.run([*command, "-o", str(tmp_path / "program")], check=True)
    done = subprocess.run([tmp_path / "program"], capture_output=True, text=True, check=True)

    assert [int(word) for word in done.stdout.split()] == [
        trained(plans[0]).digest(), 0, plans[0].memory.state_bytes,
    ]  # fmt: skip


TWO_MODELS = """
#include <stdio.h>
#include <string.h>
#include "one.SUFFIX"
#include "two.SUFFIX"
int main(void)
{
    one_reset(3u);
    two_reset(3u);
    for (uint32_t k = 0; k < 6u; k++) {
        memset(one_input(), (int)(37u * k), ONE_INPUT_BYTES);
        memset(two_input(), (int)(37u * k), TWO_INPUT_BYTES);
        if (one_push(0u, one_input(), ONE_INPUT_BYTES) != MCT_OK ||
            two_push(0u, two_input(), TWO_INPUT_BYTES) != MCT_OK ||
            one_begin(k % ONE_CLASSES) != MCT_OK) {
            return 1;
        }
        while (!one_run(1u)) {
            if (!two_busy() && two_steps() == k && two_begin(k % TWO_CLASSES) != MCT_OK) {
                return 2;
            }
            (void)two_run(1u);
        }
        (void)two_run(TWO_CALLS);
    }
    printf("%lu %lu %lu\\n", (unsigned long)one_digest(), (unsigned long)two_digest(),
           (unsigned long)(one_steps() + two_steps()));
    return 0;
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["h", "c"])
def test_two_models_live_in_one_program(suffix: str, tmp_path: Path) -> None:
    """Linked, or compiled as one unit. Interleaved call by call, each trains as it does alone."""
    plans = [small_plan("full", "one"), partial_plan(tmp_path, "two")]
    sources = [write_sources(plan, tmp_path) for plan in plans]
    main = tmp_path / "main.c"
    main.write_text(TWO_MODELS.replace("SUFFIX", suffix))
    linked = [*(sources if suffix == "h" else []), *PORTABLE]
    command = ["gcc", *WARNINGS, "-O1", f"-I{FIRMWARE}", f"-I{tmp_path}", str(main)]
    subprocess.run([*command, *map(str, linked), "-o", str(tmp_path / "both")], check=True)
    done = subprocess.run([tmp_path / "both"], capture_output=True, text=True, check=True)
    digests = [trained(plan).digest() for plan in plans]

    assert digests[0] != digests[1]
    assert [int(word) for word in done.stdout.split()] == [*digests, 12]


def test_every_external_symbol_carries_the_models_name(tmp_path: Path) -> None:
    source = write_sources(small_plan(), tmp_path)
    compile_object("gcc", source, tmp_path / "small.o")
    command = ["nm", "--defined-only", "--extern-only", str(tmp_path / "small.o")]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = [line.split()[2] for line in listed.splitlines()]

    assert len(names) > 15
    assert all(name.startswith("small_") for name in names), names


def test_another_kernel_abi_refuses_to_compile(tmp_path: Path) -> None:
    source = write_sources(small_plan(), tmp_path)
    changed = tmp_path / "other" / "mct"
    changed.mkdir(parents=True)
    text = (FIRMWARE / "mct" / "model.h").read_text()
    right = f"#define MCT_KERNEL_ABI {KERNEL_ABI}\n"
    assert text.count(right) == 1
    (changed / "model.h").write_text(text.replace(right, "#define MCT_KERNEL_ABI 99\n"))
    includes = [f"-I{changed.parent}", f"-I{FIRMWARE}", f"-I{tmp_path}"]
    command = ["gcc", "-fsyntax-only", *includes, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert f"small was generated for kernel ABI {KERNEL_ABI}; regenerate it" in done.stderr


# What no step may call: float arithmetic, conversions and libm, 64-bit division.
FORBIDDEN = re.compile(
    r"__aeabi_[fd]\w*|__aeabi_[iu]l?2[fd]|__aeabi_u?ldivmod|__(u?div|u?mod)[dt]i\d"
    r"|(pow|exp|log|sqrt|floor|ceil|round|fabs|fm\w+|ldexp|frexp)[fl]?"
)
ALLOWED = {"memset", "memcpy", "memmove", "__aeabi_idiv", "__aeabi_uidiv", "__aeabi_idivmod",
           "__aeabi_uidivmod", "__aeabi_lmul", "__aeabi_llsl", "__aeabi_lasr", "__aeabi_llsr",
           "__gnu_thumb1_case_uhi", "__gnu_thumb1_case_uqi", "__gnu_thumb1_case_shi"}  # fmt: skip


@needs_arm
@pytest.mark.parametrize(
    "board", [exhaustive(b, ["mps2_an386"]) for b in ("mps2_an386", "microbit", "mps3_an547")]
)
def test_cortex_m_code_is_clean_and_has_no_float_and_no_64_bit_division(
    board: str, tmp_path: Path
) -> None:
    source = write_sources(partial_plan(tmp_path), tmp_path)
    cpu_flags = board_description(board)["build"]["cpu_flags"]
    flags = ["-Os", *cpu_flags, "-ffunction-sections"]
    objects = []
    for path in (source, *kernel_sources(FIRMWARE, chip_of(board).features)):
        objects.append(tmp_path / f"{path.stem}.o")
        assert compile_object("arm-none-eabi-gcc", path, objects[-1], *flags) == ""
    command = ["arm-none-eabi-nm", "--undefined-only", *map(str, objects)]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    undefined = set(re.findall(r"^ +U (\w+)$", listed, re.MULTILINE))

    assert not {name for name in undefined if FORBIDDEN.fullmatch(name)}
    assert {name for name in undefined if not name.startswith("mct_")} <= ALLOWED
    if board != "microbit":  # has a divider and a long multiply
        others = {name for name in undefined if not name.startswith("mct_")}
        assert others <= {"memset", "memcpy", "memmove"}


def test_the_search_for_floats_knows_them() -> None:
    for name in ("__aeabi_fadd", "__aeabi_d2iz", "__aeabi_i2f", "__aeabi_ul2d", "__aeabi_ldivmod",
                 "__aeabi_uldivmod", "__udivdi3", "expf", "round"):  # fmt: skip
        assert FORBIDDEN.fullmatch(name), name
    assert not any(FORBIDDEN.fullmatch(name) for name in ALLOWED)
