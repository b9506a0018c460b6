# SPDX-License-Identifier: Apache-2.0
"""Fits the ranges of a model's activations to a user's samples.

An int8 model holds what its activations reached on the data that it was quantised with. Other data
reach less, and then use few of the 255 steps, or more, and then saturate. Scales, zero points and
the biases that depend on them change; weights stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import inf, isclose

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.op import OutputScale
from mcutrain.trainer.graph.tensor import Array, QuantParams, Role, Tensor
from mcutrain.trainer.making.quantiser import activation_quant
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.weighted import DEAD_BIAS, Weighted
from mcutrain.trainer.tflite.compact import compacted
from mcutrain.trainer.tflite.metadata import CALIBRATION
from mcutrain.trainer.tflite.patch import TflitePatch
from mcutrain.trainer.tflite.reader import READER_ERRORS, parse

WIDENINGS = 8  # at most: doublings of a range that values have reached the end of
LIMITS = (-128, 127)
INT32_MAX = 2**31 - 1
SLACK = 1e-3  # of an end that is stored as a float32 scale


@dataclass(frozen=True)
class Range:
    """Real values from ``low`` to ``high``; ``is_cut``: some reached an end of int8, and may have
    gone beyond it."""

    low: float
    high: float
    cut_low: bool = False
    cut_high: bool = False
    most: float = inf  # what it must not be widened beyond

    def joined(self, other: Range) -> Range:
        return Range(
            min(self.low, other.low),
            max(self.high, other.high),
            self.cut_low or other.cut_low,
            self.cut_high or other.cut_high,
            min(self.most, other.most),
        )

    @property
    def is_cut(self) -> bool:
        return self.cut_low or self.cut_high

    @property
    def widened(self) -> Range:
        """Twice as wide, beyond the ends that were reached."""
        span = self.high - self.low
        return Range(
            self.low - (span if self.cut_low else 0),
            min(self.high + (span if self.cut_high else 0), self.most),
        )


@dataclass(frozen=True)
class Calibration:
    """A ``.tflite`` file; by the name of each tensor whose range changed (old, new)."""

    data: bytes
    changes: dict[str, tuple[QuantParams, QuantParams]]


def calibrate(
    data: bytes, samples: Array, done: Callable[[int, int], None] = lambda done, total: None
) -> Calibration:
    """The model file ``data`` with its activations' ranges fitted to ``samples``.

    ``samples`` (N, input size) int8. The input, the logits and what has a scale by its operator's
    definition stay. A range whose end is reached is widened first, then all are fitted to what
    they hold. ``done`` is told (passes over the samples, of at most how many). Raises ModelError
    if the file cannot be changed, or holds a training state, which is of the old ranges. A file
    that is changed says of how many samples its ranges are.
    """
    model = parse(data, "model")
    if model.training_state is not None:
        raise ModelError("the model has a training state: calibrate a model before it is trained")
    if model.is_unsigned:
        raise ModelError(
            "the model is of uint8, whose ranges stay: convert it again from its source, to int8, "
            "or train it as it is (--classes N gives it a new head)"
        )
    if model.states:
        raise ModelError(
            "the model keeps state from input to input: its ranges are those of streams, of which "
            "samples show a part",
            "calibrate it where it was made",
        )
    before, original = quants(model), data
    try:
        data = fitted(data, model, samples, done)
        if data != original:
            patch = TflitePatch(data)
            patch.set_metadata(CALIBRATION, f"{len(samples):,} samples".encode())
            data = compacted(patch.finish())
    except READER_ERRORS as err:
        raise ModelError(f"the model file cannot be calibrated: {err}") from err
    after = quants(parse(data, "model"))
    changes = {
        name: (old, after[name]) for name, old in before.items() if after.get(name, old) != old
    }
    return Calibration(data, changes)


def fitted(data: bytes, model: Model, samples: Array, done: Callable[[int, int], None]) -> bytes:
    """The file with the ranges that ``samples`` reach."""
    total, clamps = WIDENINGS + 1, implied_clamps(model, TflitePatch(data))
    for passes in range(1, total + 1):
        found = observed(model, TflitePatch(data), samples, clamps)
        done(passes, total)
        cut = {group: r.widened for group, r in found.items() if r.is_cut}
        if not cut or passes == total:
            break
        data = rewritten(data, model, cut)
        model = parse(data, "model")
    return rewritten(data, model, found)


def quants(model: Model) -> dict[str, QuantParams]:
    """Of each activation, by its name in the file."""
    found = {}
    for node in model.graph.nodes:
        if node.output.type.quant is not None:
            found[node.output.label] = node.output.type.quant
    return found


Groups = Mapping[Tensor, Tensor]


def groups(model: Model) -> Groups:
    """For each tensor one that stands for all that have the same range: those that an operator
    moves without a scale of its own."""
    leader: dict[Tensor, Tensor] = {model.input: model.input}

    def find(tensor: Tensor) -> Tensor:
        while leader.setdefault(tensor, tensor) is not tensor:
            tensor = leader[tensor]
        return tensor

    for node in model.graph.nodes:
        if node.op.output_scale in (OutputScale.SAME, OutputScale.HELD):
            for tensor in (*node.inputs, *node.outputs):
                if tensor.type.quant is not None:
                    leader[find(tensor)] = find(node.output)
        find(node.output)
    return {tensor: find(tensor) for tensor in leader}


def fixed(model: Model, patch: TflitePatch, of: Groups) -> set[Tensor]:
    """The groups whose range must stay: those of the model's edges, of constants, of operators
    that fix it, and of what operators read or write that the model does not keep."""
    nodes = {node.index: node for node in model.graph.nodes}
    edges = {
        *patch.vector_of(patch.subgraph, "Inputs"),
        *patch.vector_of(patch.subgraph, "Outputs"),
    }
    for k in range(len(patch.operators)):
        if k not in nodes:
            edges |= {*patch.inputs[k], *patch.outputs[k]}
    found = {of[model.input], of[model.logits], of[model.output]}
    found |= {of[t] for t in of if t.role is Role.CONST}
    for node in model.graph.nodes:
        is_edge = node.output.file_index in edges
        if is_edge or node.op.output_scale in (OutputScale.FIXED, OutputScale.HELD):
            found.add(of[node.output])
    return found


def implied_clamps(model: Model, patch: TflitePatch) -> dict[int, float]:
    """By operator the most that it may give, where ranges alone clamp: in a model without any
    activation function before its output, a range that begins at 0 is that of a RELU, or of a
    RELU6 if one of them ends at 6."""
    nodes = [node for node in model.graph.nodes if node.output.type.quant is not None]
    inner = [node for node in nodes if node.output is not model.output]
    functions = [n.op for n in inner if n.op.is_activation]
    if functions or any(patch.activation(n.index) for n in inner):
        return {}
    ends = {
        n.index: (LIMITS[1] - LIMITS[0]) * n.output.type.scale
        for n in nodes
        if n.op.output_scale is OutputScale.FREE and n.output.type.zero_point == LIMITS[0]
    }
    most = 6.0 if any(isclose(end, 6.0, rel_tol=SLACK) for end in ends.values()) else inf
    return {k: most if end <= most * (1 + SLACK) else inf for k, end in ends.items()}


def observed(
    model: Model, patch: TflitePatch, samples: Array, clamps: Mapping[int, float]
) -> dict[Tensor, Range]:
    """By group that may change the range that the operators with a scale of their own reach."""
    of, found = groups(model), dict[Tensor, Range]()
    stay = fixed(model, patch, of)
    free = {
        node: patch.activation(node.index)
        for node in model.graph.nodes
        if node.op.output_scale is OutputScale.FREE and of[node.output] not in stay
    }
    for sample in samples:
        values = {model.input: sample.reshape(model.input.type.shape)}
        for node in model.graph.nodes:
            inputs = (values[t] if t.data is None else t.data for t in node.inputs)
            values[node.output] = node.op.reference(node, *inputs)[0]
            if node in free:
                is_clamped = bool(free[node]) or node.op.clamps or node.index in clamps
                most = clamps.get(node.index, inf)
                reached = range_of(node.output, values[node.output], is_clamped, most)
                group = of[node.output]
                found[group] = found[group].joined(reached) if group in found else reached
    # What holds nothing but zero says nothing of its range.
    return {group: reached for group, reached in found.items() if reached.low < reached.high}


def range_of(tensor: Tensor, q: Array, is_clamped: bool, highest: float) -> Range:
    """Of int8 values. The limits of an activation (``is_clamped``) are no ends of int8, unless they
    lie beyond these; nor is ``highest``."""
    low, high = int(q.min()), int(q.max())
    zero, scale = tensor.type.zero_point, tensor.type.scale
    least, most = tensor.limits
    return Range(
        min(low - zero, 0) * scale,
        max(high - zero, 0) * scale,
        cut_low=low == LIMITS[0] == least and not (is_clamped and least == zero),
        cut_high=high == LIMITS[1] == most and (high - zero) * scale < highest * (1 - SLACK),
        most=highest,
    )


def rewritten(data: bytes, model: Model, wanted: Mapping[Tensor, Range]) -> bytes:
    """The file with the groups' ranges as ``wanted``."""
    patch, of = TflitePatch(data), groups(model)
    least = least_scales(model, of)
    new = {g: quant_of(r, least.get(g, 0.0)) for g, r in wanted.items()}
    for node in model.graph.nodes:
        quant = new.get(of[node.output])
        if quant is not None:
            declare(patch, patch.outputs[node.index], quant)
    for node in model.graph.nodes:
        x = of.get(node.inputs[0])
        if isinstance(node.op, Weighted) and node.op.has_bias and x in new:
            write_bias(patch, node.index, node.inputs[0].type.scale, new[x].scale)
    return patch.finish()


