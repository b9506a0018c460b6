# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page about one or more training runs, made of their document."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mcutrain.host.files import write_whole
from mcutrain.host.show.class_views import answer_views, class_views
from mcutrain.host.show.decision_views import decisions
from mcutrain.host.show.document import document
from mcutrain.host.show.pages import (
    Key,
    PageTable,
    core_name,
    filled,
    number,
    seconds,
    share,
    significant,
)
from mcutrain.host.show.run_views import (
    Run,
    data_table,
    judged_by,
    limit_table,
    link_table,
    loss_chart,
    memory_views,
    moved_table,
    validation_chart,
)
from mcutrain.host.show.words import term
from mcutrain.host.show.work_views import board_table, sheet_table, work_views
from mcutrain.host.training.job import Outcome

TOLD = ("learning rate:", "saturation:")


def write_report(path: Path, outcomes: Sequence[Outcome], command: str = "") -> None:
    """Write the page of the runs that ``command`` made. Raises Error."""
    write_whole(path, page(document(outcomes, command)))


def page(found: dict[str, Any]) -> str:
    """The page of a document. Raises KeyError and the like for one that is none."""
    runs: list[Run] = found["runs"]
    name = runs[0]["model_name"]
    values = {
        "loss_chart": loss_chart(runs),
        "validation_chart": validation_chart(runs),
        "class_views": class_views(runs),
        "answer_views": answer_views(runs),
        "data_table": data_table(runs),
        "moved_table": moved_table(runs[-1]),
        "board_table": board_table(runs[-1]),
        "link_table": link_table(runs),
        "decisions": decisions(runs),
    }
    return filled(
        "training.html",
        "report.js",
        title=f"{name}: what it learned",
        lede=lede(found),
        key_figures=key_figures(runs),
        failures=[run["failure"] for run in runs if run["failure"]],
        result_says=result_says(runs),
        result_table=PageTable(
            "", ("", *(run["target"] for run in runs)),
            [(text, *cells) for text, cells in found["figures"].items()],
        ),
        said=list(dict.fromkeys(line for run in runs for line in run["said"] if is_remark(line))),
        targets_agree=len(runs) > 1 and all(r["curve"] == runs[0]["curve"] for r in runs),
        samples_say=samples_say(runs[0]),
        limit_table=limit_table(runs[-1]),
        saturation=[one["text"] for one in runs[-1]["saturation"] or ()],
        memory_views=memory_views(runs),
        work_views=work_views(runs),
        sheet_table=sheet_table(runs[-1]),
        board_notes=board_notes(runs[-1]),
        command=found["command"],
        origin=list(origin(found)),
        download_name="report.json",
        document=base64.b64encode(json.dumps(found).encode()).decode(),
        sections=list(sections(values)),
        **values,
    )  # fmt: skip


