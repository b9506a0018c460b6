# SPDX-License-Identifier: Apache-2.0
"""The names that a data set gives to its classes, as the request's own."""

from __future__ import annotations

from pathlib import Path

from mcutrain.host.data.load import class_names
from mcutrain.host.data.options import DataOptions
from mcutrain.host.data.raw import shown
from mcutrain.host.npz import class_names_in
from mcutrain.host.request import Request
from mcutrain.trainer.errors import DataError
from mcutrain.trainer.options import CROSS_ENTROPY, PIXELWISE

LISTED = 5


def named(request: Request, path: Path, options: DataOptions) -> Request:
    """The request with the names of the classes in ``path``, unless it has names; so they reach
    the plan, its C and its report. Raises DataError where the head has other classes than these.
    """
    if request.options.class_names or request.options.loss not in (
        CROSS_ENTROPY,
        PIXELWISE,
    ):
        return request
    names = class_names(path, options) or class_names_in(path)
    if not names:
        return request
    logits = request.options.classes or request.read().classes
    least = max(2, logits)
    if not least <= len(names) <= least + request.options.spare_classes:
        first = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
        raise DataError(
            f"{shown(path)} has {len(names)} classes ({first}), and the model's head {least}: give "
            f"--classes {len(names)} for a new head, or --class-names with all {least} names in "
            "the order of the model's outputs"
        )
    return request.but(class_names=names)
