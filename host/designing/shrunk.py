# SPDX-License-Identifier: Apache-2.0
"""A trained net made by hand, shrunk until its training fits: the other way to a small net."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from mcutrain.host.request import Request
from mcutrain.host.search.budget import Limits
from mcutrain.host.shrinking.inputs import Inputs, with_held_out
from mcutrain.host.shrinking.phases import Phases
from mcutrain.host.shrinking.shrinking import Shrinking
from mcutrain.host.training.reporter import nothing
from mcutrain.trainer.graph.tensor import Array
from mcutrain.trainer.shrinking.file import write_cut


def shrunk(request: Request, x: Array, labels: Array | None, limits: Limits, seed: int) -> bytes:
    """The request's model in the formats that it asks for, with fewer channels, repaired with
    samples x (N, input size) int8 and their ``labels`` (N,).

    Raises BudgetError if no cut fits.
    """
    content = request.model.read_bytes()
    model = request.read()
    held = None if labels is None else labels[:0]
    inputs = with_held_out(Inputs(x, x[:0], labels, held), seed)
    with tempfile.TemporaryDirectory(prefix="mcutrain-design-") as folder:
        phases = Phases(Path(folder), hashlib.sha256(content).hexdigest())
        work = Shrinking(request, model, inputs, labels is not None, phases, nothing, seed=seed)
        choice, _ = work.choice(request, limits, phases)
        kept = choice.cut.kept
        if not kept:
            return content
        cut = work.cut(kept, phases, [])
        found, _ = work.distilled(work.repaired(cut, kept, phases, []), phases, [])
        return write_cut(content, found)
