# SPDX-License-Identifier: Apache-2.0
"""All operators. A module here is an operator; adding the file registers it."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
