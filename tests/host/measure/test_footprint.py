# SPDX-License-Identifier: Apache-2.0
"""Bytes of linked programs against what their sources say, and against the ELF's own sizes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mcutrain.host.measure.footprint import Class, Footprint
from mcutrain.host.measure.linker_map import MapRow
from mcutrain.trainer.errors import BudgetError, Error
from tests.support.small_links import (
    ARM,
    LINKER_SCRIPT,
    Linked,
    link_arm,
    link_native,
    needs_arm,
    needs_gcc,
)

MODEL = """
#include <stdint.h>
#include "../firmware.h"
static uint8_t watch_arena[777] __attribute__((aligned(8)));
static uint8_t watch_state[101];
static uint32_t next_call;
static const dense_params fc1 = {3, 4};
const int8_t watch_w1[35] = {1, 2, 3};
int watch_step(void)
{
    next_call++;
    watch_state[next_call & 7]++;
    return dense(&fc1, watch_w1, watch_arena) + watch_state[next_call & 3];
}
const char *watch_name(void) { return "watch"; }
"""
HEADER = """
#include <stdint.h>
typedef struct { int32_t n; int16_t shift; } dense_params;
int dense(const dense_params *p, const int8_t *w, uint8_t *x);
int watch_step(void);
const char *watch_name(void);
void serve(void);
"""
KERNEL = """
#include "../firmware.h"
static const uint16_t exponentials[10] = {1, 2, 3};
int dense(const dense_params *p, const int8_t *w, uint8_t *x)
{
    x[p->n] = (uint8_t)exponentials[p->shift];
    return w[p->n];
}
"""
SESSION = """
#include <string.h>
#include "../firmware.h"
static uint8_t mct_link_rx[33];
static volatile uint32_t served = 7;
void serve(void)
{
    static uint8_t mct_link_tx[20];
    memcpy(mct_link_rx, mct_link_tx, served);
    served += (uint32_t)watch_step() + (uint32_t)watch_name()[served];
}
int main(void) { serve(); return mct_link_rx[3]; }
"""
PORT = """
#include <stdint.h>
volatile uint8_t mct_port_uart_bytes[100];
volatile uint8_t ticks;
void irq(void) { mct_port_uart_bytes[ticks++] = 1; }
"""
FIRMWARE = {
    "model/watch": MODEL,
    "kernels/dense": KERNEL,
    "runtime/session": SESSION,
    "ports/board": PORT,
}


def firmware(folder: Path, link: Callable[..., Linked], **options: object) -> Linked:
    shutil.rmtree(folder / "objects", ignore_errors=True)
    (folder / "objects").mkdir()
    (folder / "objects" / "firmware.h").write_text(HEADER)
    return link(folder, FIRMWARE, **options)


def rows_of(footprint: Footprint, byte_class: Class) -> dict[str, int]:
    rows = footprint.classes[byte_class].rows
    return {row.symbol or row.input_section: row.nbytes for row in rows}


def size_of_sections(linked: Linked) -> dict[str, int]:
    command = [f"{linked.prefix}size", "-A", str(linked.elf)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(\.\S+)\s+(\d+)\s+\d+$", text, re.MULTILINE)
    return {name: int(nbytes) for name, nbytes in found}


def sum_by_section(rows: list[MapRow]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.section] = sums.get(row.section, 0) + row.nbytes
    return sums


@needs_arm
def test_every_byte_of_a_firmware_is_in_one_class(tmp_path: Path) -> None:
    linked = firmware(tmp_path, link_arm)
    sizes = size_of_sections(linked)
    footprint = linked.measure("watch")
    in_flash = [".vectors", ".text", ".ARM.exidx", ".data"]
    in_ram = [".data", ".bss", ".stack"]
    gaps = [row for row in linked.rows if row.section == ""]

    assert footprint.flash_bytes == sum(sizes.get(name, 0) for name in in_flash) + sum(
        row.flash_bytes for row in gaps
    )
    assert footprint.sram_bytes == sum(sizes[name] for name in in_ram) + sum(
        row.ram_bytes for row in gaps
    )
    for name, nbytes in sum_by_section(linked.rows).items():
        assert name == "" or nbytes == sizes[name], name


@needs_arm
def test_bytes_are_where_the_sources_put_them(tmp_path: Path) -> None:
    footprint = firmware(tmp_path, link_arm).measure("watch")

    assert footprint.arena_bytes == 777
    assert footprint.learned_bytes == 101
    assert footprint.link_bytes == 33 + 20 + 100
    assert footprint.constant_bytes == 35 + 8
    assert rows_of(footprint, Class.CONSTANTS) == {"watch_w1": 35, "fc1": 8}
    assert {"next_call", "watch_step"} <= set(rows_of(footprint, Class.MODEL))
    assert set(rows_of(footprint, Class.KERNELS)) == {"dense", "exponentials"}
    assert footprint.other_flash_bytes["kernels"] == 20
    assert footprint.other_flash_bytes["runtime"] == 4  # the load image of `served`
    assert footprint.other_ram_bytes["runtime"] == 4
    assert footprint.other_ram_bytes["model"] == 4
    assert rows_of(footprint, Class.VECTORS) == {"vectors": 17 * 4}
    assert "memcpy" in rows_of(footprint, Class.LIBRARY)


@needs_arm
def test_alignment_between_sections_counts(tmp_path: Path) -> None:
    say = "const char last[5] = {1}; volatile int n = 2; int main(void) { return last[n]; }"
    linked = link_arm(tmp_path, {"runtime/main": say})
    data = linked.image.section(".data")
    assert data is not None

    gaps = [(row.flash_bytes, row.ram_bytes) for row in linked.rows if row.section == ""]
    assert (3, 0) in gaps  # behind `last`, before the load image of `n`
    assert linked.measure("watch").flash_bytes == data.load_address + data.nbytes


@needs_arm
def test_json_has_the_sums_and_each_row(tmp_path: Path) -> None:
    footprint = firmware(tmp_path, link_arm).measure("watch")
    found = json.loads(json.dumps(footprint.to_json()))
    classes = found["classes"].values()
    parts = ["arena_bytes", "learned_bytes", "link_bytes", "stack_bytes"]

    ram_parts = sum(found[part] for part in parts) + sum(found["other_ram_bytes"].values())
    assert found["sram_bytes"] == ram_parts
    assert found["flash_bytes"] == sum(entry["flash_bytes"] for entry in classes)
    assert found["stack_bytes"] == sum(nbytes for _, nbytes in found["stack_path"])
    for entry in classes:
        held = [row["nbytes"] for row in entry["rows"] if row["kind"] != "ram"]
        assert entry["flash_bytes"] == sum(held)


@needs_arm
def test_the_stack_may_be_linked_at_its_measured_size_but_not_below(tmp_path: Path) -> None:
    first = firmware(tmp_path, link_arm).measure("watch")
    exact_bytes = (first.stack_bytes + 7) // 8 * 8

    assert first.stack_reserved_bytes == 4096
    assert first.stack_headroom_bytes == 4096 - first.stack_bytes
    second = firmware(tmp_path, link_arm, stack_bytes=exact_bytes).measure("watch")
    assert second.stack_reserved_bytes == exact_bytes
    assert second.stack_headroom_bytes == exact_bytes - first.stack_bytes
    assert second.sram_bytes == first.sram_bytes - 4096 + exact_bytes
    with pytest.raises(BudgetError, match=f"can reach {first.stack_bytes} bytes") as caught:
        firmware(tmp_path, link_arm, stack_bytes=exact_bytes - 8).measure("watch")
    assert caught.value.needed_bytes == first.stack_bytes
    assert caught.value.available_bytes == exact_bytes - 8


def without_row(text: str) -> str:
    return re.sub(r"\n \.bss\.watch_state\n.*objects/model/watch\.o", "", text)


def longer_row(text: str) -> str:
    return re.sub(r"(\.text\.dense +0x[0-9a-f]+ +)0x[0-9a-f]+", r"\g<1>0x2", text)


def without_fill(text: str) -> str:
    return re.sub(r"\n \*fill\* .*", "", text)


DAMAGE: dict[Callable[[str], str], str] = {
    without_row: r"101 bytes of \.bss at 0x200000.., before .*, are in no row of the map",
    longer_row: r"bytes of \.text at 0x.*, are in no row of the map",
    without_fill: r"bytes of \.\w+ at 0x.*, are in no row of the map",
}


@needs_arm
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_a_byte_in_no_row_is_an_error(tmp_path: Path, damage: Callable[[str], str]) -> None:
    linked = firmware(tmp_path, link_arm)
    text = linked.map.read_text()
    assert damage(text) != text
    linked.map.write_text(damage(text))

    with pytest.raises(Error, match=DAMAGE[damage]):
        linked.measure("watch")


@needs_arm
def test_an_object_without_a_rule_is_an_error(tmp_path: Path) -> None:
    linked = firmware(tmp_path, link_arm)
    linked.map.write_text(linked.map.read_text().replace("objects/kernels/", "objects/elsewhere/"))
    (linked.object_dir / "kernels").rename(linked.object_dir / "elsewhere")

    with pytest.raises(Error, match=r"\(dense in objects/elsewhere/dense.o\) belong to no class"):
        linked.measure("watch")


@needs_arm
def test_another_model_s_name_leaves_arena_and_state_without_rule(tmp_path: Path) -> None:
    with pytest.raises(Error, match=r"belong to no class"):
        firmware(tmp_path, link_arm).measure("phone")


def without_stack(script: str) -> str:
    return script[: script.index("    .stack")] + "    stack_bottom = .; stack_top = .; }\n"


def with_stack_elsewhere(script: str) -> str:
    return script.replace("stack_top = .;", "stack_top = . - 64;")


def with_nameless_heap(script: str) -> str:
    return script.replace("bss_end = .;", ". = . + 4096; bss_end = .;")


SCRIPTS: dict[Callable[[str], str], str] = {
    without_stack: r"no \.stack section",
    with_stack_elsewhere: r"the stack starts at 0x2000.*its reserve ends at 0x2000",
    with_nameless_heap: r"\.bss: 4096 bytes at 0x2.* reserved by the linker script without a name",
}


@needs_arm
@pytest.mark.parametrize("change", SCRIPTS, ids=lambda change: change.__name__)
def test_a_linker_script_that_hides_memory_is_an_error(
    tmp_path: Path, change: Callable[[str], str]
) -> None:
    linked = firmware(tmp_path, link_arm, linker_script=change(LINKER_SCRIPT))

    with pytest.raises(Error, match=SCRIPTS[change]):
        linked.measure("watch")


@needs_arm
def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    linked = firmware(tmp_path, link_arm)
    contents = linked.elf.read_bytes()
    linked.elf.write_bytes(contents[:100])
    with pytest.raises(Error, match=r"firmware\.elf: not a readable ELF file"):
        linked.measure("watch")
    linked.elf.write_bytes(contents)
    linked.map.rename(tmp_path / "other.map")
    with pytest.raises(Error, match=r"firmware\.map: no linker map"):
        linked.measure("watch")
    (tmp_path / "other.map").rename(linked.map)
    for path in linked.object_dir.rglob("*.su"):
        path.unlink()
    with pytest.raises(Error, match=r"compile with -fstack-usage"):
        linked.measure("watch")
    subprocess.run([f"{ARM}strip", str(linked.elf)], check=True)
    with pytest.raises(Error, match=r"no symbols"):
        linked.measure("watch")


@needs_arm
def test_strings_that_the_linker_merges_are_counted_once(tmp_path: Path) -> None:
    say = 'const char *{name}(void) {{ return "the same words in two places"; }}'
    sources = {
        "runtime/one": say.format(name="one"),
        "runtime/two": say.format(name="two"),
        "runtime/main": """
            const char *one(void);
            const char *two(void);
            volatile char sink;
            int main(void) { sink = one()[3] + two()[4]; return 0; }
        """,
    }
    linked = link_arm(tmp_path, sources)

    strings = [row.nbytes for row in linked.rows if ".str" in row.input_section]
    assert strings == [len("the same words in two places") + 1]


@needs_gcc
def test_on_the_host_only_our_objects_count(tmp_path: Path) -> None:
    linked = firmware(tmp_path, link_native)
    footprint = linked.measure("watch")
    origins = {row.origin for total in footprint.classes.values() for row in total.rows}

    assert footprint.arena_bytes == 777
    assert footprint.learned_bytes == 101
    assert rows_of(footprint, Class.CONSTANTS) == {"watch_w1": 35, "fc1": 8}
    assert footprint.link_bytes == 33 + 20  # the port's interrupt is not linked here
    assert footprint.stack_reserved_bytes == footprint.stack_headroom_bytes == 0
    assert footprint.classes[Class.LIBRARY].rows == ()
    assert all(origin.startswith("objects/") for origin in origins - {""})
    assert [name for name, _ in footprint.stack_path] == ["main", "serve", "watch_step", "dense"]
    ours = {row.address for row in linked.rows if row.origin in origins - {""}}
    alignment = footprint.classes[Class.ALIGNMENT].rows
    assert alignment
    ends = {row.end for row in linked.rows if row.origin in origins - {""}}
    assert all(row.end in ours or row.address in ends for row in alignment)
    everything = sum(size_of_sections(linked)[name] for name in (".text", ".rodata", ".data"))
    assert footprint.flash_bytes < everything + size_of_sections(linked)[".eh_frame"]


@needs_gcc
def test_on_the_host_the_map_must_fit_the_elf_as_well(tmp_path: Path) -> None:
    linked = firmware(tmp_path, link_native)
    text = linked.map.read_text()
    linked.map.write_text(
        re.sub(r"(\n \.text\.dense +0x[0-9a-f]+ +)0x[0-9a-f]+", r"\g<1>0x2", text)
    )

    with pytest.raises(Error, match=r"bytes of \.text at 0x"):
        linked.measure("watch")
