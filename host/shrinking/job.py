# SPDX-License-Identifier: Apache-2.0
"""A shrinking as it is asked for, and the file that it leaves."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mcutrain.host.building.target import Target
from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.extras import require_extra
from mcutrain.host.files import write_all
from mcutrain.host.request import Request
from mcutrain.host.search.budget import NO_OVERHEAD, Limits, cost_of
from mcutrain.host.shrinking.adapting import adapted
from mcutrain.host.shrinking.builds import (
    BUILDS,
    UNLIMITED,
    Builder,
    does_not_fit,
    more,
)
from mcutrain.host.shrinking.distillation import STEPS
from mcutrain.host.shrinking.inputs import ENOUGH, Inputs, read_inputs
from mcutrain.host.shrinking.phases import Phases
from mcutrain.host.shrinking.prices import planned
from mcutrain.host.shrinking.quality import has_new_head
from mcutrain.host.shrinking.result import Built, GroupKept, Point, Priced, Shrunk
from mcutrain.host.shrinking.shrinking import Report, Shrinking, Smaller
from mcutrain.host.training.class_names import named
from mcutrain.host.training.reporter import Reporter
from mcutrain.trainer.errors import DataError, Error, ModelError
from mcutrain.trainer.model import Model
from mcutrain.trainer.notes import Note
from mcutrain.trainer.options import INT4, RECONSTRUCTION, Effect
from mcutrain.trainer.plan import ARITHMETIC_VERSION
from mcutrain.trainer.shrinking.file import write_cut

ENDING = ".tflite"


@dataclass(frozen=True)
class ShrinkJob:
    """What `mcutrain shrink` was asked to do. ``max_loss`` is in points, of accuracy or of
    agreement; ``rate`` None: the distillation's own."""

    request: Request
    data: Path
    sram: int | None = None
    instructions: int | None = None
    output: Path = Path("small.tflite")
    max_loss: float | None = None
    unlabelled: bool = False
    search: bool = False
    trials: int = 24
    jobs: int = 1
    epochs: int = 10
    rate: float | None = None
    target: str = "reference"
    seed: int = 0
    reading: DataOptions = DEFAULT_DATA_OPTIONS
    report: Path | None = None
    study: Path | None = None
    steps: int = STEPS  # of the distillation; so many or fewer have a limit of time

    @property
    def folder(self) -> Path:
        """Where what was finished is kept."""
        return self.output.with_suffix(".shrink") if self.study is None else self.study

    @property
    def scheme(self) -> Path:
        """Where a search writes what should learn."""
        return self.output.with_suffix(".toml")

    @property
    def limits(self) -> Limits:
        sram = UNLIMITED if self.sram is None else self.sram
        return Limits(sram, self.request.options.flash, self.instructions)

    @property
    def builder(self) -> Builder:
        return Builder(Target.parse(self.target), self.instructions is not None)

    @property
    def in_four_bits(self) -> bool:
        return self.request.options.frozen == INT4

    @property
    def is_limited(self) -> bool:
        return any(limit is not None for limit in (self.sram, self.request.options.flash,
                                                   self.instructions))  # fmt: skip


@dataclass(frozen=True)
class Ready:
    """A job with all that it reads: the plan's request, the model, the inputs."""

    job: ShrinkJob
    request: Request
    model: Model
    inputs: Inputs
    labelled: bool  # the labels are of the model's own classes

    def notes(self) -> list[Note]:
        found = [*self.inputs.notes]
        if len(self.inputs.x) < ENOUGH:
            count = len(self.inputs.x)
            text = (
                f"{count} inputs are few to make a model smaller with: {ENOUGH} are enough for "
                "least squares, thousands help the distillation; they need no labels"
            )
            found.append(Note("x_train", "few inputs", float(count), text))
        if states := len(self.model.states):
            text = (
                f"{self.model.name} keeps {states} tensors from input to input: their channels "
                "stay, scores and means are of single inputs from the initial state, and least "
                "squares are left out; the distillation alone repairs, and --sequence-length N "
                "lets it see N inputs that follow each other"
            )
            found.append(Note(self.model.name, "keeps states", float(states), text))
        return found


def check_shrink(job: ShrinkJob) -> None:
    """Raises Error for what is wrong with a job itself."""
    if not job.is_limited and not job.in_four_bits:
        raise Error(
            "shrink needs a budget: give --sram, --flash or --instructions, or --frozen int4 to "
            "store frozen weights in 4 bits"
        )
    if job.search and job.sram is None:
        raise Error("--search looks for what fits a budget of RAM: give --sram")
    if job.search and "update" in job.request.given:
        raise Error("--search chooses what learns: leave --update out")
    if job.search and job.in_four_bits:
        raise Error(
            "--search judges weights of int8: leave --frozen int4 out, then shrink what it wrote "
            "with --frozen int4 and its scheme file as --update"
        )
    if job.max_loss is not None and not 0 <= job.max_loss < math.inf:
        raise Error(f"--max-loss is {job.max_loss:g}: give points, such as 2")
    for path, option, ending in (
        (job.output, "--output", ENDING),
        (job.report, "--report", ".html"),
    ):
        if path is not None and path.suffix.lower() != ending:
            raise Error(f"{option} {path}: give a file that ends in {ending}")
    Target.parse(job.target).require()
    if job.report is not None:
        require_extra("report")
    if job.search:
        require_extra("search")


