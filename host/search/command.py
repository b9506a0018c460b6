# SPDX-License-Identifier: Apache-2.0
"""A search as it is asked for, and the files it leaves."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mcutrain.host.building.target import Target
from mcutrain.host.data.load import is_read_here
from mcutrain.host.data.options import DEFAULT_DATA_OPTIONS, DataOptions
from mcutrain.host.defaults import AUTO
from mcutrain.host.extras import require_extra
from mcutrain.host.failure import reason
from mcutrain.host.files import write_whole
from mcutrain.host.npz import DAMAGED, NpzFile
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits, Pricer
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.report import plot_front, scheme_file, to_json
from mcutrain.host.search.study import StudyError, locked_study
from mcutrain.host.search.trial import Samples, Setup
from mcutrain.host.training.class_names import named
from mcutrain.host.training.dataset import Dataset, load_dataset
from mcutrain.host.training.live_view import live_view
from mcutrain.host.training.reporter import Phase, Reporter
from mcutrain.host.urls import without_passwords
from mcutrain.trainer.errors import DataError, Error
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.notes import Note
from mcutrain.trainer.plan import ARITHMETIC_VERSION

if TYPE_CHECKING:
    from mcutrain.host.search.search import Found

PLOTS = (".png", ".svg", ".pdf")
GROUPS = "group_train"  # an array that a data set may have: whose each sample is


@dataclass(frozen=True)
class SearchJob:
    """What `mcutrain search` was asked to do. ``share`` of each class is held out."""

    request: Request
    data: Path
    limits: Limits
    plan: SearchPlan
    target: str = "reference"
    share: float = 0.3
    rate: float | None = None
    jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    study: Path | None = None
    storage: str | None = None
    output: Path = Path("scheme.toml")
    plot: Path | None = None
    reading: DataOptions = DEFAULT_DATA_OPTIONS

    @property
    def folder(self) -> Path:
        return self.output.with_suffix(".study") if self.study is None else self.study


@dataclass(frozen=True)
class Searched:
    """What a search has found, and what is to be said of the training samples."""

    found: Found
    limits: Limits
    output: Path
    notes: list[Note]

    def to_json(self) -> dict[str, Any]:
        told = to_json(self.found, self.limits, self.output)
        return {**told, "data_notes": [asdict(note) for note in self.notes]}


def check_search(job: SearchJob) -> None:
    """Raises Error for what is wrong with a job itself."""
    require_extra("search")
    if job.plot is not None:
        require_extra("report")
        if job.plot.suffix not in PLOTS:
            raise Error(f"--plot {job.plot}: give a file ending in {', '.join(PLOTS)}")
    Target.parse(job.target).require()
    if not 0 < job.share < 1:
        raise DataError(f"--validation is a share between 0 and 1, not {job.share:g}")
    if "update" in job.request.given:
        raise Error("search chooses what learns: leave --update out")
    if job.output.suffix != ".toml":
        raise Error(f"{job.output}: a scheme file ends in .toml, so that --update can name it")


def run_search(job: SearchJob, reporter: Reporter, command: str) -> Searched:
    """Search, and write the plot, and the scheme with the ``command`` that asks. Raises Error."""
    check_search(job)
    try:
        found, setup, notes = searched(job, reporter)
    except OSError as err:
        raise StudyError(f"cannot use the study {job.folder}: {reason(err)}") from err
    told = scheme_file(found, setup.model, job.limits, without_passwords(command))
    write_whole(job.output, told)
    if job.plot is not None:
        plot_front(job.plot, found, job.limits.sram)
    return Searched(found, job.limits, job.output, notes)


def searched(job: SearchJob, reporter: Reporter) -> tuple[Found, Setup, list[Note]]:
    """What was found, with what, and what is to be said of the plan and the training samples."""
    from mcutrain.host.search.pool import pool

    with warnings.catch_warnings():
        # In a notebook, Optuna's tqdm misses widgets for a progress bar that nobody asks for.
        warnings.filterwarnings("ignore", message="IProgress not found")
        from mcutrain.host.search.search import SchemeSearch

    target = Target.parse(job.target)
    request = named(job.request, job.data, job.reading).on(target.chip)
    model = request.read()
    head = request.plan_of(model)  # the head learns, for no scheme was asked for
    data = load_dataset(job.data, head, job.reading)
    notes = [*head.notes, *(note for note in data.notes if "train" in note.about)]
    reporter.tell(notes)
    samples = samples_of(job, data)
    setup = Setup(
        request, model, samples, job.folder / "latents", job.share, job.rate, seed=job.plan.seed
    )
    pricer, known = Pricer(request, model, job.limits), identity(job, setup)
    with (
        locked_study(job.folder, known) as study,
        pool(setup, job.jobs) as workers,
        reporter.searching() as report,
    ):
        search = SchemeSearch(setup, pricer, job.plan, study, workers, report, job.storage)
        return search.run(target), setup, notes


def identity(job: SearchJob, setup: Setup) -> dict[str, Any]:
    """What the scores of a study depend on, beside scheme and effort."""
    return {
        "model": hashlib.sha256(job.request.model.read_bytes()).hexdigest()[:16],
        "data set": setup.samples.digest(),
        "request": job.request.stored(),
        "held-out share": job.share,
        "learning rate": AUTO if job.rate is None else job.rate,
        "seed": job.plan.seed,
        "arithmetic": ARITHMETIC_VERSION,
    }


def samples_of(job: SearchJob, data: Dataset) -> Samples:
    """The training samples, and whose each is, if the data set says so. Raises DataError."""
    groups = data.groups_train if is_read_here(job.data) else read_groups(job.data)
    return Samples.of(data, groups)


def read_groups(path: Path) -> Array | None:
    """Whose each training sample is, if the data set says so. Raises DataError."""
    try:
        with NpzFile(path) as file:
            return file[GROUPS].read() if GROUPS in file else None
    except (OSError, *DAMAGED) as err:
        raise DataError(f"{path}: cannot read {GROUPS}: {err}") from err


@contextmanager
def bars(console: Console) -> Iterator[Phase]:
    """Shows how far each phase is, on a terminal; elsewhere a line for each at the end."""
    with live_view(console) as view:
        yield view.show
