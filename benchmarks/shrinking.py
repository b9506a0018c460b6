# SPDX-License-Identifier: Apache-2.0
"""What a model that `mcutrain shrink` made smaller is worth, beside the whole one.

    python -m benchmarks.shrinking [int4] [fashion] [watch] [resnet8] [--seeds N] [--search]

Each figure is kept, by all that it depends on, in ``build/benchmarks/shrinking.jsonl``: what is
there is not computed again, and a run that is stopped goes on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import mcutrain.host.shrinking
import mcutrain.trainer.shrinking
from benchmarks.data import cifar10, images
from benchmarks.data.fetch import DataUnavailable
from benchmarks.data.models import model_file
from benchmarks.data.watch import EXAMPLE, load_people, split
from benchmarks.document import DOCUMENT, put_section
from benchmarks.figures import Figure, Kept, adapted, digest_of, table
from benchmarks.nets import fashion as fashion_net
from benchmarks.places import BUILD
from benchmarks.search import COMMAND, samples_of, write_npz
from benchmarks.tasks import cifar, fashion
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits, cost_of
from mcutrain.host.search.command import SearchJob, run_search
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.trial import Samples
from mcutrain.host.shrinking.fidelity import outputs_of
from mcutrain.host.shrinking.inputs import Inputs, with_held_out
from mcutrain.host.shrinking.phases import Phases
from mcutrain.host.shrinking.shrinking import Shrinking, Smaller
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.errors import BudgetError, SchemeError
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import DEFAULT_OPTIONS, OFF
from mcutrain.trainer.scheme import parse_scheme
from mcutrain.trainer.shrinking.int4 import HELPFUL, to_int4
from mcutrain.trainer.tflite.reader import load

FOLDER, SHORT = (BUILD / "benchmarks" / name for name in ("shrinking", "shrinking-short"))
WHOLE, SMALL = "whole, `full`", "shrunk, `full`"
LAST, FOUND = "whole, last layers that fit", "whole, the scheme that a search finds"
INT8, FOUR = "int8", "4-bit weights"
METHODS = (INT8, FOUR, WHOLE, SMALL, LAST, FOUND)  # in the order of the tables
ROOMS = [Path(room.__path__[0]) for room in (mcutrain.host.shrinking, mcutrain.trainer.shrinking)]
SOURCES = [path for room in ROOMS for path in room.glob("*.py")]
INT4_SOURCES = [ROOMS[1] / f"{name}.py" for name in ("gptq", "int4", "moments")]
FORMATS = {"errors": "e8", "weights": "int8"}  # in which shrunk models are trained, too
UNSCALED = {"precondition": OFF}  # what is compared here was measured so
app = typer.Typer(add_completion=False)


@cache
def rule(case: str, method: str) -> str:
    """Of the source of what a figure comes from: with another, it is another figure. What is
    trained depends on how a rate is found; only what is smaller on what makes it so."""
    if method in (INT8, WHOLE, LAST, FOUND):
        return digest_of(())
    return digest_of(INT4_SOURCES if case == "int4" else SOURCES)


def smaller(request: Request, model: Model, inputs: Inputs, limit: int, seed: int, folder: Path,
            labelled: bool) -> Smaller:  # fmt: skip
    """The model as `mcutrain shrink` makes it for ``limit`` bytes of RAM."""
    phases = Phases(folder, "").behind(model=request.model.read_bytes().hex()[:64],
                                       inputs=inputs.digest(), seed=seed)  # fmt: skip
    shrinking = Shrinking(request, model, with_held_out(inputs, seed), labelled, phases,
                          lambda phase, done, total: None, seed=seed)  # fmt: skip
    return shrinking.at(Limits(limit))


def last_layers(request: Request, model: Model, limit: int) -> Request:
    """The whole model with the most last layers that fit, in the formats that a shrunk one has."""
    small = request.but(**FORMATS)
    for count in range(len(model.weighted), 0, -1):
        tried = small.but(update=f"last:{count}")
        try:
            if cost_of(tried.plan_of(model), False).sram <= limit:
                return tried
        except (BudgetError, SchemeError):
            continue
    return small.but(update="head")


def found_scheme(request: Request, model: Model, samples: Samples, limit: int, plan: SearchPlan,
                 folder: Path) -> Request:  # fmt: skip
    """The whole model with the scheme that `mcutrain search` finds for ``limit`` bytes, in the
    formats that a shrunk one has."""
    small = request.without({"update"}).but(**FORMATS)
    npz = write_npz(folder / "data.npz", model, samples)
    job = SearchJob(small, npz, Limits(limit), plan, share=0.5, output=folder / "found.toml")
    found = run_search(job, SILENT, COMMAND)
    return small.but(update=parse_scheme(str(found.output), model))


@dataclass(frozen=True)
class How:
    """Seeds, whether schemes are searched to compare with, whether only to see that it runs, and
    where phases are kept."""

    seeds: int
    has_search: bool
    short: bool
    folder: Path


@dataclass(frozen=True)
class Comparison:
    """A model and what shrinks it, beside the whole one, in ``limit`` bytes of RAM.

    ``inputs`` and ``labelled`` are what shrinking takes, ``samples`` what a scheme is searched on.
    """

    case: str
    request: Request
    model: Model
    limit: int
    epochs: int
    inputs: Inputs
    labelled: bool
    samples: Samples
    seed: int
    folder: Path

    @cached_property
    def small(self) -> Smaller:
        return smaller(self.request, self.model, self.inputs, self.limit, self.seed, self.folder,
                       self.labelled)  # fmt: skip

    @cached_property
    def last(self) -> Request:
        return last_layers(self.request, self.model, self.limit)

    @cached_property
    def found(self) -> Request:
        plan = SearchPlan(24, 4, 2, self.epochs, seed=self.seed)
        return found_scheme(self.request, self.model, self.samples, self.limit, plan, self.folder)

    def measure(self, kept: Kept, data: Dataset, group: str, has_search: bool) -> None:
        """Accuracies after trainings on the same data."""

        def of(method: str) -> tuple[int, float]:
            if method == SMALL:
                request, model = self.small.request, self.small.model
            else:
                requests = {WHOLE: "request", LAST: "last", FOUND: "found"}
                request, model = getattr(self, requests[method]), self.model
            return adapted(request, model, data, self.epochs, self.seed)

        for method in (WHOLE, SMALL, LAST, *([FOUND] if has_search else ())):
            kept.get(Figure(self.case, method, group, self.seed), partial(of, method))


FASHION_BYTES, WATCH_BYTES, WATCH_EPOCHS = 22_500, 2_200, 30
TESTED = 2000  # images, for each seed


def measure_fashion(kept: Kept, how: How) -> None:
    """From classes 0-4 to 5-9: shrunk with the 500 images that are then learned."""
    task, path = fashion.task(), fashion_net.recipe(fashion.OLD).file()
    request, epochs = (
        Request.of(path, "full", classes=task.classes, **UNSCALED),
        1 if how.short else task.epochs,
    )
    for seed in range(how.seeds):
        data = task.dataset(task.groups[0], seed)
        inputs, folder = Inputs(data.x_train, data.x_train[:0]), how.folder / f"fashion{seed}"
        each = Comparison("fashion", request, task.model(), FASHION_BYTES, epochs, inputs, False,
                          Samples.of(data), seed, folder)  # fmt: skip
        each.measure(kept, data, "", how.has_search)


def measure_watch(kept: Kept, how: How) -> None:
    """Left wrists of ten people: shrunk with those of five, learned by each of the others, both
    ways."""
    path, people = EXAMPLE / "watch.tflite", load_people()
    request, model, ids = Request.of(path, "full", **UNSCALED), load(path), sorted(people)
    epochs = 2 if how.short else WATCH_EPOCHS
    for seed, half in product(range(how.seeds), range(2)):
        mine, others = ids[half::2], ids[1 - half :: 2]
        samples = samples_of({p: people[p] for p in mine})
        inputs = Inputs(samples.x, samples.x[:0], samples.y, samples.y[:0])
        folder = how.folder / f"watch{seed}-{half}"
        each = Comparison("watch", request, model, WATCH_BYTES, epochs, inputs, True, samples,
                          seed, folder)  # fmt: skip
        for person in others[:1] if how.short else others:
            data = split(*people[person], seed, person)
            each.measure(kept, data, str(person), how.has_search)


def measure_int4(kept: Kept, how: How) -> None:
    """resnet8: all layers but the first and the last have weights of 4 bits."""
    model, train_set, test = load(model_file(cifar.MODEL)), cifar10.train_set(), cifar10.test_set()
    count, few = (40, 20) if how.short else (TESTED, HELPFUL)

    def right(method: str, seed: int) -> tuple[int, float]:
        rng = np.random.default_rng(seed)
        drawn, tested = rng.permutation(len(train_set))[:few], rng.permutation(len(test))[:count]
        given, x = (
            images.input_rows(part, model.input.type)
            for part in (train_set.x[drawn], test.x[tested])
        )
        outputs = outputs_of(to_int4(model, given) if method == FOUR else model, x, DEFAULT_OPTIONS)
        return 0, 100 * float((outputs.argmax(axis=1) == test.y[tested]).mean())

    for seed, method in product(range(how.seeds), (INT8, FOUR)):
        kept.get(Figure("int4", method, "", seed), partial(right, method, seed))


CASES = {"int4": measure_int4, "fashion": measure_fashion, "watch": measure_watch}
INTRODUCTION = """\
Models that `mcutrain shrink` made smaller beside the whole ones; bytes are arena and learned state
by `plan`. Integer training at the rate that is found; accuracy is on test samples that nothing else
saw. The difference is that of accuracies to the first row's on the same samples, ± one standard
error over n pairs."""
WORDS = {
    "int4": f"""\
