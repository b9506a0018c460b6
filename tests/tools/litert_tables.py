# SPDX-License-Identifier: Apache-2.0
"""What LiteRT's reference kernels make of all 256 inputs, for functions that tflite-micro has not:
``python -m tests.tools.litert_tables``, in an environment that has ai-edge-litert too.

Remakes ``tests/golden/litert_tables.txt``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.options import GeluOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from tests.support.paths import GOLDEN

TABLES = GOLDEN / "litert_tables.txt"
KINDS: dict[str, tuple[str, Any]] = {
    "GELU": ("GELU", GeluOptions()),
    "GELU, approximate": ("GELU", GeluOptions(approximate=True)),
    "RELU6": ("RELU6", None),
    "RELU_N1_TO_1": ("RELU_N1_TO_1", None),
    "RELU_0_TO_1": ("RELU_0_TO_1", None),
}
ROWS = 4  # of each kind
INPUTS = np.arange(-128, 128).astype(np.int8)[None]


def model_of(kind: str, x: QuantParams, y: QuantParams) -> bytes:
    """A model of one function, of 256 inputs."""
    name, options = KINDS[kind]
    tensors = [WriterTensor("x", (1, 256), "int8", x), WriterTensor("y", (1, 256), "int8", y)]
    return write_model(tensors, [WriterOp(name, ("x",), ("y",), options)], ["x"], ["y"])


def quants(kind: str) -> Iterator[tuple[QuantParams, QuantParams]]:
    """Of input and output, which differ."""
    rng = np.random.RandomState(sorted(KINDS).index(kind))
    for _ in range(ROWS):
        scales = (float(np.float32(np.exp(rng.uniform(-6, -1)))) for _ in range(2))
        x, y = (
            QuantParams((s,), int(rng.choice((-128, 0, rng.randint(-128, 128))))) for s in scales
        )
        yield x, y


def table(data: bytes) -> Array:
    """LiteRT's outputs of a model of one function."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.BUILTIN_REF
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], INPUTS)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])


def main() -> int:
    lines = []
    for kind in KINDS:
        for x, y in quants(kind):
            scales = f"{x.scale!r} {x.zero_point} {y.scale!r} {y.zero_point}"
            lines.append(f"{kind}: {scales} {table(model_of(kind, x, y)).tobytes().hex()}")
    TABLES.write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
