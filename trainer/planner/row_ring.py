# SPDX-License-Identifier: Apache-2.0
"""How a run of nodes goes row by row: in which order, and how many rows of each tensor are kept.

Depth first: of the stages whose next row can be computed, the last one computes it (fused-layer
execution, Alwani et al. 2016). No row is computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from mcutrain.trainer.graph.call import Window


class Read(NamedTuple):
    """What a stage reads: a window of stage ``source``'s output, or of external tensor k if
    ``source`` is -1 - k; of ``height`` rows."""

    source: int
    height: int
    window: Window

    def needed(self, row: int) -> int:
        """How many rows, from the first on, output ``row`` needs."""
        w = self.window
        return min(self.height, row * w.stride - w.pad + w.kernel)

    def oldest(self, row: int) -> int:
        """The first row that output ``row`` or a later one needs."""
        return min(self.height, max(0, row * self.window.stride - self.window.pad))


class Stage(NamedTuple):
    """A node that computes ``rows`` rows of ``row_bytes`` bytes."""

    rows: int
    row_bytes: int
    reads: tuple[Read, ...]


class External(NamedTuple):
    """A tensor from outside. It is there from the beginning, or arrives row by row, the next one
    when no stage can go on without."""

    row_bytes: int
    arrives: bool


@dataclass(frozen=True)
class Rings:
    """``kept`` rows of each stage's output suffice, and ``arriving`` of each external tensor.

    ``distance[s, k]``: where stage s's output may begin below external tensor k and lie over
    what of it has been read; negative if it may even begin behind the tensor's start.
    """

    kept: tuple[int, ...]
    arriving: tuple[int, ...]
    distance: dict[tuple[int, int], int]


@dataclass
class RingRun:
    """A run under way: how many rows of each stage are done, of each external tensor have come."""

    stages: tuple[Stage, ...]
    externals: tuple[External, ...]
    done: list[int] = field(init=False)
    came: list[int] = field(init=False)
    ready: int = 0  # bit s: stage s can compute its next row

    def __post_init__(self) -> None:
        self.done = [0] * len(self.stages)
        self.came = [0] * len(self.externals)
        self.readers: dict[int, list[tuple[int, Read]]] = {}
        for s, stage in enumerate(self.stages):
            for read in stage.reads:
                self.readers.setdefault(read.source, []).append((s, read))
            self.look(s)

    def look(self, s: int) -> None:
        """Note whether stage ``s`` is ready."""
        stage, row = self.stages[s], self.done[s]
        is_ready = row < stage.rows and all(r.needed(row) <= self.there(r) for r in stage.reads)
        self.ready = self.ready | 1 << s if is_ready else self.ready & ~(1 << s)

    def there(self, read: Read) -> int:
        if read.source >= 0:
            return self.done[read.source]
        k = -1 - read.source
        return self.came[k] if self.externals[k].arrives else read.height

    def oldest(self, source: int) -> int | None:
        """The first row of a tensor that is still needed; None if nothing reads it."""
        reads = self.readers.get(source, [])
        return min((read.oldest(self.next_row(s)) for s, read in reads), default=None)

    def next_row(self, s: int) -> int:
        """The next row of a stage; far behind the last if all are done."""
        return self.done[s] if self.done[s] < self.stages[s].rows else 1 << 30

    def compute(self, s: int) -> None:
        self.done[s] += 1
        for reader in (s, *(t for t, _ in self.readers.get(s, []))):
            self.look(reader)

    def arrive(self) -> bool:
        """Let the next row of what arrives come; whether there was one."""
        coming = [
            k
            for k, external in enumerate(self.externals)
            if external.arrives and self.came[k] < self.readers[-1 - k][0][1].height
        ]
        for k in coming:
            self.came[k] += 1
            for reader, _ in self.readers[-1 - k]:
                self.look(reader)
        return bool(coming)


@lru_cache(maxsize=1 << 14)
def rings(stages: tuple[Stage, ...], externals: tuple[External, ...]) -> Rings:
    """What the stages need, by going through all rows once."""
    run = RingRun(stages, externals)
    kept, arriving = [1] * len(stages), [1] * len(externals)
    distance: dict[tuple[int, int], int] = {}
    while True:
        if not run.ready:
            if not run.arrive():
                break
            for k, came in enumerate(run.came):
                oldest = run.oldest(-1 - k)
                if came and oldest is not None:
                    arriving[k] = max(arriving[k], came - oldest)
            continue
        s = run.ready.bit_length() - 1
        oldest = run.oldest(s)
        if oldest is not None:
            kept[s] = max(kept[s], run.done[s] + 1 - oldest)
        end = (run.done[s] + 1) * stages[s].row_bytes
        for k, external in enumerate(externals):
            first = run.oldest(-1 - k)
            assert first is not None
            below = end - first * external.row_bytes
            distance[s, k] = max(distance.get((s, k), below), below)
        run.compute(s)
    assert run.done == [stage.rows for stage in stages]
    return Rings(tuple(kept), tuple(arriving), distance)
