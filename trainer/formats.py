# SPDX-License-Identifier: Apache-2.0
"""The formats that a plan trains in: of errors, of learned weights, and how often they change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

from mcutrain.trainer.errors import SchemeError
from mcutrain.trainer.ops.error import E8, E12, ErrorFormat
from mcutrain.trainer.options import AUTO, INPUTS, PRECONDITIONS, RECONSTRUCTION, PlanOptions
from mcutrain.trainer.options import OFF as UNCONDITIONED

ERRORS = {found.name: found for found in (E12, E8)}
INT8_8, INT8 = "int8.8", "int8"
WEIGHTS = (INT8_8, INT8)
MAX_ACCUMULATE = 2**16


@dataclass(frozen=True)
class Formats:
    """``errors``: e12 or e8 (SPEC 1.3). ``weights``: int8.8, with a fraction, or int8 (SPEC 1.5).
    ``accumulate``: how many samples' steps add up before weights and biases take them.
    ``precondition``: off, or inputs, where steps are scaled by input channel (SPEC 1.5). A plan
    without it has the ``repr``, and so the numerics hash, that it had before there was one.

    Raises SchemeError for anything else.
    """

    errors: str = E12.name
    weights: str = INT8_8
    accumulate: int = 1
    precondition: str = field(default=UNCONDITIONED, repr=False)

    def __post_init__(self) -> None:
        for kind, given, allowed in (
            ("errors", self.errors, tuple(ERRORS)),
            ("weights", self.weights, WEIGHTS),
        ):
            if given not in allowed:
                raise SchemeError(
                    f"unknown format of {kind} '{given}': give {' or '.join(allowed)}"
                )
        if self.precondition not in PRECONDITIONS:
            raise SchemeError(
                f"--precondition {self.precondition}: take one of "
                f"{', '.join((AUTO, *PRECONDITIONS))}"
            )
        if type(self.accumulate) is not int or not 1 <= self.accumulate <= MAX_ACCUMULATE:
            raise SchemeError(
                f"steps of {self.accumulate} samples cannot add up: give 1 to {MAX_ACCUMULATE}"
            )

    @classmethod
    def of(cls, options: PlanOptions) -> Formats:
        """Those that a plan is asked for. Raises SchemeError for formats that there are not."""
        found = options.precondition
        if found == AUTO:
            found = UNCONDITIONED if options.loss == RECONSTRUCTION else INPUTS
        return cls(options.errors, options.weights, options.accumulate, found)

    def within(self, options: PlanOptions) -> PlanOptions:
        """The options with these formats."""
        return replace(options, **asdict(self))

    @property
    def told(self) -> str:
        """In words, as the options of the command line are called."""
        told = f"errors {self.errors}, weights {self.weights}, accumulate {self.accumulate}"
        return f"{told}, precondition {self.precondition}" if self.has_input_shifts else told

    def others(self) -> Iterator[tuple[str, Formats]]:
        """(the field that differs, the formats) for each that differs in one. Any number of
        samples above 1 takes the same bytes."""
        for errors in (e for e in ERRORS if e != self.errors):
            yield "errors", replace(self, errors=errors)
        for weights in (w for w in WEIGHTS if w != self.weights):
            yield "weights", replace(self, weights=weights)
        yield "accumulate", replace(self, accumulate=1 if self.has_sums else 8)
        for way in (p for p in PRECONDITIONS if p != self.precondition):
            yield "precondition", replace(self, precondition=way)

    @property
    def error(self) -> ErrorFormat:
        return ERRORS[self.errors]

    @property
    def has_fraction(self) -> bool:
        return self.weights == INT8_8

    @property
    def has_sums(self) -> bool:
        return self.accumulate > 1

    @property
    def has_input_shifts(self) -> bool:
        return self.precondition == INPUTS


PLAIN = Formats()  # of the hash and of what is generated: they tell what differs from these
