# SPDX-License-Identifier: Apache-2.0
"""Weights and biases of a plan in PyTorch, and how each method of training moves them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import torch
from torch import Tensor

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Array, Role
from mcutrain.trainer.graph.tensor import Tensor as PlanTensor
from mcutrain.trainer.ops.sgd import BIAS_MAX
from mcutrain.trainer.ops.weighted import Weighted, filter_scales

WEIGHT_MAX = 127  # of a weight that has learned (SPEC 1.5)


class Method(Enum):
    """How a plan is trained.

    FLOAT32: all in float32. Activations are clamped at the real values of their int8 limits and
    have no gradient there; the logits are neither clamped nor masked.

    FLOAT_BACKWARD: the forward pass is the int8 one, bit for bit, with weights and biases rounded
    from float masters. The backward pass is in float32, at the real values of the int8 activations
    and of the rounded weights. It goes straight through the rounding (Bengio et al. 2013), with
    the masks of SPEC 1.3. Against the integer trainer only the backward pass differs.

    INT8_NEAREST: the same without masters: a step is rounded to the nearest quantum.
    """

    FLOAT32 = auto()
    FLOAT_BACKWARD = auto()
    INT8_NEAREST = auto()

    @property
    def is_int8(self) -> bool:
        """Whether the forward pass is the int8 one."""
        return self is not Method.FLOAT32


@dataclass(eq=False)
class Parameter:
    """A layer's whole weights or bias, in TFLite's layout: real values, or quanta.

    ``master`` is what SGD moves, ``value`` what the forward pass reads. ``gain`` turns a gradient
    by ``value`` into a step of ``master`` at rate 1: 0 in what does not learn, else 1, or 1 / s**2
    for quanta of s. It is None if nothing learns. ``limit`` bounds what a step changes (SPEC 1.5).
    Biases in quanta are float64, for int32 is more than float32 holds. ``tensor`` is what of it
    the plan can learn, which may be only ``columns`` along the last axis. ``quantum`` is the
    real value of one quantum, for each channel.
    """

    method: Method
    tensor: PlanTensor
    master: Tensor
    gain: Tensor | None
    limit: float
    quantum: Tensor
    columns: list[int] | None = None

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        self.value = self.read(self.master)

    def read(self, master: Tensor) -> Tensor:
        """What the forward pass reads of a master: a leaf, if it learns."""
        value = master.round() if self.method.is_int8 else master.detach()
        return value.requires_grad_(self.gain is not None)

    def update(self, rate: float) -> None:
        """One SGD step along the gradient by ``value``, if it learns."""
        if self.gain is None:
            return
        assert self.value.grad is not None
        self.master = self.moved(self.master, self.value.grad * self.gain * rate)
        self.refresh()

    def moved(self, master: Tensor, step: Tensor) -> Tensor:
        """A master less a step; or those of several runs, along a first axis."""
        if self.method is Method.INT8_NEAREST:
            step = step.round()  # ties to even
        moved = (master - step).clamp_(-self.limit, self.limit)
        # A weight of -128 stays until its first step, as in SPEC 1.5.
        return torch.where(step == 0, master, moved)

    def take(self, other: Parameter) -> None:
        """The values of the same parameter in a trainer of another method."""
        real = other.master * other.quantum if other.method.is_int8 else other.master
        moved = real / self.quantum if self.method.is_int8 else real
        self.master = moved.detach().to(self.master.dtype)
        self.refresh()

    def learned(self) -> Array:
        """What the forward pass reads of ``tensor``: of its shape; int8, int32 or real values."""
        whole = self.value.detach().numpy()
        part = whole.copy() if self.columns is None else whole[..., self.columns]
        return part.astype(self.tensor.type.dtype.np) if self.method.is_int8 else part


def parameters(node: Node, method: Method) -> tuple[Parameter, Parameter | None]:
    """The whole weights and the bias of a layer, at their initial values."""
    op = node.op
    assert isinstance(op, Weighted)
    x, w = node.inputs[:2]
    bias, _, learned = op.split_inputs(node)
    assert w.data is not None and learned.data is not None
    scales = filter_scales(w.type, op.out_axis)
    alive = np.ones(len(scales), bool)
    alive[list(op.dead)] = False
    along = [-1 if axis == op.out_axis else 1 for axis in range(len(w.type.shape))]
    columns = None if op.channels is None else list(op.columns(x.type, w.type))
    learns = np.broadcast_to(alive.reshape(along), w.type.shape)
    if columns is not None:
        learns = learns & np.isin(np.arange(w.type.shape[-1]), columns)
    whole = op.whole_weights(x.type, w.data, learned.data)
    weights = parameter(method, learned, whole, scales.reshape(along), learns, WEIGHT_MAX, columns)
    if bias is None:
        return weights, None
    assert bias.data is not None
    return weights, parameter(method, bias, bias.data, x.type.scale * scales, alive, BIAS_MAX)


def parameter(
    method: Method,
    tensor: PlanTensor,
    q: Array,
    scales: Array,
    learns: Array,
    limit: int,
    columns: list[int] | None = None,
) -> Parameter:
    """Of integers ``q`` with quanta ``scales``; ``learns`` is where it learns, if it does."""
    is_learned = tensor.role is Role.PARAM
    if method.is_int8:
        exact = np.float64 if q.dtype == np.int32 else np.float32
        master, gain, bound = q, np.where(learns, scales**-2.0, 0), float(limit)
    else:
        exact, master, gain, bound = np.float32, q * scales, learns, torch.inf
    gains = torch.from_numpy(gain.astype(exact)) if is_learned else None
    values, quantum = torch.from_numpy(master.astype(exact)), torch.from_numpy(np.asarray(scales))
    return Parameter(method, tensor, values, gains, bound, quantum, columns)
