# SPDX-License-Identifier: Apache-2.0
"""The network of the conformance vectors (tests/vectors) as a Model, and what it must do."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
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
from mcutrain.trainer.interpreter import Interpreter
from mcutrain.trainer.model import Model, with_new_head
from mcutrain.trainer.ops.add import Add
from mcutrain.trainer.ops.average_pool2d import AveragePool2D
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.sgd import FRACTION, LearningRate
from mcutrain.trainer.ops.weighted import Weighted, dead_channels
from mcutrain.trainer.options import PlanOptions
from mcutrain.trainer.plan import make_plan
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


LEARNED = tuple(f"{layer}_{part}" for layer in ("conv", "dw", "pw", "fc") for part in "wb")


def exponents(values: Mapping[Tensor, Array]) -> dict[str, int]:
    """The exponent of every error of a step."""
    by_name = {t.name: int(v[0]) for t, v in values.items() if t.type.shape == (1,)}
    return {key: by_name[name] for key, name in EXPONENTS.items()}


def learned(plan: TrainingPlan, state: Mapping[Tensor, Array]) -> dict[str, Any]:
    """Every learned tensor's CRC-32, and every history."""
    by_name = {t.name: t for t in plan.learning.state}
    fractions = plan.learning.companions.of(FRACTION)

    def crc(tensor: Tensor) -> int:
        value = state[tensor]
        if tensor in fractions:
            value = (256 * value.astype(np.int32) + state[fractions[tensor]]).astype("<i2")
        return zlib.crc32(value.astype(value.dtype.newbyteorder("<")).tobytes())

    return {
        "crc": {key: crc(by_name[key]) for key in LEARNED},
        "hist": {key: state[by_name[name]].tolist() for key, name in HISTORIES.items()},
    }


def check_state(plan: TrainingPlan, state: Mapping[Tensor, Array], line: dict[str, Any]) -> None:
    """Everything learned is what the line of the vectors says."""
    found = learned(plan, state)
    assert {key: line[key] for key in found} == found, line["step"]


def reference_lines() -> Iterator[dict[str, Any]]:
    """What the lines of expected.jsonl say, by the reference."""
    plan = make_plan(model(), PlanOptions("full"))
    reference = Interpreter(plan, seed=NET["seed"])
    reference.set_learning_rate(RATE)
    for step, (sample, label) in enumerate(zip(SAMPLES, LABELS, strict=True)):
        logits = reference.infer(sample).tolist()
        *_, (_, values) = reference.trace(sample, int(label))
        total, distance = values[plan.record].tolist()
        line = {"step": step, "logits": logits, "S": total, "d_y": distance}
        yield line | learned(plan, reference.state) | {"exponents": exponents(values)}
