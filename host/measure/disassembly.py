# SPDX-License-Identifier: Apache-2.0
"""The disassembly of a linked program: what each instruction does to the stack and to the flow of
control. Reads ``objdump -d``; each instruction set has a module of its own, and MACHINES lists
them."""

from __future__ import annotations

import re
import subprocess

from mcutrain.host.errors import BuildError
from mcutrain.host.measure.elf import Image
from mcutrain.host.measure.machine import LOOK_BACK, Flow, Instruction, Machine
from mcutrain.host.measure.machines_arm import CORTEX_M
from mcutrain.host.measure.machines_avr import AVR, AVR6
from mcutrain.host.measure.machines_riscv import RISCV
from mcutrain.host.measure.machines_x86 import X86_64

MACHINES = {  # as host.measure.elf names them
    "EM_ARM": CORTEX_M,
    "EM_AVR": AVR,
    "EM_AVR6": AVR6,
    "EM_RISCV": RISCV,
    "EM_X86_64": X86_64,
}

_LINE = re.compile(r"^\s*([0-9a-f]+):\t(.+?)\s*$")


def disassemble(image: Image, machine: Machine, toolchain_prefix: str) -> list[Instruction]:
    """All code of a linked program in order of address; raises BuildError without objdump."""
    command = [f"{toolchain_prefix}objdump", "-d", "-z", "--no-show-raw-insn", str(image.path)]
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    except FileNotFoundError as cause:
        raise BuildError(f"{command[0]} not found; install the binutils of the target") from cause
    except subprocess.CalledProcessError as cause:
        raise BuildError(f"{' '.join(command)}: {cause.stderr.strip()}") from cause
    lines = (_LINE.match(line) for line in done.stdout.splitlines())
    code = [machine.decode(int(found[1], 16), found[2]) for found in lines if found]
    code.sort(key=lambda instruction: instruction.address)
    return [
        machine.resolve(here, code[max(0, at - LOOK_BACK) : at], image)
        if here.flow in (Flow.INDIRECT_JUMP, Flow.INDIRECT_CALL) or here.moves_stack
        else here
        for at, here in enumerate(code)
    ]
