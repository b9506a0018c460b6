# SPDX-License-Identifier: Apache-2.0
"""Tables on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

from mcutrain.host.prediction.slices import slice_lines
from mcutrain.host.simulation.counts import Unit
from mcutrain.host.training.rate_choice import rate_text, told

if TYPE_CHECKING:
    from mcutrain.host.building.cache import Cleaned
    from mcutrain.host.training.evaluation import Evaluation
    from mcutrain.host.training.job import Outcome
    from mcutrain.host.training.latents import Saving

ACCURACY = "docs/accuracy.md"
PIPE_WIDTH = 160  # columns where there is no terminal to ask
out = Console() if Console().is_terminal else Console(width=PIPE_WIDTH)


def lines(text: Iterable[str]) -> None:
    for line in text:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def metric(outcome: Outcome, value: float | None) -> str:
    """Accuracy in percent, or a mean squared error."""
    if outcome.result.metric == "accuracy" or value is None:
        return percent(value)
    return f"{value:.4g}"


def shape(dims: Iterable[int]) -> str:
    return "x".join(map(str, dims))


COLUMNS = ("op", "layer", "kind", "output", "scale, zero", "MACs", "bytes", "trainable", "name")
WIDE = 110  # columns of a terminal that also has room for indices and names


def model_table(
    path: Path, source: dict[str, Any], rows: list[dict[str, Any]], least_macs: int
) -> None:
    table = Table(title=escape(str(path)), box=None, padding=(0, 1, 0, 0))
    for name in COLUMNS if out.width >= WIDE else COLUMNS[1:-1]:
        is_text = name in ("trainable", "name")
        justify: JustifyMethod = "right" if name in ("op", "layer", "MACs", "bytes") else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=not is_text)
    for r in rows:
        layer = "" if r["layer"] is None else str(r["layer"])
        cells = (
            str(r["operator"]), layer, r["kind"], shape(r["output"]), r["quantisation"],
            number(r["macs"]), number(r["bytes"]), r["trainable"], escape(r["name"]),
        )  # fmt: skip
        table.add_row(*(cells if out.width >= WIDE else cells[1:-1]))
    out.print(table)
    total_macs, total_bytes = (sum(r[k] for r in rows) for k in ("macs", "bytes"))
    low, high = source["real_range"]
    lines(
        [
            f"input: int8 {shape(source['shape'])}, scale {source['scale']:.6g}, "
            f"zero point {source['zero_point']}: real values {low:.6g} to {high:.6g}"
        ]
    )
    lines([f"{number(total_macs)} MACs, {number(total_bytes)} bytes of weights and biases"])
    if least_macs < total_macs:
        lines([f"{number(least_macs)} MACs an inference, after exact simplification"])


def obstacle_table(path: Path, rows: list[dict[str, Any]], section: dict[str, Any] | None) -> None:
    """What keeps a model from being read, a remedy told once; and the part that can be trained."""
    lines([f"{path} cannot be trained as it is:"])
    told: set[str] = set()
    for row in rows:
        remedy = "" if row["remedy"] in told else f"; {row['remedy']}"
        told.add(row["remedy"])
        lines([f"  {row['text']}{remedy}"])
    if section is None:
        lines(["No part of it can be trained."])
    else:
        operators, layers = section["operators"], section["layers"]
        lines(
            [
                f"A part of it can be (operators: {operators}, of these layers with weights: "
                f"{layers}):",
                f"  {section['command']}",
            ]
        )


COST_LINES = {
    "arena_bytes": "arena",
    "arena_bound_bytes": "  its lower bound",
    "recompute_saves_bytes": "  saved by computing twice",
    "learned_bytes": "learned weights and state",
    "latent_slot_bytes": "latents kept",
    "ahead_bytes": "next sample",
    "record_bytes": "record of the chain",
    "copied_constant_bytes": "constants, copied at the start",
    "stack_bytes": "stack, worst case",
    "link_bytes": "link buffers",
    "other_ram_bytes": "other RAM",
    "sram_bytes": "RAM in all",
    "constant_bytes": "constants",
    "flash_latent_bytes": "of these, latents kept",
    "code_bytes": "code",
    "other_flash_bytes": "other flash",
    "flash_bytes": "flash in all",
    "forward_macs": "MACs, forward",
    "step_macs": "MACs, training step",
    "recomputed_macs": "  of these, done twice",
}


PARTS = {"arena_bytes": "arena_parts", "learned_bytes": "learned_parts"}


def cost_table(cost: dict[str, Any]) -> None:
    outputs = f"{cost['classes']} classes" if cost["classes"] else "values"
    title = f"{cost['model']}, {cost['scheme']}, {outputs}"
    table = Table(title=f"{title}, {cost['target']}" if "target" in cost else title)
    table.add_column("")
    table.add_column("bytes or operations", justify="right")
    for key, text in COST_LINES.items():
        value = cost[key]
        if value is None:
            continue
        parts = value if isinstance(value, dict) else cost.get(PARTS.get(key, ""), {})
        table.add_row(text, number(sum(value.values()) if isinstance(value, dict) else value))
        for name, nbytes in parts.items():
            if nbytes:
                table.add_row(f"  {name.replace('_', ' ')}", f"[dim]{number(nbytes)}")
    out.print(table)
    learning = [r for r in cost.get("layers", ()) if r["learns"]]
    lines(f"learns: {', '.join(r['learns'])}" for r in learning)
    lines(region_line(r) for r in cost.get("regions", ()))
    if "format_bytes" in cost:
        lines(format_lines(cost))
    if cost["variants"]:
        used = ", ".join(f"{unit} ({count} nodes)" for unit, count in cost["variants"].items())
        lines([f"kernel variants: {used}"])
    if (packing := cost["packing"])["layers"]:
        lines(
            [
                f"layers with packed weights: {packing['layers']}; they take "
                f"{packing['added_bytes']:,} bytes of flash more, and save about "
                f"{packing['saves_instructions']:,} instructions of each inference"
            ]
        )
    if (int4 := cost["int4"])["layers"]:
        lines(
            [
                f"layers with frozen weights of int4: {int4['layers']}; they take "
                f"{int4['saved_bytes']:,} bytes of flash less"
            ]
        )
    if "predicted_instructions" in cost:
        lines(prediction_lines(cost["predicted_instructions"]))
        lines(slice_lines(cost["predicted_instructions"]))
    if "target" not in cost:
        told = "--target plans for a board, and measures a build for one that runs here"
        lines([f"planned for {cost['chip']}; {told}"])
    lines(memory_line(memory) for memory in cost["memories"] or ())
    if "elf" in cost:
        lines([f"firmware: {cost['elf']}"])


def prediction_lines(found: dict[str, Any]) -> Iterator[str]:
    """The whole of a prediction; what its nodes take is for JSON."""
    yield (
        f"predicted instructions on a {found['core'] or found['like']}: "
        f"{number(found['inference'])} an inference, {number(found['step'])} a step (not cycles)"
    )
    yield from (f"  {note}" for note in found["notes"])


def memory_line(memory: dict[str, Any]) -> str:
    used, there = memory["used_bytes"], memory["available_bytes"]
    return f"memory {memory['name']}: {number(used)} of {number(there)} bytes"


def region_line(region: dict[str, Any]) -> str:
    """The nodes of a region, and how many rows of each tensor it keeps."""
    nodes = region["nodes"]
    kept = ", ".join(f"{k['tensor']} {k['rows']} of {k['height']}" for k in region["kept"])
    comes = f"; {region['arriving']} arrives row by row" if region["arriving"] else ""
    return f"row by row: {nodes[0]} to {nodes[-1]}, rows kept: {kept or 'none'}{comes}"


def format_lines(cost: dict[str, Any]) -> Iterator[str]:
    """The plan's formats with their bytes, and what each other one would change."""
    chosen, taken = cost["formats"], cost["format_bytes"]
    yield (
        f"formats: errors {chosen['errors']} ({number(taken['errors'])} B at once), "
        f"weights {chosen['weights']} ({number(taken['fractions'])} B of fractions), "
        f"accumulate {chosen['accumulate']} ({number(taken['sums'])} B of sums)"
    )
    for other in cost["format_prices"]:
        yield (
            f"  {other['option']} {other['value']}: {other['arena_bytes']:+,} B arena, "
            f"{other['learned_bytes']:+,} B learned"
        )
    yield f"  accuracy with each: {ACCURACY}, a page of the documentation"


