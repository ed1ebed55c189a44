"""Prints the dependencies of pyproject.toml, and of an `--extra NAME`, without the named packages, one a line.

The API image leaves out what only workers need, so it stays small and cannot load torch by accident.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path


def main(without: set[str], extra: str | None) -> None:
    """Print the requirements whose package name is not in `without`."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    for requirement in project["dependencies"] + (project["optional-dependencies"][extra] if extra else []):
        name = re.split(r"[\[<>=!; ]", requirement, maxsplit=1)[0].lower()
        if name not in without:
            sys.stdout.write(requirement + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("without", nargs="*")
    parser.add_argument("--extra")
    args = parser.parse_args()
    main({name.lower() for name in args.without}, args.extra)
