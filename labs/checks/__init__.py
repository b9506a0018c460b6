# SPDX-License-Identifier: Apache-2.0
"""The checks of the four labs. What is right is computed by mcutrain, on values drawn by a seed."""

from exercise import summary

from checks.device import digest, located, tampered
from checks.memory import learned_values, least_arena, order_of_updates, with_options
from checks.quantisation import accumulators, clipped_share, quantise, range_parameters, requantise
from checks.scheme import fits_the_budget, front, gain_per_byte

__all__ = [
    "accumulators", "clipped_share", "digest", "fits_the_budget", "front", "gain_per_byte",
    "learned_values", "least_arena", "located", "order_of_updates", "quantise", "range_parameters",
    "requantise", "summary", "tampered", "with_options",
]  # fmt: skip
