"""Holds the code to the sizes that can be read top to bottom: files, functions, parameters, folders, and the sum."""

from __future__ import annotations

import ast
from collections import Counter
from statistics import median
from typing import Final

from tests.names import CODE, ROOT, python_files

FILE_LINES: Final = 400
FOLDER_FILES: Final = 12
PARAMETERS: Final = 6
SUM_OF_LINES: Final = 31_700  # to be lowered to 29,000
# What a decorator of these names reads (FastAPI's endpoints, typer's commands) has as many parameters as it offers.
SIGNATURES: Final = frozenset({"get", "post", "put", "patch", "delete", "command", "callback", "plain_errors"})
# Rooms that are still too large; the list only shrinks.
NOT_YET: Final[tuple[str, ...]] = (
    "mudar/library",
    "mudar/model",
    "service/cli/evaluate.py",
    "service/cli/local.py",
    "mudar/rhythm/",
    "service/ ",
)

Function = ast.FunctionDef | ast.AsyncFunctionDef
SOURCES: Final = {str(path.relative_to(ROOT)): path.read_text() for path in python_files(*CODE)}
LINES: Final = {name: text.count("\n") for name, text in SOURCES.items()}
FUNCTIONS: Final = [
    (name, node) for name, text in SOURCES.items() for node in ast.walk(ast.parse(text)) if isinstance(node, Function)
]


def line_count(function: Function) -> int:
    """Lines of a function, its decorators left out."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters(function: Function) -> int:
    """How many parameters a caller of a function sees."""
    given = function.args
    return len([a for a in given.posonlyargs + given.args + given.kwonlyargs if a.arg not in ("self", "cls")])


def is_signature(function: Function) -> bool:
    """Whether a framework reads the function's parameters: an endpoint or a command."""
    names = [getattr(d, "func", d) for d in function.decorator_list]
    return any(getattr(name, "attr", getattr(name, "id", "")) in SIGNATURES for name in names)


def left(names: list[str]) -> list[str]:
    """The names that lie in no room of NOT_YET."""
    return [name for name in names if not name.startswith(NOT_YET or "-")]


def test_no_file_is_longer_than_one_reading() -> None:
    assert not left([f"{name} {count}" for name, count in LINES.items() if count > FILE_LINES])


def test_functions_are_short() -> None:
    counts = sorted(line_count(function) for _, function in FUNCTIONS)
    assert median(counts) <= 12
    assert counts[int(0.9 * len(counts))] <= 40


def test_what_takes_many_parameters_takes_a_config_object() -> None:
    many = [(name, f) for name, f in FUNCTIONS if parameters(f) > PARAMETERS and not is_signature(f)]
    assert not left([f"{name}:{f.lineno} {f.name} {parameters(f)}" for name, f in many])


def test_a_folder_has_at_most_twelve_files() -> None:
    names = [name for name in SOURCES if not name.endswith("/__init__.py")]
    folders = Counter(name.rpartition("/")[0] for name in names)
    assert not left([f"{folder}/ {count}" for folder, count in folders.items() if count > FOLDER_FILES])


def test_the_code_does_not_grow() -> None:
    assert sum(LINES.values()) <= SUM_OF_LINES
