# SPDX-License-Identifier: Apache-2.0
"""How the modules of the packages lie on each other, as a Markdown table.

    python tools/floors.py [TREE] [--order FILE]

A unit is an entry of a package: a folder, or a module beside the folders. A floor is a step of the
longest chain of imports at run time, in which a circle counts as one. Imports under TYPE_CHECKING
count where the table says types. FILE holds ``FLOORS``, by package a list of sets of units from the
lowest: imports of a unit on the same floor or a higher one are upward, those for types too.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGES = ("trainer", "codegen", "host")
NAME = "mcutrain"  # in front of the packages' names, since they are installed as one

Graph = dict[str, set[str]]
Order = Mapping[str, list[set[str]]]


def modules(root: Path, package: str) -> dict[str, Path]:
    """The files of a package by their dotted names, such as ``trainer.ops.add``."""
    paths = sorted((root / package).rglob("*.py"))
    names = [".".join(path.relative_to(root).with_suffix("").parts) for path in paths]
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


def imports(path: Path, *, types: bool = True) -> Iterator[str]:
    """What a file imports, as ``package.module.name``; without ``types`` only what it does at run
    time. Raises ValueError for a relative import."""
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in for_types and not types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise ValueError(f"{path}: line {node.lineno} imports by a relative name")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def import_graph(root: Path, package: str, *, types: bool = True) -> Graph:
    """By module of a package the others of it that it imports."""
    known = modules(root, package)
    graph: Graph = {name: set() for name in known}
    for module, path in known.items():
        for name in imports(path, types=types):
            found = name.removeprefix(f"{NAME}.")
            while found and found not in known:
                found = found.rpartition(".")[0]
            if found not in ("", package, module):
                graph[module].add(found)
    return graph


def unit_of(module: str) -> str:
    return module.split(".")[1]


def unit_graph(graph: Graph) -> Graph:
    """By unit the others that it imports; a package's own ``__init__`` is no unit."""
    found: Graph = {unit_of(module): set() for module in graph if "." in module}
    for module, others in graph.items():
        if "." in module:
            found[unit_of(module)] |= {unit_of(other) for other in others} - {unit_of(module)}
    return found


def reachable(graph: Graph, start: str) -> set[str]:
    """What ``start`` imports, directly or not; itself only if it lies on a circle."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def circles(graph: Graph) -> list[set[str]]:
    """The largest sets of nodes of which each reaches each other."""
    reach = {node: reachable(graph, node) for node in graph}
    found: list[set[str]] = []
    for node in graph:
        if node in reach[node] and not any(node in circle for circle in found):
            found.append({other for other in reach[node] if node in reach[other]})
    return found


def height(graph: Graph) -> int:
    """Nodes on the longest chain of imports; those on one circle count as one."""
    reach = {node: reachable(graph, node) for node in graph}
    floor: dict[str, int] = {}
    for node in sorted(graph, key=lambda node: len(reach[node])):
        below = [floor[other] for other in reach[node] if node not in reach[other]]
        floor[node] = 1 + max(below, default=0)
    return max(floor.values(), default=0)


def upward(graph: Graph, floors: list[set[str]]) -> list[tuple[str, str]]:
    """(unit, what it imports and should not), of units. Raises ValueError for an order that misses
    a unit, or names one that is not there."""
    level = {unit: k for k, floor in enumerate(floors) for unit in floor}
    if set(level) != set(graph):
        raise ValueError(
            f"the order misses {sorted(set(graph) - set(level))} and names "
            f"{sorted(set(level) - set(graph))}, which are not there"
        )
    pairs = ((unit, other) for unit, others in graph.items() for other in others)
    return sorted((unit, other) for unit, other in pairs if level[other] >= level[unit])


def read_order(path: Path) -> Order:
    """``FLOORS`` of a file, which is not run. Raises ValueError if it has none."""
    for node in ast.parse(path.read_text()).body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        target = node.targets[0] if isinstance(node, ast.Assign) else target
        if isinstance(target, ast.Name) and target.id == "FLOORS":
            assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            order: Order = ast.literal_eval(node.value)
            return order
    raise ValueError(f"{path} has no FLOORS: give a file with the order of the units")


def counted(found: list[set[str]]) -> str:
    """How many circles, and of how many nodes."""
    sizes = ", ".join(str(len(circle)) for circle in sorted(found, key=len, reverse=True))
    return f"{len(found)} (of {sizes})" if found else "0"


def row(root: Path, package: str, order: Order) -> list[str]:
    """The cells of one package."""
    at_run, all_ = (import_graph(root, package, types=types) for types in (False, True))
    upwards = "–"
    if package in order:
        upwards = str(len(upward(unit_graph(all_), order[package])))
    return [
        package,
        str(len(all_)),
        str(len(unit_graph(all_))),
        str(height(unit_graph(at_run))),
        str(height(at_run)),
        counted(circles(at_run)),
        counted(circles(all_)),
        counted(circles(unit_graph(all_))),
        upwards,
    ]


HEADS = (
    "package", "files", "units", "floors of units", "floors of modules", "circles of modules",
    "with types", "circles of units, with types", "upward",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Floors of the imports, as a Markdown table.")
    parser.add_argument("tree", type=Path, nargs="?", default=Path(), help="root of a checkout")
    parser.add_argument("--order", type=Path, help="a file with FLOORS")
    given = parser.parse_args()
    order = read_order(given.order) if given.order else {}
    rows = [list(HEADS), ["---"] * len(HEADS)]
    rows += [row(given.tree, package, order) for package in PACKAGES]
    print("\n".join("| " + " | ".join(cells) + " |" for cells in rows))


if __name__ == "__main__":
    main()
