# SPDX-License-Identifier: Apache-2.0
"""``generate`` and ``build``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcutrain.host.cli.files import FILLS
from mcutrain.host.cli.keys import given_keys
from mcutrain.host.cli.options import (
    DryRunOpt,
    FlashOpt,
    JsonOpt,
    KeyOpt,
    TargetOpt,
    VerboseOpt,
    takes_request,
    takes_requests,
)
from mcutrain.host.cli.output import err, print_json
from mcutrain.host.cli.panels import COMMON, OUTPUT

if TYPE_CHECKING:
    from mcutrain.host.request import Request


@takes_requests
def generate(
    requests: list[Request],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Write the C, and all that it needs, into this folder.",
            rich_help_panel=OUTPUT,
        ),
        FILLS,
        COMMON,
    ] = Path("gen"),
    runtime: Annotated[
        bool,
        typer.Option(
            "--runtime",
            help="Add the link by which this computer attaches to the firmware: `train --port`.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Call the model so in the C. Default: as its file.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    target: TargetOpt = "native",
    key: KeyOpt = None,
    flash_latents: FlashOpt = None,
    json_: JsonOpt = False,
) -> None:
    """Write the C that trains one or more models, as a library for any firmware: static buffers,
    no heap, one step function."""
    from mcutrain.host.building.generated import Asked, generated
    from mcutrain.host.building.target import Target
    from mcutrain.host.show import terminal as show
    from mcutrain.host.training.flash_latents import with_flash_latents
    from mcutrain.host.training.tell import tell

    place = Target.parse(target)
    on_chip = tuple(request.on(place.chip) for request in requests)
    asked = Asked(on_chip, place, (flash_latents,) * len(on_chip), runtime, name, given_keys(key))
    done = generated(
        asked, output, lambda: [with_flash_latents(r.plan(), flash_latents) for r in on_chip]
    )
    tell(done.notes, err)
    files = [str(path) for path in done.files]
    if json_:
        notes = [asdict(note) for note in done.notes]
        print_json({"files": files, "notes": notes, "up_to_date": not done.is_new})
    else:
        show.lines(
            [
                f"{'wrote' if done.is_new else 'up to date:'} {len(files)} files in {output}",
                f"how to build with them: {output / 'README.md'}",
            ]
        )


@takes_request
def build(
    request: Request,
    target: TargetOpt = "native",
    key: KeyOpt = None,
    flash_latents: FlashOpt = None,
    dry_run: DryRunOpt = False,
    json_: JsonOpt = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="Copy firmware, map and C into this folder. Default: leave them in the cache.",
            rich_help_panel=OUTPUT,
        ),
        FILLS,
        COMMON,
    ] = None,
    verbose: VerboseOpt = False,
) -> None:
    """Build the firmware that serves the model on the link."""
    from mcutrain.host.building.copying import check_copies, copies, copy_build
    from mcutrain.host.building.firmware import build as build_firmware
    from mcutrain.host.building.target import Target, TargetKind
    from mcutrain.host.cost import measured
    from mcutrain.host.show import terminal as show
    from mcutrain.host.show.cost import cost_table
    from mcutrain.host.training.flash_latents import with_flash_latents
    from mcutrain.host.training.tell import tell
    from mcutrain.trainer.errors import Error

    place = Target.parse(target)
    if place.kind is TargetKind.REFERENCE:
        raise Error("the reference needs no firmware: give --target native or sim:BOARD")
    place.require()
    keys = given_keys(key)
    chosen = with_flash_latents(request.on(place.chip).plan(), flash_latents)
    tell(chosen.notes, err)
    if output is not None:
        check_copies(chosen, place, output)
    if dry_run:
        from mcutrain.host.cli.dry_run import lines, of_build

        told = of_build(chosen, place, [] if output is None else copies(chosen, place, output))
        print_json(told) if json_ else show.lines(lines(told))
        return
    with err.status(f"building for {target}"):
        built = build_firmware(chosen, place, verbose, keys)
        cost = measured(built)
    files = [] if output is None else [str(path) for path in copy_build(built, output)]
    if json_:
        print_json(cost | ({"files": files} if files else {}))
        return
    cost_table(cost)
    show.lines(f"wrote {f}" for f in files)