def sections(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The anchors and names of the sections that a page has, in their order."""
    optional: Sequence[tuple[str, str, Callable[[], Any]]] = (
        ("learning", "Learning", lambda: values["loss_chart"] or values["validation_chart"]),
        ("classes", "Classes", lambda: values["class_views"]),
        ("samples", "Test samples", lambda: values["answer_views"]),
        ("data", "Data", lambda: values["data_table"]),
        ("layers", "Layers", lambda: values["moved_table"]),
    )
    yield "result", "Result"
    yield from ((anchor, text) for anchor, text, has in optional if has())
    yield from (("memory", "Memory"), ("work", "Instructions"))
    for anchor, text, key in (
        ("boards", "Time and energy", "board_table"),
        ("link", "Link", "link_table"),
        ("decisions", "Decisions", "decisions"),
    ):
        if values[key]:
            yield anchor, text
    yield "origin", "Origin"


def lede(found: dict[str, Any]) -> str:
    run = found["runs"][0]
    targets = " and ".join(r["target"] for r in found["runs"])
    when = found["written"].replace("T", " ").replace("+00:00", " UTC")
    return (
        f"{run['steps']:,} training steps on {targets}, with the scheme {run['update']} and the "
        f"seed {run['seed']}. Written {when} by mcutrain {found['versions'].get('mcutrain', '')}."
    )


def key_figures(runs: Sequence[Run]) -> list[Key]:
    """The six at the head of the page; bytes and instructions are those of the last run."""
    run = runs[-1]
    shown = share if run["metric"] == "accuracy" else significant
    name = "Accuracy on test samples" if run["metric"] == "accuracy" else "Squared error (mse)"
    after = run["after"]
    if after is None:
        told = Key(name, "–", "no test samples were judged")
    else:
        told = Key(name, shown(after), f"{shown(run['before'])} before training")
    verified, steps = sum(r["verified_steps"] for r in runs), sum(r["steps"] for r in runs)
    is_verified = all(r["verified"] for r in runs)
    cost, work = run["cost"], run["work"]
    ram = cost["sram_bytes"] or sum(run["ram"].values())
    flash = cost["flash_bytes"] or sum(run["flash"].values())
    known = run.get("build") or {}  # of a board at a port
    built = f"of the build for {known.get('target', run['target'])}"
    planned = "of the plan, without stack and link"
    how = (
        f"counted in {work.get('emulator', 'QEMU')}"
        if work["step_is_counted"]
        else f"predicted for a {core_name(work['core'])}"
    )
    board = next((b for b in work["boards"] if b["core"] == work["core"]), None)
    return [
        told,
        Key(
            term("verify", "Verified steps"),
            number(verified) if is_verified else "none",
            f"of {steps:,}, equal to the reference in every bit" if is_verified
            else "the option --verify compares every step",
        ),
        Key("RAM", number(ram), built if cost["sram_bytes"] else planned, "bytes"),
        Key("Flash", number(flash), built if cost["flash_bytes"] else "of constants", "bytes"),
        Key("Instructions per step", number(work["step"]), how),
        *(
            [Key("Time per step", f"≈ {seconds(board['step_seconds'])}",
                 f"estimate, {board['chip']} at {board['clock_mhz']:g} MHz")] if board else []
        ),
    ]  # fmt: skip


def result_says(runs: Sequence[Run]) -> str:
    if runs[0]["metric"] == "accuracy" and judged_by(runs[0]) != "accuracy":
        return (
            "The accuracy is the share of the positions of the test samples that get their true "
            "class. The mean IoU is the mean over the classes of the intersection over union: of "
            "the positions that are of a class or were taken for it, the share that is both."
        )
    if runs[0]["metric"] == "accuracy":
        return "The accuracy is the share of the test samples that get their true class."
    return (
        "The mse is the mean squared error of the outputs, in squared real units. Less is better."
    )


def samples_say(run: Run) -> str:
    if judged_by(run) == "accuracy":
        return (
            "These are the test samples that the trained network gets wrong, those it is surest of "
            "first. If a label looks wrong to you, correct the data; if the samples look odd, "
            "collect more like them."
        )
    return (
        "These are the test samples with the greatest errors. If they are unlike the others, "
        "collect more like them, or take them out."
    )


def is_remark(line: str) -> bool:
    """Whether a line of the terminal is not told by a section of its own."""
    return not line.startswith(TOLD) or "nothing learns" in line


def board_notes(run: Run) -> str:
    like = [b for b in run["work"]["boards"] if not b["counted"]]
    if not like:
        return ""
    return " Instructions are predicted where they were not counted on such a core."


def origin(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    run = found["runs"][0]
    yield "date", found["written"]
    for kind in ("model", "data"):
        file = run["files"][kind]
        yield kind, file["name"]
        if file["sha256"]:
            yield f"SHA-256 of the {kind}", file["sha256"]
    yield "hash of the arithmetic", run["cost"]["numerics_hash"]
    for each in found["runs"]:
        if "build_hash" in each["cost"]:
            yield f"hash of the build, {each['target']}", each["cost"]["build_hash"]
    yield "seed", str(run["seed"])
    if run["rate_text"]:
        yield "learning rate", run["rate_text"]
    yield "versions", ", ".join(f"{name} {text}" for name, text in found["versions"].items())
    yield "computer", found["computer"]
