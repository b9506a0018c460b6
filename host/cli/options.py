# SPDX-License-Identifier: Apache-2.0
"""The options that several commands have, declared once.

Imported for every help page: nothing here may import NumPy.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcutrain.host.sizes import bytes_option
from mcutrain.trainer.names import CROSS_ENTROPY, LOSSES, SPEC_HELP

if TYPE_CHECKING:
    from mcutrain.host.request import Request

ModelArg = Annotated[Path, typer.Argument(metavar="MODEL", help="An int8 .tflite file.")]
TargetOpt = Annotated[
    str, typer.Option("--target", metavar="T", help="reference, native or sim:BOARD.")
]
JsonOpt = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, nothing else.")
]
SlotsOpt = Annotated[
    int,
    typer.Option(
        "--latent-slots", min=0, metavar="N", help="Room in RAM for N latents, to be replayed."
    ),
]
FlashOpt = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep the latents of this .npz in flash: of x_old, y_old if there are, else of "
        "x_train, y_train.",
    ),
]
VerboseOpt = Annotated[bool, typer.Option("--verbose", "-v", help="Show the compiler's output.")]


def request(
    model: ModelArg,
    update: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help=f"What learns: {SPEC_HELP}. Default: head; of an exported model, what learned.",
        ),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="A new head of N outputs; 1 is binary. Default: keep the head."
        ),
    ] = None,
    spare_classes: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, help="Outputs beside them that wait for classes to be added."
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help=f"What is minimised: {', '.join(LOSSES)}. Default: {CROSS_ENTROPY}."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TENSOR",
            help="Train only what is behind this tensor: its value is the input.",
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Separated by commas, or a file with one on each line."),
    ] = None,
    errors: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="Errors of 12 or 8 bits: e12, or e8 in half the RAM. Default: e12.",
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FORMAT",
            help="Learned weights: int8.8, with a byte of fraction, or int8. Default: int8.8.",
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Weights and biases change every N samples. Default: 1, no sums."
        ),
    ] = None,
    stream_input: Annotated[
        bool,
        typer.Option(
            "--stream-input", help="Samples arrive row by row and are never whole in RAM."
        ),
    ] = False,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Compute saved values again in the backward pass where that saves RAM.",
        ),
    ] = False,
    recompute_to: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            parser=bytes_option,
            help="The same, but no more than an arena of so many bytes takes.",
        ),
    ] = None,
    receive_ahead: Annotated[
        bool,
        typer.Option(
            "--receive-ahead", help="The next sample arrives whole while a step runs, for its RAM."
        ),
    ] = False,
) -> Request:
    """What to plan, of the options that every command about a plan has."""
    from mcutrain.host.request import Request, read_class_names

    names = read_class_names(class_names)
    return Request(
        model, update, classes, spare_classes, loss, start, names,
        errors=errors, weights=weights, accumulate=accumulate, stream_input=stream_input,
        recompute=recompute_to or (0 if recompute else None),
        receive_ahead=receive_ahead,
    )  # fmt: skip


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the parameters of ``request`` in place of its own first one."""
    # Not get_type_hints: before Python 3.11 it hides what has the default None in an Optional.
    # Request is known to type checkers alone: its module imports NumPy.
    names = {"Request": object}
    wanted = inspect.signature(request, eval_str=True, locals=names).parameters
    own = list(inspect.signature(command, eval_str=True, locals=names).parameters.values())[1:]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        chosen = request(**{name: values.pop(name) for name in wanted})
        command(chosen, **values)

    parameters = [p.replace(kind=p.KEYWORD_ONLY) for p in (*wanted.values(), *own)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
