# SPDX-License-Identifier: Apache-2.0
"""What a sample is of a model that keeps state: one input from the initial state, or several."""

from __future__ import annotations

from dataclasses import replace

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.graph import Graph, storage
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Role, Tensor
from mcutrain.trainer.model import Model, State, rebuild, section_of
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.planner.sequence import (
    MAX_RESULTS,
    Sequence,
    SequenceState,
    as_outside,
    window_type,
)

MAX_VALUES, MAX_MACS = 1 << 22, 1 << 30  # of a sample
ONE_INPUT = "leave --sequence-length out"


def planned_part(model: Model, options: PlanOptions) -> Model:
    """The part of a model that a plan with these options is of: its layers are those that a scheme
    counts. Raises ModelError."""
    return over_sequence(section_of(model, options.section), options.sequence_length)


def without_states(model: Model) -> Model:
    """The model for samples of one input: its states are constants, and so is what depends on them
    alone."""

    def change(graph: Graph, node: Node, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if not inputs or any(t.data is None for t in inputs):
            return None
        arrays = [t.data for t in inputs]
        values = node.op.reference(node, *(a for a in arrays if a is not None))
        return tuple(
            replace(t, role=Role.CONST, data=value)
            for t, value in zip(node.outputs, values, strict=True)
        )

    folded = rebuild(model, change) if model.states else model
    return replace(folded, states=())


def over_sequence(model: Model, steps: int) -> Model:
    """The model for samples of ``steps`` inputs that follow each other, from the initial state.

    What computes states or reads them is one frozen node; what is behind runs once, on what the
    last input leaves. Raises ModelError where there is no state, or nothing behind.
    """
    if steps == 1:
        return without_states(model)
    if not model.states:
        raise ModelError(
            f"{model.name} keeps nothing from input to input: a sample is one input", ONE_INPUT
        )
    if steps * model.input.type.size > MAX_VALUES:
        raise ModelError(
            f"{steps} inputs of {model.input.type.size} values are more than {MAX_VALUES:,} values",
            "take a shorter --sequence-length",
        )
    inside = inner_nodes(model)
    node, results = sequence_node(model, inside, steps)
    if node.op.macs(node) > MAX_MACS:
        raise ModelError(
            f"{steps} inputs take {node.op.macs(node):,} multiply-accumulates in the part that "
            f"keeps state; up to {MAX_MACS:,} are supported", "take a shorter --sequence-length"
        )  # fmt: skip
    graph = Graph([node])
    new = dict(zip(results, node.outputs, strict=True))
    for outer in model.graph.nodes:
        if outer in inside and not (outer.op.alias and outer.inputs[0] in new):
            continue
        outputs = graph.add(
            outer.op, *(new.get(t, t) for t in outer.inputs), name=outer.name, index=outer.index
        )
        for old, tensor in zip(outer.outputs, outputs, strict=True):
            tensor.stand_for(old)
            new[old] = tensor
    return replace(
        model, graph=graph, input=node.inputs[0], logits=new[model.logits],
        output=new[model.output], states=(),
    )  # fmt: skip


def inner_nodes(model: Model) -> set[Node]:
    """The nodes that lead to a state, and those that read one or the input themselves."""
    owner = storage(model.graph)
    given = {model.input, *(s.tensor for s in model.states)}
    wanted = {s.following for s in model.states}
    found: set[Node] = set()
    for node in reversed(model.graph.nodes):
        touches = given.intersection(owner[t] for t in node.inputs)
        if touches or wanted.intersection(node.outputs):
            found.add(node)
            wanted.update(node.inputs)
    return found


def sequence_node(model: Model, inside: set[Node], steps: int) -> tuple[Node, list[Tensor]]:
    """The node, and which tensors of the model its outputs are."""
    nodes = [node for node in model.graph.nodes if node in inside]
    owner = storage(Graph(nodes))
    outer = [node for node in model.graph.nodes if node not in inside]
    read = dict.fromkeys(owner.get(t, t) for node in outer for t in node.inputs)
    made = {t for node in nodes for t in node.outputs}
    results = [t for t in read if t in made]
    behind = {t for node in outer for t in node.outputs}
    if model.logits not in behind or not results:
        raise ModelError(
            f"{model.name}: its outputs are part of what keeps state, so nothing can learn behind",
            ONE_INPUT,
        )
    if len(results) > MAX_RESULTS:
        raise ModelError(f"{model.name} has {len(results)} tensors behind what keeps state")
    require_computed(model, owner)
    outside = {t: as_outside(t) for t in (model.input, *results)}
    outside |= {s.tensor: as_outside(s.tensor) for s in model.states}
    copies = tuple(
        replace(
            node,
            inputs=tuple(outside.get(t, t) for t in node.inputs),
            outputs=tuple(outside.get(t, t) for t in node.outputs),
        )
        for node in nodes
    )
    window = Tensor("input", window_type(model.input.type, steps), Role.INPUT, None,
                    model.input.label, model.input.limits, model.input.file_index)  # fmt: skip
    states = tuple(state_of(s, outside) for s in model.states)
    op = Sequence(copies, window, outside[model.input], states,
                  tuple(outside[t] for t in results), steps)  # fmt: skip
    constants = dict.fromkeys(t for node in copies for t in node.inputs if t.role is Role.CONST)
    graph = Graph()
    outputs = graph.add(op, window, *constants, name="sequence", index=nodes[0].index)
    for old, tensor in zip(results, outputs, strict=True):
        tensor.stand_for(old)
        tensor.limits = old.limits
    return graph.nodes[0], results


def state_of(state: State, outside: dict[Tensor, Tensor]) -> SequenceState:
    assert state.tensor.data is not None
    following = outside.get(state.following, state.following)
    return SequenceState(outside[state.tensor], following, state.tensor.data)


def require_computed(model: Model, owner: dict[Tensor, Tensor]) -> None:
    """Raises ModelError for a state that is set to a constant or to another state, unchanged."""
    given = {s.tensor for s in model.states}
    for s in model.states:
        source = owner.get(s.following, s.following)
        if source.role is Role.CONST or source in given:
            raise ModelError(
                f"{model.name}: the state '{s.tensor.label}' becomes '{source.label}', which is "
                "not computed", ONE_INPUT
            )  # fmt: skip
