# SPDX-License-Identifier: Apache-2.0
"""tflite-micro in a process of its own: it trusts much of a file, and may die of it."""

from __future__ import annotations

import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import tflite

from mcutrain.host.checking.pieces import REFUSED, receive, send
from mcutrain.host.extras import require_extra
from mcutrain.host.system.here import running, start
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.tflite.buffers import are_inside
from mcutrain.trainer.tflite.flatbuffer import FlatBufferPatch
from mcutrain.trainer.tflite.listing import Listing
from mcutrain.trainer.tflite.patch import OPERATORS, SUBGRAPHS
from mcutrain.trainer.tflite.tensors import FileTensors

CHILD = "mcutrain.host.checking.child"
LONGEST_WORDS = 300  # characters of what tflite-micro printed, in a message
INSIDE = "compare a file that keeps them inside"
CONVERT = (
    "nothing was compared, and a device that runs it may fail as well: convert the model again"
)


class Died(Exception):
    """tflite-micro ended without an answer: its exit status, what it printed, and the sample that
    it had been given, None while it read the file."""

    def __init__(self, status: int, words: str, sample: Sequence[Array] | None) -> None:
        super().__init__(words or f"exit status {status}")
        self.status, self.words, self.sample = status, words, sample


class Micro:
    """A running tflite-micro with a file in it. ``inputs`` are zeros of the shape and type of each
    input, ``wanted`` the indices of the file's tensors that are read."""

    def __init__(
        self, process: subprocess.Popen[bytes], printed: IO[bytes], data: bytes, wanted: list[int]
    ) -> None:
        self._process, self._printed = process, printed
        self.wanted = wanted
        count = network_of(data).InputsLength()
        indices = np.array(wanted, np.int64)
        self.inputs = self._ask([np.frombuffer(data, np.uint8), np.int64(count), indices], None)

    def run(self, sample: Sequence[Array]) -> dict[int, Array]:
        """The wanted tensors by their index, of a value for each input, and of the state that the
        sample before left. Raises Died."""
        return dict(zip(self.wanted, self._ask(sample, sample), strict=True))

    def _ask(self, arrays: Sequence[Any], sample: Sequence[Array] | None) -> list[Array]:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None and answers is not None
        try:
            send(requests, arrays)
            return receive(answers)
        except (OSError, EOFError) as err:
            with suppress(OSError):
                requests.close()  # what nobody has read is not written again
            status = self._process.wait()
            self._printed.seek(0)
            raise Died(status, words_of(self._printed.read()), sample) from err


@contextmanager
def micro(path: Path, wanted: Sequence[int]) -> Iterator[Micro]:
    """tflite-micro with a file in it. Raises Error if it is not installed; ModelError, also of what
    is asked in here, if it refuses the file or dies of it."""
    require_extra("check")
    data = path.read_bytes()
    if not are_inside(tflite.Model.GetRootAsModel(data, 0)):
        raise ModelError(
            f"{path} keeps data behind its FlatBuffer, which tflite-micro does not read: there is "
            "nothing to compare with",
            INSIDE,
        )
    try:
        with micro_process(data, wanted) as found:
            yield found
    except Died as died:
        raise told(path, data, died) from died


@contextmanager
def micro_process(data: bytes, wanted: Sequence[int]) -> Iterator[Micro]:
    """As ``micro``, of the file's bytes. Raises Died."""
    with (
        tempfile.TemporaryFile() as printed,
        start(
            [sys.executable, "-m", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
        ) as process,
        running(process),
    ):
        yield Micro(process, printed, data, list(wanted))


def told(path: Path, data: bytes, died: Died) -> Exception:
    """What the user is told of a file that tflite-micro does not run."""
    if died.status == REFUSED:
        return ModelError(f"tflite-micro refuses {path}: {died.words}")
    if died.status >= 0:
        return RuntimeError(f"the process of tflite-micro failed: {died.words}")
    ended = signal.Signals(-died.status).name
    said = f", and printed '{died.words}'" if died.words else ""
    if died.sample is None and dies(data, 0, None):
        return ModelError(
            f"tflite-micro died of {path}: it ended with {ended} before the first operator, while "
            f"it read the tensors{said}",
            CONVERT,
        )
    at = deadly_operator(data, died.sample)
    place = "" if at is None else f" at {site(data, at, str(path))}"
    remedy = CONVERT if at is None else f"{CONVERT}, or leave this operator out"
    return ModelError(f"tflite-micro died of {path}{place}: it ended with {ended}{said}", remedy)


def deadly_operator(data: bytes, sample: Sequence[Array] | None) -> int | None:
    """The first operator that tflite-micro dies of, with this sample or before it; None if it does
    not die of them again."""
    alive, dead = 0, network_of(data).OperatorsLength()
    if not dies(data, dead, sample):
        return None
    while dead - alive > 1:
        middle = (alive + dead) // 2
        if dies(data, middle, sample):
            dead = middle
        else:
            alive = middle
    return alive


def dies(data: bytes, operators: int, sample: Sequence[Array] | None) -> bool:
    """Whether tflite-micro dies of the first operators of a file, of which no tensor is read."""
    try:
        with micro_process(first_operators(data, operators), []) as found:
            if sample is not None:
                found.run(sample)
    except Died as died:
        return died.status < 0
    return False


def first_operators(data: bytes, count: int) -> bytes:
    """The file with the first ``count`` of its operators alone: their vector is made shorter."""
    patch = FlatBufferPatch(data)
    network = patch.follow(patch.elements(patch.field(patch.follow(0), SUBGRAPHS))[0])
    patch.write(patch.follow(patch.field(network, OPERATORS)), struct.pack("<I", count))
    return patch.apply()


def network_of(data: bytes) -> Any:
    return tflite.Model.GetRootAsModel(data, 0).Subgraphs(0)


def site(data: bytes, operator: int, where: str) -> str:
    """Where an operator of a file stands, for messages."""
    file = tflite.Model.GetRootAsModel(data, 0)
    return Listing(FileTensors(file, file.Subgraphs(0), where)).site(operator)


def words_of(printed: bytes) -> str:
    """The lines of what was printed, in one.

    >>> words_of(b"conv.cc: no.\\n\\nNode 3 failed\\n")
    'conv.cc: no; Node 3 failed'
    """
    lines = (line.strip().rstrip(".") for line in printed.decode(errors="replace").splitlines())
    shown = "".join(c if c.isprintable() else "?" for c in "; ".join(filter(None, lines)))
    return shown if len(shown) <= LONGEST_WORDS else f"...{shown[-LONGEST_WORDS:]}"
