# SPDX-License-Identifier: Apache-2.0
"""The options that several commands have, declared once.

Imported for every help page: nothing here may import NumPy.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer

from mcutrain.host.cli.completion import one_of, ports, targets
from mcutrain.host.cli.files import READS, READS_EACH, READS_IF_THERE, READS_SCHEME
from mcutrain.host.cli.panels import COMMON, DURATION, LATENTS, OUTPUT, SEARCH, TARGET
from mcutrain.host.defaults import AUTO
from mcutrain.host.sizes import bytes_option
from mcutrain.trainer.options import LEARNS, PlanOptions, described, flag

if TYPE_CHECKING:
    from mcutrain.host.request import Request

ModelsArg = Annotated[
    list[Path],
    typer.Argument(metavar="MODEL...", help="One or more int8 .tflite files."),
    READS_EACH,
]
ModelArg = Annotated[Path, typer.Argument(metavar="MODEL", help="An int8 .tflite file."), READS]
TargetOpt = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="T",
        help="Choose where it runs: reference (NumPy), native (the firmware on this computer), "
        "sim:BOARD (a simulated board) or unicorn:CORE (a core alone, in this process), which "
        "mcutrain ports lists, or board:BOARD (a real board, to plan, generate and build for).",
        rich_help_panel=TARGET,
        autocompletion=targets,
    ),
    COMMON,
]
JsonOpt = Annotated[
    bool,
    typer.Option("--json", help="Print JSON and nothing else.", rich_help_panel=OUTPUT),
    COMMON,
]
QuietOpt = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        help="Print results and errors alone: no progress and no notes.",
        rich_help_panel=OUTPUT,
    ),
]
DryRunOpt = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Check everything and say what would be done, but do nothing.",
        rich_help_panel=OUTPUT,
    ),
    COMMON,
]
FlashOpt = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Keep in flash the latents of the samples of this .npz: of x_old, y_old if the file "
        "has them, else of x_train, y_train. Default: none.",
        rich_help_panel=LATENTS,
    ),
    READS,
]
ProfileOpt = Annotated[
    bool,
    typer.Option(
        "--profile",
        help="Count the instructions of each node, in a step and in an inference, or the cycles "
        "where the board's emulator counts those. This needs --target sim:BOARD.",
        rich_help_panel=OUTPUT,
    ),
]
RateOpt = Annotated[
    str,
    typer.Option(
        "--lr",
        metavar="RATE",
        help="Set the learning rate, from 2^-100 to 255, such as 0.01 or 2^-6; auto finds it by "
        "trainings on this computer.",
        rich_help_panel=DURATION,
        autocompletion=one_of((AUTO,)),
    ),
    COMMON,
]
SeedOpt = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**31,
        metavar="N",
        help="Set the seed of all that is drawn at random.",
        rich_help_panel=SEARCH,
    ),
]
PortOption = typer.Option(
    metavar="PORT",
    help="Use a flashed board at this serial port, in place of a target; auto takes the one "
    "board that answers.",
    rich_help_panel=TARGET,
    autocompletion=ports,
)
PortsOption = typer.Option(
    "--port",
    metavar="PORT",
    help="Use a flashed board at this serial port, in place of a target; auto takes the one "
    "board that answers. Given several times it runs on all of these boards at once, and files "
    "that are written get the board's id, or its port, into their names.",
    rich_help_panel=TARGET,
    autocompletion=ports,
)
FromOpt = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="TENSOR",
        help="Take what lies behind this tensor, and read nothing before it. Default: the whole "
        "model.",
        rich_help_panel=LEARNS,
    ),
]
ToOpt = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="TENSOR",
        help="Take this tensor for the output, and read nothing that does not lead to it. Default: "
        "the model's output.",
        rich_help_panel=LEARNS,
    ),
]
BaudOpt = Annotated[
    int,
    typer.Option(
        min=1, metavar="N", help="Set the speed of the serial port.", rich_help_panel=TARGET
    ),
]
KeyOpt = Annotated[
    Path | None,
    typer.Option(
        "--key",
        metavar="FILE",
        help="Build firmware that obeys only who has the keys of this file, which mcutrain key "
        "makes, and talk to a device with them. Default: no keys.",
        rich_help_panel=TARGET,
    ),
    READS,
]
VerboseOpt = Annotated[
    bool,
    typer.Option("--verbose", "-v", help="Show what the compiler prints.", rich_help_panel=OUTPUT),
]

# The fields of PlanOptions that may be the path of a file.
FILE_MARKS = {"update": READS_SCHEME, "class_names": READS_IF_THERE}


def parameter(each: Field[Any]) -> inspect.Parameter:
    """The parameter of a command that is a field of PlanOptions; None where it is not given."""
    about, hints = described(each), get_type_hints(PlanOptions)
    is_switch = each.default is False
    kind: Any = bool if is_switch else str
    if not is_switch and int in (hints[each.name], *get_args(hints[each.name])):
        kind = int
    told = typer.Option(
        f"--{flag(each)}",
        metavar=about.metavar,
        help=about.help,
        min=about.least,
        parser=bytes_option if about.is_bytes else None,
        rich_help_panel=about.panel,
        autocompletion=one_of(about.choices) if about.choices else None,
    )
    default = False if is_switch else None
    wanted: Any = kind if is_switch else kind | None
    marks: tuple[object, ...] = (FILE_MARKS[each.name],) if each.name in FILE_MARKS else ()
    marks += (COMMON,) if about.is_common else ()
    return inspect.Parameter(
        each.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[(wanted, told, *marks)],
    )


PLAN_PARAMETERS = {each.name: parameter(each) for each in fields(PlanOptions)}
MODEL_PARAMETER = inspect.Parameter("model", inspect.Parameter.KEYWORD_ONLY, annotation=ModelArg)
MODELS_PARAMETER = MODEL_PARAMETER.replace(annotation=ModelsArg)
OPTIONAL_MODEL_PARAMETER = inspect.Parameter(
    "model",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        typer.Argument(metavar="MODEL", help="An int8 .tflite file. Default: none."),
        READS,
    ],
)
REQUEST_PARAMETERS = {"model": MODEL_PARAMETER, **PLAN_PARAMETERS}


def request(model: Path, **values: Any) -> Request:
    """What to plan: a model, and the values of PLAN_PARAMETERS, of which None and False are not
    given."""
    from mcutrain.host.request import Request, read_class_names

    listed = [each.name for each in fields(PlanOptions) if described(each).is_listed]
    values |= {name: read_class_names(values[name]) or None for name in listed}
    return Request.of(model, **{name: None if v is False else v for name, v in values.items()})


def takes_optional_request(command: Callable[..., None]) -> Callable[..., None]:
    """The command with REQUEST_PARAMETERS in place of its own first one, which is None where no
    model is given."""
    return taking(
        command,
        OPTIONAL_MODEL_PARAMETER,
        lambda model, **asked: None if model is None else request(model, **asked),
    )


def takes_request(command: Callable[..., None]) -> Callable[..., None]:
    """The command with REQUEST_PARAMETERS in place of its own first one."""
    return taking(command, MODEL_PARAMETER, lambda model, **asked: request(model, **asked))


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with PLAN_PARAMETERS in place of its own first one: a request of a model that the
    command makes."""
    return taking(command, None, lambda **asked: request(Path(), **asked))


def takes_requests(command: Callable[..., None]) -> Callable[..., None]:
    """``takes_request`` of a command whose first parameter is a list: the options are those of
    each model."""
    return taking(
        command,
        MODELS_PARAMETER,
        lambda model, **asked: [request(each, **asked) for each in model],
    )


def taking(
    command: Callable[..., None], model: inspect.Parameter | None, made: Callable[..., Any]
) -> Callable[..., None]:
    """The command with ``model``, if there is one, and PLAN_PARAMETERS, of which its first one is
    ``made``."""
    # Request is known to type checkers alone: its module imports NumPy.
    names = {"Request": object}
    own = list(inspect.signature(command, eval_str=True, locals=names).parameters.values())[1:]
    asked = {**({} if model is None else {"model": model}), **PLAN_PARAMETERS}

    @functools.wraps(command)
    def run(**values: Any) -> None:
        chosen = made(**{name: values.pop(name) for name in asked})
        command(chosen, **values)

    own = [p.replace(kind=p.KEYWORD_ONLY) for p in own]
    parameters = [*asked.values(), *own]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
