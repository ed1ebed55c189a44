"""Holds every public module, class and function to a docstring that opens with a sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from tests.names import CODE, ROOT, python_files

WORDS: Final = 4

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def public(module: ast.Module) -> Iterator[tuple[Documented, str]]:
    """The module, and the classes and functions at its top level that others may use, with their names."""
    yield module, "module"
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node, node.name


def is_sentence(line: str) -> bool:
    """Whether a line starts with a capital, has four words, and ends where a sentence may."""
    return line[:1].isupper() and len(line.split()) >= WORDS and line.endswith((".", ":"))


def test_a_docstring_opens_with_a_sentence() -> None:
    bad = []
    for path in python_files(*CODE):
        name = str(path.relative_to(ROOT))
        for node, symbol in public(ast.parse(path.read_text())):
            first = (ast.get_docstring(node) or "").partition("\n")[0]
            if not is_sentence(first):
                bad.append(f"{name} {symbol}: {first}")
    assert not bad, "\n".join(["", *bad])
