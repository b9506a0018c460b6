# SPDX-License-Identifier: Apache-2.0
"""Compares the schemes that a search finds with others of the same bytes.

    python -m benchmarks.search [watch] [fashion] [mcunet] [--jobs N] [--seeds N]
        [--no-random] [--short]

Schemes are searched on some samples and reported on others that no search saw.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the tool runs; before NumPy

import numpy as np
import typer

from benchmarks.data import cifar10, fashion_mnist, images
from benchmarks.data.fetch import DataUnavailable
from benchmarks.data.models import model_file
from benchmarks.data.watch import EXAMPLE, load_people, split
from benchmarks.document import DOCUMENT, put_section
from benchmarks.nets import fashion as fashion_net
from benchmarks.places import BUILD
from benchmarks.search_baselines import fisher_scheme, random_search
from benchmarks.tasks import fashion as fashion_task
from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits, cost_of
from mcutrain.host.search.command import GROUPS, SearchJob, run_search
from mcutrain.host.search.effort import SearchPlan
from mcutrain.host.search.report import described
from mcutrain.host.search.trial import Samples, Setup, Split, TrialEffort
from mcutrain.host.training.dataset import Dataset
from mcutrain.host.training.reporter import SILENT
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.model import Model
from mcutrain.trainer.options import OFF, Scheme
from mcutrain.trainer.scheme import parse_scheme
from mcutrain.trainer.tflite.reader import load

FOLDER = BUILD / "benchmarks" / "search"
COMMAND = "python -m benchmarks.search"  # as scheme files name it


@dataclass(frozen=True)
class How:
    """Processes, whether only to see that it runs, searches or trainings, and with random ones."""

    jobs: int
    short: bool
    seeds: int
    has_random: bool


@dataclass(frozen=True)
class SearchRow:
    """Accuracies in percent on test samples, of one training each."""

    method: str
    learns: str
    plan_bytes: int
    accuracies: tuple[float, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.accuracies))


def write_npz(path: Path, model: Model, samples: Samples) -> Path:
    """A data set for a search. Its test part is not looked at: it is the first sample."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x, y = samples.x.reshape(-1, *model.input.type.shape[1:]), samples.y
    np.savez(path, x_train=x, y_train=y, x_test=x[:1], y_test=y[:1], **{GROUPS: samples.group})
    return path


def reported(setup: Setup, scheme: Scheme, data: list[Dataset], epochs: int, seed: int,
             folder: Path) -> list[float]:  # fmt: skip
    """Accuracy on the test samples of each data set after a whole training on it, in percent.

    Model and rate are those of ``setup``; ``folder`` keeps latents, for these data sets alone.
    """
    parts = [
        part for one in data for part in ((one.x_train, one.y_train), (one.x_test, one.y_test))
    ]
    x, y = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
    ends = np.cumsum([0, *(len(x) for x, _ in parts)])
    indices = [np.arange(*pair) for pair in pairwise(ends)]
    splits = [Split(*indices[2 * k : 2 * k + 2], seed) for k in range(len(data))]
    samples = Samples(x, y, np.zeros(len(x), np.int64))
    found = replace(setup, samples=samples, folder=folder).scores(
        scheme, TrialEffort(epochs), splits
    )
    return [100 * score.accuracy for score in found]


def compared(
    how: How, setup: Setup, limit: int, plan: SearchPlan, found: dict[str, Any]
) -> dict[str, Scheme]:
    """The scheme that was found, the head alone, and that of a random search with as many trainings
    (contributions, the head, trials)."""
    schemes = {name: parse_scheme(told, setup.model) for name, told in
               (("found", found["output"]), ("head", "head"))}  # fmt: skip
    if how.has_random:
        trainings = len(found["contributions"]) + 1 + plan.trials
        schemes["random"] = random_search(setup, limit, plan, trainings, how.jobs)
    return schemes


def table(rows: list[SearchRow]) -> str:
    """Markdown. A row ``found`` is compared, in pairs, with those behind it up to the next."""
    lines = [
        "| method | learns | bytes | accuracy, % | found minus it | n |",
        "|---|---|---|---|---|---|",
    ]
    base = rows[0]
    for row in rows:
        base = row if row.method.startswith("found") else base
        gap = np.array(base.accuracies) - np.array(row.accuracies)
        error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else 0.0
        text = "" if row is base else f"{gap.mean():+.2f} ± {error:.2f}"
        lines.append(
            f"| {row.method} | {row.learns} | {row.plan_bytes:,} | {row.mean:.2f} | {text} "
            f"| {len(gap)} |"
        )
    return "\n".join(lines)


