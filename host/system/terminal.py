# SPDX-License-Identifier: Apache-2.0
"""Gives a program that cannot make a pseudo-terminal one: `python terminal.py COMMAND...`.

This process becomes the command. Its file descriptor 3 is one end, and the argument ``$PATH`` is
replaced by the path of the other.
"""

from __future__ import annotations

import os
import sys

LINK = 3
PATH = "$PATH"


def main(command: list[str]) -> None:
    if sys.platform == "win32":
        sys.exit("error: there are no pseudo-terminals on Windows; give --target unicorn:CORE")
    import tty

    ours, theirs = os.openpty()
    tty.setraw(theirs)
    # The other end stays open in the command too: without any, reading would fail once the host
    # has closed its own.
    os.set_inheritable(theirs, True)
    path = os.ttyname(theirs)
    if ours != LINK:
        os.dup2(ours, LINK)
    os.set_inheritable(LINK, True)
    arguments = [path if argument == PATH else argument for argument in command]
    try:
        os.execvp(arguments[0], arguments)
    except OSError as error:
        sys.exit(f"error: {arguments[0]} cannot be run ({error.strerror})")


if __name__ == "__main__":
    main(sys.argv[1:])
