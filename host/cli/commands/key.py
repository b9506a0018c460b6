# SPDX-License-Identifier: Apache-2.0
"""``key``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mcutrain.host.cli.completion import one_of
from mcutrain.host.cli.files import READS_IF_THERE, WRITES
from mcutrain.host.cli.keys import given_keys
from mcutrain.host.cli.options import JsonOpt
from mcutrain.host.cli.output import print_json
from mcutrain.host.cli.panels import COMMON, OUTPUT, TARGET

NEW, DERIVE = "new", "derive"
ACTIONS = (NEW, DERIVE)
RIGHTS = ("read", "train", "write")


def key(
    action: Annotated[
        str,
        typer.Argument(
            metavar="ACTION",
            help="new makes a master key; derive writes keys of single rights.",
            autocompletion=one_of(ACTIONS),
        ),
    ],
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The file of the master key, or to derive from."),
        READS_IF_THERE,
    ],
    right: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RIGHT",
            help="Derive the key of this right: read, train or write; again for another. "
            "Default: none; derive needs one.",
            rich_help_panel=TARGET,
            autocompletion=one_of(RIGHTS),
        ),
        COMMON,
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the derived keys into this new file. Default: none; derive needs one.",
            rich_help_panel=OUTPUT,
        ),
        WRITES,
        COMMON,
    ] = None,
    json_: JsonOpt = False,
) -> None:
    """Make the keys of a device, which `build --key` puts into its firmware: with them the device
    obeys only who has the key of the right to what is asked.

    read shows what was learned, train sends samples and steps, write sets and resets. A file of the
    master key gives all three; hand out derived ones. Keys are never printed.
    """
    from mcutrain.host.keys import KeyFileError, Keys, Right, write_keys
    from mcutrain.host.show import terminal as show
    from mcutrain.trainer.errors import Error

    if action == NEW:
        if right or output is not None:
            raise Error("key new FILE makes a master key: --right and --output are for derive")
        keys, written = Keys.new(), file
    elif action == DERIVE:
        if not right or output is None:
            raise Error(f"key derive {file}: give --right read, train or write, and --output FILE")
        wrong = [name for name in right if name not in RIGHTS]
        if wrong:
            raise KeyFileError(f"--right {wrong[0]}: give {', '.join(RIGHTS)}")
        master = given_keys(file)
        assert master is not None
        keys, written = master.only([Right[name.upper()] for name in right]), output
    else:
        raise Error(f"key {action}: give new or derive")
    write_keys(written, keys)
    rights = [each.word for each in keys.by_right]
    told = {"file": str(written), "rights": rights, "master": keys.master is not None}
    if json_:
        print_json(told)
    else:
        kind = "a master key, of which all rights follow" if keys.master else keys.words
        show.lines([f"wrote {written}: {kind}", "who has it may do that: keep it as a password"])
