# SPDX-License-Identifier: Apache-2.0
"""The fuzzer of the device's session, compiled for each kind of model."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from mcutrain.codegen.program import lay_out
from mcutrain.host.building.compilers import compile_c, named
from mcutrain.host.building.kernel_archive import kernel_archive
from mcutrain.host.building.source import generate
from mcutrain.host.keys import Keys
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.planner.row_region import Composite
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.fake_model.build import MASTER_KEY
from tests.support.generated import SMALL
from tests.support.paths import FIRMWARE, ROOT

FUZZ = ROOT / "tests" / "fuzz"
CORPUS = FUZZ / "corpus"
NAME = "fuzzed"  # of every model: the harness knows it
PAYLOAD_BYTES = 512
FLAGS = ("-std=c11", "-g", "-Wall", "-Wextra", "-Wno-unused-function")
GCC = "gcc"
SANITIZERS = "address,undefined"

# Between them they have all that a session can differ in: spare classes, latents in RAM and flash,
# samples by rows, received ahead, targets, formats, a second memory.
BUILDS: dict[str, Callable[[], TrainingPlan]] = {
    "plain": SMALL["full"],
    "spare": SMALL["spare-latents"],
    "latents": SMALL["latents"],
    "rows": SMALL["stream-latent"],
    "rows-flash": SMALL["stream-flash"],
    "ahead": SMALL["ahead-latent"],
    "ahead-mse": SMALL["ahead-mse"],
    "flash": SMALL["flash-one"],
    "e8": SMALL["formats"],
    "int8": SMALL["whole"],
    "mse": SMALL["mse-latents"],
    "memories": SMALL["memories"],
    "keyed": SMALL["spare-latents"],
}
KEYED = "keyed"  # the build with a key


def writes(plan: TrainingPlan) -> Iterator[tuple[int, int, int, int]]:
    """(call, region, offset, bytes) of all that each kernel call may write."""
    regions = list(plan.memory.regions)
    for number, call in enumerate(lay_out(plan).calls):
        for item in written(call.node):
            if isinstance(item, Tensor) and item in plan.memory.state:
                place = plan.memory.state[item], item.type.nbytes
                yield number, regions.index("state"), *place
            elif item in plan.memory.slots:
                slot = plan.memory.slots[item]
                nbytes = item.type.nbytes if isinstance(item, Tensor) else slot.size
                place = slot.offset, min(nbytes, slot.size)  # of a ring there is less
                yield number, regions.index(slot.memory), *place


def written(node: Node) -> Iterator[Tensor | Node]:
    """The outputs of a node and its scratch memory, and of a region those of its parts."""
    yield from (node, *node.outputs)
    for inner in node.op.nodes if isinstance(node.op, Composite) else ():
        yield from written(inner)


def generate_model(plan: TrainingPlan, folder: Path, keys: Keys | None = None) -> None:
    """The model's C, and what the harness must know of it, in ``folder``."""
    generate(plan, folder, "", keys)
    rows = "".join(f"    {{{', '.join(map(str, row))}}},\n" for row in writes(plan))
    sizes = ", ".join(map(str, plan.memory.regions.values()))
    (folder / "fuzz_writes.h").write_text(
        f"#define FUZZ_REGION_BYTES {sizes}\nstatic const writable fuzz_writes[] = {{\n{rows}}};\n"
    )


def plan_of(build: str) -> TrainingPlan:
    return replace(BUILDS[build](), name=NAME)


def clang() -> str | None:
    """A clang that can make fuzzers; None without."""
    found = shutil.which("clang")
    if found is None:
        return None
    said = subprocess.run(
        [found, "-print-resource-dir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return found if any(Path(said).rglob("*clang_rt.fuzzer[-.]*")) else None


def folder_of(build: str, compiler: str) -> Path:
    """Where a build is compiled, and what grows out of the corpus is kept."""
    return ROOT / "build" / "fuzz" / compiler / build


def compile_build(build: str, folder: Path, compiler: str, firmware: Path = FIRMWARE) -> Path:
    """The fuzzer of a build, with libFuzzer if ``compiler`` is clang, without its search if it is
    gcc; the path of the program. ``firmware`` is a folder of that name, the project's or a copy."""
    folder.mkdir(parents=True, exist_ok=True)
    generate_model(plan_of(build), folder, Keys.of_master(MASTER_KEY) if build == KEYED else None)
    return compile_harness(folder, compiler, firmware)


def compile_harness(folder: Path, compiler: str, firmware: Path = FIRMWARE) -> Path:
    """The same, of the model whose C is in ``folder``."""
    is_fuzzer = compiler != GCC
    main = FUZZ / ("mutator.c" if is_fuzzer else "replay.c")
    speed = "-O2" if is_fuzzer else "-O0"  # of running, or of compiling
    flags = [*FLAGS, speed, f"-fsanitize={SANITIZERS}", "-fno-sanitize-recover=all"]
    flags += ["-fsanitize=fuzzer-no-link"] if is_fuzzer else []
    archive = kernel_archive(ROOT / "build" / "kernels" / "fuzz", flags, compiler=named(compiler))
    flags += [f"-DMCT_LINK_PAYLOAD={PAYLOAD_BYTES}"]
    flags += [f"-I{path}" for path in (FUZZ, folder, firmware.parent, firmware)]
    flags += ["-fsanitize=fuzzer"] if is_fuzzer else []
    program = folder / "fuzz"
    compile_c(
        flags, [FUZZ / "harness.c", FUZZ / "script.c", main, archive], program, named(compiler)
    )
    return program
