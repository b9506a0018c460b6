# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page about one or more training runs."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.host.files import write_whole
from mcutrain.host.show.pages import PageTable, filled
from mcutrain.host.show.terminal import figures, notes, rates_tried
from mcutrain.host.training.guard import Guarded
from mcutrain.host.training.job import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write_report(path: Path, outcomes: list[Outcome]) -> None:
    """Write the page. Raises Error."""
    write_whole(path, page(outcomes))


def page(outcomes: list[Outcome]) -> str:
    first = outcomes[0]
    plots = {"loss by step": loss_plot(outcomes)} if outcomes[-1].result.losses else {}
    if (guarded := outcomes[-1].result.guarded) is not None:
        plots["validation by epoch"] = validation_plot(guarded)
    model, scheme = first.job.request.model.stem, first.plan.scheme.name
    return filled(
        "training.html",
        title=f"{model}: {scheme}, seed {first.result.seed}",
        figures=figures(outcomes),
        notes=[line for o in outcomes for line in (*map(str, o.notes), *notes(o))],
        rates={o.target: tried for o in outcomes if (tried := rates_tried(o))},
        guards=[table for o in outcomes for table in held_out(o)],
        plots={text: base64.b64encode(svg).decode() for text, svg in plots.items()},
        runs=[
            {"target": o.target, "json": json.dumps(without_losses(o), indent=1)} for o in outcomes
        ],
    )


def without_losses(outcome: Outcome) -> dict[str, object]:
    return {k: v for k, v in outcome.to_json().items() if k != "losses"}


def held_out(outcome: Outcome) -> Iterator[PageTable]:
    """What the folds saw of held-out samples before the run, if they decided."""
    decision = outcome.job.decision
    if decision is None:
        return
    states = {"before": decision.before, "after": decision.after}
    better, worse = decision.changed
    yield PageTable(
        f"guard, before training on {outcome.target}: {decision.verdict()}",
        (f"{len(decision.before.loss)} held-out samples", "right, or error", "mean loss"),
        [
            *((name, decision.text(j), f"{j.mean_loss:.4g}") for name, j in states.items()),
            ("better, worse", f"{better}, {worse}", f"{100 * decision.chance:.2g} % by chance"),
        ],
    )


def loss_plot(outcomes: list[Outcome]) -> bytes:
    """An SVG: the loss of each step and its running mean."""
    figure, axes = new_plot("step", "loss")
    losses = np.array(outcomes[-1].result.losses)
    axes.plot(losses, linewidth=0.5, alpha=0.5, label="loss of a step")
    width = max(1, len(losses) // 30)
    if len(losses) >= width:
        mean = np.convolve(losses, np.ones(width) / width, "valid")
        axes.plot(np.arange(width - 1, len(losses)), mean, label=f"mean of {width}")
    return drawn(figure, axes)


def validation_plot(guarded: Guarded) -> bytes:
    """An SVG: the metric on the validation samples after each epoch, and the state that stayed."""
    figure, axes = new_plot("epoch", guarded.metric)
    values = guarded.values()
    axes.plot(values, marker=".", label="validation samples")
    if values:
        axes.plot([guarded.best], [values[guarded.best]], "o", fillstyle="none", label="kept")
    return drawn(figure, axes)


def new_plot(x: str, y: str) -> tuple[Figure, Axes]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 3.5))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return figure, axes


def drawn(figure: Figure, axes: Axes) -> bytes:
    from matplotlib import pyplot

    axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight")
    pyplot.close(figure)
    return buffer.getvalue()
