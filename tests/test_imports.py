"""Holds the imports to one direction: no circle of modules, and none of the rooms of a package."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

import grimp
import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tests.names import CODE

# The service's container is built of the parts of its slices, and their endpoints ask for it by type.
EXCUSED: Final = frozenset({"service"})


@cache
def imports() -> grimp.ImportGraph:
    """Who imports whom, imports inside functions too; those for type checking alone left out."""
    first, *rest = CODE
    return grimp.build_graph(first, *rest, exclude_type_checking_imports=True)


def circles(arrows: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The groups of names that reach each other by (from, to) arrows."""
    arrows = sorted({(a, b) for a, b in arrows if a != b})
    names = sorted({name for arrow in arrows for name in arrow})
    number = {name: i for i, name in enumerate(names)}
    rows, columns = [number[a] for a, _ in arrows], [number[b] for _, b in arrows]
    matrix = coo_array((np.ones(len(arrows)), (rows, columns)), shape=(len(names), len(names)))
    count, group = connected_components(matrix, connection="strong")
    groups = [[name for name in names if group[number[name]] == k] for k in range(count)]
    return [members for members in groups if len(members) > 1]


def arrows_below(package: str) -> list[tuple[str, str]]:
    """The arrows between a package's children, each child with all that lies in it."""
    graph, below = imports(), f"{package}."

    def room(module: str) -> str:
        return below + module.removeprefix(below).partition(".")[0]

    inside = [module for module in graph.modules if module.startswith(below)]
    return [
        (room(module), room(other))
        for module in inside
        for other in graph.find_modules_directly_imported_by(module)
        if other.startswith(below)
    ]


def packages() -> list[str]:
    """Every package, from the roots down."""
    return sorted({module.rpartition(".")[0] for module in imports().modules if "." in module})


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = imports()
    assert not circles((m, other) for m in graph.modules for other in graph.find_modules_directly_imported_by(m))


@pytest.mark.parametrize("package", packages())
def test_the_rooms_of_a_package_have_an_order(package: str) -> None:
    if package not in EXCUSED:
        assert not circles(arrows_below(package))


def test_a_circle_would_be_found() -> None:
    assert circles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]) == [["a", "b", "c"]]
    assert not circles([("a", "b"), ("a", "c"), ("b", "c")])