def counted(outcome: Outcome, unit: Unit, key: str, of: str, predicted: str = "") -> str:
    """A figure that was counted; where a board at a port counts none, what is ``predicted``."""
    found, known = outcome.counted_in(unit).get(key, {}).get(of), outcome.port_build
    if found is None and known is not None and predicted and not outcome.counted:
        return f"≈ {number(known.predicted[predicted])}"
    return number(found) or "-"


def counted_figures(unit: Unit) -> dict[str, Callable[[Outcome], str]]:
    """What was counted in one unit."""
    word = unit.value
    step, inference = ("step", "inference") if unit is Unit.INSTRUCTIONS else ("", "")
    return {
        f"{word} per step": lambda o: counted(o, unit, f"{word}_per_step", "median", step),
        f"{word}, first step": lambda o: counted(o, unit, f"{word}_per_step", "first"),
        f"{word} per inference": lambda o: counted(o, unit, f"forward_{word}", "mean", inference),
    }


def stack(outcome: Outcome) -> str:
    """What was seen of the stack, and the bound on it."""
    used, bound = outcome.stack_used_bytes, outcome.cost["stack_bytes"]
    if used is None:
        return "-"
    return number(used) if bound is None else f"{number(used)} of {number(bound)}"


def iou(found: Evaluation | None) -> str:
    """The mean intersection over union of the classes of positions."""
    return "-" if found is None or found.mean_iou is None else percent(found.mean_iou)


