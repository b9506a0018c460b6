# SPDX-License-Identifier: Apache-2.0
"""Prints regions: a function for one row of each stage, and one that runs them depth first."""

from __future__ import annotations

from collections.abc import Iterator

from codegen.c import INDENT, comment
from codegen.calls import call_lines
from codegen.image import Call, Image, RegionCall
from trainer.ops.base import Row, Rows
from trainer.region import Region


def region_name(image: Image, call: RegionCall) -> str:
    return f"{image.plan.name}_{call.node.name}"


def emit_regions(image: Image) -> Iterator[str]:
    for call in image.regions:
        for stage in call.stages:
            yield from emit_stage(image, call.region, stage)
        yield from emit_run(image, call)


def row_function(image: Image, stage: Call) -> str:
    return f"{image.plan.name}_{stage.node.name}_row"


def emit_stage(image: Image, region: Region, stage: Call) -> Iterator[str]:
    """The function that computes row y of a node."""
    names: dict[Row, str] = {}
    rows = [arg for arg in stage.call.args if isinstance(arg, Row)]
    yield f"static void {row_function(image, stage)}(int32_t y)"
    yield "{"
    if all(type(row) is Row and region.kept_rows(row) == 1 for row in rows):
        yield f"{INDENT}(void)y;"
    for row in rows:
        tensor, kept, size = row.tensor, region.kept_rows(row), row.nbytes
        if isinstance(row, Rows):
            names[row] = f"{tensor.name}_rows"
            window = row.window
            yield f"{INDENT}const int8_t *{names[row]}[{window.kernel}];"
            top = f"y * {window.stride} - {window.pad}"
            yield (
                f"{INDENT}mct_ring_rows({tensor.name}, {size}, {kept}, {row.height}, {top}, "
                f"{window.kernel}, {names[row]});"
            )
        else:
            names[row] = f"{tensor.name}{at_row(kept, row.height, size)}"
    yield from (INDENT + line for line in call_lines(image, stage, names))
    yield "}"
    yield ""


def at_row(kept: int, height: int, size: int) -> str:
    """Where row y lies behind the tensor's address."""
    if kept == 1:
        return ""
    return f" + y * {size}" if kept == height else f" + y % {kept} * {size}"


def emit_run(image: Image, call: RegionCall) -> Iterator[str]:
    """The function that computes all rows, each by the last stage that can go on."""
    region, stages = call.region, call.region.pipeline.stages
    kept = ", ".join(f"{t.name} {rows}" for t, rows in region.kept.items())
    yield comment(f"A region; rows kept: {kept or 'all'}.")
    yield f"static void {region_name(image, call)}(void)"
    yield "{"
    yield f"{INDENT}int32_t done[{len(stages)}] = {{0}};"
    yield f"{INDENT}for (;;) {{"
    keyword = f"{INDENT * 2}if"
    for s in reversed(range(len(stages))):
        yield f"{keyword} ({is_ready(region, s)}) {{"
        yield f"{INDENT * 3}{row_function(image, call.stages[s])}(done[{s}]++);"
        keyword = f"{INDENT * 2}}} else if"
    yield f"{INDENT * 2}}} else {{"
    yield f"{INDENT * 3}return;"
    yield f"{INDENT * 2}}}"
    yield f"{INDENT}}}"
    yield "}"
    yield ""


def is_ready(region: Region, s: int) -> str:
    """The condition that stage ``s`` can compute its next row."""
    stage = region.pipeline.stages[s]
    terms = [f"done[{s}] < {stage.rows}"]
    for read in stage.reads:
        if read.source >= 0:
            w = read.window
            terms.append(
                f"done[{read.source}] >= mct_rows_needed(done[{s}], {w.kernel}, {w.stride}, "
                f"{w.pad}, {read.height})"
            )
    return " && ".join(terms)