def least_scales(model: Model, of: Groups) -> dict[Tensor, float]:
    """By group the scale with which a bias behind it is as large as int32 holds, or as a channel
    may have that learns (SPEC 1.4)."""
    found: dict[Tensor, float] = {}
    for node in model.graph.nodes:
        if isinstance(node.op, Weighted) and node.op.has_bias and node.inputs[2].data is not None:
            b = np.abs(node.inputs[2].data.astype(np.float64))
            living = b[b <= DEAD_BIAS]
            share = max(living.max(initial=0.0) / DEAD_BIAS, b.max(initial=0.0) / INT32_MAX)
            x = node.inputs[0]
            found[of[x]] = max(x.type.scale * float(share), found.get(of[x], 0.0))
    return found


def quant_of(reached: Range, least: float) -> QuantParams:
    """Of a range, widened as far as the scale must be."""
    quant = activation_quant(reached.low, reached.high)
    if quant.scale >= least:
        return quant
    factor = 1.01 * least / quant.scale
    return activation_quant(reached.low * factor, reached.high * factor)


def declare(patch: TflitePatch, tensors: Iterable[int], quant: QuantParams) -> None:
    for index in tensors:
        patch.change_tensor(index, replace(patch.tensor(index), quant=quant))


def write_bias(patch: TflitePatch, operator: int, old: float, new: float) -> None:
    """A layer's bias for an input of the scale ``new`` instead of ``old``: the same real values."""
    index = patch.own_input(operator, 2)
    declared = patch.tensor(index)
    real = patch.contents(index, "<i4").astype(np.float64) * old
    patch.set_data(index, np.floor(real / new + 0.5).astype("<i4").tobytes())
    if declared.quant is not None:
        scales = tuple(float(np.float32(s * new / old)) for s in declared.quant.scales)
        changed = replace(patch.tensor(index), quant=replace(declared.quant, scales=scales))
        patch.change_tensor(index, changed)