def rate(outcome: Outcome) -> str:
    choice = outcome.job.rate
    return "-" if choice is None else rate_text(choice.chosen)


# The figures of a run that matter, in the terminal's table and in the report.
FIGURES: dict[str, Callable[[Outcome], str]] = {
    "{metric} before": lambda o: metric(o, o.result.before),
    "{metric} after": lambda o: metric(o, o.result.after),
    "mean IoU before": lambda o: iou(o.result.evaluation_before),
    "mean IoU after": lambda o: iou(o.result.evaluation_after),
    "learning rate": rate,
    "steps": lambda o: number(o.result.steps),
    "verified steps": lambda o: number(o.result.verified_steps) if o.result.verified else "-",
    "RAM, bytes": lambda o: number(o.cost["sram_bytes"]) or "-",
    "flash, bytes": lambda o: number(o.cost["flash_bytes"]) or "-",
    "stack used, bytes": stack,
    **counted_figures(Unit.INSTRUCTIONS),
    **counted_figures(Unit.CYCLES),
    "seconds of training": lambda o: f"{o.result.seconds:.1f}",
}


def figures(outcomes: list[Outcome]) -> dict[str, list[str]]:
    """A row of cells for each figure, one per run."""
    name = outcomes[0].result.metric
    # Few emulators count cycles: the rows are those of what was counted, or else of instructions.
    units = {outcome.unit for outcome in outcomes if outcome.counted} or {Unit.INSTRUCTIONS}
    left_out = {row for unit in set(Unit) - units for row in counted_figures(unit)}
    if not any(outcome.plan.takes_label_map for outcome in outcomes):
        left_out |= {"mean IoU before", "mean IoU after"}
    return {
        text.format(metric=name): [cell(o) for o in outcomes]
        for text, cell in FIGURES.items()
        if text not in left_out
    }


