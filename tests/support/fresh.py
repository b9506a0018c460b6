# SPDX-License-Identifier: Apache-2.0
"""The command in a process of its own: what it imports, what it leaves, how it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.command import Ran
from tests.support.paths import ROOT

# Packages that an import hook hides, and modules of which it is told whether they were loaded.
HIDING = """
import sys
hidden = {hidden}
class Hook:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Hook())
from mcutrain.host.cli.app import main
try:
    main()
finally:
    loaded = [name for name in {watched} if name in sys.modules]
    if loaded:
        sys.stderr.write("loaded: " + " ".join(loaded) + "\\n")
"""


def environment(cache: Path | None = None, **changes: str) -> dict[str, str]:
    """What the command's process is to have in its environment."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    named = {} if cache is None else {"MCUTRAIN_CACHE": str(cache)}
    return {**os.environ, "PYTHONPATH": path, **named, **changes}


def start(
    *args: object, env: Mapping[str, str], code: str = "", cwd: Path | None = None
) -> subprocess.Popen[str]:
    program = ["-c", code] if code else ["-m", "mcutrain"]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, args)], env=env, cwd=cwd, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def fresh(
    *args: object, env: Mapping[str, str] | None = None, code: str = "", cwd: Path | None = None
) -> Ran:
    """Run the command, or ``code`` in its place, in a new process to its end."""
    with start(*args, env=env or environment(), code=code, cwd=cwd) as process:
        out, err = process.communicate()
    return Ran(process.returncode, out, err)


def hiding(*hidden: str, watched: tuple[str, ...] = ()) -> str:
    """``code`` for ``fresh``: the command where some packages cannot be found. The last line on
    standard error names those of ``watched`` that were loaded."""
    return HIDING.format(hidden=set(hidden) or "()", watched=watched)


def processes_with(text: str) -> dict[int, str]:
    """Those whose environment or command has ``text`` in it, by their number; zombies are none."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            command = (folder / "cmdline").read_bytes()
            if command and text.encode() in command + (folder / "environ").read_bytes():
                found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
    return found


def left_of(text: str, patience_s: float = 10.0) -> dict[int, str]:
    """``processes_with`` as soon as there are none, or when patience is at its end."""
    give_up_at = time.monotonic() + patience_s
    while (found := processes_with(text)) and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return found
