# SPDX-License-Identifier: Apache-2.0
"""Compares the reference's forward pass with tflite-micro, operator by operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mcutrain.host.checking.micro import micro
from mcutrain.trainer.graph.tensor import Array, Tensor, TensorType
from mcutrain.trainer.model import Model, forward, states_behind
from mcutrain.trainer.options import WHOLE, Section
from mcutrain.trainer.tflite.reader import input_tensor, load

RANDOM_INPUTS = 3


def check_model(path: Path, section: Section = WHOLE) -> dict[str, Any]:
    """Every operator's output against tflite-micro's, for random and extreme inputs of the file; of
    a section, each of its operators.

    Raises Error if tflite-micro is not installed, ModelError if it refuses the model or dies of it.
    """
    model, source = load(path, section), input_tensor(path, section)
    rows: dict[int, dict[str, Any]] = {
        node.index: {"operator": node.index, "name": node.name, "outputs": 0, "mismatches": 0}
        for node in model.graph.nodes
    }
    # The others are only here, between what the file has.
    compared = [node for node in model.graph.nodes if node.output.file_index >= 0]
    states: dict[Tensor, Array] = {}  # which tflite-micro keeps from input to input
    with micro(path, [source, *(node.output.file_index for node in compared)]) as other:
        for inputs in file_inputs(model, other.inputs):
            found = other.run(inputs)
            # Behind an edge from uint8 the scale may be another: what the edge made of it counts.
            values = forward(model, found[source].astype(np.int8), states)
            states = states_behind(model, values)
            for node in compared:
                expected = found[node.output.file_index]
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


def file_inputs(model: Model, inputs: list[Array]) -> Iterator[list[Array]]:
    """What the file's ``inputs`` are given. Where the model is the file's, its samples."""
    if model.section.start is None and len(inputs) == 1:
        for drawn in sample_inputs(model.input.type.shape):
            yield [given(drawn, model.input.type, inputs[0].dtype)]
        return
    for samples in zip(*(sample_inputs(each.shape) for each in inputs), strict=True):
        yield [of_type(x, each.dtype) for x, each in zip(samples, inputs, strict=True)]


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
