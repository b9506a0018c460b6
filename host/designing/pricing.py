# SPDX-License-Identifier: Apache-2.0
"""What training a net would cost, by its plan, before it is trained at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mcutrain.host.designing.nets import GENES, Net, least_nets
from mcutrain.host.designing.workshop import Workshop
from mcutrain.host.search.budget import Cost, Limits, Pricer
from mcutrain.trainer.errors import BudgetError, ModelError, SchemeError

WORST = 1e9  # the excess of a net that cannot be


@dataclass
class NetPricer:
    """The costs of nets against what there is, each found once."""

    workshop: Workshop
    limits: Limits
    known: dict[str, tuple[Cost | None, float]] = field(default_factory=dict)

    def fits(self, net: Net) -> bool:
        return self.excess(net) <= 0

    def cost(self, net: Net) -> Cost | None:
        """None if there is no such net, or it cannot train so."""
        return self.priced(net)[0]

    def excess(self, net: Net) -> float:
        """By how much the worst limit is passed, as a share of it; 0 or less if it fits."""
        return self.priced(net)[1]

    def priced(self, net: Net) -> tuple[Cost | None, float]:
        if net.key not in self.known:
            self.known[net.key] = self.price(net)
        return self.known[net.key]

    def price(self, net: Net) -> tuple[Cost | None, float]:
        try:
            with self.untrained_file(net) as path:
                return self.of_file(net, path, thorough=False)
        except (ValueError, ModelError, SchemeError, BudgetError):
            # The samples are too small for its windows, or it cannot train so.
            return None, WORST

    @contextmanager
    def untrained_file(self, net: Net) -> Iterator[Path]:
        """Raises ValueError where the samples are too small for the net."""
        content = self.workshop.untrained(net)
        with tempfile.TemporaryDirectory(prefix="mcutrain-design-") as folder:
            path = Path(folder) / "net.tflite"
            path.write_bytes(content)
            yield path

    def of_file(self, net: Net, path: Path, *, thorough: bool = True) -> tuple[Cost, float]:
        """Of the net in ``path``. Raises ModelError, SchemeError or BudgetError."""
        request = self.workshop.request_of(net, path)
        model = request.read()
        pricer = Pricer(request, model, self.limits)
        cost = pricer.cost_of(request.plan_of(model, thorough=thorough), True)
        return cost, pricer.excess(cost)

    def narrowed(self, net: Net) -> Net | None:
        """The net as wide as fits, or narrower; None if no width does."""
        width = dict(net.genes)["width"]
        narrower = [w for w in GENES["width"] if w < width]
        low, found = 0, None
        high = len(narrower) - 1
        while low <= high:  # what is wider costs more
            middle = (low + high + 1) // 2
            other = net.but(width=narrower[middle])
            if self.fits(other):
                low, found = middle + 1, other
            else:
                high = middle - 1
        return found

    def check(self, update: str) -> None:
        """Raises BudgetError if not even the least net fits, with the least that can be reached."""
        costs = [cost for net in least_nets(update) if (cost := self.cost(net)) is not None]
        if not costs:
            with self.untrained_file(least_nets(update)[0]) as path:
                self.of_file(least_nets(update)[0], path)  # raises: it says why
        if any(self.fits(net) for net in least_nets(update)):
            return
        for what, limit, least in self.least(costs):
            if least > limit:
                raise BudgetError(
                    f"no net fits: the least of all nets needs {least:,} {what} to train with "
                    f"--update {update}, the budget is {limit:,}: {least - limit:,} more",
                    least,
                    limit,
                )
        raise BudgetError(
            "no net fits all limits at once, though each by itself could be met: the least in "
            f"bytes of RAM is {min(c.sram for c in costs):,}; raise one of them",
            min(c.sram for c in costs),
            self.limits.sram,
        )

    def least(self, costs: list[Cost]) -> list[tuple[str, int, int]]:
        """(what, what there is, the least that is needed) of each limit."""
        found = [("bytes of RAM", self.limits.sram, min(c.sram for c in costs))]
        if self.limits.flash is not None:
            least = min(c.constants for c in costs)
            found.append(("bytes of flash", self.limits.flash, least))
        if self.limits.instructions is not None:
            least = min(c.instructions for c in costs)
            found.append(("instructions a step", self.limits.instructions, least))
        return found