def notes(outcome: Outcome) -> list[str]:
    """How the rate was found, what the guard did, what the monitor found, what latents saved: a
    line each."""
    result, said = outcome.result, [] if outcome.job.rate is None else told(outcome.job.rate)
    if result.interrupted:
        best = "the last weights" if result.guarded is None else "the best weights so far"
        said.append(f"interrupted: {best} were kept")
    if outcome.job.budget is not None:
        said.append(outcome.job.budget.told())
    if guard := result.guarded or outcome.job.decision:
        said.append(guard.told())
    said += result.yardstick.told(result.metric, result.after, outcome.plan.classes > 0)
    if result.findings is not None:
        found = [finding.text for finding in result.findings] or ["nothing to report"]
        said += [f"saturation: {text}" for text in found]
    if outcome.saving is not None:
        said.append(saving_line(outcome, outcome.saving))
    if outcome.port_build is not None:
        said.append(outcome.port_build.told())
    return said


def rates_tried(outcome: Outcome) -> dict[str, str]:
    """The loss at the end of each training that the rate was looked for with, by rate."""
    choice = outcome.job.rate
    tried = [] if choice is None else sorted(choice.tried, key=lambda one: -one.rate)
    return {rate_text(one.rate): f"{one.loss:.3g}" for one in tried}


def saving_line(outcome: Outcome, saving: Saving) -> str:
    """What latents saved: in instructions or cycles where they were counted, else in operations."""
    saved = outcome.saved(saving)
    unit = outcome.unit.value
    what = saved[f"saved_{unit}"]
    if what is None:
        what, unit = saved["saved_macs"], "MACs"
    return (
        f"latents: {number(saving.computed)} computed, {number(saving.reused)} reused, "
        f"{number(saving.kept_bytes)} bytes on the {saving.place}: {number(what)} {unit} left out"
    )


def outcome_table(outcomes: list[Outcome]) -> None:
    table = Table(
        title=escape(f"{outcomes[0].job.request.model.stem}, {outcomes[0].plan.scheme.name}")
    )
    table.add_column("")
    for outcome in outcomes:
        table.add_column(outcome.target, justify="right")
    for text, cells in figures(outcomes).items():
        table.add_row(text, *cells)
    out.print(table)
    for outcome in outcomes:
        if tried := rates_tried(outcome):
            losses = Table(*tried, title="loss at the end, by learning rate")
            losses.add_row(*tried.values())
            out.print(losses)
        lines(notes(outcome))


def boards_table(rows: list[dict[str, str]]) -> None:
    """A row for each board that a command ran on."""
    table = Table(*dict.fromkeys(name for row in rows for name in row))
    for row in rows:
        table.add_row(*(escape(cell) for cell in row.values()))
    out.print(table)


def check_table(result: dict[str, Any]) -> None:
    table = Table(title=escape(result["model"]))
    for name in ("operator", "name", "outputs compared", "mismatches"):
        table.add_column(name, justify="left" if name == "name" else "right")
    for r in result["operators"]:
        table.add_row(str(r["operator"]), r["name"], number(r["outputs"]), number(r["mismatches"]))
    out.print(table)
    lines([f"{number(result['outputs'])} outputs compared, {number(result['mismatches'])} differ"])


def calibration_table(found: dict[str, Any]) -> None:
    table = Table("tensor", "range before", "range after")
    for tensor in found["tensors"]:
        ends = (" to ".join(f"{v:.4g}" for v in tensor[key]) for key in ("before", "after"))
        table.add_row(escape(tensor["name"]), *ends)
    out.print(table)
    lines([f"wrote {found['output']}: ranges of {found['samples']} samples"])


def export_lines(written: dict[str, Any]) -> None:
    text = f"wrote {written['output']}: {number(written['bytes'])} bytes, {written['steps']} steps"
    lines([text])


