# SPDX-License-Identifier: Apache-2.0
"""What a design found, as JSON, and in words which net to take."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutrain.host.search.budget import Limits

if TYPE_CHECKING:
    from mcutrain.host.designing.design import Designed, Judged


def row(one: Judged) -> dict[str, Any]:
    score = one.score
    figures = [one.of_seed(fold) for fold in sorted({fold for fold, _ in one.confirmed})]
    return {
        "net": one.net.shown,
        "family": one.net.family,
        "genes": dict(one.net.genes),
        "update": one.net.update,
        "is_handmade": one.net.is_handmade,
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


def next_command(found: Designed, output: Path, data: Path | None) -> str:
    """What trains the net on a person's samples."""
    samples = shlex.quote(str(data)) if data is not None else "own.npz"
    loss = "" if found.best.trial.mse is None else " --loss mse"
    update = shlex.quote(found.best.net.update)
    return f"mcutrain train {shlex.quote(str(output))} --data {samples} --update {update}{loss}"


def verdict(found: Designed) -> str:
    """How the best designed net and the best one made by hand stand to each other."""
    designed, handmade, gap = found.designed, found.handmade, found.difference
    if handmade is None:
        return "no net made by hand fits, so that there is none to compare with"
    if designed is None or gap is None:
        return f"only nets made by hand fit; the best is {handmade.net.shown}"
    is_error = found.best.trial.mse is not None
    scale, unit = (1.0, "") if is_error else (100.0, " points")
    shown = f"{scale * abs(gap.mean):.3g} ± {scale * gap.error:.2g}{unit}"
    is_better = found.best is designed
    first, second = (designed, handmade) if is_better else (handmade, designed)
    maker = "designed" if is_better else "made by hand"
    text = f"the best net is {maker} ({first.net.shown}); {shown} better than {second.net.shown}"
    if not gap.is_clear:
        text += ", which chance alone could make: either may be the better one"
    return text


def to_json(found: Designed, limits: Limits, output: Path, data: Path | None) -> dict[str, Any]:
    gap = found.difference
    return {
        "output": str(output),
        "best": row(found.best),
        "ranked": [row(one) for one in found.ranked],
        "others": [row(one) for one in found.others],
        "tried": found.tried,
        "difference": None if gap is None else {
            "mean": gap.mean, "standard_error": gap.error, "is_clear": gap.is_clear
        },
        "verdict": verdict(found),
        "limits": {
            "sram_bytes": limits.sram,
            "flash_bytes": limits.flash,
            "instructions": limits.instructions,
        },
        "next": next_command(found, output, data),
    }  # fmt: skip
