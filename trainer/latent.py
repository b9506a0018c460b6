# SPDX-License-Identifier: Apache-2.0
"""Where a step may begin once its frozen part is known: the latent, and the nodes before it."""

from __future__ import annotations

from dataclasses import dataclass

from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Role, Tensor

LEARNED = (Role.PARAM, Role.STATE)


@dataclass(frozen=True, eq=False)
class FlashLatents:
    """Latents that a build holds as constants, in slots behind those in RAM."""

    samples: Array  # (N, input size) int8; the host knows a sample by them, no build holds them
    latents: Array  # (N, latent size) int8
    labels: Array  # (N,) uint16, 0 where a step takes none

    @property
    def nbytes(self) -> int:
        """Bytes of flash."""
        return int(self.latents.nbytes + self.labels.nbytes)


def find_latent(graph: Graph, source: Tensor) -> tuple[Tensor | None, list[Node]]:
    """The last tensor from which the rest of a step can be computed, and the nodes up to it.

    The nodes read nothing that a step changes, so a sample has one latent for as long as the
    model lives (latent replay, Pellegrini et al. 2020). All that later nodes read of the input
    ``source`` or of these nodes, gradients and updates too, is the latent. (None, []) if only the
    input itself is such a tensor.
    """
    owner = storage(graph)
    last_read = {t: k for k, node in enumerate(graph.nodes) for t in node.inputs}
    crossing = {source}
    found: Tensor | None = None
    end = 0
    for k, node in enumerate(graph.nodes):
        if any(t.role in LEARNED for t in node.inputs):
            break
        crossing = {t for t in crossing | set(node.outputs) if last_read.get(t, -1) > k}
        if len(crossing) == 1 and owner[latent := next(iter(crossing))] is not source:
            found, end = latent, k + 1
    return found, graph.nodes[:end]
