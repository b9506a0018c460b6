# SPDX-License-Identifier: Apache-2.0
"""What channels leave behind when they leave."""

from __future__ import annotations

import numpy as np
import pytest

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.model import Model, forward
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.shrinking.cut import cut_channels
from mcutrain.trainer.shrinking.groups import Group, Groups, channel_groups
from mcutrain.trainer.tflite.reader import parse
from tests.support.model_maker import ModelMaker
from tests.support.random_cuts import constant_channels, cuttable_model, read
from tests.support.random_models import samples
from tests.support.small_models import residual_model


def test_a_model_that_keeps_all_is_the_same_model() -> None:
    model = parse(residual_model(), "m")
    groups = channel_groups(model)
    whole = {group.name: tuple(range(group.units)) for group in groups.groups}

    assert cut_channels(model, groups, {}) is model
    assert cut_channels(model, groups, whole) is model


@pytest.mark.parametrize(
    ("units", "message"),
    [((), "at least one"), ((1, 0), "ascending"), ((0, 0), "once"), ((99,), "99"), ((-1,), "-1")],
)
def test_units_that_there_are_not_are_refused(units: tuple[int, ...], message: str) -> None:
    model = parse(residual_model(), "m")
    groups = channel_groups(model)

    with pytest.raises(ModelError, match=message):
        cut_channels(model, groups, {groups.groups[0].name: units})
    with pytest.raises(ModelError, match="no group of channels 'x'"):
        cut_channels(model, groups, {"x": (0,)})


def with_zero_filters(model: Model, groups: Groups, seed: int) -> None:
    """Set some filters to zero, of all layers that make a unit."""
    rng = np.random.RandomState(seed)
    for group in groups.groups:
        for unit in np.flatnonzero(rng.randint(2, size=group.units)):
            for node in group.producers:
                w, op = node.inputs[1].data, node.op
                assert w is not None and isinstance(op, Weighted)
                w[(slice(None),) * op.out_axis + (group.places[node.output][unit],)] = 0


def units_left(model: Model, group: Group, is_constant: dict, value: dict) -> tuple[int, ...]:
    """All but the constant ones that every reader can do without, exactly."""
    gone = np.ones(group.units, bool)
    for tensor, places in group.places.items():
        is_last = group.axes[tensor] == len(tensor.type.shape) - 1
        if tensor.data is None:
            gone &= is_last and is_constant[tensor][places].all(axis=1)
    for node in group.readers:
        x, op = node.inputs[0], node.op
        assert isinstance(op, Weighted)
        if not op.geometry(x.type, node.inputs[1].type).is_inside:
            gone &= (value[x][group.places[x]] == x.type.zero_point).all(axis=1)
    gone[0] &= not gone.all()
    return tuple(np.flatnonzero(~gone).tolist())


def test_constant_channels_leave_every_bit() -> None:
    left = 0
    for seed in range(10):
        model = read(cuttable_model(seed))
        groups = channel_groups(model)
        with_zero_filters(model, groups, seed)
        is_constant = constant_channels(model)
        run = forward(model, samples(model.input.type.shape, 1, 1)[-1])
        value = {t: run[t].reshape(-1, t.type.shape[-1])[0] for t in is_constant}
        kept = {g.name: units_left(model, g, is_constant, value) for g in groups.groups}
        left += sum(g.units - len(kept[g.name]) for g in groups.groups)
        smaller = cut_channels(model, groups, kept, value)
        for sample in samples(model.input.type.shape, 3, seed):
            found, expected = forward(smaller, sample), forward(model, sample)
            np.testing.assert_array_equal(found[smaller.logits], expected[model.logits])

    assert left > 25


def one_layer(padding: bool) -> tuple[Model, Groups]:
    """A convolution, and a second one of 3x3 that reads it, with one scale and a wide output."""
    make = ModelMaker(4)
    x = make.activation("x", (1, 6, 5, 2), make.c.quant())
    hidden = make.pointwise(x, "a", 6)
    while True:
        make.layer("CONV_2D", hidden, "b", 4)
        model = parse(make.finish(), "m")
        g = model.weighted[1].op
        assert isinstance(g, Weighted)
        inside = g.geometry(*(t.type for t in model.weighted[1].inputs[:2])).is_inside
        if inside is not padding:
            return model, channel_groups(model)
        make = ModelMaker(make.c.number(5, 10_000))
        x = make.activation("x", (1, 6, 5, 2), make.c.quant())
        hidden = make.pointwise(x, "a", 6)


@pytest.mark.parametrize("padding", [False, True])
def test_readers_get_the_mean_of_what_leaves(padding: bool) -> None:
    """The bias changes by the mean of the products that are gone, over all positions, those at
    the edges included: within the half by which a bias is rounded."""
    model, groups = one_layer(padding)
    reader = model.weighted[1]
    x = reader.inputs[0]
    run = forward(model, samples(model.input.type.shape, 1, 1)[-1])
    means = {x: run[x].reshape(-1, 6).mean(axis=0)}
    (group,) = groups.groups
    smaller = cut_channels(model, groups, {group.name: (0, 2, 3)}, means)
    thin = smaller.weighted[1]
    assert isinstance(reader.op, Weighted)
    g = reader.op.geometry(*(t.type for t in reader.inputs[:2]))
    constant = np.broadcast_to(means[x] - x.type.zero_point, (g.in_h, g.in_w, 6)).copy()
    constant[..., [0, 2, 3]] = 0
    w = reader.inputs[1].data
    assert w is not None
    gone = np.einsum("yxklc,oklc->yxo", g.windows(g.padded(constant)), w.astype(float))
    old = reader.inputs[2].data if reader.op.has_bias else np.zeros(4)
    new = thin.inputs[2].data

    assert old is not None and new is not None
    np.testing.assert_allclose(new - old, gone.mean(axis=(0, 1)), atol=0.5 + 1e-6)
    assert thin.inputs[1].type.shape[-1] == 3 and smaller.weighted[0].output.type.shape[-1] == 3
