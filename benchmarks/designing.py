# SPDX-License-Identifier: Apache-2.0
"""What `mcutrain design` finds, beside nets that people made, of which a search finds what learns,
or which are shrunk, all within the same bytes.

    python -m benchmarks.designing [watch] [digits] [vibration] [--seeds N] [--short]

Figures are kept in ``build/benchmarks/designing.jsonl``, as those of benchmarks/shrinking.py are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import mcutrain.host.designing
import mcutrain.host.search
from benchmarks.data import RawSamples, digits, learn_and_test
from benchmarks.data.fetch import DataUnavailable
from benchmarks.data.watch import SHOTS, load_people, right_wrists
from benchmarks.document import DOCUMENT, put_section
from benchmarks.figures import Figure, Gaps, Kept, adapted, digest_of, gaps_of, table
from benchmarks.places import BUILD
from benchmarks.shrinking import FORMATS, SOURCES, WATCH_BYTES, WATCH_EPOCHS, found_scheme
from mcutrain.examples.machine import vibration
from mcutrain.examples.machine.vibration import Machine
from mcutrain.host.designing.command import DesignJob, prepared, run_design
from mcutrain.host.designing.design import Judged, spread
from mcutrain.host.designing.effort import DesignPlan
from mcutrain.host.designing.nets import BY_HAND, DESIGNED, PERCENTS, SHRUNK, Net
from mcutrain.host.designing.samples import Reading, RealSamples, own_samples
from mcutrain.host.designing.workshop import Effort, Workshop
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.report import described
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import BudgetError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.options import INPUTS, Scheme

FOLDER, SHORT = (BUILD / "benchmarks" / name for name in ("designing", "designing-short"))
ROOMS = [Path(room.__path__[0]) for room in (mcutrain.host.designing, mcutrain.host.search)]
FIRST_SEED = 10  # of the pretrainings that are reported: a design has those below
ASKED = {**FORMATS, "precondition": INPUTS}  # of all nets
Arrays = dict[str, Array]  # as an .npz has them: x_train, y_train, group_train
app = typer.Typer(add_completion=False)


@cache
def rule(case: str, method: str) -> str:
    return digest_of([*SOURCES, *(path for room in ROOMS for path in room.glob("*.py"))])


@dataclass(frozen=True)
class DesignTask:
    """``made`` gives the samples that nets are pretrained on, and those of people, of whom every
    second one judges what is chosen, and the others what is reported.

    ``shots`` of each class are learned, or so many values, for ``epochs``; pretraining takes as
    many as the net by hand was made with.
    """

    limit: int
    shots: int
    epochs: int
    pretraining: int
    made: Callable[[], tuple[Arrays, Arrays]]
    words: str
    what: str = "accuracy, %"


def watch_samples() -> tuple[Arrays, Arrays]:
    right, people = right_wrists(), load_people()
    own = {
        "x_train": np.concatenate([x for x, _ in people.values()]),
        "y_train": np.concatenate([y for _, y in people.values()]),
        "group_train": np.concatenate([np.full(len(y), p) for p, (_, y) in people.items()]),
    }
    return {"x_train": right["x"], "y_train": right["y"]}, own


WRITERS = 6  # groups of other writers' digits, which lie in the order of their writers


def digit_samples() -> tuple[Arrays, Arrays]:
    first, other = digits.first_writers(), digits.other_writers()
    turned = digits.ALTERED["turned"](other.x).astype(np.float32)
    group = np.arange(len(other)) * WRITERS // len(other)
    own = {"x_train": turned, "y_train": other.y, "group_train": group}
    return {"x_train": first.x, "y_train": first.y}, own


MACHINES, WINDOWS, KNOWN = range(1, 9), 90, 1500


def machine_samples() -> tuple[Arrays, Arrays]:
    def of(number: int, count: int) -> Arrays:
        rng = np.random.default_rng([7, number])
        amounts = rng.uniform(0, 1, count)
        x = vibration.windows(Machine.numbered(number), amounts, rng).astype(np.float32)
        group = np.full(count, number)
        return {"x_train": x, "y_train": amounts.astype(np.float32), "group_train": group}

    each = [of(number, WINDOWS) for number in MACHINES]
    general = of(0, KNOWN)
    del general["group_train"]
    return general, {name: np.concatenate([part[name] for part in each]) for name in each[0]}


TASKS = {
    "watch": DesignTask(WATCH_BYTES, SHOTS, WATCH_EPOCHS, 60, watch_samples, f"""\
