# SPDX-License-Identifier: Apache-2.0
"""What a plan is asked for: one value, from the command line to the plan and its manifest.

A field is all there is to say of an option: the command line makes its flag and help of it, what
is stored with a training takes it over, and messages print it. Nothing here may import NumPy.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from typing import Any

CROSS_ENTROPY, SQUARED_ERROR, RECONSTRUCTION = "cross-entropy", "mse", "reconstruction"
PIXELWISE = "pixelwise-cross-entropy"
LOSSES = (CROSS_ENTROPY, PIXELWISE, SQUARED_ERROR, RECONSTRUCTION)
SPEC_HELP = "head, last:K, bias, full, or the path of a scheme file ending in .toml"
DEFAULT_UPDATE = "head"
UPDATES = ("head", "last:2", "last:3", "bias", "full")  # that a shell offers
SPEED, SIZE = "speed", "size"
ABSENT = AUTO, KEEP, LEARN = "auto", "keep", "learn"
OPTIMISED_FOR = (SPEED, SIZE)
FROZEN = INT8, INT4 = "int8", "int4"
LEARNS, FORMATS, PLACEMENT = "What learns", "Formats", "Memory"  # panels of a help page
PRECONDITIONS = OFF, INPUTS = "off", "inputs"  # and auto: one of them, by the loss
HEADROOMS = 1, 2, 4, 8
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


@dataclass(frozen=True)
class Section:
    """A part of a file's network: the operators behind the tensor ``start`` that lead to ``end``.

    None is the model's input, and its output. Each is named as the file names the tensor, or as the
    operator that writes it is called here (``conv_2d_3``).
    """

    start: str | None = None
    end: str | None = None

    @property
    def place(self) -> str:
        """Where it lies, for messages; "" for the whole model.

        >>> Section("pool").place, Section("pool", "scores").place
        ("behind 'pool'", "behind 'pool', up to 'scores'")
        """
        given = (("behind", self.start), ("up to", self.end))
        return ", ".join(f"{where} '{name}'" for where, name in given if name is not None)

    @property
    def arguments(self) -> str:
        """As the command line has it, for a shell; "" for the whole model.

        >>> Section("pool", "scores (2)").arguments
        "--from pool --to 'scores (2)'"
        """
        given = (("--from", self.start), ("--to", self.end))
        return " ".join(f"{flag} {shlex.quote(name)}" for flag, name in given if name is not None)


WHOLE = Section()


class Effect(Enum):
    """What an option changes."""

    SCHEME = "which layers learn: stored as a scheme of its own"
    LEARNING = "what is learned: stored with a training, which goes on only with the same"
    MEMORY = "where and when values lie in memory; no bit of what is learned"


@dataclass(frozen=True)
class Option:
    """What the command line says of a field.

    ``panel`` is where a help page shows it; a common one is on the short page, too. ``choices`` are
    what a shell offers to complete. ``flag`` is its name there, if it is not the field's.
    ``is_bytes``: a number of bytes, such as 64K. ``is_listed``: words separated by commas, or a
    file with one on each line.
    """

    help: str
    panel: str
    is_common: bool = False
    choices: tuple[str, ...] = ()
    effect: Effect = Effect.LEARNING
    flag: str = ""
    metavar: str | None = None
    least: int | None = None
    is_bytes: bool = False
    is_listed: bool = False


def option(panel: str, help: str, **told: Any) -> dict[str, Option]:
    """The metadata of a field of PlanOptions; ``told`` as of Option."""
    return {KEY: Option(help, panel, **told)}


@dataclass(frozen=True)
class PlanOptions:
    """What a plan is asked for. A ``recompute_to`` other than None includes ``recompute``."""

    update: str | Scheme = field(
        default=DEFAULT_UPDATE,
        metadata=option(
            LEARNS,
            "Choose what learns: head, last:K (the last K layers with weights), bias, full, or a "
            "scheme file that ends in .toml. Default: head, or what an exported model learned; "
            "full in shrink and design.",
            is_common=True,
            choices=UPDATES,
            effect=Effect.SCHEME,
            metavar="SPEC",
        ),
    )
    classes: int | None = field(
        default=None,
        metadata=option(
            LEARNS,
            "Put a new head of N outputs in place of the last layer; 1 is a binary classifier. "
            "Default: keep the head.",
            is_common=True,
            metavar="N",
        ),
    )
    spare_classes: int = field(
        default=0,
        metadata=option(
            LEARNS,
            "Add N outputs that wait for classes of later. Default: 0.",
            metavar="N",
            least=0,
        ),
    )
    loss: str = field(
        default=CROSS_ENTROPY,
        metadata=option(
            LEARNS,
            f"Choose what is minimised: {', '.join(LOSSES)}. Cross-entropy of an output that has "
            f"classes at several positions is pixelwise. Default: {CROSS_ENTROPY}.",
            choices=LOSSES,
            metavar="LOSS",
        ),
    )
    headroom: int | None = field(
        default=None,
        metadata=option(
            LEARNS,
            "Let the weights of the head grow N times beyond those of the file, in quanta that are "
            "as much coarser: 1, 2, 4 or 8. A new head has its own. Default: 4 where the head "
            "alone learns with --loss mse, else 1.",
            metavar="N",
            least=1,
        ),
    )
    class_weights: str | None = field(
        default=None,
        metadata=option(
            LEARNS,
            "Weigh the classes of positions, such as 1,20 where most are background: what the loss "
            "counts a position of each class. Default: 1 for all.",
            metavar="WEIGHTS",
        ),
    )
    absent: str = field(
        default=AUTO,
        metadata=option(
            LEARNS,
            "Choose what becomes of classes in use that have no training samples: keep (they take "
            "no part in softmax and error), learn (the network unlearns them), or auto (train "
            "keeps them where it has samples of spare classes alone). Default: auto.",
            choices=ABSENT,
            metavar="WHAT",
        ),
    )
    start: str | None = field(
        default=None,
        metadata=option(
            LEARNS,
            "Train only what lies behind this tensor, whose value becomes the input. Default: "
            "the whole model.",
            flag="from",
            metavar="TENSOR",
        ),
    )
    end: str | None = field(
        default=None,
        metadata=option(
            LEARNS,
            "Take this tensor for the output, and leave out what does not lead to it. Default: "
            "the model's output.",
            flag="to",
            metavar="TENSOR",
        ),
    )
    sequence_length: int = field(
        default=1,
        metadata=option(
            LEARNS,
            "Take N inputs that follow each other as one sample, of a model that keeps state from "
            "input to input; each sample begins with the initial state. Default: 1.",
            metavar="N",
            least=1,
        ),
    )
    chain: bool = field(
        default=False,
        metadata=option(
            LEARNS,
            "Keep a chain value in the state: a hash of every sample, label and learning rate that "
            "was learned from, so that a device can prove its training.",
        ),
    )
    class_names: tuple[str, ...] = field(
        default=(),
        metadata=option(
            LEARNS,
            "Name the classes: names with commas between, or a file with a name on each line. "
            "Default: no names.",
            metavar="NAMES",
            is_listed=True,
        ),
    )
    errors: str = field(
        default="e12",
        metadata=option(
            FORMATS,
            "Choose the format of errors (the gradients of activations): e12 has 12 bits, e8 has "
            "8 bits and takes half the RAM. Default: e12.",
            choices=("e12", "e8"),
            metavar="FORMAT",
        ),
    )
    weights: str = field(
        default="int8.8",
        metadata=option(
            FORMATS,
            "Choose the format of learned weights: int8.8, with a byte of fraction, or int8. "
            "Default: int8.8.",
            choices=("int8.8", "int8"),
            metavar="FORMAT",
        ),
    )
    accumulate: int = field(
        default=1,
        metadata=option(
            FORMATS, "Change weights and biases once every N samples. Default: 1.", metavar="N"
        ),
    )
    precondition: str = field(
        default=AUTO,
        metadata=option(
            FORMATS,
            "Make steps smaller behind strong input channels and larger behind weak ones, so that "
            "all learn equally fast: inputs, for a byte of RAM each; off; or auto (inputs, but off "
            f"with --loss {RECONSTRUCTION}, where it does not pay). Default: auto.",
            metavar="WHAT",
            choices=(AUTO, *PRECONDITIONS),
        ),
    )
    stream_input: bool = field(
        default=False,
        metadata=option(
            PLACEMENT,
            "Receive samples row by row, so that none is ever whole in RAM.",
            effect=Effect.MEMORY,
        ),
    )
    recompute: bool = field(
        default=False,
        metadata=option(
            PLACEMENT,
            "Compute saved activations again in the backward pass where that saves RAM.",
            effect=Effect.MEMORY,
        ),
    )
    recompute_to: int | None = field(
        default=None,
        metadata=option(
            PLACEMENT,
            "Compute activations again, but no more than an arena of this size asks for, such "
            "as 64K. Default: compute none again.",
            effect=Effect.MEMORY,
            metavar="BYTES",
            is_bytes=True,
        ),
    )
    receive_ahead: bool = field(
        default=False,
        metadata=option(
            PLACEMENT,
            "Receive the next sample while a step runs. This takes the RAM of a sample.",
            effect=Effect.MEMORY,
        ),
    )
    optimize: str = field(
        default=SPEED,
        metadata=option(
            PLACEMENT,
            "Choose between speed (the chip's own kernels, and frozen weights stored as these "
            "read them fastest, where flash has room) and size (portable kernels, with the least "
            "flash and stack). Default: speed.",
            choices=OPTIMISED_FOR,
            effect=Effect.MEMORY,
            metavar="FOR",
        ),
    )
    flash: int | None = field(
        default=None,
        metadata=option(
            PLACEMENT,
            "Set the flash there is for code and constants, such as 256K. Default: the chip's.",
            effect=Effect.MEMORY,
            metavar="BYTES",
            is_bytes=True,
        ),
    )
    frozen: str = field(
        default=INT8,
        metadata=option(
            PLACEMENT,
            "Store frozen weights as int8, or those of a layer that all lie within -8..7 as int4, "
            "in half the flash; no bit of any result changes. Default: int8.",
            choices=FROZEN,
            effect=Effect.MEMORY,
            metavar="TYPE",
        ),
    )
    latent_slots: int = field(
        default=0,
        metadata=option(
            PLACEMENT,
            "Reserve RAM for N latents (outputs of the frozen layers) on the device. Default: 0.",
            effect=Effect.MEMORY,
            metavar="N",
            least=0,
        ),
    )

    record_entries: int = field(
        default=0,
        metadata=option(
            PLACEMENT,
            "Keep the chain's entries of the last N steps in RAM, 48 bytes each, for a host to "
            "read; with --chain. Default: 0.",
            effect=Effect.MEMORY,
            metavar="N",
            least=0,
        ),
    )
    store: bool = field(
        default=False,
        metadata=option(
            PLACEMENT,
            "Give the firmware a store: what it has learned outlives a loss of power in the flash "
            "of its board, by `mcutrain save`. The native firmware has one without.",
            effect=Effect.MEMORY,
        ),
    )

    @property
    def section(self) -> Section:
        """The part of the model that is planned."""
        return Section(self.start, self.end)

    @property
    def recomputes(self) -> bool:
        return self.recompute or self.recompute_to is not None

    @property
    def update_name(self) -> str:
        return self.update if isinstance(self.update, str) else self.update.name

    def arguments(self) -> list[str]:
        """The options as the command line has them, quoted for a shell, without the scheme and the
        class names; those that are as by default are left out."""
        found = []
        for each in fields(self):
            value = getattr(self, each.name)
            about = described(each)
            if value == each.default or about.effect is Effect.SCHEME or about.is_listed:
                continue
            told = "" if value is True else f" {shlex.quote(str(value))}"
            found.append(f"--{flag(each)}{told}")
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