MCUNET = "tiny-training/mcunet-5fps_int8.tflite"
PAPER = "tiny-training/schemes/mcunet-5fps-49kb.toml"
RATES = tuple(2.0**-k for k in (7, 8, 9, 10))
SEARCH_SEED = 1000  # of the samples that are searched on
MCUNET_SHARE = 0.5  # is held out: as many samples learn in a search as in the report


def mcunet(how: How) -> dict[str, Any]:
    """mcunet-5fps learns CIFAR-10: the paper's 49kb scheme, and one found for its bytes, both at
    the learning rate that suits 49kb: at the default one its inner layers diverge."""
    path = model_file(MCUNET)
    model, request = load(path), Request.of(path, classes=cifar10.CLASSES, precondition=OFF)
    paper = parse_scheme(str(model_file(PAPER)), model)
    limit = plan_bytes(request, model, paper)
    of, epochs = mcunet_data(model, how.short), 1
    searched = of(SEARCH_SEED, 2)
    folder = FOLDER / ("mcunet-short" if how.short else "mcunet")
    samples = Samples(searched.x_train, searched.y_train, np.zeros(len(searched.x_train), int))
    plan = SearchPlan(trials=16, promoted=4, folds=2, epochs=epochs)
    if how.short:
        plan = replace(plan, trials=2, promoted=1, folds=1, steps=20)
    setup = Setup(request, model, samples, folder / "latents", MCUNET_SHARE)
    setup.rate = best_rate(setup, paper, TrialEffort(epochs, 20 if how.short else None))
    job = SearchJob(
        request, write_npz(folder / "data.npz", model, samples), Limits(limit), plan,
        share=MCUNET_SHARE, rate=setup.rate, jobs=how.jobs,
        output=folder / "mcunet.toml", plot=folder / "mcunet.png",
    )  # fmt: skip
    found = run_search(job, SILENT, COMMAND).to_json()
    schemes = compared(how, setup, limit, plan, found) | {"49kb": paper}
    rows = []
    for name, scheme in schemes.items():
        bytes_ = plan_bytes(request, model, scheme)
        got = tuple(
            reported(setup, scheme, [of(seed)], epochs, seed, folder / f"seed{seed}")[0]
            for seed in range(how.seeds)
        )
        rows.append(SearchRow(name, described(scheme), bytes_, got))
    return {"rows": rows, "rate": setup.rate, "search": found}


def best_rate(setup: Setup, scheme: Scheme, effort: TrialEffort) -> float:
    """The learning rate that suits ``scheme`` best, on the samples that are searched on."""
    return max(RATES, key=lambda rate: replace(setup, rate=rate).score(scheme, effort).value)


def mcunet_data(model: Model, short: bool) -> Callable[..., Dataset]:
    """By seed, and by how many times 1,000 training images; with 1,000 test images."""
    train, test = cifar10.train_set(), cifar10.test_set()
    learn, held = (60, 40) if short else (1000, 1000)

    def of(seed: int, times: int = 1) -> Dataset:
        rng = np.random.default_rng(seed)
        mine, others = (
            rng.permutation(len(train))[: times * learn],
            rng.permutation(len(test))[:held],
        )
        x, x_test = (
            images.input_rows(part, model.input.type) for part in (train.x[mine], test.x[others])
        )
        return Dataset(x, train.y[mine], x_test, test.y[others])

    return of


WATCH_BUDGETS = (3072,)  # two thirds of what full takes
WATCH_EPOCHS, WATCH_SHARE = 30, 0.7  # what is not held out is about five windows of a class