def prepared(job: ShrinkJob) -> Ready:
    """Read and check all that a job names. Raises Error."""
    check_shrink(job)
    target = Target.parse(job.target)
    request = job.request.on(target.chip)
    if "update" not in request.given and not job.in_four_bits:
        request = request.but(update="full")
    if not job.unlabelled:
        request = named(request, job.data, job.reading)
    model = request.read()
    if model.is_unsigned:
        raise ModelError(
            f"{request.model} computes in uint8, and a file of uint8 cannot hold what shrink makes "
            "of it (weights about 0, which may reach beyond int8)",
            "convert the float model to int8 with the TensorFlow Lite converter "
            "(docs/guides/model.md), and shrink that",
        )
    plan = planned(request.but(update="head"), model)
    inputs = read_inputs(job.data, plan, job.reading, not job.unlabelled, job.seed)
    labelled = inputs.y is not None and not has_new_head(request)
    return Ready(job, request, model, inputs, labelled)


def run_shrink(job: ShrinkJob, reporter: Reporter) -> Shrunk:
    """Make the model smaller, and write it. Raises Error; then nothing was written."""
    found = made(job, reporter)
    files: dict[Path, bytes | str] = {job.output: found.data}
    if found.scheme is not None:
        files[job.scheme] = found.scheme
    write_all(files)
    return found


def made(job: ShrinkJob, reporter: Reporter) -> Shrunk:
    """What ``run_shrink`` writes. Raises Error."""
    ready = prepared(job)
    reporter.tell(ready.notes())
    with reporter.searching() as report:
        found = searched(ready, report) if job.search else shrunk(ready, report)
    check_loss(job, found)
    return found


def phases_of(ready: Ready) -> Phases:
    job = ready.job
    return Phases(job.folder, "").behind(
        identity={
            "model": hashlib.sha256(job.request.model.read_bytes()).hexdigest(),
            "inputs": ready.inputs.digest(),
            "options": ready.request.options.to_json(Effect.LEARNING, Effect.MEMORY),
            "chip": ready.request.chip.name,
            "labelled": ready.labelled,
            "seed": job.seed,
            "arithmetic": ARITHMETIC_VERSION,
            "version": own_version(),
        },
    )


def own_version() -> str:
    try:
        return version("mcutrain")
    except PackageNotFoundError:
        return ""


def shrinking_of(ready: Ready, report: Report) -> Shrinking:
    return Shrinking(
        ready.request, ready.model, ready.inputs, ready.labelled, phases_of(ready), report,
        ready.job.rate, ready.job.seed, ready.job.steps, ready.job.builder,
    )  # fmt: skip


def shrunk(ready: Ready, report: Report) -> Shrunk:
    """The smaller model of a job without a search. Raises Error."""
    job, shrinking, margin = ready.job, shrinking_of(ready, report), NO_OVERHEAD
    for _ in range(BUILDS):
        small = shrinking.at(job.limits, margin=margin) if job.is_limited else shrinking.whole()
        if job.in_four_bits:
            small = shrinking.in_four_bits(small)
        if not job.is_limited:
            return told(ready, shrinking, small, report)
        # What a plan takes follows from the weights, too, if only by some bytes of a table.
        excess = job.builder.excess(planned(small.request, small.model, thorough=True), job.limits)
        if excess == NO_OVERHEAD:
            return told(ready, shrinking, small, report)
        margin = more(margin, excess)
    raise does_not_fit(job.limits)


def searched(ready: Ready, report: Report) -> Shrunk:
    """The winner of a search over schemes and sizes. Raises Error."""
    from mcutrain.host.search.report import scheme_file
    from mcutrain.host.shrinking.search import SizeSearch, check_labels, parts

    job = ready.job
    plan = planned(ready.request, ready.model)
    check_labels(ready.inputs, plan.task.target is not None, job.data)
    inputs, samples = parts(ready.inputs, job.seed)
    shrinking = shrinking_of(replace(ready, inputs=inputs), report)
    found = SizeSearch(
        shrinking, samples, job.limits, job.folder, job.trials, job.jobs, job.epochs, job.seed,
        report, job.builder.target,
    ).run()  # fmt: skip
    size = found.winner
    best = size.found.best.scheme
    options = tuple(size.small.request.options.arguments())
    request = size.small.request.but(update=best)
    small = replace(size.small, request=request, options=options)
    text = scheme_file(size.found, small.model, job.limits, "mcutrain shrink --search")
    result = told(ready, shrinking, small, report)
    return replace(result, scheme=text, search=found.to_json())


