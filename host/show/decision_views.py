# SPDX-License-Identifier: Apache-2.0
"""How a run's learning rate was chosen and what its guard decided, as a page shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mcutrain.host.show.pages import PageTable, share, significant
from mcutrain.host.show.run_views import Run, alike, judged_by
from mcutrain.host.training.rate_choice import rate_text


def decisions(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The guard's decision before the run, and the trainings that found a rate, of each run."""
    return [*guards(runs), *rates(runs)]


def rates(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    timeless = [{**run, "tried": (run["rate"] or {}).get("tried")} for run in runs]
    for targets, run in alike(timeless, "tried"):
        tried = sorted(run["tried"] or (), key=lambda one: -one["rate"])
        if not tried:
            continue
        rate = run["rate"]
        learns = rate.get("learns", True)
        cells = [
            (rate_text(t["rate"]), "diverged" if t["loss"] is None else significant(t["loss"]),
             "chosen" if learns and t["rate"] == rate["chosen"] else "")
            for t in tried
        ]  # fmt: skip
        was_tried = any(t["rate"] == rate["chosen"] for t in tried)
        lower = "" if was_tried else ", lower than the best of these as the run is longer"
        taken = (
            f"took {rate_text(rate['chosen'])}{lower}. A good rate ends with a low loss and is not "
            "close to one that diverges."
            if learns
            else "nothing learned at any of them: the loss was "
            f"{significant(rate['first_loss'])} before, and no training ended clearly below."
        )
        yield {
            "title": f"Learning rate, {targets}",
            "says": (
                f"mcutrain tried {len(tried)} rates, each for {rate['steps']:,} of "
                f"{rate['run_steps']:,} steps, and {taken}"
            ),
            "table": PageTable(
                "", ("learning rate", "loss at the end", ""), cells, {2}
            ),
        }  # fmt: skip


def guards(runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    """What the folds saw of held-out samples before the run, where they decided."""
    judged = [{**run, "folds": folds(run)} for run in runs if folds(run)]
    for targets, run in alike(judged, "folds"):
        seen, metric = run["folds"], judged_by(run)
        shown = share if metric == "accuracy" else significant
        words = ("right", "wrong") if metric == "accuracy" else ("nearer", "farther")
        are_alike = seen.get("samples_alike", False)
        why = "All samples are alike" if are_alike else "Training did not help on them"
        verdict = (
            f"{why}, so the first state stayed. Give --no-guard to train nevertheless."
            if seen["rolled_back"]
            else "Training helped on them, so all samples were learned."
        )
        yield {
            "title": f"Guard, {targets}",
            "says": (
                f"Before the run, {seen['folds']} short trainings each left some samples out. "
                f"{verdict} It made {seen['gained']:,} of {seen['samples']:,} samples {words[0]} "
                f"and {seen['lost']:,} {words[1]}; chance alone does that, or better, in "
                f"{100 * seen['chance']:.2g} % of cases."
            ),
            "table": PageTable(
                "", ("held-out samples", metric, "mean loss"),
                [
                    (when, shown(seen[f"{metric}_{when}"]), significant(seen[f"loss_{when}"]))
                    for when in ("before", "after")
                ],
            ),
        }  # fmt: skip


def folds(run: Run) -> dict[str, Any] | None:
    """The decision before a run without its duration; None if there was none."""
    guard = run["guard"]
    if not guard or "folds" not in guard:
        return None
    return {key: value for key, value in guard.items() if key != "seconds"}
