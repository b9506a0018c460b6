# SPDX-License-Identifier: Apache-2.0
"""All that a report shows of one or more runs, as a document of JSON.

The page is made of the document alone, and holds it: `mcutrain report` makes pages of documents and
of pages.
"""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.kinds import flash_bytes, ram_bytes
from mcutrain.host.show.answers import answers_of
from mcutrain.host.show.outcome import figures, notes
from mcutrain.host.show.work import Counts, WorkSource
from mcutrain.host.simulation.emulators.known import emulator_of
from mcutrain.host.training.guard import guard_metric
from mcutrain.host.training.job import Outcome
from mcutrain.trainer.graph.tensor import Array

KIND, FORMAT = "mcutrain report", 1
PACKAGES = ("mcutrain", "numpy", "flatbuffers", "pyserial", "platformio")
MOST_POINTS = 1500  # of a curve: as many as a page is wide
DIGITS = 5  # of a loss


def document(outcomes: Sequence[Outcome], command: str = "") -> dict[str, Any]:
    """The document of the runs that ``command`` made."""
    runs = [run_of(outcome) for outcome in outcomes]
    for k, run in enumerate(runs):
        share_answers(runs[:k], run)
    return {
        "kind": KIND,
        "format": FORMAT,
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "versions": versions(),
        "computer": f"{platform.system()} {platform.machine()}",
        "figures": figures(list(outcomes)),
        "runs": runs,
    }


def share_answers(earlier: Sequence[dict[str, Any]], run: dict[str, Any]) -> None:
    """Let a run that answers as an earlier one say so, in place of drawing the samples again."""
    same = (k for k, other in enumerate(earlier) if other["answers"] == run["answers"])
    if run["answers"] is not None and (k := next(same, None)) is not None:
        run["answers"] = {"same_as": k}


def versions() -> dict[str, str]:
    """Of Python and of the packages that make the figures, as far as they are installed."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def run_of(outcome: Outcome) -> dict[str, Any]:
    """One run: what `train --json` prints of it, with its curve thinned, and what a page adds."""
    result, plan, job = outcome.result, outcome.plan, outcome.job
    names = list(plan.options.class_names) if plan.classes else []
    plain = {key: value for key, value in outcome.to_json().items() if key != "losses"}
    return {
        **plain,
        "model_name": plan.name,
        "metric": result.metric,
        "guard_metric": guard_metric(plan),
        "before": result.before,
        "after": result.after,
        "verified": result.verified,
        "failure": outcome.failure,
        "curve": thinned(result.losses),
        "rate_text": None if job.rate is None else job.rate.text,
        "said": [*map(str, outcome.notes), *notes(outcome)],
        "class_names": names,
        "samples": samples_of(outcome),
        "ram": ram_bytes(plan, outcome.cost),
        "flash": flash_bytes(outcome.cost),
        "work": WorkSource(plan, counts_of(outcome)).to_json(),
        "files": {"model": hashed(job.request.model), "data": hashed(job.data)},
        "answers": answers_of(outcome),
    }


def counts_of(outcome: Outcome) -> Counts:
    """The whole steps and inferences that were counted; those from a latent are others."""
    word = outcome.unit.value
    step = outcome.counted.get(f"{word}_per_step", {}).get("median")
    inference = outcome.counted.get(f"forward_{word}", {}).get("mean")
    emulator = emulator_of(outcome.plan.chip.name) if outcome.counted else None
    return Counts(
        int(step or 0), int(inference or 0), outcome.profiles.get("step"), outcome.unit,
        "" if emulator is None else emulator.title, "" if emulator is None else emulator.caveat,
    )  # fmt: skip


def thinned(losses: Sequence[float]) -> dict[str, Any]:
    """The losses, each the mean of ``every`` steps; None where one is not a number."""
    every = max(1, math.ceil(len(losses) / MOST_POINTS))
    groups = (losses[k : k + every] for k in range(0, len(losses), every))
    means = (float(np.mean(group)) for group in groups)
    return {
        "every": every,
        "steps": len(losses),
        "values": [float(f"{m:.{DIGITS}g}") if math.isfinite(m) else None for m in means],
    }


def samples_of(outcome: Outcome) -> dict[str, Any]:
    """How many samples each part of the data has, and of each class."""
    data, plan = outcome.data, outcome.plan
    if data is None:
        return {}
    found = {}
    for part in ("train", "val", "test", "old"):
        labels: Array | None = getattr(data, f"y_{part}")
        if labels is None:
            continue
        classes = np.bincount(labels, minlength=plan.classes).tolist() if plan.takes_label else []
        found[part] = {"samples": len(labels), "classes": classes}
    return found


def hashed(path: Path) -> dict[str, Any]:
    """The file that was read, by the name that was given, with its SHA-256; None for a folder."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # a folder, or it has gone since
        digest = None
    return {"name": str(path), "sha256": digest}
