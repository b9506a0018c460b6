# SPDX-License-Identifier: Apache-2.0
"""What operators state of themselves: layers with weights, and what stands behind a head."""

from __future__ import annotations

import pytest

from mcutrain.trainer.graph.op import BehindHead
from mcutrain.trainer.graph.tensor import QuantParams
from mcutrain.trainer.ops.conv2d import Conv2D
from mcutrain.trainer.ops.depthwise_conv2d import DepthwiseConv2D
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.ops.weighted import Weighted
from mcutrain.trainer.tflite.reader import importers

LAYERS = (Conv2D, DepthwiseConv2D, FullyConnected)


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)
def test_the_numerics_hash_of_a_layer_reads_these_fields(
    kind: type[Weighted],
) -> None:
    layer = kind(QuantParams((0.5,), 3), (1, 2, 2, 8), (2, 1), (1, 0), -3, 100, False, (4,), (0, 2))

    assert repr(layer) == (
        f"{kind.__name__}(out_quant=QuantParams(scales=(0.5,), zero_point=3, axis=None), "
        "out_shape=(1, 2, 2, 8), stride=(2, 1), padding=(1, 0), act_min=-3, act_max=100, "
        "has_bias=False, dead=(4,), channels=(0, 2))"
    )


def test_no_layer_is_a_child_of_another() -> None:
    for kind in LAYERS:
        others = [other for other in LAYERS if other is not kind]

        assert issubclass(kind, Weighted)
        assert not issubclass(kind, tuple(others))


def test_what_may_stand_behind_a_new_head() -> None:
    stated = {name: kind.behind_head for name, kind in importers().items()}

    assert {name for name, behind in stated.items() if behind is BehindHead.CHANNELS} == {
        "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN",
        "REDUCE_MAX",
    }  # fmt: skip
    assert {name for name, behind in stated.items() if behind is BehindHead.SCORES} == {
        "LOG_SOFTMAX", "SOFTMAX",
    }  # fmt: skip
    assert {name for name, behind in stated.items() if behind is BehindHead.OUTPUT} == {
        "LOGISTIC", "QUANTIZE", "TANH",
    }  # fmt: skip
