# SPDX-License-Identifier: Apache-2.0
"""A user's own firmware around a generated model, linked for a core on its own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from mcutrain.host.building.compilers import Compiler
from mcutrain.host.building.cores import CORES
from mcutrain.host.building.kernel_archive import kernel_archive
from mcutrain.host.building.linkless import CORE_FLAGS
from mcutrain.host.building.source import generate
from mcutrain.host.building.target import NATIVE
from mcutrain.host.places import cache_dir
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.paths import FIRMWARE

# It learns from a sensor, and calls no more of the model than that takes.
OWN = """
#include "{name}.h"
static volatile uint32_t *const sensor = (uint32_t *)0x40004404;
static int8_t window[{upper}_INPUT_BYTES];
static int learned = 1;
const char banner[] = "hello";
int main(void)
{{
    {name}_reset(1);
    for (;;) {{
        for (uint32_t k = 0; k < sizeof window; ++k) {{
            window[k] = (int8_t)*sensor;
        }}
        {body}
    }}
}}
void Reset_Handler(void)
{{
    main();
}}
"""
BODY = """
        if ({name}_push(0, window, sizeof window) == MCT_OK && {name}_step(*sensor) == MCT_OK) {{
            learned++;
        }}
        if ({name}_push(0, window, sizeof window) == MCT_OK && {name}_infer() == MCT_OK) {{
            *sensor = {name}_predicted();
        }}
"""
LINK_FLAGS = ("-Wl,--entry=Reset_Handler", "-Wl,--gc-sections", "-Wl,--allow-multiple-definition")
FLAGS = ("-std=c11", "-O2", "-ffunction-sections", "-fdata-sections")


def own_program(
    plan: TrainingPlan,
    folder: Path,
    core: str = "cortex-m4",
    *,
    body: str = BODY,
    flags: Sequence[str] = (),
    extra: str = "",
) -> Path:
    """A firmware of somebody's own with the model of ``plan`` in it, whose linker drops what it
    does not call; ``body`` is what it does for ever, ``extra`` C behind its own."""
    known = CORES[core]
    generate(plan, folder, NATIVE)
    names = {"name": plan.name, "upper": plan.name.upper()}
    source = folder / "own.c"
    source.write_text(OWN.format(**names, body=body.format(**names)) + extra)
    gcc = f"{known.prefix}gcc"
    compiler = Compiler(gcc, (gcc, *known.flags), (f"{known.prefix}ar",))
    archives = cache_dir() / "kernels" / core  # which the targets use, too
    archive = kernel_archive(archives, CORE_FLAGS, features=known.features, compiler=compiler)
    elf = folder / "own.elf"
    command = [
        *compiler.command, *FLAGS, *flags, *known.link_flags, *LINK_FLAGS,
        f"-I{FIRMWARE}", "-iquote", str(folder), str(source),
        str(folder / f"{plan.name}.c"), str(archive), "-o", str(elf),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return elf
