# SPDX-License-Identifier: Apache-2.0
"""The packages that only some commands need: pip installs them with an extra of mcutrain."""

from __future__ import annotations

from importlib.util import find_spec

from mcutrain.trainer.errors import Error

MODULES = {  # what each extra brings, as pyproject.toml declares it
    "build": ("platformio", "SCons", "elftools"),
    "unicorn": ("unicorn", "elftools"),
    "zig": ("ziglang",),
    "report": ("matplotlib", "jinja2"),
    "check": ("tflite_micro",),
    "search": ("optuna",),
    "loggers": ("tensorboardX", "mlflow"),
    "data": ("PIL", "soundfile"),
}
NOTES = {"check": " (it has wheels for Linux on x86-64 only)"}


def require_extra(extra: str, *only: str) -> None:
    """Raises Error, with the command that helps, if a module that ``extra`` brings is not there;
    of several modules ``only`` these are asked for, if any are named."""
    missing = next((module for module in only or MODULES[extra] if not is_there(module)), None)
    if missing is not None:
        note = NOTES.get(extra, "")
        raise Error(f"{missing} is not installed; run: pip install 'mcutrain[{extra}]'{note}")


def is_there(module: str) -> bool:
    """Whether a module can be found, which is looked up without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
