# SPDX-License-Identifier: Apache-2.0
"""The end of the forward pass: what a model is trained for."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from mcutrain.trainer.errors import ModelError
from mcutrain.trainer.formats import Formats
from mcutrain.trainer.graph.graph import Graph
from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import DType, Role, Tensor, TensorType
from mcutrain.trainer.model import Model
from mcutrain.trainer.ops.first_greatest import FirstGreatest
from mcutrain.trainer.ops.logistic import Logistic
from mcutrain.trainer.ops.mean_squared_error import MeanSquaredError
from mcutrain.trainer.ops.pixelwise_cross_entropy import PixelwiseCrossEntropy, label_map
from mcutrain.trainer.ops.quantize import Quantize
from mcutrain.trainer.ops.reshape import Reshape
from mcutrain.trainer.ops.softmax_cross_entropy import (
    WORD,
    MaskedSoftmaxCrossEntropy,
    SoftmaxCrossEntropy,
)
from mcutrain.trainer.options import CROSS_ENTROPY as CROSS_ENTROPY
from mcutrain.trainer.options import KEEP, PlanOptions
from mcutrain.trainer.options import LOSSES as LOSSES
from mcutrain.trainer.options import PIXELWISE as PIXELWISE
from mcutrain.trainer.options import RECONSTRUCTION as RECONSTRUCTION
from mcutrain.trainer.options import SQUARED_ERROR as SQUARED_ERROR

MAX_WEIGHT = 1e6  # of a class


def with_logits_of(model: Model, loss: str) -> Model:
    """The model whose ``logits`` are what the loss takes.

    Cross-entropy takes what a last LOGISTIC or TANH takes, be it of one output or of several: they
    keep the order of the classes, but bound the logits. Operators that only give other names to
    the values may stand behind them.
    """
    last = model.graph.producer(model.logits)
    while last and isinstance(last.op, Reshape):
        last = model.graph.producer(last.inputs[0])
    if loss in (CROSS_ENTROPY, PIXELWISE) and last and isinstance(last.op, Logistic):
        return replace(model, logits=last.inputs[0])
    return model


def is_pixelwise(model: Model, options: PlanOptions) -> bool:
    """Whether there is a label for each position of the output: where the loss says so, and where
    it is cross-entropy and the output has classes at several positions.

    Raises ModelError for options that are of one label for each sample, or of positions alone.
    """
    kind = model.logits.type
    several = kind.size != kind.shape[-1]
    found = options.loss == PIXELWISE or (options.loss == CROSS_ENTROPY and several)
    if options.class_weights is not None and not found:
        raise ModelError(
            f"--class-weights {options.class_weights} is for labels of positions, and a step takes "
            "another target: leave it out (train --balance on draws rare classes more often)"
        )
    refused = {"--spare-classes": options.spare_classes, "--absent keep": options.absent == KEEP}
    for flag, is_given in refused.items():
        if found and is_given:
            raise ModelError(
                f"{flag} is for one label of each sample, but {model.name} has classes at "
                f"{kind.size // kind.shape[-1]} positions {kind.shape}: leave it out"
            )
    return found


def class_weights(text: str | None, classes: int) -> tuple[float, ...]:
    """The weights that are written as numbers with commas between; none for those of None. Raises
    ModelError for others than one for each class, 0 at least and not all 0."""
    if text is None:
        return ()
    try:
        weights = tuple(float(part) for part in text.split(","))
    except ValueError:
        weights = ()
    valid = all(math.isfinite(weight) and 0 <= weight <= MAX_WEIGHT for weight in weights)
    if len(weights) != classes or not valid or not any(weights):
        raise ModelError(
            f"--class-weights {text}: give a number from 0 to {MAX_WEIGHT:g} for each of the "
            f"{classes} classes, with commas between, such as {','.join(['1'] * classes)}"
        )
    return weights


def class_count(classes: int, loss: str) -> Tensor:
    """STATE (1,) u32: how many classes are in use. Raises ModelError for a loss without classes."""
    if loss != CROSS_ENTROPY or classes < 2:
        raise ModelError(
            "spare classes need the loss cross-entropy and two classes at least: leave "
            "--spare-classes out, or give --loss cross-entropy with --classes N"
        )
    data = np.array([classes], np.uint32)
    return Tensor("class_count", TensorType(data.shape, DType.U32), Role.STATE, data)


def seen_classes(model: Model, loss: str) -> Tensor:
    """STATE (words,) u32: a bit of each class, 1 if a step has had a sample of it; at first 0.

    Raises ModelError for a loss without classes.
    """
    if loss != CROSS_ENTROPY:
        raise ModelError(
            f"--absent keep is for classes, but the loss {loss} takes no label: leave it out"
        )
    data = np.zeros(-(-max(2, model.logits.type.size) // WORD), np.uint32)
    return Tensor("seen_classes", TensorType(data.shape, DType.U32), Role.STATE, data)


def add_loss(
    graph: Graph,
    model: Model,
    options: PlanOptions,
    active: Tensor | None,
    seen: Tensor | None,
    formats: Formats,
) -> tuple[Node, Tensor | None, Tensor | None]:
    """Append the loss; (its node, the target if a step is given one, the predicted class)."""
    loss = options.loss
    logits, index = model.logits, graph.nodes[-1].index + 1
    if is_pixelwise(model, options):
        labels = Tensor("label_map", label_map(logits.type), Role.INPUT)
        weights = class_weights(options.class_weights, max(2, model.classes))
        pixelwise = PixelwiseCrossEntropy(errors=formats.error, weights=weights)
        pixelwise.rates(logits.type)
        graph.add(pixelwise, logits, labels, name="cross_entropy", index=index)
        return graph.nodes[-1], labels, None
    if loss == CROSS_ENTROPY:
        label = Tensor("true_label", TensorType((1,), DType.U32), Role.INPUT)
        counts = (active,) if active else ()
        (predicted,) = graph.add(
            FirstGreatest(), logits, *counts, name="predicted_class", index=index
        )
        if seen is None:
            op = SoftmaxCrossEntropy(errors=formats.error)
            graph.add(op, logits, label, *counts, name="cross_entropy", index=index)
        else:
            op = MaskedSoftmaxCrossEntropy(errors=formats.error)
            graph.add(op, logits, label, seen, *counts, name="cross_entropy", index=index)
        return graph.nodes[-1], label, predicted
    if loss == SQUARED_ERROR:
        wanted = given = Tensor("target", logits.type, Role.INPUT)
    elif loss == RECONSTRUCTION:
        wanted, given = reconstruction(graph, model, index), None
    else:
        raise ModelError(f"unknown loss '{loss}': give {', '.join(LOSSES)}")
    squares = MeanSquaredError(errors=formats.error)
    graph.add(squares, logits, wanted, name="squared_error", index=index)
    return graph.nodes[-1], given, None


def reconstruction(graph: Graph, model: Model, index: int) -> Tensor:
    """Append the input in the output's type. Raises ModelError if their sizes differ."""
    x, y = model.input, model.logits.type
    if x.type.size != y.size:
        raise ModelError(
            f"{model.name} does not reconstruct its input: {x.type.size} values in, {y.size} out"
        )
    (flat,) = graph.add(Reshape(y.shape), x, name="target_values", index=index)
    assert y.quant is not None
    (wanted,) = graph.add(Quantize(y.quant), flat, name="target", index=index)
    return wanted
