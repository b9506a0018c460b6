# SPDX-License-Identifier: Apache-2.0
"""A design as it is asked for, and the files it leaves."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.defaults import AUTO
from mcutrain.host.designing.effort import DesignPlan
from mcutrain.host.designing.report import next_command, to_json
from mcutrain.host.designing.samples import (
    Reading,
    RealSamples,
    check_enough,
    own_samples,
    read_samples,
)
from mcutrain.host.designing.workshop import Effort, Workshop, check_people
from mcutrain.host.extras import require_extra
from mcutrain.host.failure import reason
from mcutrain.host.files import write_whole
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.host.search.study import StudyError, locked_study
from mcutrain.host.training.reporter import Reporter
from mcutrain.trainer.errors import BudgetError, DataError, Error
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.notes import WARNING, Note
from mcutrain.trainer.options import CROSS_ENTROPY, SQUARED_ERROR
from mcutrain.trainer.plan import ARITHMETIC_VERSION

if TYPE_CHECKING:
    from mcutrain.host.designing.design import Designed, Judged
    from mcutrain.host.designing.pricing import NetPricer

FULL = "full"


@dataclass(frozen=True)
class DesignJob:
    """What `mcutrain design` was asked to do. The request's model is not there yet: it is what the
    design makes. ``adaptation`` are epochs over a person's samples, of which ``share`` is held out.
    """

    request: Request
    data: Path
    limits: Limits
    plan: DesignPlan
    own: Path | None = None
    shape: tuple[int, ...] | None = None
    adaptation: int = 10
    share: float = 0.3
    rate: float | None = None
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    study: Path | None = None
    output: Path = Path("net.tflite")
    reading: DataOptions = DEFAULT_DATA_OPTIONS

    @property
    def folder(self) -> Path:
        return self.output.with_suffix(".study") if self.study is None else self.study


@dataclass(frozen=True)
class DesignResult:
    """What a design has found, and what is to be said of its samples."""

    found: Designed
    limits: Limits
    output: Path
    own: Path | None
    notes: list[Note]
    reading: DataOptions = DEFAULT_DATA_OPTIONS

    @property
    def next_command(self) -> str:
        return next_command(self.found, self.output, self.own, self.reading)

    def to_json(self) -> dict[str, Any]:
        told = to_json(self.found, self.limits, self.output, self.next_command)
        return {**told, "data_notes": [asdict(note) for note in self.notes]}


def check_design(job: DesignJob) -> None:
    """Raises Error for what is wrong with a job itself."""
    require_extra("search")
    options = job.request.options
    if not 0 < job.share < 1:
        raise DataError(f"--validation is a share between 0 and 1, not {job.share:g}")
    if job.output.suffix != ".tflite":
        raise Error(f"{job.output}: the net is a .tflite file; give such a name")
    for name, flag in (("start", "from"), ("end", "to"), ("latent_slots", "latent-slots"),
                       ("class_weights", "class-weights")):  # fmt: skip
        if name in job.request.given:
            raise Error(f"--{flag} is of a model that is there: leave it out")
    if options.loss not in (CROSS_ENTROPY, SQUARED_ERROR):
        raise Error(f"design makes nets for labels and for values, not for --loss {options.loss}")
    if not isinstance(options.update, str) or options.update.endswith(".toml"):
        raise Error("a scheme file names the layers of one net: give full, last:K, bias or head")


def prepared(job: DesignJob) -> tuple[Workshop, list[Note]]:
    """What trains and judges nets, and what is to be said of the samples. Raises Error."""
    check_design(job)
    request = job.request
    if "update" not in request.given:
        # Not as if it was asked for: nets made by hand may then learn in part, too.
        request = replace(request, options=replace(request.options, update=FULL))
    reading = Reading(job.reading, job.shape, request.options.loss == SQUARED_ERROR)
    general, quant, notes = read_samples(job.data, reading)
    notes += check_enough(general, job.data)
    own = None
    if job.own is not None:
        own, more = own_samples(job.own, reading, general, quant)
        notes += more
    if not general.has_labels:
        request = request.but(loss=SQUARED_ERROR)
    elif request.options.loss != CROSS_ENTROPY:
        raise DataError(f"{job.data} has labels, but --loss {request.options.loss} compares values")
    workshop = workshop_of(job, request, general, own, quant)
    check_people(workshop)
    return workshop, [*notes, *group_notes(workshop)]


def workshop_of(
    job: DesignJob,
    request: Request,
    general: RealSamples,
    own: RealSamples | None,
    quant: QuantParams,
) -> Workshop:
    outputs = int(general.y.max()) + 1 if general.has_labels else general.y.shape[1]
    return Workshop(
        request, general, own, quant, outputs, job.folder, job.plan.folds, job.limits,
        job.adaptation, job.share, job.rate, job.plan.seed,
    )  # fmt: skip


def group_notes(workshop: Workshop) -> Iterator[Note]:
    """Who judges."""
    groups = workshop.general.group
    if workshop.own is not None:
        if workshop.own.group is None:
            text = "--own has no group_train: its samples are taken as one person's"
            yield Note("group_train", "one person", 1.0, text)
        return
    if groups is None:
        text = (
            "no group_train says whose each sample is: the same people are in what is pretrained "
            "on and in what judges, so that the figures are better than new people will see; give "
            "group_train, or --own"
        )
        yield Note("group_train", "same people", 0.0, text, WARNING)
        return
    count = len(np.unique(groups))
    if count < workshop.folds:
        text = (
            f"{count} groups are fewer than the {workshop.folds} that are held out in turn: some "
            "judge twice"
        )
        yield Note("group_train", "few groups", float(count), text)


def run_design(job: DesignJob, reporter: Reporter) -> DesignResult:
    """Design, and write the best net. Raises Error."""
    workshop, notes = prepared(job)
    reporter.tell(notes)
    try:
        found, content = designed(job, workshop, reporter)
    except OSError as err:
        raise StudyError(f"cannot use the study {job.folder}: {reason(err)}") from err
    write_whole(job.output, content)
    return DesignResult(found, job.limits, job.output, job.own, notes, job.reading)


def designed(job: DesignJob, workshop: Workshop, reporter: Reporter) -> tuple[Designed, bytes]:
    from mcutrain.host.search.pool import pool

    with warnings.catch_warnings():
        # In a notebook, Optuna's tqdm misses widgets for a progress bar that nobody asks for.
        warnings.filterwarnings("ignore", message="IProgress not found")
        from mcutrain.host.designing.design import NetSearch
        from mcutrain.host.designing.pricing import NetPricer

    pricer, known = NetPricer(workshop, job.limits), identity(job, workshop)
    with (
        locked_study(job.folder, known) as study,
        pool(workshop, job.jobs) as workers,
        reporter.searching() as report,
    ):
        found = NetSearch(workshop, pricer, job.plan, study, workers, report).run()
        report("the net", 0, 1)
        found, path = final(found, workshop, pricer, job.plan.epochs)
        report("the net", 1, 1)
    return found, path.read_bytes()


def final(
    found: Designed, workshop: Workshop, pricer: NetPricer, epochs: int
) -> tuple[Designed, Path]:
    """The best net, trained on all general samples by the seed that did best with it, and proved
    to fit by its own plan; the next best if it does not."""
    for at, one in enumerate(found.ranked):
        effort = Effort(epochs, one.best_seed())
        path = workshop.pretrained(one.net, effort, workshop.general)
        cost, excess = pricer.of_file(one.net, path)
        if excess <= 0:
            best: Judged = replace(one, cost=cost)
            return replace(found, ranked=[best, *found.ranked[at + 1 :]]), path
    raise BudgetError("no net that was trained fits any more: give a larger budget", 0,
                      pricer.limits.sram)  # fmt: skip


def identity(job: DesignJob, workshop: Workshop) -> dict[str, Any]:
    """What the scores of a study depend on, beside net and effort."""
    digest = workshop.digest
    return {
        "data set": digest(workshop.general),
        "own samples": None if workshop.own is None else digest(workshop.own),
        "request": workshop.request.stored(),
        "held-out share": job.share,
        "seeds": job.plan.seeds,
        "adaptation": job.adaptation,
        "learning rate": AUTO if job.rate is None else job.rate,
        "seed": job.plan.seed,
        "arithmetic": ARITHMETIC_VERSION,
    }
