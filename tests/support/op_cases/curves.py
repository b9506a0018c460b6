# SPDX-License-Identifier: Apache-2.0
"""Rows of functions of one value that models hold less often: rectifiers with other ends, roots,
negatives, exponential and Gaussian units, limits by a constant."""

from __future__ import annotations

from mcutrain.trainer.graph.tensor import QuantParams as Q
from mcutrain.trainer.ops.abs import Abs
from mcutrain.trainer.ops.elu import Elu
from mcutrain.trainer.ops.float_function import FloatFunction
from mcutrain.trainer.ops.gelu import Gelu
from mcutrain.trainer.ops.minimum_maximum import Limit
from mcutrain.trainer.ops.neg import Neg
from mcutrain.trainer.ops.relu import Relu0To1, Relu6, ReluN1To1
from mcutrain.trainer.ops.rsqrt import Rsqrt
from tests.support.op_cases.elementwise import Function

CURVES = [
    Function("relu6/finer", Relu6(Q((0.03,), -100)), Q((0.05,), -20)),
    Function("relu6/coarser", Relu6(Q((0.11,), 5)), Q((0.04,), 3)),
    Function("relu-n1-to-1/odd", ReluN1To1(Q((0.03,), 17))),
    Function("relu-n1-to-1/beyond-the-bytes", ReluN1To1(Q((0.005,), -128)), Q((0.01,), -100)),
    Function("relu-0-to-1/odd", Relu0To1(Q((0.011,), -30))),
    Function("relu-0-to-1/coarse", Relu0To1(Q((2.0,), 3)), Q((0.5,), 3)),
    Function("limit/minimum", Limit(Q((0.05,), -3), -128, 60)),
    Function("limit/maximum", Limit(Q((0.05,), -3), -20, 127)),
    Function("abs/odd", Abs(Q((0.03,), -100)), x_limits=(-50, 100)),
    Function("abs/one-scale", Abs(Q((0.05,), -128)), Q((0.05,), 0)),
    Function("abs/saturates", Abs(Q((0.001,), 5)), Q((0.3,), 127)),
    Function("neg/odd", Neg(Q((0.05,), 9)), x_limits=(-50, 100)),
    Function("neg/coarser", Neg(Q((0.11,), -128)), Q((0.05,), 127)),
    Function("elu/odd", Elu(Q((0.03,), -40)), x_limits=(-50, 100)),
    Function("elu/coarse", Elu(Q((0.4,), -128)), Q((0.5,), 100)),
    Function("elu/fine", Elu(Q((1e-4,), 3)), Q((1e-4,), -7), (1, 9)),
    Function("gelu/odd", Gelu(Q((0.03,), -110)), x_limits=(-90, 127)),
    Function("gelu/coarse", Gelu(Q((0.4,), -128)), Q((0.5,), 100)),
    Function("gelu/approximate", Gelu(Q((0.02,), -100), approximate=True)),
    Function("rsqrt/odd", Rsqrt(Q((0.02,), -128)), Q((0.02,), -128), x_limits=(-128, 120)),
    Function("rsqrt/coarse", Rsqrt(Q((0.005,), -20)), Q((0.5,), -128)),
    Function("rsqrt/below-zero", Rsqrt(Q((0.05,), -100)), Q((0.01,), -60), (2, 9)),
    Function("float/elu", FloatFunction(Q((0.03,), -40), ("ELU",)), x_limits=(-50, 100)),
    Function("float/square", FloatFunction(Q((0.07,), -128), ("SQUARE",))),
    Function("float/chain", FloatFunction(Q((0.01,), 127), ("ABS", "NEG", "EXP", "RELU", "NEG"))),
    Function("float/nothing", FloatFunction(Q((0.03,), 17))),
]
ROWS = [row for case in CURVES for row in case.rows()]
