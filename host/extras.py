# SPDX-License-Identifier: Apache-2.0
"""The packages that only some commands need: pip installs them with an extra of mcutrain."""

from __future__ import annotations

from importlib.util import find_spec

from mcutrain.trainer.errors import Error


def require_extra(extra: str, *modules: str) -> None:
    """Raises Error, with the command that helps, if a module that ``extra`` brings is not there."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise Error(f"{missing[0]} is not installed; run: pip install 'mcutrain[{extra}]'")
