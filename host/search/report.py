# SPDX-License-Identifier: Apache-2.0
"""What a search found: a scheme file with its figures, JSON, and a plot of the Pareto front."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcutrain.host.files import write_whole
from mcutrain.host.search.budget import Limits
from mcutrain.host.search.trial import TrialScore
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import Scheme
from mcutrain.trainer.scheme import scheme_text

if TYPE_CHECKING:
    from mcutrain.host.search.search import Found, Trained


def told(score: TrialScore) -> str:
    """
    >>> told(TrialScore(0.5, 0.4)), told(TrialScore(0, 0, 0.25))
    ('50.0 %', 'mse 0.25')
    """
    return f"{100 * score.accuracy:.1f} %" if score.mse is None else f"mse {score.mse:.4g}"


def scheme_file(found: Found, model: Model, limits: Limits, command: str) -> str:
    """The scheme as TOML, headed by what it scores and costs."""
    best, head = found.best, found.head
    assert best.confirmed is not None and head.confirmed is not None
    kind = "validation accuracy" if best.confirmed.mse is None else "validation error"
    layers = max(best.scheme.ratios) + 1
    lines = [
        f"{model.name}: {kind} {told(best.confirmed)}, head alone {told(head.confirmed)}",
        f"{best.sram:,} bytes of arena and learned state"
        + (f", {best.sram + found.overhead.sram:,} in all" if found.overhead.sram else "")
        + f", budget {limits.sram:,}",
        f"{best.macs:,} MACs a step",
        command.replace("\n", " "),
    ]
    return "".join(f"# {line}\n" for line in lines) + "\n" + scheme_text(best.scheme, layers)


def described(scheme: Scheme) -> str:
    """What learns beside the head, in a few words.

    >>> described(Scheme("s", {2: 1.0, 1: 0.5}, frozenset({2, 1, 0})))
    'weights 1:0.5; biases 0-1'
    """
    head = max(scheme.ratios)
    weights = " ".join(f"{k}:{r:g}" for k, r in sorted(scheme.ratios.items()) if k != head)
    spans: list[list[int]] = []
    for layer in sorted(scheme.biases - {head}):
        if spans and spans[-1][-1] == layer - 1:
            spans[-1].append(layer)
        else:
            spans.append([layer])
    biases = ",".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in spans)
    parts = [f"weights {weights}" * bool(weights), f"biases {biases}" * bool(biases)]
    return "; ".join(part for part in parts if part) or "head alone"


def row(one: Trained, found: Found) -> dict[str, Any]:
    return {
        "scheme": described(one.scheme),
        "weights": {str(k): r for k, r in sorted(one.scheme.ratios.items())},
        "biases": sorted(one.scheme.biases),
        "plan_bytes": one.sram,
        "sram_bytes": one.sram + found.overhead.sram if found.overhead.sram else None,
        "step_macs": one.macs,
        "trial": one.trial.to_json(),
        "confirmed": one.confirmed.to_json() if one.confirmed else None,
    }


def to_json(found: Found, limits: Limits, output: Path) -> dict[str, Any]:
    measured = found.overhead.factor != 1.0
    return {
        "output": str(output),
        "best": row(found.best, found),
        "head": row(found.head, found),
        "front": [row(one, found) for one in found.front],
        "trials": len(found.trained) - 1,
        "contributions": found.contributions,
        "limits": {
            "sram_bytes": limits.sram,
            "flash_bytes": limits.flash,
            "instructions": limits.instructions,
        },
        "instructions_per_predicted": found.overhead.factor if measured else None,
        "notes": found.notes,
    }


def plot_front(path: Path, found: Found, limit: int) -> None:
    """Accuracy, or error, of the trials by bytes, their Pareto front, and the scheme chosen."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def y(score: TrialScore) -> float:
        return 100 * score.accuracy if score.mse is None else score.mse

    figure, axes = pyplot.subplots(figsize=(7, 4.5))
    kib = 1024
    axes.scatter(
        [t.sram / kib for t in found.trained], [y(t.trial) for t in found.trained], s=14, alpha=0.5,
        label="trial",
    )  # fmt: skip
    axes.step(
        [t.sram / kib for t in found.front], [y(t.trial) for t in found.front], where="post",
        label="Pareto front",
    )  # fmt: skip
    again = [(t.sram / kib, y(t.confirmed)) for t in found.trained if t.confirmed]
    axes.scatter([x for x, _ in again], [v for _, v in again], marker="s", s=28, label="confirmed")
    assert found.best.confirmed is not None
    axes.scatter(
        [found.best.sram / kib],
        [y(found.best.confirmed)],
        marker="*",
        s=180,
        label="chosen",
        zorder=3,
    )
    axes.axvline((limit - found.overhead.sram) / kib, color="gray", linestyle=":", label="budget")
    is_error = found.head.trial.mse is not None
    axes.set_ylabel("validation error" if is_error else "validation accuracy, %")
    axes.set_xlabel("arena and learned state, KiB")
    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format=path.suffix.removeprefix("."), bbox_inches="tight")
    pyplot.close(figure)
    write_whole(path, buffer.getvalue())
