# SPDX-License-Identifier: Apache-2.0
"""Hostile model files: ``python -m tests.tools.fuzz_importer [--seconds N] [--count N]``.

Each mutant of a real or random model is read, cut, planned, printed, stepped and exported. It may
succeed or be refused by one line. Anything else is a find, and so are a NumPy warning, more than
``SECONDS`` of processor time and more than ``MEMORY``. Mutant k of a seed is always the same.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from mcutrain.codegen.emit import emit_source
from mcutrain.codegen.header import emit_header
from mcutrain.codegen.manifest import manifest
from mcutrain.codegen.program import lay_out
from mcutrain.trainer.errors import Error, ModelError
from mcutrain.trainer.export import export_model
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.losses import LOSSES, PIXELWISE, SQUARED_ERROR
from mcutrain.trainer.model import Model, forward
from mcutrain.trainer.ops.relu import Relu6
from mcutrain.trainer.options import FROZEN, PlanOptions, Section
from mcutrain.trainer.plan import make_plan
from mcutrain.trainer.shrinking.cut import cut_channels
from mcutrain.trainer.shrinking.file import write_cut
from mcutrain.trainer.shrinking.groups import channel_groups
from mcutrain.trainer.tflite.buffers import are_inside
from mcutrain.trainer.tflite.compact import compacted
from mcutrain.trainer.tflite.reader import parse
from mcutrain.trainer.tflite.sections import largest_of
from mcutrain.trainer.training_plan import TrainingPlan
from mcutrain.trainer.training_state import TrainingState, resumed
from tests.support.micro import Micro
from tests.support.mutations import packed, spoilt_bytes, spoilt_fields, structure, unpacked
from tests.support.nibbles import as_int4
from tests.support.paths import models_folder
from tests.support.random_cuts import cuttable_model
from tests.support.random_models import ALL_MAKERS, random_model, samples
from tests.support.small_models import residual_model
from tests.support.unsigned_model import UnsignedModel
from tests.tools.model_table import SUBJECTS, find, reference_outputs

SECONDS, MEMORY = 10, 1 << 30
LONGEST_MESSAGE = 2000  # characters: what a terminal shows of one line
DECLARED = re.compile(
    r"operator (\d+) .*\)(?:, output (\d+),)? is declared .*, but computes int8 \(([\d, ]+)\)"
)
MAX_PRINTED = 1 << 17  # bytes of constants; more take most of the time
REAL = 10  # one mutant of so many is of a real model
INT4 = "int4"
CUTTABLE = "cuttable"  # a network of many kinds of operators, whose channels hang together
CUTTING = 12  # as many of them as of that many operators
UNSIGNED = {
    "uint8": UnsignedModel(zeros=(128, 128, 128)),
    "uint8 beyond int8": UnsignedModel(),
}


@dataclass(frozen=True)
class Mutant:
    """A spoilt file, what it was made from and what was changed."""

    data: bytes
    base: str
    changes: tuple[str, ...]


@dataclass
class Found:
    """How mutants ended; the first mutant of each kind of find, and what it raised."""

    outcomes: Counter[str] = field(default_factory=Counter)
    finds: dict[str, tuple[int, str]] = field(default_factory=dict)


class TooLong(BaseException):
    """A mutant took more than SECONDS; no ``except Exception`` catches it."""


class Wrong(Exception):
    """What was accepted is not what it should be."""


@cache
def real_models() -> dict[str, bytes]:
    folder = models_folder() or Path("nowhere")
    paths = {name: find(subject, folder) for name, subject in SUBJECTS.items()}
    return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}


@cache
def small_model(name: str) -> bytes:
    if name == "residual":
        return residual_model()
    if name == INT4:
        return as_int4(residual_model())
    if name in UNSIGNED:
        return UNSIGNED[name].file()
    kind, seed = name.rsplit(" ", 1)
    return cuttable_model(int(seed)) if kind == CUTTABLE else random_model(kind, int(seed))


@cache
def structure_of(name: str) -> list[tuple[int, int]]:
    return structure(real_models().get(name) or small_model(name))


def mutant(seed: int, k: int) -> Mutant:
    """The mutant of a number, always the same."""
    rng = random.Random(f"{seed} {k}")
    real = real_models()
    if rng.randrange(REAL) or not real:
        kinds = (f"{kind} {rng.randrange(40)}" for kind in ALL_MAKERS)
        cuttable = f"{CUTTABLE} {rng.randrange(40)}"
        name = rng.choice(("residual", INT4, *UNSIGNED, *kinds, *(CUTTING * [cuttable])))
        data = small_model(name)
    else:
        name = rng.choice(sorted(real))
        data = real[name]
    if rng.random() < 0.3:
        return Mutant(spoilt_bytes(data, structure_of(name), rng), name, ("bytes",))
    file = unpacked(data)
    changes = tuple(spoilt_fields(file, rng))
    try:
        new = mended(file) if rng.random() < 0.8 else packed(file)
    except Exception:  # a value that the schema cannot hold
        return Mutant(data, name, ())
    return Mutant(new, name, changes)


def mended(file: Any) -> bytes:
    """The file with the shapes that its operators compute, so that more of it is accepted."""
    for _ in range(12):
        data = packed(file)
        try:
            parse(data, "mended")
        except ModelError as err:
            found = DECLARED.search(str(err))
            if not found:
                return data
            graph = file.subgraphs[0]
            tensor = graph.tensors[graph.operators[int(found[1])].outputs[int(found[2] or 0)]]
            tensor.shape = [int(d) for d in found[3].split(",") if d.strip()]
        except Exception:
            return data
        else:
            return data
    return packed(file)


def some_plan(model: Model, rng: random.Random) -> TrainingPlan:
    """A plan of the model: of one scheme, head, loss or cut."""
    labels = [node.output.label for node in model.graph.nodes]
    update = rng.choice(("head", "full", "full", "bias", "last:1"))
    logits = model.logits.type
    if logits.size != logits.shape[-1] or model.classes < 2:
        loss = rng.choice((SQUARED_ERROR, PIXELWISE))
        heads = (None, 1, 3) if loss == PIXELWISE else (None,)
        return make_plan(model, PlanOptions(update, rng.choice(heads), loss=loss))
    if model.states and rng.randrange(2):
        return make_plan(model, PlanOptions(update, sequence_length=rng.choice((2, 3))))
    kind = rng.randrange(6)
    if kind == 0:
        return make_plan(model, PlanOptions(update, rng.choice((1, 2, 5, 100))))
    if kind == 1:
        return make_plan(model, PlanOptions(update, start=rng.choice(labels)))
    if kind == 2:
        return make_plan(model, PlanOptions(update, loss=rng.choice(LOSSES)))
    if kind == 3:
        return make_plan(
            model, PlanOptions(update, rng.choice((None, 3)), spare_classes=rng.choice((1, 4)))
        )
    return make_plan(model, PlanOptions(update, frozen=rng.choice(FROZEN)))


def some_model(data: bytes, rng: random.Random) -> Model:
    """The file's model, or a part of it. Raises ModelError."""
    if rng.random() < 0.6:
        return parse(data, "fuzz")
    if rng.random() < 0.5:
        found = largest_of(data, "fuzz")
        return parse(data, "fuzz") if found is None else found
    names: list[str | None] = [None, None, "fully_connected_1", "conv_2d_0"]
    names += [t.name.decode("utf-8", "replace") for t in named_tensors(data)]
    return parse(data, "fuzz", "the model", Section(rng.choice(names), rng.choice(names)))


