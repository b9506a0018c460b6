# SPDX-License-Identifier: Apache-2.0
"""What to do about an operator that cannot be read, by its name in the TFLite schema."""

from __future__ import annotations

STATE = (
    "it keeps state between inferences: give a window of samples at once to a network of "
    "convolutions and fully connected layers"
)
EXTREMES = "take MAX_POOL_2D for the greatest of several values"
DILATED = (
    "it is one part of a dilated convolution: write it as a CONV_2D or DEPTHWISE_CONV_2D with a "
    "dilation, as converters do for a fixed input shape"
)
REMEDIES = {
    **dict.fromkeys(
        ("LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "RNN", "UNIDIRECTIONAL_SEQUENCE_RNN"), STATE
    ),
    "REDUCE_MIN": EXTREMES,
    "EXP": "take ELU, or another function that is supported, in its place",
    "DIV": "multiply by the reciprocal, which is MUL by a constant",
    **dict.fromkeys(("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"), DILATED),
    "CUSTOM": "convert the model with builtin operators alone",
}  # fmt: skip


def remedy_for(kind: str, unsupported: bool) -> str:
    """For an operator of this kind; ``unsupported``: it is sound, but not for here."""
    if not unsupported:
        return "convert the model again: its parts do not fit each other"
    return REMEDIES.get(kind, "put something that is supported in its place, and convert again")
