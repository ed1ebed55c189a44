"""Writes the golden values: `python -m tests.golden.make`, from the root of the repository.

With `--check` nothing is written: what the code gives is compared with the values bit by bit, the largest difference
of each key is printed, and the command ends with 1 unless all bits agree.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.golden.figures import CASES, Figures, Values

FOLDER = Path(__file__).parent / "values"


def read(case: str) -> Values:
    """The committed values of this case."""
    with np.load(FOLDER / f"{case}.npz") as archive:
        return dict(archive)


def check(case: str, actual: Values) -> bool:
    """Prints the largest difference of each key; True if all bits agree."""
    expected, same = read(case), True
    for key in sorted(expected.keys() | actual.keys()):
        if key not in expected or key not in actual:
            same, difference = False, "only there now" if key in actual else "no longer there"
        elif expected[key].shape != actual[key].shape:
            same, difference = False, f"shape {expected[key].shape} is now {actual[key].shape}"
        elif expected[key].tobytes() == actual[key].tobytes():
            difference = "0"
        else:
            same, difference = False, f"{np.max(np.abs(expected[key] - actual[key])):.3g}"
        print(f"{case:24} {key:32} {difference}")  # noqa: T201 - this is the command's output
    return same


def main() -> None:
    """Write the values of all cases, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare bit by bit, write nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = Figures(Path(folder))
        if arguments.check:
            same = [check(case, figures.of(case)) for case in CASES]
            sys.exit(0 if all(same) else 1)
        FOLDER.mkdir(exist_ok=True)
        for case in CASES:
            np.savez_compressed(FOLDER / f"{case}.npz", **figures.of(case))


if __name__ == "__main__":
    main()