def pulled_lines(pulled: dict[str, Any]) -> None:
    lines([f"wrote {pulled['output']}: what {pulled['port']} learned in {pulled['steps']:,} steps"])
    if "record" in pulled:
        kept, gaps = pulled["entries"], pulled["gaps"]
        lost = f"; of {gaps} gaps nobody knows what was learned in them" if gaps else ""
        lines([
            f"wrote {pulled['record']}: the entries of {kept:,} steps of {pulled['entered']:,} "
            f"since power-up{lost}"
        ])  # fmt: skip


def scored(score: dict[str, Any] | None) -> str:
    """Accuracy or error of one of a search's scores."""
    if score is None:
        return ""
    return percent(score["accuracy"]) if score["mse"] is None else f"{score['mse']:.4g}"


def search_table(found: dict[str, Any]) -> None:
    """The Pareto front of a search's trials, and the scheme that was chosen."""
    table = Table(title=f"Pareto front of {found['trials']} trials, on validation samples")
    for name in ("learns beside the head", "bytes by plan", "MACs", "trial", "confirmed"):
        table.add_column(name, justify="left" if name.startswith("learns") else "right")
    best, head = found["best"], found["head"]
    rows = found["front"] + [r for r in (best,) if r not in found["front"]]
    for r in rows:
        table.add_row(
            r["scheme"] + " *" * (r == best), number(r["plan_bytes"]), number(r["step_macs"]),
            scored(r["trial"]), scored(r["confirmed"]),
        )  # fmt: skip
    out.print(table)
    total = best["sram_bytes"] or best["plan_bytes"]
    kind = "in all" if best["sram_bytes"] else "of arena and learned state"
    lines(
        [
            f"* chosen: {scored(best['confirmed'])}, head alone "
            f"{scored(head['confirmed'])}; "
            f"{number(total)} bytes {kind}, budget {number(found['limits']['sram_bytes'])}",
            *(f"note: {note}" for note in found["notes"]),
            f"wrote {found['output']}: train with --update {found['output']}",
        ]
    )


def design_table(found: dict[str, Any]) -> None:
    """The nets of a design that were trained with several seeds, the best first."""
    table = Table(title=f"the best of {found['tried']} nets, after adaptation")
    for name in ("net", "made", "RAM", "flash", "MACs", "trial", "all seeds", "±"):
        table.add_column(name, justify="left" if name in ("net", "made") else "right")
    for r in found["ranked"]:
        error = r["standard_error"]
        scale = 100 if r["trial"]["mse"] is None else 1
        table.add_row(
            escape(r["net"]), r["kind"],
            number(r["ram_bytes"]), number(r["flash_bytes"]), number(r["step_macs"]),
            scored(r["trial"]), scored(r["confirmed"]),
            "" if error is None else f"{scale * error:.2g}",
        )  # fmt: skip
    out.print(table)
    lines([found["verdict"], f"wrote {found['output']}; next: {found['next']}"])


def ports_table(found: dict[str, list[dict[str, Any]]]) -> None:
    table = Table()
    table.add_column("give")
    table.add_column("what")
    table.add_column("firmware")
    for p in found["ports"]:
        usb = f" ({p['usb']})" if p["usb"] else ""
        what = escape(f"{p['what'] or p['description']}{usb}")
        like = f", as of {', '.join(p['boards'])}" if p["boards"] else ""
        table.add_row(f"--port {p['port']}", what + like, escape(p["told"]))
    for w in found["waiting"]:
        table.add_row("", f"{w['what']} ({w['usb']})", w["told"])
    for s in [*found["simulated"], *found["cores"]]:
        missing = ""
        if s["missing"]:
            missing = f" (missing: {', '.join(s['missing'])}; run: {' && '.join(s['remedies'])})"
        table.add_row(f"--target {s['target']}", s["description"] + missing)
    table.add_row("--target reference", "the NumPy reference on this computer")
    out.print(table)


def cleaned_lines(cleaned: Cleaned) -> None:
    lines([f"freed {number(cleaned.freed_bytes)} bytes in {cleaned.folder}"])
    lines(f"kept {folder}: another process uses it" for folder in cleaned.kept)
