# SPDX-License-Identifier: Apache-2.0
"""Prints regions: a function for one row of each stage, and one that runs them depth first."""

from __future__ import annotations

from collections.abc import Iterator

from mcutrain.codegen.ahead import ahead_push
from mcutrain.codegen.c import INDENT, comment
from mcutrain.codegen.calls import call_lines
from mcutrain.codegen.image import Call, GroupCall, Image, RegionCall
from mcutrain.trainer.graph.call import Arg, Row, Rows
from mcutrain.trainer.plan import TrainingPlan
from mcutrain.trainer.planner.row_region import Region


def region_name(image: Image, call: RegionCall | GroupCall) -> str:
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
    names: dict[Arg, str] = {}
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
    if region.arriving is None:
        yield f"static void {region_name(image, call)}(void)"
        yield "{"
        yield f"{INDENT}int32_t done[{len(stages)}] = {{0}};"
    else:
        yield from emit_arrival(image, call)
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


def emit_arrival(image: Image, call: RegionCall) -> Iterator[str]:
    """The beginning of a region that goes on whenever a row of the sample has come."""
    name = image.plan.name
    # Not in the arena, which others may write between two arrivals.
    yield f"static int32_t {name}_done[{len(call.stages)}]; /* rows of each stage */"
    yield f"static uint32_t {name}_came; /* bytes of the sample */"
    yield ""
    yield f"static void {region_name(image, call)}(int32_t came)"
    yield "{"
    yield f"{INDENT}int32_t *const done = {name}_done;"


def emit_push(image: Image) -> Iterator[str]:
    """The function that takes a part of a sample."""
    plan, name, bytes_ = image.plan, image.plan.name, f"{image.plan.name.upper()}_INPUT_BYTES"
    node = plan.arriving
    if plan.receives_ahead:
        yield from ahead_push(plan).splitlines()
        return
    text = f"""\
mct_status {name}_push(uint32_t offset, const int8_t *bytes, uint32_t nbytes)
{{
    if ({name}_busy_now) {{
        return MCT_ERR_BUSY;
    }}"""
    if node is None:
        text += f"""
    if (offset > {bytes_} || nbytes > {bytes_} - offset) {{
        return MCT_ERR_RANGE;
    }}
    memcpy({plan.input.name} + offset, bytes, nbytes);
    return MCT_OK;
}}
"""
    else:
        call = next(c for c in image.regions if c.node is node)
        rows = call.region.kept[plan.input]
        size = plan.input.type.nbytes // plan.input.type.shape[1]
        text += f"""
    if (offset == 0u) {{
        memset({name}_done, 0, sizeof {name}_done);
        {name}_came = 0u;
    }}
    if (offset != {name}_came || nbytes > {bytes_} - offset) {{
        return MCT_ERR_RANGE;
    }}
    while (nbytes > 0u) {{
        uint32_t column = {name}_came % {size}u;
        uint32_t part = {size}u - column < nbytes ? {size}u - column : nbytes;
        memcpy({plan.input.name} + {name}_came / {size}u % {rows}u * {size}u + column, bytes, part);
        bytes += part;
        nbytes -= part;
        {name}_came += part;
        if (column + part == {size}u) {{
            {region_name(image, call)}((int32_t)({name}_came / {size}u));
        }}
    }}
    return MCT_OK;
}}
"""
    yield from text.splitlines()


def checking_sample(plan: TrainingPlan) -> str:
    """Statements that a step or an inference from a sample begins with: one that came by rows, or
    ahead, must be whole. That a step is under way is said first, by what follows."""
    if plan.arriving is None and not plan.receives_ahead:
        return ""
    name = plan.name
    return f"""\
    if (!{name}_busy_now && {name}_came != {name.upper()}_INPUT_BYTES) {{
        return MCT_ERR_SAMPLE;
    }}
"""


def taking_sample(plan: TrainingPlan) -> str:
    """Statements that an inference begins with: a sample that waits is taken."""
    taken = f"""\
    if (!{plan.name}_busy_now) {{
        {plan.name}_take_sample();
    }}
"""
    return checking_sample(plan) + (taken if plan.receives_ahead else "")


def dropping_sample(plan: TrainingPlan) -> str:
    """The statement that forgets a sample whose place in the arena something else takes."""
    return "" if plan.arriving is None else f"    {plan.name}_came = 0u;\n"


def is_ready(region: Region, s: int) -> str:
    """The condition that stage ``s`` can compute its next row."""
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
    return " && ".join(terms)
