# SPDX-License-Identifier: Apache-2.0
"""`check` on files whose input is not int8, and on a reference that errs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mcutrain.host.checking.check import check_model
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.options import FullyConnectedOptions
from mcutrain.trainer.making.writer import WriterOp, WriterTensor, write_model
from mcutrain.trainer.ops.fully_connected import FullyConnected
from mcutrain.trainer.tflite.reader import load
from tests.support.small_models import activation, bias, weights

pytest.importorskip("tflite_micro", reason="tflite-micro has no wheel for this platform")

SIZE, UNITS = 7, 4
# Beside what converters emit (the int8 scale, zero point 128 higher): another scale and offset.
EDGES = {
    "int8": None,
    "float32": WriterTensor("x", (1, SIZE), "float32"),
    "uint8": WriterTensor("x", (1, SIZE), "uint8", QuantParams((0.05,), 125)),
    "uint8 of another scale": WriterTensor("x", (1, SIZE), "uint8", QuantParams((0.08,), 90)),
}


def model_with_edges(path: Path, source: WriterTensor | None) -> Path:
    """A dense layer; QUANTIZE before it and a conversion behind it, if ``source`` is given."""
    rng = np.random.default_rng(2)
    tensors = [
        activation("q", (1, SIZE), 0.05, -3),
        weights("w", (UNITS, SIZE), 0, rng), bias("b", UNITS, rng),
        activation("logits", (1, UNITS), 0.1, 5),
    ]  # fmt: skip
    ops = [WriterOp("FULLY_CONNECTED", ("q", "w", "b"), ("logits",), FullyConnectedOptions())]
    first, last = "q", "logits"
    if source is not None:
        first, last = "x", "y"
        quant = None if source.quant is None else QuantParams((0.1,), 133)
        tensors += [source, WriterTensor("y", (1, UNITS), source.dtype, quant)]
        kind = "DEQUANTIZE" if source.dtype == "float32" else "QUANTIZE"
        ops = [WriterOp("QUANTIZE", ("x",), ("q",)), *ops, WriterOp(kind, ("logits",), ("y",))]
    path.write_bytes(write_model(tensors, ops, [first], [last]))
    return path


@pytest.mark.parametrize("edge", EDGES)
def test_the_operators_behind_an_edge_are_compared(edge: str, tmp_path: Path) -> None:
    path = model_with_edges(tmp_path / "edges.tflite", EDGES[edge])
    result = check_model(path)

    assert load(path).input.label == "q"
    assert result["operators"] == [
        {
            "operator": int(EDGES[edge] is not None),
            "name": load(path).graph.nodes[0].name,
            "outputs": 5 * UNITS,
            "mismatches": 0,
        }
    ]


@pytest.mark.parametrize("edge", EDGES)
def test_a_reference_that_errs_is_seen(
    edge: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = FullyConnected.reference

    def wrong(self: FullyConnected, node: object, *inputs: Array) -> tuple[Array, ...]:
        (out,) = right(self, node, *inputs)  # type: ignore[arg-type]
        return (out ^ 1,)

    monkeypatch.setattr(FullyConnected, "reference", wrong)
    result = check_model(model_with_edges(tmp_path / "edges.tflite", EDGES[edge]))

    assert result["mismatches"] == result["outputs"] == 5 * UNITS