def named_tensors(data: bytes) -> list[Any]:
    """The tensors that have names; none of a file whose tables cannot be followed."""
    try:
        return [t for t in unpacked(data).subgraphs[0].tensors if t.name]
    except Exception:  # whatever the tables lead to
        return []


def exercise(data: bytes, rng: random.Random) -> None:
    """Read, plan, print, infer, step, export, and read what was exported: of the file, of the
    largest part that can be trained, or of one between tensors that are drawn."""
    model = some_model(data, rng)
    if rng.random() < 0.3:
        cut(data, model, rng)
    plan = some_plan(model, rng)
    image = lay_out(plan)
    if image.constant_bytes < MAX_PRINTED:
        emit_source(image), emit_header(image)
    json.dumps(manifest(image, bytes(8)))
    trained = Interpreter(plan, 1)
    shape = plan.task.input.type.shape
    for sample in samples(shape, 1, rng.randrange(2**31)):
        trained.infer(sample)
    target: int | Array = 0
    if not plan.takes_label and plan.task.target is not None:
        kind = plan.task.target.type
        target = np.zeros(kind.shape, kind.dtype.np)
    for sample in samples(shape, 1, rng.randrange(2**31))[-2:]:
        trained.step(sample, target)
    if plan.task.input.label == model.input.label and plan.sequence is None:
        read_again(data, trained, shape, model.section)


