# SPDX-License-Identifier: Apache-2.0
"""What only some systems have is used in host/system alone, and files are opened alike on all."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tools.floors import PACKAGES, modules

SYSTEM = ROOT / "host" / "system"
# Modules that Python does not have on every system.
MODULES = {
    "fcntl", "termios", "pty", "tty", "resource", "grp", "pwd", "select", "selectors", "curses",
    "posix", "msvcrt", "winreg", "_winapi", "win32api", "win32job", "win32file", "pywintypes",
}  # fmt: skip
ATTRIBUTES = {
    "os": {
        "fork", "forkpty", "killpg", "kill", "setsid", "setpgid", "getpgid", "getuid", "geteuid",
        "getgid", "uname", "openpty", "mkfifo", "chown", "symlink", "link", "nice", "waitpid",
        "set_blocking", "sched_getaffinity", "getloadavg", "statvfs", "O_NONBLOCK", "O_CLOEXEC",
        "startfile",
    },
    "signal": {
        "SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "SIGCHLD", "SIGSTOP",
        "SIGQUIT", "SIGBREAK", "alarm", "setitimer", "pthread_kill", "set_wakeup_fd",
    },
    "socket": {"AF_UNIX", "socketpair"},
    "time": {"tzset"},
}  # fmt: skip
ARGUMENTS = {"preexec_fn", "start_new_session", "pass_fds", "process_group", "shell", "umask"}
PATHS = ("/bin/", "/dev/", "/proc/", "/sys/", "/tmp", "/usr/", "/etc/")
# What stands in a text for people, or describes what a pseudo-terminal is called; and where Linux
# tells who has a port and what is attached: elsewhere there are no such files.
MAY_NAME_PATHS = {
    "host.cli.app", "host.simulation.emulators", "host.attached.holders", "host.attached.usb",
}  # fmt: skip
OPENERS = {"open", "read_text", "write_text", "fdopen", "NamedTemporaryFile", "TextIOWrapper"}


def sources() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        yield from modules(ROOT, package).items()
    yield from ((f"mcutrain.{p.stem}", p) for p in sorted((ROOT / "mcutrain").glob("*.py")))


def faults(tree: ast.AST, module: str) -> Iterator[str]:
    """What a module uses that only some systems have, with its line."""
    texts = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Import):
            yield from (f"{line}: {a.name}" for a in node.names if a.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            if node.module in MODULES:
                yield f"{line}: {node.module}"
            wrong = ATTRIBUTES.get(node.module or "", set())
            yield from (f"{line}: {node.module}.{a.name}" for a in node.names if a.name in wrong)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in ATTRIBUTES.get(node.value.id, ()):
                yield f"{line}: {node.value.id}.{node.attr}"
        elif isinstance(node, ast.keyword) and node.arg in ARGUMENTS:
            yield f"{node.value.lineno}: {node.arg}="
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            is_told = id(node) in texts or module.startswith(tuple(MAY_NAME_PATHS))
            if not is_told and node.value.startswith(PATHS):
                yield f"{line}: {node.value!r}"


def test_what_only_some_systems_have_is_used_in_one_package() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{fault}"
        for module, path in sources()
        if not path.is_relative_to(SYSTEM)
        for fault in faults(ast.parse(path.read_text(encoding="utf-8")), module)
    ]

    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "import fcntl", "from termios import error", "import os\nos.killpg(1, 9)",
        "from os import fork", "import signal\nsignal.SIGKILL", "Popen([], preexec_fn=f)",
        "Popen(['/bin/sh'])", "import socket\nsocket.AF_UNIX",
    ],
)  # fmt: skip
def test_each_kind_of_fault_is_seen(text: str) -> None:
    assert list(faults(ast.parse(text), "host.other"))


def unencoded(tree: ast.AST) -> Iterator[str]:
    """Calls that open a text file in whatever encoding a system has by default."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        modes = [a.value for a in [*node.args, *(k.value for k in node.keywords)]
                 if isinstance(a, ast.Constant) and isinstance(a.value, str)]  # fmt: skip
        is_binary = any("b" in mode and len(mode) <= 3 for mode in modes)
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
        is_other = owner.endswith(("zip", "os", "Image", "Device"))  # that open something else
        given = {keyword.arg for keyword in node.keywords}
        is_text = name in OPENERS and not is_binary and not is_other
        if (is_text or given & {"text", "universal_newlines"}) and "encoding" not in given:
            yield f"{node.lineno}: {ast.unparse(node)[:60]}"


def test_text_files_name_their_encoding() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{call}"
        for _, path in sources()
        for call in unencoded(ast.parse(path.read_text(encoding="utf-8")))
    ]

    assert found == []


def test_both_systems_have_the_same_names() -> None:
    """The twins define what ``here`` takes from them, with the same arguments."""

    def defined(name: str) -> dict[str, str]:
        tree = ast.parse((SYSTEM / f"{name}.py").read_text(encoding="utf-8"))
        guard = next(node for node in tree.body if isinstance(node, ast.If))
        found = {}
        for node in guard.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                found[node.name] = f"{ast.unparse(node.args)} -> {ast.unparse(node.returns)}"  # type: ignore[arg-type]
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if not ast.unparse(target).startswith("_"):
                    found[ast.unparse(target)] = ""
        return found

    here = importlib.import_module("mcutrain.host.system.here")
    assert defined("posix") == defined("windows")
    assert set(defined("posix")) == set(here.__all__)


def test_names_of_files_in_the_cache_are_names_everywhere() -> None:
    """A colon ends a drive's name on Windows, and capitals make no difference there."""
    from mcutrain.host.building.cores import CORES
    from mcutrain.host.building.target import Target

    boards = [Target.parse(f"unicorn:{core}").board for core in CORES]
    assert not any(set(board) & set('<>:"/\\|?*') for board in boards)
    names = [str(p.relative_to(ROOT)).lower() for _, p in sources()]
    assert len(names) == len(set(names))


def test_this_system_is_one_of_them() -> None:
    from mcutrain.host.system import here

    assert here.HAS_PSEUDO_TERMINALS is (sys.platform != "win32")
