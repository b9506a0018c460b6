# SPDX-License-Identifier: Apache-2.0
"""What training a net would cost, by its plan, before it is trained at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mcutrain.host.designing.nets import GENES, Net, handmade_nets, least_nets
from mcutrain.host.designing.workshop import Workshop
from mcutrain.host.search.budget import Cost, Limits, Pricer
from mcutrain.trainer.errors import BudgetError, ModelError, SchemeError

PARTIAL = ("last:4", "last:3", "last:2", "head")  # of a whole net made by hand, the first that fits
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

    def handmade(self) -> list[Net]:
        """Of each net that was made by hand the widest that fits; where no update was asked for,
        also the whole one, of which only the last layers learn.

        Raises BudgetError if none of them fits, and not even the least of all nets does; then it
        names the least that can be reached.
        """
        request = self.workshop.request
        update = request.options.update
        assert isinstance(update, str)
        wanted: dict[str, list[Net]] = {}
        for net in handmade_nets(self.workshop.shape, update):
            wanted.setdefault(net.family, []).append(net)
        found = [self.first_that_fits(nets) for nets in wanted.values()]
        if "update" not in request.given:
            for name in wanted:
                whole = [Net.of(name, {"percent": 100}, part) for part in (update, *PARTIAL)]
                found.append(self.first_that_fits(whole))
        fitting = [*dict.fromkeys(net for net in found if net is not None)]
        if not fitting and not any(self.fits(net) for net in least_nets(update)):
            raise self.refusal(update)
        return fitting

    def first_that_fits(self, nets: list[Net]) -> Net | None:
        return next((net for net in nets if self.fits(net)), None)

    def refusal(self, update: str) -> BudgetError:
        """Which limit stands in the way. Raises what a plan does, where none can be made."""
        # A plan refuses by itself what is over its flash, and then tells no cost.
        free = replace(self.workshop, request=self.workshop.request.without(["flash"]))
        pricer, nets = NetPricer(free, self.limits), least_nets(update)
        costs = [cost for net in nets if (cost := pricer.cost(net)) is not None]
        if not costs:
            with self.untrained_file(nets[0]) as path:
                self.of_file(nets[0], path)
        for what, limit, least in self.least(costs):
            if least > limit:
                return BudgetError(
                    f"no net fits: the least of all nets needs {least:,} {what} to train with "
                    f"--update {update}, the budget is {limit:,}: {least - limit:,} more",
                    least,
                    limit,
                )
        least = min(c.sram for c in costs)
        return BudgetError(
            "no net fits all limits at once, though each by itself could be met: the least in "
            f"bytes of RAM is {least:,}; raise one of them",
            least,
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
