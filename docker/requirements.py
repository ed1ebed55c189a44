"""Prints the dependencies of pyproject.toml without the named packages, one a line.

The API image leaves out what only workers need, so it stays small and cannot load torch by accident.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def main(without: set[str]) -> None:
    """Print the requirements whose package name is not in `without`."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"]:
        name = re.split(r"[\[<>=!; ]", requirement, maxsplit=1)[0].lower()
        if name not in without:
            sys.stdout.write(requirement + "\n")


if __name__ == "__main__":
    main({name.lower() for name in sys.argv[1:]})