def told(ready: Ready, shrinking: Shrinking, small: Smaller, report: Report) -> Shrunk:
    """What is to be said of a smaller model, and its file."""
    job, model = ready.job, ready.model
    original = job.request.model.read_bytes()
    data = original if small.model is model else write_cut(original, small.model)
    requests = (ready.request, small.request)
    training = adapted(
        requests, (model, small.model), ready.inputs, job.epochs, job.seed, small.phases, report
    )
    return Shrunk(
        model.name, job.output, data, len(original), job.sram, ready.request.options.flash,
        job.instructions, small.options, groups_kept(shrinking, small),
        shrinking.groups.stays, prices(ready, small), small.stages, training, curve(small),
        len(ready.inputs.held_x), len(ready.inputs.x), small.distillation,
        command(job, small, ready.inputs.y is not None), tuple(ready.notes()),
        built=built(job, small),
    )  # fmt: skip


def built(job: ShrinkJob, small: Smaller) -> Built | None:
    """What a build of the smaller model takes, where a budget is for all of a build."""
    if not (job.builder.builds and job.is_limited):
        return None
    plan = planned(small.request, small.model, thorough=True)
    overhead, cost = job.builder.overhead(plan), cost_of(plan, True)
    sram, flash = cost.sram + overhead.sram, cost.constants + overhead.flash
    return Built(job.target, sram, flash)


def groups_kept(shrinking: Shrinking, small: Smaller) -> tuple[GroupKept, ...]:
    """Of the model's groups; weights are those of the layers that make the channels."""
    now = {node.index: node for node in small.model.weighted}
    kept = {} if small.choice is None else small.choice.cut.kept
    found = []
    for group in shrinking.groups.groups:
        count = len(kept.get(group.name, range(group.units)))
        sizes = [
            sum(t.type.nbytes for node in nodes for t in node.inputs[1:])
            for nodes in ([now[n.index] for n in group.producers], group.producers)
        ]
        found.append(GroupKept(group.name, count, group.units, *sizes))
    return tuple(found)


def prices(ready: Ready, small: Smaller) -> tuple[Priced, ...]:
    """Of the original as it was asked for, of it as the smaller one is planned, and of that."""
    update = small.request.options.update_name
    found = [(f"original, {ready.request.options.update_name}", ready.request, ready.model)]
    if small.request != ready.request:
        name = " ".join([f"original, {update}", *small.options])
        found.append((name, small.request, ready.model))
    if small.model is not ready.model:
        found.append((f"smaller, {update}", small.request, small.model))
    return tuple(
        Priced(name, cost_of(planned(request, model, thorough=True), True, True))
        for name, request, model in found
    )


def curve(small: Smaller) -> tuple[Point, ...]:
    """The cuts on the way to the budget."""
    if small.choice is None:
        return ()
    return tuple(
        Point(cut.price.cost.sram, sum(map(len, cut.kept.values())), cut.loss)
        for cut in small.choice.path
    )


def command(job: ShrinkJob, small: Smaller, has_labels: bool) -> str:
    """What trains the new file as it was planned; by the samples alone where there are no labels
    and it gives back what it is given."""
    request, model = small.request, small.model
    options = replace(request.options, flash=None, class_names=()).arguments()
    if not (has_labels or "loss" in request.given) and model.classes == model.input.type.size:
        options.append(f"--loss {RECONSTRUCTION}")
    words = ["mcutrain", "train", str(job.output), "--data", str(job.data)]
    words += ["--update", str(job.scheme) if job.search else request.options.update_name]
    if job.builder.builds:
        words += ["--target", job.target]
    return " ".join([*map(shlex.quote, words), *options, *job.reading.arguments()])


def check_loss(job: ShrinkJob, found: Shrunk) -> None:
    """Raises Error if more was lost than is allowed."""
    if job.max_loss is None:
        return
    lost, what, was, now = max(
        (100 * (was - now), what, was, now) for what, was, now in compared(found)
    )
    if lost <= job.max_loss:
        return
    bytes_ = f"{found.prices[-1].cost.sram:,} bytes of RAM"
    raise DataError(
        f"the smaller model loses {lost:.1f} points, --max-loss allows {job.max_loss:g}: {what} "
        f"{100 * now:.1f} % of {100 * was:.1f} % at {bytes_}; nothing was written. Give a larger "
        f"budget, more inputs (there are {found.inputs:,}), or a greater --max-loss"
    )


def compared(found: Shrunk) -> Iterator[tuple[str, float, float]]:
    """What may be lost, with the original's and the smaller model's share: of the files as they
    are, and where there are labels after training, too."""
    first, last = found.stages[0].quality, found.stages[-1].quality
    if first.accuracy is not None and last.accuracy is not None:
        yield "accuracy", first.accuracy, last.accuracy
    else:
        yield "agreement with the original", 1.0, last.agreement
    trained = found.adapted
    if trained is not None and trained.metric == "accuracy" and trained.original is not None:
        yield "accuracy after training", trained.original, trained.smaller
