# SPDX-License-Identifier: Apache-2.0
"""The packages that only some commands need: pip installs them with an extra of mcutrain."""

from __future__ import annotations

from importlib.util import find_spec

from mcutrain.trainer.errors import Error

MODULES = {  # what each extra brings, as pyproject.toml declares it
    "build": ("platformio", "SCons", "elftools"),
    "report": ("matplotlib", "jinja2"),
    "check": ("tflite_micro",),
    "search": ("optuna",),
    "data": ("PIL", "soundfile"),
}
NOTES = {"check": " (it has wheels for Linux on x86-64 only)"}


def require_extra(extra: str) -> None:
    """Raises Error, with the command that helps, if a module that ``extra`` brings is not there."""
    missing = next((module for module in MODULES[extra] if not is_there(module)), None)
    if missing is not None:
        note = NOTES.get(extra, "")
        raise Error(f"{missing} is not installed; run: pip install 'mcutrain[{extra}]'{note}")


def is_there(module: str) -> bool:
    """Whether a module can be found, which is looked up without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
