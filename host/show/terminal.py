# SPDX-License-Identifier: Apache-2.0
"""The terminal, and smaller tables on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from mcutrain.host.building.cache import Cleaned

PIPE_WIDTH = 160  # columns where there is no terminal to ask
out = Console() if Console().is_terminal else Console(width=PIPE_WIDTH)


def lines(text: Iterable[str]) -> None:
    for line in text:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


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
