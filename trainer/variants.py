# SPDX-License-Identifier: Apache-2.0
"""The list of kernel variants: operator, instruction set, files. Builds, manifests, tests read it.

A kernel that no variant covers is portable C, in ``kernels/<unit>.c`` beside the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mcutrain.trainer.ops  # noqa: F401  (imports every operator module)
from mcutrain.trainer.graph.op import Layout, Op


@dataclass(frozen=True)
class KernelVariant:
    """The kernels ``kernels/<unit>.c`` and ``.h`` compute ``operator`` on chips with ``needs``."""

    operator: type[Op]
    unit: str
    needs: frozenset[str]
    helpers: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The paths of its C files below ``firmware/``; those of ``helpers`` are not its alone."""
        return tuple(f"kernels/{unit}.c" for unit in (self.unit, *self.helpers))


def kernel_variants() -> list[KernelVariant]:
    """Every variant of every operator, by unit."""
    found = (v for kind in Op.__subclasses__() for v in _below(kind, kind))
    return sorted(found, key=lambda variant: variant.unit)


def beyond(features: frozenset[str]) -> list[str]:
    """The C files below ``firmware/`` that a chip with these features cannot run."""
    return sorted(
        {path for v in kernel_variants() if not v.needs <= features for path in v.sources}
    )


def _below(kind: type[Op], operator: type[Op]) -> Iterator[KernelVariant]:
    """The variants among the children of ``kind``, which is ``operator`` or a variant of it."""
    for child in kind.__subclasses__():
        if child.layout is not Layout.FILE:
            continue  # with the kernels beside it, or portable
        if child.needs:
            yield KernelVariant(operator, child.unit, child.needs, child.helpers)
        yield from _below(child, operator if child.needs else child)