Smartwatch, {WATCH_BYTES:,} bytes: pretrained on right wrists for 60 epochs, adapted to a left one
by {SHOTS} windows of each exercise for {WATCH_EPOCHS} epochs, as where
[the shipped model is shrunk](#making-the-model-smaller)."""),
    "digits": DesignTask(6144, 7, 10, 60, digit_samples, """\
Digits, 6 KiB: pretrained on some writers for 60 epochs, adapted to turned digits of others by 7 of
each for 10 epochs."""),
    "vibration": DesignTask(6144, 45, 10, 24, machine_samples, """\
Vibration, 6 KiB, a regression: pretrained on one machine's imbalance for 24 epochs, adapted to
other machines by 45 windows for 10 epochs. The less error, the better.""",
                            "squared error, thousandths"),
}  # fmt: skip
INTRODUCTION = """\
Nets that `mcutrain design` found (`--trials 14 --promote 3 --errors e8 --weights int8
--precondition inputs`) beside the net by hand that it found to be the best when shrunk, all
pretrained anew with each seed. Half of the people judge what is chosen: nets, widths, and by
`mcutrain search` the scheme, of the widest net of which anything fits. The other half are what is
reported; nothing else saw them. All learn the same samples in integers, in the formats of the
design, at the rate that is found; bytes are arena and learned state by `plan`. The difference is
that to the designed net in n pairs of seed and person, ± one standard error, the larger of those
over seeds and over people."""


@dataclass(frozen=True)
class How:
    """Seeds, whether only to see that it runs, and where nets are kept."""

    seeds: int
    short: bool
    folder: Path


@dataclass(frozen=True)
class Rival:
    """A net, and what of it learns, if a search found that."""

    method: str
    net: Net
    scheme: Scheme | None = None


