"""Writes docs/openapi.json, the description of the HTTP interface: `python -m service.openapi [FILE]`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from mudar.atomic_write import write_atomically
from service.app import create_app
from service.settings import Settings

PATH = Path(__file__).resolve().parents[1] / "docs" / "openapi.json"


def describe() -> str:
    """The interface as JSON, one line for each value, so that a change can be read as a difference."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder)))
        return json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    write_atomically(Path(sys.argv[1]) if sys.argv[1:] else PATH, describe().encode())