def cut(data: bytes, model: Model, rng: random.Random) -> None:
    """Some channels leave; the file that is left is read as the smaller model."""
    groups = channel_groups(model)
    kept = {
        group.name: tuple(sorted(rng.sample(range(group.units), rng.randint(1, group.units))))
        for group in groups.groups
    }
    smaller = cut_channels(model, groups, kept)
    new = write_cut(data, smaller)
    if compacted(new) != new:
        raise Wrong("a file that was compacted has unused bytes")
    sample = samples(model.input.type.shape, 1, 7)[-1]
    again = parse(new, "fuzz", "the smaller file", model.section)
    found, expected = (forward(each, sample)[each.output] for each in (again, smaller))
    if not np.array_equal(found, expected):
        raise Wrong("the smaller file infers otherwise")


def read_again(data: bytes, trained: Interpreter, shape: tuple[int, ...], section: Section) -> None:
    """The exported file is read, and goes on with equal bits."""
    exported = export_model(data, trained.plan, trained.state, {})
    again = parse(exported, "fuzz", "the export", section)
    assert again.training_state is not None
    if trained.plan.task.active is None and trained.plan.takes_label:
        stored = TrainingState.unpack(again.training_state)
        plan = resumed(make_plan(again, PlanOptions(stored.scheme)), stored)
        sample = samples(shape, 1, 7)[-1]
        if not np.array_equal(Interpreter(plan).infer(sample), trained.infer(sample)):
            raise Wrong("the exported model infers otherwise")


def outputs_in_micro(model: Model, micro: Micro, sample: Array) -> dict[Node, Array]:
    micro.run(sample)
    return {node: micro.tensor(node.output.file_index) for node in model.graph.nodes}


def moves_a_rectifier(node: Node) -> bool:
    """Whether a RELU6 changes the scale, of which tflite-micro clamps the input's bytes."""
    quants = {t.type.quant for t in (node.inputs[0], node.output)}
    return isinstance(node.op, Relu6) and len(quants) > 1


def compare_with_micro(data: bytes) -> None:
    """Every operator of an accepted model in tflite-micro, which may refuse it or die of it."""
    try:
        model = parse(data, "fuzz")
    except ModelError:  # a part of it was accepted
        return
    if not are_inside(tflite.Model.GetRootAsModel(data, 0)):
        return
    try:
        micro = Micro(data)
        drawn = samples(model.input.type.shape, 1, 3)
        runs = [(x, outputs_in_micro(model, micro, x)) for x in drawn]
    except Exception:  # tflite-micro's own refusals
        return
    for sample, expected in runs:
        for node, output in reference_outputs(model, sample).items():
            if moves_a_rectifier(node):
                continue
            if not np.array_equal(output.ravel(), expected[node].ravel()):
                raise Wrong(f"{type(node.op).__name__} differs from tflite-micro: {node.op}")


