# SPDX-License-Identifier: Apache-2.0
"""The network of the conformance vectors (tests/vectors) as a Model, and what it must do."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.tensor import (
    Array,
    DType,
    QuantParams,
    Role,
    Tensor,
    TensorType,
    constant,
)
from mcutrain.trainer.model import Model, with_new_head
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.average_pool2d import AveragePool2D
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.sgd import FRACTION, LearningRate
from mcutrain.trainer.ops.weighted import Weighted, dead_channels
from mcutrain.trainer.training_plan import TrainingPlan
from tests.support.paths import VECTORS

NET: dict[str, Any] = json.loads((VECTORS / "net.json").read_text())
DATA = dict(np.load(VECTORS / "net.npz"))
EXPECTED = [json.loads(line) for line in (VECTORS / "expected.jsonl").read_text().splitlines()]
RATE = LearningRate(NET["lr_m"], NET["lr_L"])
SAMPLES, LABELS = DATA["X"], DATA["Y"]


def activation(name: str) -> tuple[QuantParams, tuple[int, ...]]:
    t = NET["tensors"][name]
    return QuantParams((t["scale"],), t["zero_point"]), (1, *t["shape"])


def limits(name: str, act: str) -> tuple[int, int]:
    quant, _ = activation(name)
    low = max(-128, quant.zero_point) if act != "NONE" else -128
    high = 127
    if act == "RELU6":
        high = min(127, quant.zero_point + int(np.floor(6 / quant.scale + 0.5)))
    return low, high


def weight(key: str, axis: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    quant = QuantParams(tuple(float(s) for s in DATA[f"{key}_s"]), 0, axis)
    return (
        constant(f"{key}_w", DATA[f"{key}_w"].reshape(shape), quant),
        constant(f"{key}_b", DATA[f"{key}_b"]),
    )


def model() -> Model:
    """conv, depthwise with a dead channel, pointwise, residual add, average pool, new head."""
    graph = Graph()
    quant, shape = activation("x")
    x = Tensor("x", TensorType(shape, DType.S8, quant), Role.INPUT)

    def conv(kind: type[Weighted], index: int, source: Tensor, key: str, out: str) -> Tensor:
        spec = NET["ops"][index]
        k, axis = spec["kernel"], kind.out_axis
        size = DATA[f"{key}_w"].size // k // k
        w_shape = (1, k, k, size) if axis == 3 else (8, k, k, size // 8)
        w, b = weight(key, axis, w_shape)
        out_quant, out_shape = activation(out)
        stride, pad = (spec["stride"],) * 2, (spec["pad"][0], spec["pad"][2])
        dead = dead_channels(w.type, axis, (b,))
        op = kind(out_quant, out_shape, stride, pad, *limits(out, spec["act"]), dead=dead)
        return graph.add(op, source, w, b, name=out, index=index)[0]

    a = conv(Conv2D, 0, x, "conv", "a")
    b = conv(DepthwiseConv2D, 1, a, "dw", "b")
    c = conv(Conv2D, 2, b, "pw", "c")
    (d,) = graph.add(Add(activation("d")[0]), a, c, name="d", index=3)
    pool = AveragePool2D(activation("e")[1], (4, 4), (4, 4))
    (e,) = graph.add(pool, d, name="e", index=4)
    w = constant("old_w", np.zeros((2, 8), np.int8), QuantParams((1.0,), 0))
    old = FullyConnected(QuantParams((1.0,)), (1, 2), has_bias=False)
    (logits,) = graph.add(old, e, w, name="fc", index=5)
    return with_new_head(Model("vectors", graph, x, logits, logits), NET["ops"][5]["classes"])


HISTORIES = {"e": "fc_d_e_history", "b": "c_d_b_history", "a:dw": "b_d_a_history",
             "a": "a_d_history"}  # fmt: skip


EXPONENTS = {"logits": "cross_entropy_d_logits_e", "e": "fc_d_e_e", "d": "e_d_d_e", "c": "d_d_c_e",
             "b": "c_d_b_e", "a:dw": "b_d_a_e", "a": "a_d_e"}  # fmt: skip


def check_exponents(values: Mapping[Tensor, Array], expected: dict[str, Any]) -> None:
    """The exponent of every error of a step equals the vectors'."""
    by_name = {t.name: int(v[0]) for t, v in values.items() if t.type.shape == (1,)}
    for key, exponent in expected["exponents"].items():
        assert by_name[EXPONENTS[key]] == exponent, (expected["step"], key)


def check_state(plan: TrainingPlan, state: dict[Tensor, Array], expected: dict[str, Any]) -> None:
    """Every learned tensor's CRC-32 and every history equals the vectors'."""
    by_name = {t.name: t for t in plan.learning.state}
    fractions = plan.learning.companions.of(FRACTION)
    step = expected["step"]
    for key, crc in expected["crc"].items():
        tensor = by_name[key]
        value = state[tensor]
        if tensor in fractions:
            value = (256 * value.astype(np.int32) + state[fractions[tensor]]).astype("<i2")
        assert zlib.crc32(value.astype(value.dtype.newbyteorder("<")).tobytes()) == crc, (step, key)
    for key, pair in expected["hist"].items():
        assert state[by_name[HISTORIES[key]]].tolist() == pair, (step, key)
