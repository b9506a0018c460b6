# SPDX-License-Identifier: Apache-2.0
"""What a design found, as JSON, and in words which net to take."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.designing.nets import BY_HAND, CONDITIONS
from mcutrain.host.search.budget import Limits

if TYPE_CHECKING:
    from mcutrain.host.designing.design import Designed, Judged


def row(one: Judged) -> dict[str, Any]:
    score = one.score
    figures = [one.of_seed(fold) for fold in sorted({fold for fold, _ in one.confirmed})]
    return {
        "net": one.net.shown,
        "family": one.net.family,
        "genes": {name: value for name, value in one.net.genes if name != CONDITIONS},
        "update": one.net.update,
        "kind": one.net.kind,
        "ram_bytes": one.cost.sram,
        "flash_bytes": one.cost.constants,
        "step_macs": one.cost.macs,
        "instructions": one.cost.instructions or None,
        "trial": one.trial.to_json(),
        "confirmed": score.to_json() if one.confirmed else None,
        "standard_error": error_of(one),
        "seeds": [figure.to_json() for figure in figures],
    }


def error_of(one: Judged) -> float | None:
    """Of the mean of what people read: the larger of those over seeds and over people."""
    from mcutrain.host.designing.design import metric, spread

    if not one.confirmed:
        return None
    found = spread({pair: metric(score) for pair, score in one.confirmed.items()})
    return found if math.isfinite(found) else None


def next_command(
    found: Designed, output: Path, data: Path | None, reading: DataOptions = DEFAULT_DATA_OPTIONS
) -> str:
    """What trains the net on a person's samples, which are read as ``reading`` says."""
    samples = "own.npz"
    if data is not None:
        samples = " ".join([shlex.quote(str(data)), *reading.arguments()])
    loss = "" if found.best.trial.mse is None else " --loss mse"
    update = shlex.quote(found.best.net.update)
    return f"mcutrain train {shlex.quote(str(output))} --data {samples} --update {update}{loss}"


def rival_rows(found: Designed) -> list[dict[str, Any]]:
    """How much better the best net is than the best of each other kind, in pairs by seed and
    person."""
    from mcutrain.host.designing.design import difference

    rows = []
    for rival in found.rivals:
        gap = difference(found.best.confirmed, rival.confirmed)
        rows.append({
            "net": rival.net.shown, "kind": rival.net.kind, "mean": gap.mean,
            "standard_error": gap.error, "is_clear": gap.is_clear,
        })  # fmt: skip
    return rows


def verdict(found: Designed) -> str:
    """How the best net and the best of each other kind stand to each other."""
    best, parts = found.best, list[str]()
    is_error = best.trial.mse is not None
    for row in rival_rows(found):
        scale, unit = (1.0, "of error") if is_error else (100.0, "points")
        mean = -row["mean"] if is_error else row["mean"]
        text = (
            f"{scale * abs(mean):.3g} ± {scale * row['standard_error']:.2g} {unit} "
            f"{'better' if mean >= 0 else 'worse'} than {row['net']} ({row['kind']})"
        )
        parts.append(text + ("" if row["is_clear"] else ", which chance alone could make"))
    if best.net.kind != BY_HAND and not any(r.net.kind == BY_HAND for r in found.rivals):
        parts.append("no net made by hand fits, to compare with")
    return "; ".join([f"the best net is {best.net.shown} ({best.net.kind})", *parts])


def to_json(found: Designed, limits: Limits, output: Path, next_one: str) -> dict[str, Any]:
    """``next_one`` is the command that goes on."""
    return {
        "output": str(output),
        "best": row(found.best),
        "ranked": [row(one) for one in found.ranked],
        "others": [row(one) for one in found.others],
        "tried": found.tried,
        "rivals": rival_rows(found),
        "verdict": verdict(found),
        "limits": {
            "sram_bytes": limits.sram,
            "flash_bytes": limits.flash,
            "instructions": limits.instructions,
        },
        "next": next_one,
    }  # fmt: skip
