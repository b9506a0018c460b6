# SPDX-License-Identifier: Apache-2.0
"""A group region: nodes of the backward pass of a block that run by groups of channels, so that the
wide errors between them are never whole (docs/adr/0036-channel-groups.md)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from mcutrain.trainer.graph.call import ByChannels
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.planner.lifetimes import aligned
from mcutrain.trainer.planner.row_region import Composite

MOVING = (Role.INPUT, Role.ACTIVATION)


@dataclass(frozen=True, eq=False)
class ChannelRegion(Composite):
    """For each of the nodes the calls for ``size`` of ``channels`` channels at a time. Of the
    tensors in ``inner``, which only the nodes use, there is no more than a group's part."""

    calls: tuple[ByChannels, ...]
    channels: int
    size: int
    inner: tuple[Tensor, ...]

    def is_parted(self, tensor: Tensor) -> bool:
        """Whether there is one group of the tensor at a time."""
        return tensor in self.inner and any(tensor in call.tensors for call in self.calls)

    def rings(self, node: Node) -> dict[Tensor, int]:
        return {
            t: t.type.nbytes // self.channels * self.size if self.is_parted(t) else t.type.nbytes
            for t in self.inner
        }

    def scratch_bytes(self, node: Node) -> int:
        return max(call.scratch_bytes + call.per_channel * self.size for call in self.calls)

    def own_bytes(self, node: Node) -> int:
        """What it takes of the arena beside its inputs and outputs."""
        rings = (aligned(n, t.type.alignment) for t, n in self.rings(node).items())
        return sum(rings) + aligned(self.scratch_bytes(node), node.output.type.alignment)


def fuse_channels(nodes: Sequence[Node], outside: Collection[Tensor], size: int) -> Node:
    """The nodes, all of which have calls for a group of channels, as a region. ``outside`` are the
    tensors that others use."""
    calls = tuple(call for n in nodes if (call := n.op.by_channels(n)) is not None)
    assert len(calls) == len(nodes)
    written = dict.fromkeys(t for node in nodes for t in node.outputs)
    made = {t for t in written if t.role in MOVING}
    inner = tuple(t for t in written if t in made and t not in outside)
    inputs = dict.fromkeys(t for node in nodes for t in node.inputs if t not in made)
    outputs = tuple(t for t in written if t not in inner)
    channels = next(t.type.shape[-1] for call in calls for t in call.tensors)
    op = ChannelRegion(tuple(nodes), calls, channels, size, inner)
    name = f"{nodes[0].name}_to_{nodes[-1].name}"
    return Node(op, tuple(inputs), outputs, name, nodes[0].index)
