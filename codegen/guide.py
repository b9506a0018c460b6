# SPDX-License-Identifier: Apache-2.0
"""Prints the page that lies beside generated C, and a sketch for Arduino: what to call, and how."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.codegen.library import DO_NOT_EDIT, Library, lines, zephyr_option
from mcutrain.codegen.program import Program

LINK = """
## The host's link

With `src/runtime/` the host can attach (`mcutrain train --port`), send samples and check each
step. It serves the model {model}. Write three functions for your serial port, which
`src/mct/port.h` describes, and let your main loop run the session. If 256 bytes are not the largest
payload of a frame, define `MCT_LINK_PAYLOAD` for all sources.

```c
#include "mct/port.h"
#include "runtime/session.h"

void mct_port_init(void)
{{
    /* bring the serial port up */
}}

void mct_port_receive(bool may_sleep)
{{
    (void)may_sleep;
    while (uart_has_byte() && !mct_link_receive(uart_read())) {{
    }}
}}

void mct_port_write(const uint8_t *data, uint32_t nbytes)
{{
    uart_write(data, nbytes);
}}

int main(void)
{{
    mct_session_init();
    mct_port_init();
    for (;;) {{
        mct_port_receive(!mct_session_work());
    }}
}}
```
"""


def emit_readme(library: Library) -> str:
    """The text of ``README.md``."""
    link = LINK.format(model=library.models[0]) if library.has_link else ""
    return lines(readme(library)) + link


def readme(library: Library) -> Iterator[str]:
    yield f"# {', '.join(library.models)}"
    yield ""
    yield f"{DO_NOT_EDIT} By mcutrain {library.version}."
    yield ""
    yield "This folder has all that the C needs: the kernels that it calls, and their headers."
    for program in library.programs:
        yield ""
        yield from about(program)
    yield ""
    yield "## Build"
    yield ""
    yield from building(library)


def about(program: Program) -> Iterator[str]:
    """What a model takes, and the lines that use it."""
    plan, name = program.plan, program.plan.name
    upper = name.upper()
    yield f"## {name}"
    yield ""
    yield "| Memory | What | Bytes |"
    yield "|---|---|---|"
    others = {
        "kept latents": plan.slot_bytes,
        "next sample": plan.ahead_bytes,
        "record of the chain": plan.record_bytes,
    }
    parts = {
        "arena, which all tensors of a step share": plan.memory.arena_bytes,
        "what is learned, and the state of training": plan.memory.state_bytes,
        **{what: nbytes for what, nbytes in others.items() if nbytes},
    }
    if plan.chip.copies_constants:
        parts["constants, which this chip copies from flash"] = program.pointed_bytes
    yield from (f"| RAM | {what} | {nbytes:,} |" for what, nbytes in parts.items())
    yield f"| RAM | in all, without counters (under 100) and stack | {sum(parts.values()):,} |"
    yield f"| flash | constants: weights, tables, parameters | {program.constant_bytes:,} |"
    yield ""
    yield "The code of the kernels comes to the flash, and the stack of a step to the RAM:"
    yield "`mcutrain plan --target sim:BOARD` counts both."
    yield ""
    yield "```c"
    yield f'#include "{name}.h"'
    yield ""
    yield f"static int8_t sample[{upper}_INPUT_BYTES]; /* in units of {upper}_INPUT_SCALE */"
    yield ""
    yield "void begin(void) /* once */"
    yield "{"
    yield f"    {name}_reset(1); /* the seed of all random rounding */"
    yield "}"
    for function, call in (("learn", "step(label)"), ("ask", "infer()")):
        argument = "uint32_t label" if function == "learn" else "void"
        yield ""
        yield f"mct_status {function}({argument})"
        yield "{"
        yield f"    mct_status status = {name}_push(0, sample, sizeof sample);"
        yield f"    return status == MCT_OK ? {name}_{call} : status;"
        yield "}"
    yield "```"
    yield ""
    yield f"After `ask` the answer is `{name}_predicted()`, or `{name}_logits()`. `src/{name}.h`"
    yield "lists all functions, and `src/mct/model_api.h` describes them."


def building(library: Library) -> Iterator[str]:
    yield "Turn optimisation on: without it a step takes several times as long. The sources are"
    yield "C11; programs in C99 and C++ may include the headers."
    yield ""
    yield "| With | Do this |"
    yield "|---|---|"
    rows = (
        ("any compiler", "compile each `.c` below `src`, which needs no include path; your own "
         "sources find the header with `-I src`"),
        ("CMake", "`add_subdirectory(FOLDER)`, "
         f"`target_link_libraries(app PRIVATE {library.name})`"),
        ("PlatformIO", "put the folder into `lib` of your project"),
        ("Arduino", "put the folder into `libraries` of your sketchbook; open its example"),
        ("ESP-IDF", "put the folder into `components` of your project, and name it in `REQUIRES`"),
        ("Zephyr", "add the folder to `ZEPHYR_EXTRA_MODULES`, and set "
         f"`CONFIG_{zephyr_option(library)}=y`"),
    )  # fmt: skip
    yield from (f"| {system} | {told} |" for system, told in rows)
    yield ""
    yield "`learning/guard.h` keeps the best state, `learning/replay.h` old samples, and"
    yield "`learning/model_store.h` what was learned in flash. A linker with `--gc-sections`"
    yield "leaves out what nobody calls."
    yield ""
    yield "Several such folders may lie in one program, if one version of mcutrain wrote them."


def emit_sketch(program: Program) -> str:
    """The text of ``NAME.ino``: learns from samples that the author reads, and asks."""
    return lines(sketch(program))


def sketch(program: Program) -> Iterator[str]:
    plan, name = program.plan, program.plan.name
    upper = name.upper()
    yield "/* SPDX-License-Identifier: Apache-2.0 */"
    yield f"/* An example for {name}, by mcutrain: the place to begin your own sketch. */"
    yield f"#include <{name}.h>"
    yield ""
    yield "/* One value of a sample, in the unit of the model's training; yours is a sensor's. */"
    yield "static float value(uint32_t k)"
    yield "{"
    yield "  return sin(0.1 * k);"
    yield "}"
    yield ""
    yield "static bool pushSample()"
    yield "{"
    yield f"  for (uint32_t k = 0; k < {upper}_INPUT_BYTES; k++) {{"
    yield f"    long q = (long)floor(value(k) / {upper}_INPUT_SCALE + 0.5f);"
    yield f"    int8_t byte = (int8_t)constrain(q + {upper}_INPUT_ZERO_POINT, -128, 127);"
    yield f"    if ({name}_push(k, &byte, 1) != MCT_OK) {{"
    yield "      return false;"
    yield "    }"
    yield "  }"
    yield "  return true;"
    yield "}"
    yield ""
    if plan.target_bytes:
        yield "static bool pushTarget()"
        yield "{"
        yield f"  for (uint32_t k = 0; k < {upper}_TARGET_BYTES; k++) {{"
        wanted = f"{upper}_OUTPUT_ZERO_POINT; /* 0; yours is what is to come out */"
        if plan.takes_label_map:
            wanted = "0; /* a class; yours is that of position k */"
        yield f"    int8_t byte = {wanted}"
        yield f"    if ({name}_push_target(k, &byte, 1) != MCT_OK) {{"
        yield "      return false;"
        yield "    }"
        yield "  }"
        yield "  return true;"
        yield "}"
        yield ""
    yield "void setup()"
    yield "{"
    yield "  Serial.begin(115200);"
    yield f"  {name}_reset(1); /* the seed of all random rounding */"
    yield "}"
    yield ""
    yield "void loop()"
    yield "{"
    has_target = " && pushTarget()" if plan.target_bytes else ""
    label = "the label of the sample" if plan.takes_label else "this model takes no label"
    yield f"  if (pushSample(){has_target} && {name}_step(0) == MCT_OK) {{ /* 0: {label} */"
    yield '    Serial.print("steps: ");'
    yield f"    Serial.print({name}_steps());"
    yield '    Serial.print(", learned: ");'
    yield f"    Serial.println({name}_digest(), HEX);"
    yield "  }"
    yield f"  if (pushSample() && {name}_infer() == MCT_OK) {{"
    yield '    Serial.print("class: ");'
    asked = "predicted_at(0)" if plan.takes_label_map else "predicted()"
    yield f"    Serial.println({name}_{asked});"
    yield "  }"
    yield "  delay(1000);"
    yield "}"
