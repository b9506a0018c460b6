# SPDX-License-Identifier: Apache-2.0
"""Compares the reference's forward pass with tflite-micro, operator by operator."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tflite

from mcutrain.host.extras import require_extra
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.model import Model, forward, states_behind
from mcutrain.trainer.options import WHOLE, Section
from mcutrain.trainer.tflite.buffers import are_inside
from mcutrain.trainer.tflite.reader import input_count, input_tensor, load

ARENA_BYTES = 16 << 20
RANDOM_INPUTS = 3


def check_model(path: Path, section: Section = WHOLE) -> dict[str, Any]:
    """Every operator's output against tflite-micro's, for random and extreme inputs of the file; of
    a section, each of its operators.

    Raises Error if tflite-micro is not installed, ModelError if it refuses the model.
    """
    model = load(path, section)
    interpreter = open_interpreter(path)
    source = input_tensor(path, section)
    rows: dict[int, dict[str, Any]] = {
        node.index: {"operator": node.index, "name": node.name, "outputs": 0, "mismatches": 0}
        for node in model.graph.nodes
    }
    states: dict[Tensor, Array] = {}  # which tflite-micro keeps from input to input
    for inputs in file_inputs(path, model, interpreter):
        for number, value in enumerate(inputs):
            interpreter.set_input(value, number)
        interpreter.invoke()
        # Behind an edge from uint8 the scale may be another: what the edge made of it counts.
        sample = np.array(interpreter.GetTensor(source, 0)["tensor_data"], np.int8)
        values = forward(model, sample, states)
        states = states_behind(model, values)
        for node in model.graph.nodes:
            if node.output.file_index < 0:
                continue  # only here, between what the file has
            expected = interpreter.GetTensor(node.output.file_index, 0)["tensor_data"]
            actual = values[node.output].reshape(expected.shape)
            rows[node.index]["outputs"] += int(actual.size)
            rows[node.index]["mismatches"] += int((actual != expected).sum())
    operators = list(rows.values())
    return {
        "model": str(path),
        "operators": operators,
        "outputs": sum(r["outputs"] for r in operators),
        "mismatches": sum(r["mismatches"] for r in operators),
    }


def open_interpreter(path: Path) -> Any:
    require_extra("check")
    if not are_inside(tflite.Model.GetRootAsModel(path.read_bytes(), 0)):
        raise ModelError(
            f"{path} keeps data behind its FlatBuffer, which tflite-micro does not read: there is "
            "nothing to compare with",
            "compare a file that keeps them inside",
        )
    from tflite_micro.python.tflite_micro import runtime

    try:
        return runtime.Interpreter.from_file(
            str(path),
            intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors,
            arena_size=ARENA_BYTES,
        )
    except (RuntimeError, ValueError, struct.error) as err:
        raise ModelError(f"tflite-micro refuses {path}: {err}") from err


def file_inputs(path: Path, model: Model, interpreter: Any) -> Iterator[list[Array]]:
    """What each input of the file is given. Where the model is the file's, its samples."""
    details = [interpreter.get_input_details(k) for k in range(input_count(path))]
    if model.section.start is None and len(details) == 1:
        for drawn in sample_inputs(model.input.type.shape):
            yield [given(drawn, model.input.type, details[0]["dtype"])]
        return
    each_drawn = [sample_inputs(tuple(int(d) for d in each["shape"])) for each in details]
    for samples in zip(*each_drawn, strict=True):
        yield [of_type(x, each["dtype"]) for x, each in zip(samples, details, strict=True)]


def of_type(sample: Array, dtype: Any) -> Array:
    """The sample in any type: integers over their range, floats from -1 to 1."""
    wanted = np.dtype(dtype)
    wide: Array = sample.astype(np.int64) << 8 * (wanted.itemsize - 1)
    return (sample / 128 if wanted.kind == "f" else wide).astype(wanted)


def sample_inputs(shape: tuple[int, ...]) -> Iterator[Array]:
    """The extremes, then random inputs."""
    rng = np.random.default_rng(0)
    yield np.full(shape, -128, np.int8)
    yield np.full(shape, 127, np.int8)
    for _ in range(RANDOM_INPUTS):
        yield rng.integers(-128, 128, shape).astype(np.int8)


def given(sample: Array, type_: TensorType, dtype: Any) -> Array:
    """The sample as the file takes it: int8, or another type that an edge converts to int8."""
    if np.dtype(dtype) == np.float32:
        return ((sample.astype(np.float64) - type_.zero_point) * type_.scale).astype(np.float32)
    if np.dtype(dtype) == np.uint8:
        return (sample.astype(np.int16) + 128).astype(np.uint8)
    return of_type(sample, dtype)