@dataclass(frozen=True)
class Designs:
    """What is chosen for one task."""

    case: str
    how: How

    @property
    def task(self) -> DesignTask:
        return TASKS[self.case]

    @property
    def folder(self) -> Path:
        return self.how.folder / f"{self.case}-{rule(self.case, '')}"

    @property
    def epochs(self) -> int:
        """Of adaptation."""
        return 2 if self.how.short else self.task.epochs

    @property
    def pretraining(self) -> int:
        return 4 if self.how.short else self.task.pretraining

    @cached_property
    def files(self) -> tuple[Path, Path, Path]:
        """General samples, those of people who judge, and those of the others."""
        general, own = self.task.made()
        people = np.unique(own["group_train"])
        halves = [np.isin(own["group_train"], people[half::2]) for half in (0, 1)]
        parts = [general, *({name: a[half] for name, a in own.items()} for half in halves)]
        if self.how.short:
            parts[0] = {name: a[::3] for name, a in general.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        names = [self.folder / f"{name}.npz" for name in ("general", "judges", "others")]
        for path, part in zip(names, parts, strict=True):
            np.savez(path, allow_pickle=False, **part)
        return names[0], names[1], names[2]

    @cached_property
    def job(self) -> DesignJob:
        general, judges, _ = self.files
        plan = DesignPlan(14, 3, 3, self.pretraining)
        if self.how.short:
            plan = DesignPlan(1, 1, 1, self.pretraining)
        share = 1 - self.task.shots / self.each_person()
        return DesignJob(Request.of(Path(), **ASKED), general, Limits(self.task.limit), plan,
                         judges, None, self.epochs, share, jobs=1,
                         output=self.folder / "net.tflite")  # fmt: skip

    def each_person(self) -> float:
        """How many samples somebody has of each class, in the mean."""
        with np.load(self.files[1]) as file:
            y, people = file["y_train"], len(np.unique(file["group_train"]))
        classes = len(np.unique(y)) if y.dtype.kind != "f" else 1
        return len(y) / people / classes

    @cached_property
    def workshop(self) -> Workshop:
        return prepared(self.job)[0]

    @cached_property
    def others(self) -> RealSamples:
        """Of the people who are reported."""
        found, _ = own_samples(self.files[2], Reading(), self.workshop.general,
                               self.workshop.quant)  # fmt: skip
        return found

    def file(self, net: Net, seed: int) -> Path:
        effort = Effort(self.pretraining, FIRST_SEED + seed)
        return self.workshop.pretrained(net, effort, self.workshop.general)

    def rivals(self) -> list[Rival]:
        """The designed net first."""
        ranked = run_design(self.job, SILENT).found.ranked
        designed, hand = (best_of(ranked, kind) for kind in (DESIGNED, BY_HAND))
        small = [each.net for each in ranked if each.net.kind == SHRUNK][:1]
        return [
            Rival(f"designed: {designed.shown}", designed),
            self.found((small or [hand])[0].family),
            *(Rival(net.shown, net) for net in small),
            Rival(f"by hand: {hand.shown}", hand),
        ]

    def found(self, family: str) -> Rival:
        """The widest net of a family of which anything fits, and of it the scheme that a search
        finds. Raises BudgetError if there is none."""
        for percent in PERCENTS[:-1]:
            net = Net.of(family, {"percent": percent})
            with suppress(BudgetError):
                return self.searched(net)
        return self.searched(Net.of(family, {"percent": PERCENTS[-1]}))

    def searched(self, net: Net) -> Rival:
        scheme = self.scheme(net)
        told = f"{net.shown}, the scheme that a search finds ({described(scheme)})"
        return Rival(told, net, scheme)

    def scheme(self, net: Net) -> Scheme:
        """What a search lets learn of a net, for the people who judge. Raises BudgetError."""
        path, plan = self.file(net, 0), SearchPlan(24, 4, 2, self.epochs)
        if self.how.short:
            plan = SearchPlan(1, 1, 1, 1, steps=10)
        request = self.workshop.request_of(net, path)
        judges = self.workshop.own
        assert judges is not None
        samples = self.workshop.samples_for(request.plan_of(request.read()), judges)
        found = found_scheme(request, request.read(), samples, self.task.limit, plan,
                             self.folder / f"search-{net.genes[0][1]}")  # fmt: skip
        assert isinstance(found.options.update, Scheme)
        return found.options.update

    def measure(self, rival: Rival, person: int, seed: int) -> tuple[int, float]:
        """Behind learning the samples of one of the others."""
        request = self.workshop.request_of(rival.net, self.file(rival.net, seed))
        if rival.scheme is not None:
            request = request.but(update=rival.scheme)
        model = request.read()
        mine = self.others.take(np.flatnonzero(self.others.group == person))
        samples = self.workshop.samples_for(request.plan_of(model), mine)
        learn, test = drawn(mine.y, self.task.shots, 100 * seed + person)
        data = Dataset(samples.x[learn], samples.y[learn], samples.x[test], samples.y[test])
        return adapted(request, model, data, self.epochs, seed)


def best_of(ranked: Sequence[Judged], kind: str) -> Net:
    return next(each.net for each in ranked if each.net.kind == kind)


def drawn(y: Array, shots: int, seed: int) -> tuple[Array, Array]:
    """Indices of the samples that are learned, ``shots`` of each class, or so many of values, and
    of those that test."""
    if y.ndim == 1:
        learn, test = learn_and_test(RawSamples(np.arange(len(y)), y), shots, seed)
        return learn.x, test.x
    order = np.random.default_rng(seed).permutation(len(y))
    return order[:shots], order[shots:]


def measure(kept: Kept, case: str, how: How) -> None:
    designs = Designs(case, how)
    assert designs.others.group is not None
    rivals, people = designs.rivals(), np.unique(designs.others.group)
    for seed, person in product(range(how.seeds), people[:1] if how.short else people):
        for rival in rivals:
            make = partial(designs.measure, rival, int(person), seed)
            kept.get(Figure(case, rival.method, str(person), seed), make)


def error(gaps: Gaps) -> float:
    return spread({(seed, int(group)): gap for (seed, group), gap in gaps.items()})


def verdict(case: str, figures: Sequence[Figure]) -> Iterator[str]:
    """Which other net is better than the designed one, worse, or neither."""
    methods = [*dict.fromkeys(f.method for f in figures)]
    sign = 1 if TASKS[case].what.startswith("accuracy") else -1
    for method in methods[1:]:
        gaps = gaps_of(figures, method, methods[0])
        mean, limit = sign * np.mean([*gaps.values()]), 2 * error(gaps)
        name = method.partition(" (")[0]
        if abs(mean) <= limit:
            yield f"Chance alone could make the difference to {name}."
        else:
            yield f"The designed net is {'worse' if mean > 0 else 'better'} than {name}."


def section(kept: Kept) -> str:
    """What docs/accuracy.md says of the figures that there are."""
    lines = [INTRODUCTION]
    for case, task in TASKS.items():
        if figures := kept.of(case):
            methods = [*dict.fromkeys(f.method for f in figures)]
            lines += ["", task.words, "", *table(figures, methods, task.what, error)]
            lines += ["", *verdict(case, figures)]
    return "\n".join(lines)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...")] = None,
    seeds: Annotated[int, typer.Option(help="of each task")] = 3,
    short: Annotated[bool, typer.Option("--short", help="to see that it runs")] = False,
) -> None:
    """Designed nets beside those made by hand."""
    how = How(1 if short else seeds, short, SHORT if short else FOLDER)
    kept = Kept(how.folder.with_suffix(".jsonl"), rule)
    for name in names or TASKS:
        if name not in TASKS:
            raise typer.BadParameter(f"'{name}': there are {', '.join(TASKS)}")
        try:
            measure(kept, name, how)
        except DataUnavailable as reason:
            print(f"skipped {name}: {reason}")
    print(section(kept))
    if not short:
        put_section(DOCUMENT, "designing", section(kept))


if __name__ == "__main__":
    app()
