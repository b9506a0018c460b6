# SPDX-License-Identifier: Apache-2.0
"""Documents of reports: of small runs in the reference, and of runs that are odd."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.cost import planned
from mcutrain.host.request import Request
from mcutrain.host.show.document import document
from mcutrain.host.show.drawings import drawing
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.job import Outcome, TrainingJob
from mcutrain.host.training.loop import train
from mcutrain.host.training.rate_choice import RateChoice, Tried
from mcutrain.host.training.runners import ReferenceRunner
from mcutrain.host.training.training_options import TrainingOptions
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.autoencoder import autoencoder
from tests.support.guarded import samples, silent, small_plan, with_validation

Document = dict[str, Any]
HOSTILE = "</script><script>alert('1')</script>\x1b[31m"
LONG = "a_class_whose_name_has_no_end_and_no_place_to_break_it_in_two"
RATE = RateChoice(2.0**-6, (Tried(2.0**-4, float("inf")), Tried(2.0**-6, 0.5)), 1.4, 30, 60, 0.1)
CLASSES = 100


def outcome(plan: TrainingPlan, data: Dataset, **options: Any) -> Outcome:
    """A run in the reference, as a job has it."""
    chosen = TrainingOptions(epochs=2, seed=1, monitor=True, rate=2.0**-6, **options)
    result = train(plan, data, ReferenceRunner(plan), chosen, silent)
    job = TrainingJob(
        Request(Path("small.tflite")), Path("data.npz"), "reference", None, chosen, rate=RATE
    )
    return Outcome(job, "reference", result, planned(plan), plan, data=data)


@cache
def usual_outcome() -> Outcome:
    return outcome(small_plan("last:2"), with_validation(samples()), guard=True)


def usual() -> Document:
    """Two runs, of which the second one has a link and counted instructions."""
    found = document([usual_outcome(), usual_outcome()], "mcutrain train small.tflite --verify")
    first, second = found["runs"]
    link = {"requests": 1200, "resent": 2, "damaged": 1, "sent_bytes": 9999, "received_bytes": 77}
    second |= {"target": "sim:mps2_an386", "link": link, "stack_used_bytes": 1400}
    second["work"] = {**second["work"], "step_is_counted": True, "cycles": 12345}
    first["said"] = [*first["said"], "warning: this is a warning"]
    return found


def reconstruction() -> Document:
    """A network that gives its input back: no classes, and samples that are plain values."""
    plan = make_plan(
        parse(autoencoder(), "autoencoder"), PlanOptions("full", loss="reconstruction")
    )
    x = np.random.default_rng(0).integers(-128, 128, (12, 12)).astype(np.int8)
    none = np.zeros((12, 0), np.int8)
    return document([outcome(plan, Dataset(x, none, x, none))])


def many_classes() -> Document:
    """A hundred classes with long names, one of them hostile."""
    rng, found = np.random.default_rng(0), usual()
    names = [f"{LONG}_{k}" for k in range(CLASSES)]
    names[0] = HOSTILE
    for run in found["runs"]:
        before, after = (
            (np.eye(CLASSES, dtype=int) * right + (rng.random((CLASSES, CLASSES)) < 0.02)).tolist()
            for right in (2, 9)
        )
        changes = [
            {"class": k, "name": name, "samples": 9, "recall_before": 0.2, "recall_after": 0.9,
             "change": 0.7 - k / 1000}
            for k, name in enumerate(names)
        ]  # fmt: skip
        parts = {"train": {"samples": 900, "classes": [9] * CLASSES}}
        run |= {"class_names": names, "confusion_before": before, "confusion_after": after}
        run |= {"class_changes": changes, "samples": parts, "model_name": HOSTILE}
        run["said"] = [HOSTILE, f"warning: {LONG * 4}"]
        for one in run["answers"].get("shown", ()):
            one |= {"label": HOSTILE, "predicted": names[1]}
        for row in run["work"]["layers"]:
            row["label"] = LONG + row["name"]
    return found


def pictures() -> Document:
    """Wrong samples that are photographs, spectrograms and traces."""
    rng, found = np.random.default_rng(0), usual()
    shapes = ((1, 96, 96, 3), (1, 49, 10, 1), (1, 60, 1, 6), (1, 28, 28, 1))
    shown = []
    for k in range(24):
        shape = shapes[k % len(shapes)]
        rough = rng.integers(-128, 128, shape[1:])
        smooth = (rough + np.roll(rough, 1, 0) + np.roll(rough, 1, 1)) // 3
        sample = smooth.astype(np.int8).reshape(-1)
        shown.append(
            {"index": k, "loss": 1.0, "loss_before": 2.0, "label": LONG, "predicted": "b",
             "predicted_before": LONG, **drawing(sample, shape)}
        )  # fmt: skip
    answers = {"samples": 100, "wrong": 40, "gained": 3, "lost": 1, "shown": shown}
    found["runs"][0]["answers"] = answers
    return found


def bare() -> Document:
    """A run of which little is known: it was interrupted before it had measured anything."""
    found = copy.deepcopy(document([usual_outcome()]))
    for run in found["runs"]:
        run |= dict.fromkeys(
            ("before", "after", "guard", "rate", "rate_text", "movement", "saturation", "link",
             "answers", "confusion_before", "confusion_after", "class_changes")
        )  # fmt: skip
        run |= {"interrupted": True, "steps": 0, "samples": {}, "class_names": [], "said": []}
        run["curve"] = {"every": 1, "steps": 0, "values": []}
        run["failure"] = "the device was not verified in every step"
    return found


DOCUMENTS = {
    "usual": usual,
    "reconstruction": reconstruction,
    "many classes": many_classes,
    "pictures": pictures,
    "bare": bare,
}