def outcome(new: Mutant, rng: random.Random) -> tuple[str, str]:
    """(how a mutant ended, the message or traceback of a find)."""
    try:
        exercise(new.data, rng)
    except Error as err:
        message = str(err)
        if "\n" in message or len(message) > LONGEST_MESSAGE:
            return f"find: message of {where(err)}", message[:300]
        return f"refused: {type(err).__name__}", ""
    except (Exception, TooLong) as err:
        return f"find: {type(err).__name__} at {where(err)}", traceback.format_exc()
    return "accepted", ""


def where(err: BaseException) -> str:
    """The innermost line of ours that an error passed."""
    frames = traceback.extract_tb(err.__traceback__)
    ours = [f for f in frames if "/trainer/" in f.filename or "/codegen/" in f.filename]
    last = (ours or frames)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def too_long(*_: object) -> None:
    raise TooLong


def limit(memory: int) -> None:
    """Let this process have ``memory`` more than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def child(seed: int, first: int, count: int, until: float, out: Any) -> None:
    """Try mutants from ``first``; a line of JSON before and after each, and before tflite-micro."""
    warnings.simplefilter("error")
    signal.signal(signal.SIGPROF, too_long)
    limit(MEMORY)
    for k in range(first, first + count):
        if time.monotonic() > until:
            break
        print(json.dumps([k, "start", "", ""]), file=out, flush=True)
        new = mutant(seed, k)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        ended, detail = outcome(new, random.Random(k))
        signal.setitimer(signal.ITIMER_PROF, 0)
        if ended == "accepted":
            print(json.dumps([k, "tflite-micro", "", ""]), file=out, flush=True)
            try:
                compare_with_micro(new.data)
            except Wrong as err:
                ended, detail = f"find: {str(err).split(':')[0]}", str(err)
        what = f"{new.base}: {', '.join(new.changes)}"
        print(json.dumps([k, ended, what, detail]), file=out, flush=True)


def lines_of_child(seed: int, first: int, count: int, until: float) -> Iterator[tuple[Any, ...]]:
    """What a child says until it ends or dies."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as out:
            child(seed, first, count, until, out)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        yield from (tuple(json.loads(line)) for line in lines)
    _, status = os.waitpid(pid, 0)
    if status:
        yield -1, f"find: the process died with status {status}", "", ""


def fuzz(seed: int, count: int, seconds: float) -> Found:
    """Mutants 0 to ``count`` of a seed, or as many as ``seconds`` allow."""
    found, until = Found(), time.monotonic() + seconds
    real_models()
    k = 0
    while k < count and time.monotonic() < until:
        stage, before = "start", k
        for number, ended, what, detail in lines_of_child(seed, k, min(2000, count - k), until):
            if number < 0 and stage == "tflite-micro":
                ended = "tflite-micro died"
            if ended in ("start", "tflite-micro"):
                stage, k = ended, number + 1
                continue
            found.outcomes[ended.split(" at ")[0]] += 1
            if ended.startswith("find"):
                found.finds.setdefault(ended, (k - 1, f"{what}\n{detail}"))
            stage = "done"
        if k == before:
            raise RuntimeError("the process died before its first mutant")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--count", type=int, default=10**9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the mutants that were found")
    given = parser.parse_args()
    found = fuzz(given.seed, given.count, given.seconds)
    for ended, number in found.outcomes.most_common():
        print(f"{number:7}  {ended}")
    for kind, (k, detail) in found.finds.items():
        print(f"\n--- mutant {k} of seed {given.seed}: {kind}\n{detail.rstrip()}")
        if given.keep:
            given.keep.mkdir(exist_ok=True)
            (given.keep / f"{given.seed}_{k}.tflite").write_bytes(mutant(given.seed, k).data)
    print(f"\n{found.outcomes.total()} mutants, {len(found.finds)} kinds of finds")
    return bool(found.finds)


if __name__ == "__main__":
    sys.exit(main())
