# SPDX-License-Identifier: Apache-2.0
"""An int8 model and its layers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mcutrain.host.api.errors import raises_errors
from mcutrain.host.api.html import page_table
from mcutrain.host.show.model import model_rows
from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.model import Model as ReadModel
from mcutrain.trainer.options import Section
from mcutrain.trainer.tflite.sections import load_or_advise


@dataclass(frozen=True)
class ModelEnd:
    """The input of a model, or its output: int8 values, where real = scale * (int8 - zero_point).

    Attributes:
        name: Its name in the file.
        shape: Its shape; the first axis is 1.
        scale: The real value of one step of the int8 values.
        zero_point: The int8 value that stands for 0.
        real_range: The least and the greatest real value that it holds.
    """

    name: str
    shape: tuple[int, ...]
    scale: float
    zero_point: int

    @property
    def real_range(self) -> tuple[float, float]:
        low, high = (self.scale * (q - self.zero_point) for q in (-128, 127))
        return low, high


@dataclass(frozen=True)
class Layer:
    """An operator of a model.

    Attributes:
        operator: Its index in the file.
        kind: What it computes, such as ``Conv2D``.
        name: The name of its output in the file.
        index: Its index among the layers with weights, which a scheme names it by; None without.
        shape: The shape of its output.
        macs: Multiply-accumulates of an inference.
        nbytes: Bytes of its weights and biases.
        trainable: What of it can learn, or why nothing can.
    """

    operator: int
    kind: str
    name: str
    index: int | None
    shape: tuple[int, ...]
    macs: int
    nbytes: int
    trainable: str


@dataclass(frozen=True)
class Model:
    """An int8 ``.tflite`` model that can be trained. ``load`` makes one.

    Attributes:
        path: The file.
    """

    path: Path
    content: ReadModel

    @property
    def name(self) -> str:
        """The name of the file without its ending."""
        return self.content.name

    @property
    def inputs(self) -> tuple[ModelEnd, ...]:
        """The one input."""
        return (end_of(self.content.input),)

    @property
    def outputs(self) -> tuple[ModelEnd, ...]:
        """The one output that training looks at: before a last softmax."""
        return (end_of(self.content.logits),)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The operators, in the order of the file."""
        return tuple(layer_of(row) for row in model_rows(self.content))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user would want to know of the file, a sentence each."""
        found, place = [], self.content.section.place
        if place:
            found.append(f"It is the part of the file {place}.")
        if self.content.training_state is not None:
            found.append(
                "The file holds the state of a training, which goes on unless a plan gives update "
                "or classes."
            )
        if self.content.pixels is not None:
            found.append("The file takes uint8 pixels; samples may be uint8, too.")
        return tuple(found)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.inputs[0].shape))
        return f"Model({self.name}: {len(self.layers)} layers, input {shape})"

    def _repr_html_(self) -> str:
        head = ("layer", "kind", "output", "MACs", "bytes", "trainable")
        rows = [
            (
                "" if each.index is None else str(each.index), each.kind,
                "x".join(map(str, each.shape)), each.macs, each.nbytes, each.trainable,
            )
            for each in self.layers
        ]  # fmt: skip
        return page_table(repr(self), head, rows)


def end_of(tensor: Tensor) -> ModelEnd:
    kind = tensor.type
    return ModelEnd(tensor.label, tuple(kind.shape), kind.scale, kind.zero_point)


def layer_of(row: dict[str, Any]) -> Layer:
    return Layer(
        row["operator"], row["kind"], row["name"], row["layer"], tuple(row["output"]),
        row["macs"], row["bytes"], row["trainable"],
    )  # fmt: skip


# What every function takes as a model.
ModelFile: TypeAlias = "Model | str | os.PathLike[str]"


@raises_errors
def load(model: ModelFile, start: str | None = None, end: str | None = None) -> Model:
    """Read an int8 ``.tflite`` file.

    Args:
        model: The path of the file.
        start: The tensor whose value is the input, in place of the model's. Of what lies before it
            nothing is read, so that it may be anything.
        end: The tensor that is the output, one of several for example. What does not lead to it is
            not read.

    Returns:
        The model, with its layers and what of them can learn.

    Raises:
        Error: The file cannot be read, or holds what cannot be trained; the message names the
            operator and what to do about it.
    """
    for name, tensor in (("start", start), ("end", end)):
        if not isinstance(tensor, str | None):
            raise ModelError(f"{name} is {tensor!r}: give a text")
    if isinstance(model, Model):
        was = model.content.section
        section = Section(start or was.start, end or was.end)
        return model if section == was else Model(model.path, load_or_advise(model.path, section))
    if not isinstance(model, str | os.PathLike):
        raise ModelError(
            f"the model is {type(model).__name__}: give the path of an int8 .tflite file"
        )
    path = Path(model)
    return Model(path, load_or_advise(path, Section(start, end)))
