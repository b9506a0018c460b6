# SPDX-License-Identifier: Apache-2.0
"""The checks of the four labs. What is right is computed by mcutrain, on values drawn by a seed."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from exercise import Hint, exercise, integers, number, result, summary

import mcutrain
from mcutrain.trainer.graph.tensor import Array, QuantParams
from mcutrain.trainer.making.quantiser import activation_quant, quantize_array

__all__ = [
    "accumulators", "clipped_share", "digest", "fits_the_budget", "front", "gain_per_byte",
    "learned_values", "least_arena", "located", "order_of_updates", "quantise", "range_parameters",
    "requantise", "summary", "tampered", "with_options",
]  # fmt: skip


# Lab 1: quantisation.


@exercise
def quantise(answer: Any) -> None:
    """quantise(x, scale, zero_point) -> int8 array."""
    rng = np.random.default_rng(1)
    for scale, zero in ((0.5, 0), (0.1, -20), (0.03, 100)):
        x = rng.normal(0, 60 * scale, 200)
        wanted = quantize_array(x, QuantParams((scale,), zero))
        found = result(answer, x, scale, zero)
        if np.asarray(found).dtype != np.int8:
            raise Hint("The result is to be an array of int8.")
        found = integers(found, wanted)
        inside = (wanted > -128) & (wanted < 127)
        if (found != wanted)[inside].any():
            off = np.abs(found - wanted)[inside].max()
            raise Hint(
                "Some values differ by one: do you round, or cut off?" if off == 1
                else "Values inside the range are wrong: divide by the scale, round, and then add "
                "the zero point."
            )  # fmt: skip
        if (found != wanted).any():
            raise Hint("Values outside the range wrap around: they are to stay at its end.")


@exercise
def range_parameters(answer: Any) -> None:
    """range_parameters(low, high) -> (scale, zero_point)."""
    for low, high in ((-1.0, 1.0), (0.0, 6.0), (-2.5, 7.5), (1.0, 3.0)):
        found = result(answer, low, high)
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise Hint("Your function is to return two values: scale and zero point.")
        scale, zero = map(number, found)
        wanted = activation_quant(low, high)
        if zero != int(zero) or not -128 <= zero <= 127:
            raise Hint("The zero point is one of the 256 int8 values: round it to a whole number.")
        if abs(scale / wanted.scale - 1) > 0.01:
            raise Hint(
                "The scale is wrong for a range that does not hold 0: widen it until it does."
                if low > 0 else "The scale is wrong: 256 values have how many steps between them?"
            )  # fmt: skip
        if abs(zero - wanted.zero_point) > 1:
            raise Hint("The zero point is wrong: low is to become -128. What becomes of 0 then?")


@exercise
def accumulators(answer: Any) -> None:
    """accumulators(x, w, b, x_zero_point) -> (outputs,) integers."""
    rng = np.random.default_rng(2)
    for size, outputs, zero in ((4, 2, 0), (24, 7, -128), (300, 3, 90)):
        x = rng.integers(-128, 128, size).astype(np.int8)
        w = rng.integers(-127, 128, (outputs, size)).astype(np.int8)
        b = rng.integers(-5000, 5000, outputs).astype(np.int32)
        wanted = w.astype(np.int64) @ (x.astype(np.int64) - zero) + b
        found = integers(result(answer, x, w, b, zero), wanted)
        if np.array_equal(found, wanted):
            continue
        if zero == 0:
            raise Hint("Sums are wrong already without a zero point. Products of int8 overflow in "
                       "int8: make the arrays wider first.")  # fmt: skip
        raise Hint("Sums are wrong where the input has a zero point: x stands for x - zero_point.")


@exercise
def requantise(answer: Any) -> None:
    """requantise(sums, factor, zero_point) -> int8 array."""
    rng = np.random.default_rng(3)
    for factor, zero in ((0.01, 0), (0.0003, 17)):
        sums = rng.normal(0, 100 / factor, 100).astype(np.int32)
        wanted = quantize_array(sums * factor, QuantParams((1.0,), zero))
        found = integers(result(answer, sums, factor, zero), wanted)
        if np.abs(found).max() > 128:
            raise Hint("Some results are no int8: they are to stay between -128 and 127.")
        if np.abs(found - wanted).max() > 1:
            raise Hint("Multiply the sums by the factor, round, add the zero point, clip.")


@exercise
def clipped_share(answer: Any, samples: Array, gain: float, end: Any) -> None:
    """The share of the values of samples * gain that the input of a model cannot hold."""
    low, high = end.real_range
    scaled = samples * gain
    wanted = float(np.mean((scaled < low - end.scale / 2) | (scaled > high + end.scale / 2)))
    found = number(answer)
    if not 0 <= found <= 1:
        raise Hint("A share is between 0 and 1.")
    if abs(found - wanted) > 0.002:
        raise Hint("Count the values below or above real_range, and divide by all values.")


# Lab 2: sparse update and memory.


@exercise
def learned_values(answer: Any, plan: Any) -> None:
    """How many weights and biases a plan trains."""
    found = number(answer)
    sizes = [tensor.type.size for tensor in plan.details.learned]
    if found == plan.details.memory.state_bytes:
        raise Hint("These are the bytes of the state. How many values are it, not bytes?")
    if found != sum(sizes):
        raise Hint("Add up the weights and the biases of each layer in plan.learned.")


@exercise
def order_of_updates(answer: Any, plans: Mapping[str, Any]) -> None:
    """The names of updates from the least RAM to the most."""
    if isinstance(answer, str) or not isinstance(answer, list | tuple):
        raise Hint("Give a list of names, such as ['head', 'full'].")
    if sorted(map(str, answer)) != sorted(plans):
        raise Hint(f"Name each of these once: {', '.join(sorted(plans))}.")
    needs = [plans[name].ram_bytes for name in answer]
    if needs != sorted(needs):
        raise Hint("One that needs more RAM stands before one that needs less.")


@exercise
def least_arena(answer: Any) -> None:
    """least_arena(blocks) -> bytes; a block is (size, first, last)."""
    rng = np.random.default_rng(4)
    for count in (1, 3, 12, 12):
        blocks = []
        for _ in range(count):
            first = int(rng.integers(0, 10))
            size, last = int(rng.integers(1, 100)), first + int(rng.integers(0, 4))
            blocks.append((size, first, last))
        wanted = max(sum(s for s, f, e in blocks if f <= t <= e) for t in range(14))
        found = number(result(answer, blocks))
        if found == sum(size for size, _, _ in blocks) and found != wanted:
            raise Hint("You add up all blocks. Only those count that live at the same time.")
        if found < wanted:
            raise Hint("Too few bytes: a block lives at its last call, too.")
        if found > wanted:
            raise Hint("Too many bytes: look at each call on its own, and take the greatest sum.")


@exercise
def with_options(answer: Any, model: Any, update: str, limit: int) -> None:
    """A dict of options of mcutrain.plan with which a plan fits into a limit."""
    if not isinstance(answer, dict) or not all(isinstance(key, str) for key in answer):
        raise Hint("Give a dict, such as {'errors': 'e8'}.")
    if {"update", "classes", "start"} & answer.keys():
        raise Hint("These options change what is trained. Leave update, classes and start alone.")
    try:
        need = mcutrain.plan(model, update, **answer).ram_bytes
    except mcutrain.Error as error:
        raise Hint(f"mcutrain refuses these options: {error}") from error
    if need > limit:
        raise Hint(f"With these, the plan takes {need:,} bytes, and {limit:,} are there.")


# Lab 3: choosing a scheme.


@exercise
def front(answer: Any) -> None:
    """front(points) -> sorted indices; a point is (bytes, accuracy)."""
    rng = np.random.default_rng(5)
    for count in (1, 5, 30, 30):
        points = [(int(rng.integers(1, 20)), float(rng.integers(1, 20))) for _ in range(count)]
        wanted = {i for i, p in enumerate(points) if not any(_beats(q, p) for q in points)}
        found = result(answer, points)
        if not isinstance(found, list | tuple | set | np.ndarray):
            raise Hint("Your function is to return a list of indices.")
        if not all(isinstance(i, int | np.integer) for i in found):
            raise Hint("Return the indices of the points, not the points.")
        if set(map(int, found)) - wanted:
            raise Hint("You keep a point that another one beats: it costs no more and is better, "
                       "or is as good and costs less.")  # fmt: skip
        if wanted - set(map(int, found)):
            raise Hint("You drop a point that no other one beats. What of points that are equal?")


def _beats(q: tuple[int, float], p: tuple[int, float]) -> bool:
    return q[0] <= p[0] and q[1] >= p[1] and q != p


@exercise
def gain_per_byte(answer: Any) -> None:
    """gain_per_byte(accuracy, base, ram, base_ram) -> percentage points for each KiB more."""
    for values in ((0.9, 0.6, 4096, 2048), (0.5, 0.6, 9000, 1000), (0.75, 0.5, 1536, 512)):
        accuracy, base, ram, base_ram = values
        wanted = 100 * (accuracy - base) / ((ram - base_ram) / 1024)
        found = number(result(answer, *values))
        if abs(found * 100 - wanted) < 1e-6 * abs(wanted):
            raise Hint("That is a share for each KiB: a percentage point is a hundredth.")
        if abs(found - wanted) > 1e-6 * abs(wanted):
            raise Hint("Divide what accuracy gains by what RAM grows, both against the base.")


@exercise
def fits_the_budget(answer: Any, model: Any, data: Any, limit: int, least: float) -> None:
    """An update whose plan fits into the limit and reaches the least accuracy."""
    if not isinstance(answer, str) and not hasattr(answer, "biases"):
        raise Hint("Give an update as a text, such as 'last:2', or a scheme that search found.")
    try:
        plan = mcutrain.plan(model, answer)
        if plan.ram_bytes > limit:
            raise Hint(f"This takes {plan.ram_bytes:,} bytes, and {limit:,} are there.")
        run = mcutrain.Trainer(plan, data, epochs=5, lr=2.0**-5, guard=False).fit()
    except mcutrain.Error as error:
        raise Hint(f"mcutrain refuses this update: {error}") from error
    if run.after is None or run.after < least:
        raise Hint(f"It fits, but gets {100 * (run.after or 0):.1f} % right. Train more of it.")


# Lab 4: deploying and verifying.


@exercise
def digest(answer: Any) -> None:
    """digest(parts) -> int: CRC-32 of parts of bytes, one after the other."""
    rng = np.random.default_rng(6)
    for sizes in ((0,), (9,), (3, 70, 1)):
        parts = [rng.integers(0, 256, size).astype(np.uint8).tobytes() for size in sizes]
        found = number(result(answer, parts))
        if found == zlib.crc32(b"".join(parts)):
            continue
        if len(sizes) == 1:
            raise Hint("Already one part is wrong: zlib.crc32 computes its CRC-32.")
        raise Hint("One part is right, several are not: each CRC goes on from the one before.")


@exercise
def located(answer: Any) -> None:
    """located(device, reference) -> (name, index) of the first element that differs, or ()."""
    rng = np.random.default_rng(7)
    for name, index in (("b", 4), ("a", 0), (None, 0)):
        reference = {key: rng.integers(-128, 128, 6).astype(np.int8) for key in "ab"}
        device = {key: value.copy() for key, value in reference.items()}
        if name is not None:
            device[name][index] ^= 1
            device["b"][5] ^= 64
        wanted = () if name is None else (name, index)
        found = result(answer, device, reference)
        if not isinstance(found, tuple | list):
            raise Hint("Your function is to return a name and an index, or an empty tuple.")
        if tuple(found) != wanted:
            raise Hint(
                "Nothing differs there, so return an empty tuple." if name is None
                else "That is not the first element that differs, in the order of the names."
            )  # fmt: skip


@exercise
def tampered(answer: Any, before: Mapping[str, Array], after: Mapping[str, Array]) -> None:
    """The name of the tensor that was changed between two states."""
    if not isinstance(answer, str):
        raise Hint("Give the tensor's name as a text.")
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    if answer not in before:
        raise Hint(f"There is no tensor of that name. There are {', '.join(before)}.")
    if [answer] != changed:
        raise Hint("This tensor is the same in both. Compare the others.")
