"""Lists identifiers that name nothing: `python -m tests.names [FOLDER…]` prints file:line identifier.

The words are those that this field has better names for. `held_out` (held-out data) and `not_found` are its own;
`dance_kept` is ours.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
CODE: Final = ("mudar", "model_store", "service", "workers", "training")
EMPTY_WORDS: Final = frozenset(
    {"look", "looked", "told", "held", "kept", "found", "seen", "asked", "asking", "wanted"}
    | {"house", "whole", "place", "placed", "apart", "together"}
)
ALLOWED: Final = ("held_out", "not_found", "in_place", "dance_kept")


def tracked_files(*folders: str) -> list[Path]:
    """Every file of the repository below these folders, all of it without any: tracked, or new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *(folders or ["."])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [ROOT / name for name in sorted(listed) if (ROOT / name).is_file()]


def python_files(*folders: str) -> list[Path]:
    """Those of them that are Python."""
    return [path for path in tracked_files(*folders) if path.suffix == ".py"]


def identifiers(source: str) -> Iterator[tuple[int, str]]:
    """(line, name) of every name that a file gives to something: modules and attributes of others are not listed."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def says_nothing(name: str) -> bool:
    """Whether a word of the name is one of the empty words; names of tests are sentences and may use them."""
    plain = name.lower().strip("_")
    for allowed in ALLOWED:
        plain = plain.replace(allowed, "")
    return not plain.startswith("test") and not EMPTY_WORDS.isdisjoint(plain.split("_"))


def main(folders: list[str]) -> int:
    """Print every such identifier; the exit status says whether there was one."""
    bad = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in python_files(*folders)
        for line, name in identifiers(path.read_text())
        if says_nothing(name)
    ]
    sys.stdout.write("".join(f"{line}\n" for line in bad))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
