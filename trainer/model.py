# SPDX-License-Identifier: Apache-2.0
"""A forward model: a graph from one int8 input to logits."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.graph import Graph, prune
from mcutrain.trainer.graph.op import BehindHead, Node
from mcutrain.trainer.graph.tensor import Array, QuantParams, Role, Tensor, constant
from mcutrain.trainer.ops.weighted import BEYOND_INT8, Weighted, dead_channels
from mcutrain.trainer.options import WHOLE, Section

LISTED = "`mcutrain inspect` lists them"
NAMED, SHOWN = 8, 100  # names in an error, and characters of each
MAX_CLASSES = 2**16 - 1
HEAD_WEIGHT_SCALE = float(np.float32(2 / 127))
LOGIT_SCALE = 0.25


@dataclass(frozen=True)
class State:
    """What a model keeps from one inference to the next: a constant of the graph, which holds the
    initial value, and the tensor that takes its place."""

    tensor: Tensor
    following: Tensor


@dataclass(frozen=True)
class Model:
    """A graph, its input, its output, and the logits: the output before a last softmax.

    ``training_state`` is what an export of a trained model keeps to go on (TrainingState).
    ``pixels`` is the uint8 quantisation in which the file takes its input, before a conversion;
    ``tied`` are the operators that read the same weights of the file, each time they are several.
    ``calibration`` says with how many samples the file's ranges were calibrated, if they were.
    ``states`` go on from inference to inference (trainer.sequence).
    ``section`` is the part of the file's network that it is. ``is_unsigned``: the file computes in
    uint8. ``held`` are the file's tensors that what is not of the section reads.
    """

    name: str
    graph: Graph
    input: Tensor
    logits: Tensor
    output: Tensor
    training_state: bytes | None = None
    pixels: QuantParams | None = None
    tied: tuple[tuple[int, ...], ...] = ()
    calibration: str | None = None
    states: tuple[State, ...] = ()
    section: Section = WHOLE
    is_unsigned: bool = False
    held: tuple[int, ...] = ()

    @property
    def weighted(self) -> list[Node]:
        """The layers with weights, from the input."""
        return [node for node in self.graph.nodes if isinstance(node.op, Weighted)]

    @property
    def classes(self) -> int:
        return self.logits.type.shape[-1]


Change: TypeAlias = Callable[[Graph, Node, tuple[Tensor, ...]], "tuple[Tensor, ...] | None"]


def forward(
    model: Model, sample: Array, states: Mapping[Tensor, Array] | None = None
) -> dict[Tensor, Array]:
    """Every tensor of an inference in the reference, from ``states``, or from the initial ones."""
    values = {t: t.data for t in model.graph.tensors if t.data is not None}
    values |= {**(states or {}), model.input: sample}
    for node in model.graph.nodes:
        outputs = node.op.reference(node, *(values[t] for t in node.inputs))
        values.update(zip(node.outputs, outputs, strict=True))
    return values


def states_behind(model: Model, values: Mapping[Tensor, Array]) -> dict[Tensor, Array]:
    """The states that an inference leaves, of which ``values`` are the tensors."""
    return {state.tensor: values[state.following] for state in model.states}


def rebuild(model: Model, change: Change) -> Model:
    """A copy of the model; ``change`` may append other nodes in place of one.

    It gets the new graph, the old node and its new inputs, and returns the outputs that
    stand for the old ones, or None to keep the node.
    """
    graph = Graph()
    new: dict[Tensor, Tensor] = {}
    for node in model.graph.nodes:
        inputs = tuple(new.get(t, t) for t in node.inputs)
        outputs = change(graph, node, inputs)
        if outputs is None:
            outputs = graph.add(node.op, *inputs, name=node.name, index=node.index)
        for old, tensor in zip(node.outputs, outputs, strict=True):
            tensor.stand_for(old)
            new[old] = tensor
    states = tuple(State(s.tensor, new.get(s.following, s.following)) for s in model.states)
    logits, output = new[model.logits], new[model.output]
    return replace(model, graph=graph, logits=logits, output=output, states=states)


def section_of(model: Model, section: Section) -> Model:
    """The part of a model; of one that was read as that part, all of it. Raises ModelError."""
    if section.end is not None and section.end != model.section.end:
        model = until(model, section.end)
    if section.start is not None and section.start != model.section.start:
        model = cut(model, section.start)
    return model


def named(model: Model, name: str) -> Tensor:
    """The activation of this name in the file, or that the node of this name writes. Raises
    ModelError."""
    outputs = [(node.name, tensor) for node in model.graph.nodes for tensor in node.outputs]
    labels = [tensor.label for _, tensor in outputs]
    if labels.count(name) > 1:
        nodes = [node for node, tensor in outputs if tensor.label == name]
        told = one_of(nodes)
        raise ModelError(f"{model.name} has {len(nodes)} tensors '{short(name)}': give {told}")
    names = {node.name: node.output for node in model.graph.nodes}
    names |= {tensor.label: tensor for _, tensor in outputs}
    if name not in names:
        near = like(name, names)
        raise ModelError(f"{model.name} has no activation '{short(name)}'{near}; {LISTED}")
    return names[name]


def one_of(names: Collection[str]) -> str:
    """What is said of names of which one is to be given: the first ones, and how many more.

    >>> one_of(["add_3", "conv_2d_4"])
    'one of add_3, conv_2d_4'
    """
    first, more = [*names][:NAMED], len(names) - NAMED
    return f"one of {', '.join(first)}" + (f" and {more} more" if more > 0 else "")


def like(name: str, names: Collection[str]) -> str:
    """What is said of names that are like one that there is not; "" if none is."""
    inside = [each for each in names if name.lower() in each.lower()]
    near = (inside + difflib.get_close_matches(name, names, 3, 0.6))[:3]
    return f"; like it: {', '.join(map(short, near))}" if near else ""


def short(name: str) -> str:
    """A name as an error shows it: of a long one, which converters join of many, the ends.

    >>> short("model/conv/Relu"), len(short("model/conv/Relu;" * 60))
    ('model/conv/Relu', 99)
    """
    half = SHOWN // 2 - 2
    return name if len(name) <= SHOWN else f"{name[:half]}...{name[-half:]}"


def cut(model: Model, start: str) -> Model:
    """The part of the model behind the tensor ``start``, whose value becomes the input.

    Raises ModelError if there is no such activation, or if what is behind it reads something else
    that is computed before it.
    """
    old = named(model, start)
    source = Tensor("input", old.type, Role.INPUT, label=old.label, limits=old.limits)
    graph, new = Graph(), {old: source}
    for node in model.graph.nodes:
        if any(t in new for t in node.inputs) and old not in node.outputs:
            inputs = tuple(new.get(t, t) for t in node.inputs)
            other = next(
                (
                    t
                    for t in inputs
                    if t.role is not Role.CONST and t not in {source, *new.values()}
                ),
                None,
            )
            if other is not None:
                raise also_reads(model.name, start, node.name, other.label)
            outputs = graph.add(node.op, *inputs, name=node.name, index=node.index)
            for before, tensor in zip(node.outputs, outputs, strict=True):
                tensor.stand_for(before)
                new[before] = tensor
    if model.logits not in new or model.logits is old:
        raise ModelError(f"{model.name} has no layer behind '{start}': nothing can learn")
    output = new.get(model.output, new[model.logits])
    states = tuple(State(s.tensor, new[s.following]) for s in model.states if s.following in new)
    tail = replace(
        model, graph=graph, input=source, logits=new[model.logits], output=output, pixels=None,
        states=states, section=replace(model.section, start=start),
    )  # fmt: skip
    if not tail.weighted:
        raise ModelError(f"{model.name} has no layer with weights behind '{start}'")
    return tail


def also_reads(where: str, start: str, node: str, other: str) -> ModelError:
    """That a network cannot be cut at a tensor."""
    return ModelError(
        f"{where} cannot be cut at '{start}': {node} behind it also reads '{other}', which is "
        "computed before it",
        "take a tensor behind which all is computed from it",
    )


def until(model: Model, end: str) -> Model:
    """The part of the model that leads to the tensor ``end``, which becomes the output. Raises
    ModelError."""
    output = named(model, end)
    graph = prune(model.graph, {output, *(state.following for state in model.states)})
    section = replace(model.section, end=end)
    front = replace(
        model, graph=graph, output=output, logits=logits_of(graph, output), section=section
    )
    if not trim(front).weighted:
        raise ModelError(f"{model.name} has no layer with weights before '{end}'")
    return front


def logits_of(graph: Graph, output: Tensor) -> Tensor:
    """What the scores at the end of a model are made of; the output itself if it ends in none.

    Behind scores only what renames bytes may stand.
    """
    tensor = output
    while (node := graph.producer(tensor)) is not None:
        if node.op.behind_head is BehindHead.SCORES:
            return node.inputs[0]
        if not node.op.alias or tensor.type.shape[-1] != node.inputs[0].type.shape[-1]:
            break
        tensor = node.inputs[0]
    return output


def with_new_head(model: Model, classes: int) -> Model:
    """The model with ``classes`` untrained outputs in place of its last weighted layer.

    Weights and biases are 0, s_w = 2/127 and s_logit = 1/4 (SPEC 1.5). Raises ModelError
    if the number is out of range or something other than a reshape or a pool follows the layer.
    """
    if not 1 <= classes <= MAX_CLASSES:
        raise ModelError(
            f"a head has 1 to {MAX_CLASSES} classes, not {classes}: give another --classes"
        )
    return replace_head(model, classes, add_head)


def with_spare_rows(model: Model, spare: int) -> Model:
    """The model with ``spare`` untrained outputs behind those that its head has.

    Their weights and biases are 0. Where filters have scales of their own, theirs is the greatest
    of the old ones: a greater one would cost the errors of the old classes bits (SPEC 1.4).
    Raises ModelError as ``with_new_head``.
    """
    old = model.classes
    if spare < 1 or old + spare > MAX_CLASSES:
        raise ModelError(f"{old} classes leave room for 1 to {MAX_CLASSES - old} spare ones")
    head = model.weighted[-1]
    if isinstance(head.op, Weighted) and head.op.has_two_parts:
        raise ModelError(
            f"the last weighted layer, {head.name}, cannot get outputs beside the old ones, as "
            f"{BEYOND_INT8}: give --classes N for a new head"
        )
    return replace_head(model, old + spare, extend_head)


AddHead: TypeAlias = "Callable[[Graph, Node, tuple[Tensor, ...], int], tuple[Tensor, ...]]"


def replace_head(model: Model, classes: int, add: AddHead) -> Model:
    """The model with ``classes`` outputs; ``add`` appends the last weighted layer."""
    head = model.weighted[-1]
    assert isinstance(head.op, Weighted)
    if head.op.by_channel:
        raise ModelError(f"the last weighted layer, {head.name}, is depthwise: it cannot be a head")
    old_classes = head.output.type.shape[-1]

    for node in model.graph.nodes:
        if node.index > head.index and (reason := why_not_behind(node, old_classes)):
            raise ModelError(
                f"operator {node.index} ({node.op.tflite_name}, output '{node.output.label}') "
                f"follows the last weighted layer {head.name} and {reason}, so that the head "
                "cannot be replaced",
                "leave --classes and --spare-classes out, or take a model that ends in its head",
            )

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if node is head:
            return add(graph, node, inputs, classes)
        if node.index > head.index and node.op.behind_head is BehindHead.CHANNELS:
            op = node.op.narrowed(node, classes)
            assert op is not None and inputs[0].type.quant is not None
            op = op.rescaled(inputs[0].type.quant)
            return graph.add(op, *inputs, name=node.name, index=node.index)
        return None

    changed = rebuild(model, change)
    # What only the old head read goes with it.
    return replace(changed, graph=prune(changed.graph, {changed.logits, changed.output}))


def why_not_behind(node: Node, classes: int) -> str:
    """Why a node cannot stand behind a new head in place of one of ``classes``; "" if it can."""
    if node.op.behind_head is BehindHead.SCORES:
        return ""
    if node.op.behind_head is not BehindHead.CHANNELS:
        return "is more than a reshape, a pool, a MEAN or a SOFTMAX"
    old, new = node.inputs[0].type.shape, node.output.type.shape
    if not old[-1] == new[-1] == classes or node.op.narrowed(node, classes) is None:
        return f"makes {new} of {old}, which mixes the {classes} outputs of the head with positions"
    return "" if node.op.limits() == (-128, 127) else "limits its values"


def add_head(
    graph: Graph, node: Node, inputs: tuple[Tensor, ...], classes: int
) -> tuple[Tensor, ...]:
    """Append an untrained layer in place of ``node``."""
    assert isinstance(node.op, Weighted)
    w_quant = QuantParams((HEAD_WEIGHT_SCALE,))
    w_shape = (classes, *node.inputs[1].type.shape[1:])
    w = constant(f"{node.name}_w", np.zeros(w_shape, np.int8), w_quant)
    b = constant(f"{node.name}_b", np.zeros(classes, np.int32))
    op = replace(
        node.op,
        out_quant=QuantParams((LOGIT_SCALE,)),
        out_shape=(*node.op.out_shape[:-1], classes),
        act_min=-128,
        act_max=127,
        has_bias=True,
        dead=(),
        channels=None,
    )
    return graph.add(op, inputs[0], w, b, name=node.name, index=node.index)


def extend_head(
    graph: Graph, node: Node, inputs: tuple[Tensor, ...], classes: int
) -> tuple[Tensor, ...]:
    """Append ``node`` with rows of zeros up to ``classes``."""
    x, w, *bias = inputs
    assert isinstance(node.op, Weighted) and w.data is not None and w.type.quant is not None
    more = classes - w.type.shape[0]
    quant = w.type.quant
    if len(quant.scales) > 1:
        quant = replace(quant, scales=quant.scales + (max(quant.scales),) * more)
    rows = np.zeros((more, *w.type.shape[1:]), np.int8)
    new_w = constant(w.name, np.concatenate([w.data, rows]), quant)
    old_b = bias[0].data if bias else None
    b = np.zeros(classes, np.int32)
    if old_b is not None:
        b[: old_b.size] = old_b.reshape(-1)
    new_b = constant(bias[0].name if bias else f"{node.name}_b", b)
    new_w.label, new_b.label = w.label, bias[0].label if bias else ""
    op = replace(node.op, out_shape=(*node.op.out_shape[:-1], classes), has_bias=True)
    op = replace(op, dead=dead_channels(new_w.type, op.out_axis, (new_b,)))
    return graph.add(op, x, new_w, new_b, name=node.name, index=node.index)


def trim(model: Model) -> Model:
    """The model up to its logits, without what neither they nor the states need."""
    graph = prune(model.graph, {model.logits, *(state.following for state in model.states)})
    return replace(model, graph=graph, output=model.logits)
