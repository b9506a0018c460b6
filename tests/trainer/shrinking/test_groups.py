# SPDX-License-Identifier: Apache-2.0
"""Which channels leave together, and why others stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.making.options import (
    AddOptions,
    ConcatenationOptions,
    MulOptions,
    ReshapeOptions,
    SplitOptions,
)
from mcutrain.trainer.making.writer import WriterTensor
from mcutrain.trainer.model import Model, trim
from mcutrain.trainer.options import Section
from mcutrain.trainer.shrinking.groups import Groups, channel_groups
from mcutrain.trainer.tflite.reader import parse
from tests.support.autoencoder import autoencoder
from tests.support.random_cuts import Cuttable, cuttable_model
from tests.support.small_models import residual_model

Build = Callable[[Cuttable, WriterTensor], WriterTensor]


def model_of(build: Build, channels: int = 3) -> Model:
    """An image of 4x3, what ``build`` makes of it, a 1x1 convolution and a head."""
    make = Cuttable(1)
    x = make.activation("x", (1, 4, 3, channels), make.c.quant())
    last = make.pointwise(build(make, x), "last", 5)
    make.dense_of(last, "y", 2)
    return parse(make.finish(), "m")


def sizes(groups: Groups) -> dict[str, tuple[int, int]]:
    """Units, and the most places of a unit in one tensor."""
    return {
        group.name: (group.units, max(at.shape[1] for at in group.places.values()))
        for group in groups.groups
    }


def readers(groups: Groups) -> dict[str, list[str]]:
    return {group.name: [node.name for node in group.readers] for group in groups.groups}


def test_what_an_add_joins_leaves_together() -> None:
    def build(make: Cuttable, x: WriterTensor) -> WriterTensor:
        a = make.pointwise(x, "a", 4)
        b = make.pointwise(a, "b", 4)
        return make.same("ADD", ("a", "b"), "s", b, AddOptions(), None, False)

    groups = channel_groups(model_of(build))
    first = groups.groups[0]

    assert [node.name for node in first.producers] == ["conv_2d_0", "conv_2d_1"]
    assert readers(groups)["conv_2d_0"] == ["conv_2d_1", "conv_2d_3"]
    assert len(first.places) == 3 and set(first.axes.values()) == {3}
    assert groups.stays == {"fully_connected_4": "it is the output of the model"}


def test_a_flattening_layer_reads_each_channel_at_all_positions() -> None:
    groups = channel_groups(model_of(lambda make, x: x))
    last = groups.groups[-1]

    assert sizes(groups) == {"conv_2d_0": (5, 1)}  # the head flattens by itself
    assert [node.name for node in last.readers] == ["fully_connected_1"]


def test_a_reshape_repeats_channels() -> None:
    make = Cuttable(2)
    x = make.activation("x", (1, 4, 3, 2), make.c.quant())
    a = make.pointwise(x, "a", 5)
    told = make.ints("shape", 1, 60)
    flat = make.same("RESHAPE", ("a", told), "f", a, ReshapeOptions((1, 60)), (1, 60))
    make.dense_of(flat, "y", 2)
    model = parse(make.finish(), "m")
    (group,) = channel_groups(model).groups
    flat_places = group.places[model.graph.nodes[1].output]

    assert group.units == 5
    assert flat_places.tolist() == [[unit + 5 * k for k in range(12)] for unit in range(5)]


def test_a_depthwise_layer_passes_its_channels_on() -> None:
    def build(make: Cuttable, x: WriterTensor) -> WriterTensor:
        return make.layer("DEPTHWISE_CONV_2D", make.pointwise(x, "a", 4), "d", 8)

    groups = channel_groups(model_of(build))

    assert sizes(groups) == {"conv_2d_0": (4, 2), "conv_2d_2": (5, 1)}
    assert readers(groups)["conv_2d_0"] == ["conv_2d_2"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_depthwise_layer_of_what_stays_has_filters_less_for_each_channel(channels: int) -> None:
    def build(make: Cuttable, x: WriterTensor) -> WriterTensor:
        return make.layer("DEPTHWISE_CONV_2D", x, "d", 4 * channels)

    groups = channel_groups(model_of(build, channels))

    assert sizes(groups)["depthwise_conv_2d_0"] == (4, channels)


def test_groups_of_filters_lose_as_many_each() -> None:
    def build(make: Cuttable, x: WriterTensor) -> WriterTensor:
        from tests.support.random_cuts import grouped

        return grouped(make, make.pointwise(x, "a", 6), "g")

    model = model_of(build)
    groups = channel_groups(model)
    filters = model.weighted[1].output.type.shape[3]

    assert sizes(groups)["conv_2d_0"] == (3, 2)
    assert filters == 2 or sizes(groups)["conv_2d_1"] == (filters // 2, 2)


def test_parts_of_a_concatenation_stay_apart() -> None:
    def build(make: Cuttable, x: WriterTensor) -> WriterTensor:
        a = make.pointwise(x, "a", 4)
        b = make.pointwise(x, "b", 3)
        make.tensors[-1] = b = WriterTensor(b.name, b.shape, b.dtype, a.quant)
        return make.same("CONCATENATION", ("a", "b"), "c", a, ConcatenationOptions(3), (1, 4, 3, 7))

    model = model_of(build)
    groups = channel_groups(model)
    joined = model.graph.nodes[2].output

    assert sizes(groups) == {"conv_2d_0": (4, 1), "conv_2d_1": (3, 1), "conv_2d_3": (5, 1)}
    assert groups.groups[1].places[joined].ravel().tolist() == [4, 5, 6]


def test_equal_parts_lose_as_many_each() -> None:
    def build(make: Cuttable, x: WriterTensor) -> WriterTensor:
        from mcutrain.trainer.making.writer import WriterOp

        a = make.pointwise(x, "a", 6)
        axis = make.ints("axis", 3)
        make.ops.append(WriterOp("SPLIT", (axis, "a"), ("p", "q"), SplitOptions(2)))
        assert a.quant is not None
        p, _ = (make.activation(name, (1, 4, 3, 3), a.quant) for name in "pq")
        return make.same("ADD", ("p", "q"), "s", p, AddOptions(), None, False)

    assert sizes(channel_groups(model_of(build)))["conv_2d_0"] == (3, 2)


def test_one_gate_for_all_channels_ties_none_of_them() -> None:
    def build(make: Cuttable, x: WriterTensor) -> WriterTensor:
        a = make.pointwise(x, "a", 4)
        make.pointwise(a, "gate", 1)
        return make.same("MUL", ("a", "gate"), "s", a, MulOptions(), None, False)

    groups = channel_groups(model_of(build))

    assert sizes(groups)["conv_2d_0"] == (4, 1)
    assert "one must stay" in groups.stays["conv_2d_1"]


def test_the_embedding_of_an_autoencoder_can_become_smaller() -> None:
    model = parse(autoencoder(), "m")
    groups = channel_groups(model)
    narrowest = min(model.weighted, key=lambda node: node.output.type.shape[-1])

    assert narrowest.name in sizes(groups)
    assert groups.stays.keys() == {model.weighted[-1].name}


def test_what_lies_outside_of_a_section_keeps_what_it_reads() -> None:
    data = residual_model()
    whole = parse(data, "m")
    part = parse(data, "m", section=Section(end=whole.weighted[2].name))

    assert whole.weighted[0].name in sizes(channel_groups(whole))
    assert "output" in channel_groups(part).stays[whole.weighted[2].name]
    assert set(sizes(channel_groups(part))) <= set(sizes(channel_groups(whole)))


def test_names_are_unique_and_groups_are_in_order() -> None:
    for seed in range(8):
        model = trim(parse(cuttable_model(seed), "m"))
        groups = channel_groups(model).groups
        order = [node.name for node in model.graph.nodes]
        firsts = [order.index(group.producers[0].name) for group in groups]

        assert len({group.name for group in groups}) == len(groups)
        assert firsts == sorted(firsts)
        assert_places_are_a_partition(model.graph, channel_groups(model))


def assert_places_are_a_partition(graph: Graph, groups: Groups) -> None:
    """No position of a tensor belongs to two units."""
    for tensor in graph.tensors:
        found = [
            position
            for group in groups.groups
            for position in group.places.get(tensor, ())  # type: ignore[union-attr]
            for position in position.tolist()
        ]
        assert len(set(found)) == len(found)