def watch(how: How) -> dict[str, Any]:
    """Left wrists of ten people. A scheme is searched on five of them and reported on the other
    five, both ways; Fisher information chooses a scheme for each of these by the samples that it
    learns from."""
    path = EXAMPLE / "watch.tflite"
    model, request, people = load(path), Request(path), load_people()
    folder = FOLDER / ("watch-short" if how.short else "watch")
    ids = sorted(people)
    halves = [(ids[::2], ids[1::2]), (ids[1::2], ids[::2])]
    epochs = 2 if how.short else WATCH_EPOCHS
    rows, searches = [], []
    for limit in WATCH_BUDGETS:
        got: dict[str, list[float]] = {}
        learns: dict[str, list[Scheme]] = {}
        for half, (mine, others) in enumerate(halves):
            samples = samples_of({p: people[p] for p in mine})
            npz = write_npz(folder / f"half{half}.npz", model, samples)
            for seed in range(how.seeds):
                plan = SearchPlan(4 if how.short else 24, 4, 2, epochs, seed=seed)
                where = folder / f"{limit}-{half}-{seed}"
                job = SearchJob(request, npz, Limits(limit), plan, share=WATCH_SHARE, jobs=how.jobs,
                          output=where / "watch.toml")  # fmt: skip
                found = run_search(job, SILENT, COMMAND).to_json()
                searches.append({"budget": limit, "half": half, "seed": seed, **found})
                setup = Setup(request, model, samples, where / "latents", WATCH_SHARE, seed=seed)
                schemes = compared(how, setup, limit, plan, found)
                data = [split(*people[person], seed, person) for person in others]
                latents = folder / f"others{half}-{seed}"
                for name, scheme in schemes.items():
                    scores = reported(setup, scheme, data, epochs, seed, latents)
                    got.setdefault(name, []).extend(scores)
                    learns.setdefault(name, []).extend([scheme] * len(data))
                for person, one in zip(others, data, strict=True):
                    scheme = fisher_scheme(request, model, one, limit)
                    latents = folder / f"person{person}-{seed}"
                    scores = reported(setup, scheme, [one], epochs, seed, latents)
                    got.setdefault("fisher", []).extend(scores)
                    learns.setdefault("fisher", []).append(scheme)
        rows += rows_of(request, model, got, learns)
    return {"rows": rows, "search": searches}


FASHION_BUDGET = 24_000  # a third of what full takes
FASHION_SHARE = 0.5  # is held out: as many images learn in a search as in the report
FASHION_REPORTS = 3  # trainings with other images, of each search


def fashion(how: How) -> dict[str, Any]:
    """Fashion-MNIST, from classes 0-4 to 5-9: of each seed a search, and a random one, with images
    of its own; then trainings on others."""
    task = fashion_task.task()
    model, path = task.model(), fashion_net.recipe(fashion_task.OLD).file()
    request, epochs = (
        Request.of(path, classes=task.classes, precondition=OFF),
        1 if how.short else task.epochs,
    )
    folder = FOLDER / ("fashion-short" if how.short else "fashion")
    got: dict[str, list[float]] = {}
    learns: dict[str, list[Scheme]] = {}
    searches = []
    for seed in range(how.seeds):
        samples = fashion_samples(model, SEARCH_SEED + seed, 20 if how.short else 200)
        where = folder / str(seed)
        plan = SearchPlan(4 if how.short else 24, 4, 2, epochs, 20 if how.short else None, seed)
        npz = write_npz(where / "data.npz", model, samples)
        job = SearchJob(
            request,
            npz,
            Limits(FASHION_BUDGET),
            plan,
            share=FASHION_SHARE,
            jobs=how.jobs,
            output=where / "fashion.toml",
        )
        found = run_search(job, SILENT, COMMAND).to_json()
        searches.append(found)
        setup = Setup(request, model, samples, where / "latents", FASHION_SHARE, seed=seed)
        schemes = compared(how, setup, FASHION_BUDGET, plan, found)
        numbers = [FASHION_REPORTS * seed + k for k in range(1 if how.short else FASHION_REPORTS)]
        data = [task.dataset(task.groups[0], number) for number in numbers]
        for name, scheme in schemes.items():
            scores = reported(setup, scheme, data, epochs, seed, where / "report")
            got.setdefault(name, []).append(float(np.mean(scores)))
            learns.setdefault(name, []).append(scheme)
    return {"rows": rows_of(request, model, got, learns), "search": searches}


