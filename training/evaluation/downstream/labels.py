"""Labels that a table of clips gives: a column `label`, or "step class X" in its notes."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from training.data.records import ClipFeatures

_STEP_CLASS = re.compile(r"step class ([\w-]+)")


def read_labels(table: Path) -> dict[str, str]:
    """Clip id (as preprocessing names it) to label, of the rows that have one."""
    with table.open(newline="") as rows:
        named = {_clip_id(row["file"]): _label(row) for row in csv.DictReader(rows)}
    return {clip_id: label for clip_id, label in named.items() if label}


def with_labels(records: Sequence[ClipFeatures], labels: dict[str, str]) -> list[ClipFeatures]:
    """The same records, with the style that a table gives their clips."""
    return [replace(record, style=labels.get(record.clip_id, record.style)) for record in records]


def _clip_id(file: str) -> str:
    return str(Path(file).with_suffix("")).replace("/", "_")


def _label(row: dict[str, str]) -> str:
    found = _STEP_CLASS.search(row.get("notes") or "")
    return row.get("label") or (found[1] if found else "")
