# SPDX-License-Identifier: Apache-2.0
"""Ranges fitted to samples, in a network whose operators compare bytes with constants."""

from __future__ import annotations

import numpy as np

from mcutrain.trainer.calibration import calibrate
from mcutrain.trainer.ops.minimum_maximum import Limit, Maximum
from mcutrain.trainer.tflite.reader import parse
from tests.support.compared_model import compared_model


def test_what_is_compared_keeps_one_quantisation() -> None:
    data = compared_model()
    old = parse(data, "old")
    x = np.random.RandomState(0).randint(-20, 21, (3, old.input.type.size)).astype(np.int8)
    found = calibrate(data, x)
    new = parse(found.data, "new")  # where bytes are compared, other scales are refused
    nodes = {node.index: node for node in new.graph.nodes}
    before = {node.index: node for node in old.graph.nodes}
    held = [k for k, node in nodes.items() if isinstance(node.op, Limit)]
    choices = [k for k, node in nodes.items() if isinstance(node.op, Maximum)]

    assert len(held) == 1 and len(choices) == 2
    assert nodes[held[0]].op == before[held[0]].op
    assert nodes[choices[0]].output.type.quant != before[choices[0]].output.type.quant
    assert nodes[choices[1]].output.type.quant == before[choices[1]].output.type.quant
    assert {"stem", "side", "centred", "spread"} <= set(found.changes)
