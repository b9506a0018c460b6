# SPDX-License-Identifier: Apache-2.0
"""Prints regions: a function for one row of each stage, and one that runs them depth first."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.codegen.c import INDENT, comment, filled, indented
from mcutrain.codegen.calls import call_lines, scratch
from mcutrain.codegen.names import in_ram, region_name
from mcutrain.codegen.program import Call, Program, RegionCall
from mcutrain.trainer.graph.call import Arg, Row, Rows, Scratch
from mcutrain.trainer.planner.row_region import RowRegion


def emit_regions(program: Program) -> Iterator[str]:
    for call in program.regions:
        for stage in call.stages:
            yield from emit_stage(program, call, stage)
        yield from emit_run(program, call)


def row_function(program: Program, stage: Call) -> str:
    return f"{program.plan.name}_{stage.node.name}_row"


def emit_stage(program: Program, call: RegionCall, stage: Call) -> Iterator[str]:
    """The function that computes row y of a node."""
    region, names = call.region, dict[Arg, str]()
    if Scratch() in stage.call.args:
        names[Scratch()] = scratch(program, call.node)
    rows = [arg for arg in stage.call.args if isinstance(arg, Row)]
    yield from filled(f"static void {row_function(program, stage)}(", ["int32_t y"], ")")
    yield "{"
    if all(type(row) is Row and region.kept_rows(row) == 1 for row in rows):
        yield f"{INDENT}(void)y;"
    for row in rows:
        tensor, kept = row.tensor, region.kept_rows(row)
        if isinstance(row, Rows):
            names[row] = f"{tensor.name}_rows"
            yield from indented(row_pointers(in_ram(program.plan, tensor), row, kept, names[row]))
        else:
            place = at_row(kept, row.height, row.nbytes)
            names[row] = f"{in_ram(program.plan, tensor)}{place}"
    yield from indented(call_lines(program, stage, 1, names))
    yield "}"
    yield ""


def row_pointers(tensor: str, rows: Rows, kept: int, name: str) -> Iterator[str]:
    """Statements that make the array ``name`` of the rows in the window of row y."""
    window = rows.window
    yield f"const int8_t *{name}[{window.kernel}];"
    top = f"y * {window.stride} - {window.pad}"
    args = [tensor, rows.nbytes, kept, rows.height, top, window.kernel, name]
    yield from filled("mct_ring_rows(", [str(arg) for arg in args], ");", 1)


def at_row(kept: int, height: int, size: int) -> str:
    """Where row y lies behind the tensor's address."""
    if kept == 1:
        return ""
    return f" + y * {size}" if kept == height else f" + y % {kept} * {size}"


def emit_run(program: Program, call: RegionCall) -> Iterator[str]:
    """The function that computes all rows, each by the last stage that can go on."""
    region, stages = call.region, call.region.pipeline.stages
    kept = ", ".join(f"{t.name} {rows}" for t, rows in region.kept.items())
    yield from comment(f"A region; rows kept: {kept or 'all'}.")
    if region.arriving is None:
        yield f"static void {region_name(program, call)}(void)"
        yield "{"
        yield f"{INDENT}int32_t done[{len(stages)}] = {{0}};"
    else:
        yield from emit_arrival(program, call)
    yield f"{INDENT}for (;;) {{"
    yield f"{INDENT * 2}mct_port_alive();"
    keyword = "if"
    for s in reversed(range(len(stages))):
        yield from indented(filled(f"{keyword} (", is_ready(region, s), ") {", 2, " && "), 2)
        yield f"{INDENT * 3}{row_function(program, call.stages[s])}(done[{s}]++);"
        keyword = "} else if"
    yield f"{INDENT * 2}}} else {{"
    yield f"{INDENT * 3}return;"
    yield f"{INDENT * 2}}}"
    yield f"{INDENT}}}"
    yield "}"
    yield ""


def emit_arrival(program: Program, call: RegionCall) -> Iterator[str]:
    """The beginning of a region that goes on whenever a row of the sample has come."""
    name = program.plan.name
    # Not in the arena, which others may write between two arrivals.
    yield f"static int32_t {name}_done[{len(call.stages)}]; /* rows of each stage */"
    yield ""
    yield f"static void {region_name(program, call)}(int32_t came)"
    yield "{"
    yield f"{INDENT}int32_t *const done = {name}_done;"


def is_ready(region: RowRegion, s: int) -> list[str]:
    """The conditions under which stage ``s`` can compute its next row."""
    stage, sources = region.pipeline.stages[s], region.pipeline.sources
    terms = [f"done[{s}] < {stage.rows}"]
    for read in stage.reads:
        is_arriving = read.source < 0 and sources[-1 - read.source] is region.arriving
        if read.source >= 0 or is_arriving:
            w = read.window
            there = "came" if is_arriving else f"done[{read.source}]"
            terms.append(
                f"{there} >= mct_rows_needed(done[{s}], {w.kernel}, {w.stride}, "
                f"{w.pad}, {read.height})"
            )
    return terms
