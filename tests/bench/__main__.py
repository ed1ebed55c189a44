"""Measures the speeds that matter, each beside its floor or a peer, in one run: `make bench`, JSON=1 for JSON lines.

Ratios are what to read: machines are shared and noisy, so a figure and its floor are taken in turns and the best of
each is kept. Nothing here is a test; tests never assert times.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import embed, memory, overhead, retarget
from tests.bench.row import Row

PARTS = {"embed": embed.rows, "retarget": retarget.rows, "overhead": overhead.rows, "memory": memory.rows}


def show(rows: list[Row]) -> None:
    """Prints the rows as a table."""
    table = Table(title="MuDaR speeds, each beside its floor")
    for column in ("what", "measured", "floor or peer", "ratio", "goal", ""):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
        table.add_row(row.what, row.measured, row.peer, ratio, row.goal, "ok" if row.reached else "MISSED")
    Console(width=150).print(table)


def main() -> None:
    """Runs all parts, or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for part in args.parts or PARTS:
            print(f"measuring {part} ...", file=sys.stderr)
            for row in PARTS[part](Path(folder)):
                rows.append(row)
                if args.json:
                    print(json.dumps(row.to_dict()), flush=True)
    if not args.json:
        show(rows)


if __name__ == "__main__":
    main()
