# SPDX-License-Identifier: Apache-2.0
"""What to do about an operator that cannot be read, by its name in the TFLite schema."""

from __future__ import annotations

STATE = (
    "it keeps state between inferences: give a window of samples at once to a network of "
    "convolutions and fully connected layers"
)
EXTREMES = "take RELU or RELU6 for a limit, and MAX_POOL_2D for the greatest of several values"
DILATED = "it is one part of a dilated convolution: take dilation 1 and a larger kernel"
SMOOTH = "take RELU, RELU6 or HARD_SWISH in its place"
REMEDIES = {
    **dict.fromkeys(
        ("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "RNN", "SVDF",
         "UNIDIRECTIONAL_SEQUENCE_RNN", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE",
         "CALL_ONCE"), STATE,
    ),
    **dict.fromkeys(("MINIMUM", "MAXIMUM", "REDUCE_MAX", "REDUCE_MIN"), EXTREMES),
    **dict.fromkeys(("ELU", "GELU", "EXP"), SMOOTH),
    "SUB": "write a - b as the sum of a and -1 times b, which are ADD and MUL",
    "DIV": "multiply by the reciprocal, which is MUL by a constant",
    "PRELU": "take LEAKY_RELU, with one slope for all channels",
    "LOG_SOFTMAX": "end the model in the logits or in SOFTMAX: training takes the logits",
    "SUM": "take MEAN, and let the layer behind it learn the factor",
    "ABS": "take RELU of x and of -x, and their sum",
    "SQUARED_DIFFERENCE": "take it out of the model: normalise the samples beforehand",
    "L2_NORMALIZATION": "end the model before it: training takes the logits",
    "TRANSPOSE_CONV": "take RESIZE_NEAREST_NEIGHBOR and a CONV_2D behind it",
    "BATCH_MATMUL": "products of two activations do not learn here: take convolutions or fully "
    "connected layers in place of attention",
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), DILATED),
    "CUSTOM": "convert the model with builtin operators alone",
}  # fmt: skip


def remedy_for(kind: str, unsupported: bool) -> str:
    """For an operator of this kind; ``unsupported``: it is sound, but not for here."""
    if not unsupported:
        return "convert the model again: its parts do not fit each other"
    return REMEDIES.get(kind, "put something that is supported in its place, and convert again")
