# SPDX-License-Identifier: Apache-2.0
"""What a user would want to know of a plan: what a model's form costs when it is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mcutrain.trainer.graph.op import Node
from mcutrain.trainer.graph.tensor import Tensor
from mcutrain.trainer.model import Model
from mcutrain.trainer.notes import Note
from mcutrain.trainer.ops.logistic import Logistic
from mcutrain.trainer.ops.lstm import UnidirectionalSequenceLstm as WholeSequence
from mcutrain.trainer.ops.pixelwise_cross_entropy import PixelwiseCrossEntropy
from mcutrain.trainer.ops.softmax_cross_entropy import SoftmaxCrossEntropy
from mcutrain.trainer.options import Scheme

BOUNDED_LOSS = 0.1  # nats that the loss keeps when every sample is right


def plan_notes(
    whole: Model, taken: Model, model: Model, scheme: Scheme, loss: Node
) -> Iterator[Note]:
    """Of the ``whole`` model, whose logits are what the loss takes in ``taken``, and of ``model``,
    which is trained."""
    if isinstance(loss.op, SoftmaxCrossEntropy | PixelwiseCrossEntropy):
        yield from left_out(whole, taken.logits, model.classes)
        yield from bounded_logits(model)
    yield from untied_weights(model, scheme)


def single_input(model: Model, steps: int) -> Iterator[Note]:
    """A model that was made for streams, and samples of one input."""
    writers = {t: node for node in model.graph.nodes for t in node.outputs}
    streamed = [
        state
        for state in model.states
        if not isinstance(getattr(writers.get(state.following), "op", None), WholeSequence)
    ]
    if streamed and steps == 1:
        text = (
            f"{model.name} keeps {len(streamed)} tensors from input to input, and a sample is one "
            "input from the initial state: --sequence-length N takes N that follow each other as "
            "one sample"
        )
        yield Note(streamed[0].tensor.label, "one input of a stream", float(len(streamed)), text)


def left_out(whole: Model, logits: Tensor, classes: int) -> Iterator[Note]:
    """The function of each score alone that the loss looks behind."""
    readers = [node for node in whole.graph.nodes if logits in node.inputs]
    if classes > 1 and any(isinstance(node.op, Logistic) for node in readers):
        kind = readers[0].op.tflite_name
        text = (
            f"training takes the values before the last {kind} as logits, with a softmax: the "
            "classes exclude each other; the class of the greatest score is the same with it and "
            "without"
        )
        yield Note(kind, "activation left out", float(classes), text)


def bounded_logits(model: Model) -> Iterator[Note]:
    """Logits whose range leaves a loss even where the class is right."""
    logits, node = model.logits, model.graph.producer(model.logits)
    assert logits.type.quant is not None
    low, high = (logits.type.scale * (q - logits.type.zero_point) for q in logits.limits)
    others = max(2, model.classes) - 1
    least = math.log1p(others * math.exp(low - high if model.classes > 1 else -min(high, -low)))
    if node is None or least < BOUNDED_LOSS:
        return
    kind = node.op.tflite_name
    text = (
        f"the logits '{logits.label or logits.name}' ({kind}) reach from {low:.3g} to {high:.3g} "
        f"only, so that the loss cannot fall below {least:.2f}: take a model whose last layer has "
        "no activation, or give --classes for a new head"
    )
    yield Note(logits.label or logits.name, "bounded logits", least, text)


def untied_weights(model: Model, scheme: Scheme) -> Iterator[Note]:
    """Layers that have one tensor of weights in the file, of which some learn."""
    layers = {node.index: k for k, node in enumerate(model.weighted)}
    for tied in model.tied:
        here = [layers[index] for index in tied if index in layers]
        learned = [k for k in here if scheme.ratios.get(k)]
        if len(here) > 1 and learned:
            names = [model.weighted[k].name for k in here]
            text = (
                f"{', '.join(names)} share their weights in the file; from the first step on each "
                "has its own, so that they part where they learn, and the learned copy takes bytes"
            )
            yield Note(names[0], "untied weights", float(len(here)), text)