def fashion_samples(model: Model, seed: int, per_class: int) -> Samples:
    """Training images of the new classes that the net has not seen."""
    new = range(fashion_task.OLD, fashion_mnist.CLASSES)
    train, rng = (
        fashion_net.unseen(fashion_mnist.train_set()).of_classes(new),
        np.random.default_rng(seed),
    )
    mine = np.concatenate([rng.permutation(np.flatnonzero(train.y == c))[:per_class] for c in new])
    x, y = images.input_rows(train.x[mine], model.input.type), train.y[mine] - fashion_task.OLD
    return Samples(x, y, np.zeros(len(y), int))


def rows_of(
    request: Request, model: Model, got: dict[str, list[float]], learns: dict[str, list[Scheme]]
) -> list[SearchRow]:
    """One for each method; of its schemes the most common, and the most bytes of any."""
    rows = []
    for name, values in got.items():
        bytes_ = max(plan_bytes(request, model, scheme) for scheme in learns[name])
        text = most_common(described(scheme) for scheme in learns[name])
        rows.append(SearchRow(name, text, bytes_, tuple(values)))
    return rows


def samples_of(people: dict[int, tuple[Array, Array]]) -> Samples:
    x, y = (np.concatenate([one[k] for one in people.values()]) for k in (0, 1))
    group = np.concatenate([np.full(len(y), p) for p, (_, y) in people.items()])
    return Samples(x.reshape(len(x), -1), y, group)


def most_common(texts: Iterable[str]) -> str:
    (text, count), *_ = (counted := Counter(texts)).most_common(1)
    return text if len(counted) == 1 else f"{text} ({count} of {counted.total()})"


def plan_bytes(request: Request, model: Model, scheme: Scheme) -> int:
    return cost_of(request.but(update=scheme).plan_of(model), False).sram


TASKS = {"watch": watch, "fashion": fashion, "mcunet": mcunet}
INTRODUCTION = """\
Schemes that `mcutrain search` found, against others of no fewer bytes (arena and learned state, as
`plan` predicts them). Schemes are searched on some samples and trained anew on others; accuracy is
on test samples that no search saw. Integer training; n pairs, ± one standard error. `random` is
the best of schemes drawn at random, by as many trainings as the search had."""
WORDS = {
    "watch": f"""\
The smartwatch: a scheme is searched on five people and reported on the five others, both ways,
within {WATCH_BUDGETS[0]:,} bytes; `fisher` chooses for each person by the Fisher information of
that person's samples (the criterion of TinyTrain, Kwon et al. 2024).""",
    "fashion": f"""\
A net of 20,000 parameters goes from classes 0-4 of Fashion-MNIST to 5-9, within
{FASHION_BUDGET:,} bytes. Each pair is a search and a random one, on 1,000 images of its own; a
scheme is trained {FASHION_REPORTS} times on others, and the mean counts.""",
    "mcunet": """\
mcunet-5fps learns CIFAR-10 at 128 x 128 from 1,000 images, once, within the bytes of the paper's
`49kb` scheme and at the learning rate that suits `49kb` best on the 2,000 images that are
searched on.""",
}
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="[TASK]...")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Of searches, or of trainings.")] = 3,
    short: Annotated[bool, typer.Option("--short", help="Whether it runs, not more.")] = False,
    random: Annotated[
        bool, typer.Option(help="Search at random too, with as many trainings: takes as long.")
    ] = True,
) -> None:
    """Found schemes against others of the same bytes, on samples that no search saw."""
    for name in names or TASKS:
        if name not in TASKS:
            raise typer.BadParameter(f"'{name}': there are {', '.join(TASKS)}")
        try:
            found = TASKS[name](How(jobs, short, 1 if short else seeds, random))
        except DataUnavailable as reason:
            print(f"skipped {name}: {reason}")
            continue
        text = table(found["rows"])
        print(text)
        found["rows"] = [asdict(row) for row in found["rows"]]
        FOLDER.mkdir(parents=True, exist_ok=True)
        file = FOLDER / f"{name}{'-short' if short else ''}"
        file.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        file.with_suffix(".md").write_text(text + "\n")
    if not short:
        put_section(DOCUMENT, "search", section())


def section() -> str:
    """What docs/accuracy.md says of the searches that were run."""
    lines = [INTRODUCTION]
    for name in TASKS:
        file = FOLDER / f"{name}.md"
        if file.is_file():
            lines += ["", WORDS[name], "", file.read_text().strip()]
    return "\n".join(lines)


if __name__ == "__main__":
    app()
