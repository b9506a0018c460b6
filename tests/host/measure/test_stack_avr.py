# SPDX-License-Identifier: Apache-2.0
"""The stack bound of AVR code against frames known beforehand. That it is reached, and kept, is
seen in simavr (tests/host/building/test_boards.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcutrain.host.measure.disassembly import MACHINES
from mcutrain.host.measure.machine import Flow
from mcutrain.host.measure.stack import EXCEPTION_FRAME, read_usage
from mcutrain.trainer.errors import Error
from tests.support.small_links import link_avr, needs_avr
from tests.support.stack_programs import CALL_F, CHAIN, FAULTS, SWITCH, frames

MCUS = {"atmega1284p": 2, "atmega2560": 3}  # bytes of a return address
HANDLER = """
#include <avr/interrupt.h>
__attribute__((noinline)) int work(int n) { volatile char a[80]; a[n] = 1; return a[0]; }
extern volatile int seed;
ISR(USART0_RX_vect) { volatile char a[40]; a[seed] = 1; a[0] = (char)work(a[0]); }
"""


@needs_avr
@pytest.mark.parametrize("mcu", MCUS)
def test_a_chain_of_calls_costs_its_frames(tmp_path: Path, mcu: str) -> None:
    linked = link_avr(tmp_path, {"main": CHAIN}, mcu)
    found = frames(linked)
    usage = read_usage(linked.object_dir / "main.su")
    names = ("main", "outer", "inner")

    assert [usage[name].nbytes for name in names] == [found[name] for name in names]
    assert MCUS[mcu] + 200 + 2 <= found["inner"] <= MCUS[mcu] + 200 + 8
    section = linked.image.section(".stack")
    assert section is not None
    assert linked.stack().initial == section.end


@needs_avr
@pytest.mark.parametrize("mcu", MCUS)
def test_a_handler_counts_with_what_it_calls(tmp_path: Path, mcu: str) -> None:
    without = link_avr(tmp_path, {"main": CHAIN}, mcu).stack()
    linked = link_avr(tmp_path, {"main": CHAIN, "irq": HANDLER}, mcu)
    path = linked.stack().path
    at = path.index((EXCEPTION_FRAME, 0))
    usage = read_usage(linked.object_dir / "irq.su")
    (handler,) = (name for name in usage if name.startswith("__vector_"))

    assert path[:at] == without.path
    assert path[at + 1 :] == ((handler, usage[handler].nbytes), ("work", usage["work"].nbytes))


@needs_avr
@pytest.mark.parametrize("optimise", ["-O0", "-Os", "-O2"])
def test_every_case_of_a_switch_counts(tmp_path: Path, optimise: str) -> None:
    linked = link_avr(tmp_path, {"main": SWITCH}, optimise=optimise)

    assert frames(linked)["f7"] >= 128


@needs_avr
def test_a_frame_beyond_a_byte_counts(tmp_path: Path) -> None:
    linked = link_avr(tmp_path, {"main": CHAIN.replace("a[200]", "a[1000]")})

    assert 1000 <= frames(linked)["inner"] <= 1000 + 16


@needs_avr
def test_arguments_on_the_stack_count(tmp_path: Path) -> None:
    """Nine pointers fill the registers; eight bytes more are part of the caller's frame."""
    many = ", ".join(f"long a{n}" for n in range(6))
    passed = ", ".join("n" for _ in range(6))
    text = CHAIN.replace(
        "int main",
        f"FUNCTION many({many}) {{ return (int)(a0 + a5); }}\n"
        f"FUNCTION caller(int n) {{ return many({passed}) + inner(n); }}\nint main",
    ).replace("+ outer(seed)", "+ caller(seed)")
    linked = link_avr(tmp_path, {"main": text})
    usage = read_usage(linked.object_dir / "main.su")

    assert frames(linked)["caller"] == usage["caller"].nbytes >= 2 + 8


@needs_avr
@pytest.mark.parametrize("name", FAULTS)
def test_what_has_no_bound_is_refused(tmp_path: Path, name: str) -> None:
    text, message = FAULTS[name]
    linked = link_avr(tmp_path, {"main": text + CALL_F})

    with pytest.raises(Error, match=message):
        linked.stack()


LINES = (
    ("ret", Flow.END), ("reti", Flow.END), ("rjmp\t.-2\t; 0x10 <f>", Flow.JUMP),
    ("call\t0x20\t; 0x20 <g>", Flow.CALL), ("icall", Flow.INDIRECT_CALL),
    ("ijmp", Flow.INDIRECT_JUMP), ("brne\t.+4\t; 0x16 <f+0x6>", Flow.BRANCH),
    ("ld\tr24, X+", Flow.NEXT), (".word\t0x1234", Flow.DATA),
)  # fmt: skip


@pytest.mark.parametrize(("text", "flow"), LINES)
def test_where_control_goes(text: str, flow: Flow) -> None:
    assert MACHINES["EM_AVR"].decode(0, text).flow is flow
