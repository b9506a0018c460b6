# SPDX-License-Identifier: Apache-2.0
"""What a plan is asked for: one value, from the command line to the plan and its manifest.

A field is all there is to say of an option: the command line makes its flag and help of it, what
is stored with a training takes it over, and messages print it. Nothing here may import NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from typing import Any

CROSS_ENTROPY, SQUARED_ERROR, RECONSTRUCTION = "cross-entropy", "mse", "reconstruction"
LOSSES = (CROSS_ENTROPY, SQUARED_ERROR, RECONSTRUCTION)
SPEC_HELP = "head, last:K, bias, full, or the path of a scheme file ending in .toml"
DEFAULT_UPDATE = "head"
SPEED, SIZE = "speed", "size"
ABSENT = AUTO, KEEP, LEARN = "auto", "keep", "learn"
OPTIMISED_FOR = (SPEED, SIZE)
PRECONDITIONS = OFF, INPUTS = "off", "inputs"
KEY = "option"  # of the metadata of a field


@dataclass(frozen=True)
class Scheme:
    """What learns, by index of the weighted layer counted from the input.

    ``ratios`` gives the ratio of input channels whose weights learn, above 0 to 1. ``channels``
    names them, ascending, for layers where training goes on and the ratio would choose others.
    """

    name: str
    ratios: dict[int, float] = field(default_factory=dict)
    biases: frozenset[int] = frozenset()
    channels: dict[int, tuple[int, ...]] = field(default_factory=dict)


class Effect(Enum):
    """What an option changes."""

    SCHEME = "which layers learn: stored as a scheme of its own"
    LEARNING = "what is learned: stored with a training, which goes on only with the same"
    MEMORY = "where and when values lie in memory; no bit of what is learned"


@dataclass(frozen=True)
class Option:
    """What the command line says of a field.

    ``flag`` is its name there, if it is not the field's. ``is_bytes``: a number of bytes, such as
    64K. ``is_listed``: words separated by commas, or a file with one on each line.
    """

    help: str
    effect: Effect = Effect.LEARNING
    flag: str = ""
    metavar: str | None = None
    least: int | None = None
    is_bytes: bool = False
    is_listed: bool = False


def option(help: str, **told: Any) -> dict[str, Option]:
    """The metadata of a field of PlanOptions; ``told`` as of Option."""
    return {KEY: Option(help, **told)}


@dataclass(frozen=True)
class PlanOptions:
    """What a plan is asked for. A ``recompute_to`` other than None includes ``recompute``."""

    update: str | Scheme = field(
        default=DEFAULT_UPDATE,
        metadata=option(
            f"What learns: {SPEC_HELP}. Default: head; of an exported model, what learned.",
            effect=Effect.SCHEME,
            metavar="SPEC",
        ),
    )
    classes: int | None = field(
        default=None,
        metadata=option(
            "A new head of N outputs; 1 is binary. Default: keep the head.", metavar="N"
        ),
    )
    spare_classes: int = field(
        default=0,
        metadata=option(
            "Outputs beside them that wait for classes to be added.", metavar="N", least=0
        ),
    )
    loss: str = field(
        default=CROSS_ENTROPY,
        metadata=option(f"What is minimised: {', '.join(LOSSES)}. Default: {CROSS_ENTROPY}."),
    )
    absent: str = field(
        default=AUTO,
        metadata=option(
            "Of classes in use without training samples: keep (they take no part in softmax and "
            "error, for 4 bytes of RAM per 32 classes), learn (that no sample is theirs, which "
            "soon forgets them), or auto: train keeps them where its samples are of spare classes "
            "alone, all else learns. Default: auto.",
            metavar="WHAT",
        ),
    )
    start: str | None = field(
        default=None,
        metadata=option(
            "Train only what is behind this tensor: its value is the input.",
            flag="from",
            metavar="TENSOR",
        ),
    )
    class_names: tuple[str, ...] = field(
        default=(),
        metadata=option(
            "Separated by commas, or a file with one on each line.", metavar="NAMES", is_listed=True
        ),
    )
    errors: str = field(
        default="e12",
        metadata=option(
            "Errors of 12 or 8 bits: e12, or e8 in half the RAM. Default: e12.", metavar="FORMAT"
        ),
    )
    weights: str = field(
        default="int8.8",
        metadata=option(
            "Learned weights: int8.8, with a byte of fraction, or int8. Default: int8.8.",
            metavar="FORMAT",
        ),
    )
    accumulate: int = field(
        default=1,
        metadata=option(
            "Weights and biases change every N samples. Default: 1, no sums.", metavar="N"
        ),
    )
    precondition: str = field(
        default=OFF,
        metadata=option(
            "inputs: the steps of weights are smaller behind input channels with large values and "
            "larger behind weak ones, so that all learn equally fast; it takes a byte of RAM for "
            "each input channel. off: plain SGD. Default: off.",
            metavar="WHAT",
        ),
    )
    stream_input: bool = field(
        default=False,
        metadata=option(
            "Samples arrive row by row and are never whole in RAM.", effect=Effect.MEMORY
        ),
    )
    recompute: bool = field(
        default=False,
        metadata=option(
            "Compute saved values again in the backward pass where that saves RAM.",
            effect=Effect.MEMORY,
        ),
    )
    recompute_to: int | None = field(
        default=None,
        metadata=option(
            "The same, but no more than an arena of so many bytes takes.",
            effect=Effect.MEMORY,
            metavar="BYTES",
            is_bytes=True,
        ),
    )
    receive_ahead: bool = field(
        default=False,
        metadata=option(
            "The next sample arrives whole while a step runs, for its RAM.", effect=Effect.MEMORY
        ),
    )
    optimize: str = field(
        default=SPEED,
        metadata=option(
            "speed: the chip's own kernels, and frozen weights in flash as these read them "
            "fastest, as far as there is room; or size: portable kernels and the model's weights, "
            "with least flash and stack. Default: speed.",
            effect=Effect.MEMORY,
            metavar="FOR",
        ),
    )
    flash: int | None = field(
        default=None,
        metadata=option(
            "Flash there is, for code and constants. Default: the chip's.",
            effect=Effect.MEMORY,
            metavar="BYTES",
            is_bytes=True,
        ),
    )
    latent_slots: int = field(
        default=0,
        metadata=option(
            "Room in RAM for N latents, to be replayed.", effect=Effect.MEMORY, metavar="N", least=0
        ),
    )

    @property
    def recomputes(self) -> bool:
        return self.recompute or self.recompute_to is not None

    @property
    def update_name(self) -> str:
        return self.update if isinstance(self.update, str) else self.update.name

    def arguments(self) -> list[str]:
        """The options as the command line has them, without the scheme and the class names; those
        that are as by default are left out."""
        found = []
        for each in fields(self):
            value = getattr(self, each.name)
            about = described(each)
            if value == each.default or about.effect is Effect.SCHEME or about.is_listed:
                continue
            found.append(f"--{flag(each)}" if value is True else f"--{flag(each)} {value}")
        return found

    def to_json(self, *effects: Effect) -> dict[str, Any]:
        """The options that have one of ``effects``, by field."""
        chosen = (each.name for each in fields(self) if described(each).effect in effects)
        values = ((name, getattr(self, name)) for name in chosen)
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values}


def described(each: Field[Any]) -> Option:
    found = each.metadata[KEY]
    assert isinstance(found, Option)
    return found


def flag(each: Field[Any]) -> str:
    """The option's name on the command line, without its dashes."""
    return described(each).flag or each.name.replace("_", "-")


def learning_fields() -> Iterator[Field[Any]]:
    """The options that a training goes on with, and no other values of them."""
    return (each for each in fields(PlanOptions) if described(each).effect is Effect.LEARNING)


DEFAULT_OPTIONS = PlanOptions()
