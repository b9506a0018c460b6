# SPDX-License-Identifier: Apache-2.0
"""One self-contained HTML page about one or more training runs."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mcutrain.host.files import write_whole
from mcutrain.host.show.terminal import figures, notes
from mcutrain.host.training.guard import Guarded
from mcutrain.host.training.job import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:56em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em;border-bottom:1px solid #ccc;"
    "text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)


def write_report(path: Path, outcomes: list[Outcome]) -> None:
    """Write the page. Raises Error."""
    write_whole(path, page(outcomes))


def page(outcomes: list[Outcome]) -> str:
    job = outcomes[0].job
    title = html.escape(
        f"{job.request.model.stem}: {outcomes[0].plan.scheme.name}, seed {outcomes[0].result.seed}"
    )
    details = "\n".join(
        f"<details><summary>{html.escape(o.target)}, all figures</summary>"
        f"<pre>{html.escape(json.dumps(without_losses(o), indent=1))}</pre></details>"
        for o in outcomes
    )
    told = "".join(f"<p>{html.escape(line)}" for o in outcomes for line in notes(o))
    images = [picture("loss by step", loss_plot(outcomes))]
    if (guarded := outcomes[-1].result.guarded) is not None:
        images.append(picture("validation by epoch", validation_plot(guarded)))
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<style>{STYLE}</style><h1>{title}</h1>\n{figure_table(outcomes)}\n"
        f"{told}\n{''.join(images)}{details}</html>\n"
    )


def without_losses(outcome: Outcome) -> dict[str, object]:
    return {k: v for k, v in outcome.to_json().items() if k != "losses"}


def figure_table(outcomes: list[Outcome]) -> str:
    """The table of the figures that matter, a column per run."""
    head = "".join(f"<th>{html.escape(o.target)}" for o in outcomes)
    body = "".join(
        f"<tr><td>{text}" + "".join(f"<td>{html.escape(cell)}" for cell in cells)
        for text, cells in figures(outcomes).items()
    )
    return f"<table><tr><th>{head}{body}</table>"


def picture(text: str, svg: bytes) -> str:
    return f'<img alt="{text}" src="data:image/svg+xml;base64,{base64.b64encode(svg).decode()}">\n'


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