resnet8 of MLPerf Tiny on CIFAR-10, without training: weights of all layers but the first and the
last in 4 bits, chosen by {HELPFUL} images without labels; {TESTED:,} test images. A seed draws
both.""",
    "fashion": f"""\
Fashion-MNIST: the net that knows classes 0 to 4 is shrunk to {FASHION_BYTES:,} bytes with the 500
images of classes 5 to 9 that it then learns, without their labels.""",
    "watch": f"""\
Smartwatch: shrunk to {WATCH_BYTES:,} bytes with the left wrists of five people, learned by each of
five others from 35 windows, and the other way round.""",
}


def section(kept: Kept) -> str:
    """What docs/accuracy.md says of the figures that there are."""
    lines = [INTRODUCTION]
    for case in CASES:
        if figures := kept.of(case):
            lines += ["", WORDS[case], "", *table(figures, METHODS)]
    return "\n".join(lines)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[CASE]...")] = None,
    seeds: Annotated[int, typer.Option(help="of each case")] = 6,
    search: Annotated[
        bool, typer.Option("--search", help="schemes of the whole model, too")
    ] = False,
    short: Annotated[bool, typer.Option("--short", help="to see that it runs")] = False,
) -> None:
    """Models made smaller, beside the whole ones."""
    how = How(1 if short else seeds, search, short, SHORT if short else FOLDER)
    kept = Kept(how.folder.with_suffix(".jsonl"), rule)
    for name in names or CASES:
        if name not in CASES:
            raise typer.BadParameter(f"'{name}': there are {', '.join(CASES)}")
        try:
            CASES[name](kept, how)
        except DataUnavailable as reason:
            print(f"skipped {name}: {reason}")
    print(section(kept))
    if not short:
        put_section(DOCUMENT, "shrinking", section(kept))


if __name__ == "__main__":
    app()
