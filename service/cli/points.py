"""Strokes or beats in a text file: the first number of each line, in seconds. Knows no core and no service.

That is what a list of seconds is, a table with a heading (this program's own markers, say), and the labels of an
audio editor.
"""

from __future__ import annotations

import re
from pathlib import Path

from mudar.errors import BadRequest

_BETWEEN = re.compile(r"[\s,;]+")


def seconds_in(path: Path) -> list[float]:
    """Ascending seconds. BadRequest for a file that cannot be read or has a line without a number below its heading."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path} cannot be read: {error}.", hint="Give a text file with one time a line.") from error
    times_s: list[float] = []
    for number, line in enumerate(lines, start=1):
        words = [word for word in _BETWEEN.split(line.strip()) if word]
        if not words or words[0].startswith("#"):
            continue
        try:
            times_s.append(float(words[0]))
        except ValueError:
            if times_s:
                hint = "Each line begins with a time in seconds; the first may be a heading."
                raise BadRequest(f"Line {number} of {path} begins with {words[0]!r}, no time.", hint=hint) from None
    if not times_s:
        raise BadRequest(f"There is no time in {path}.", hint="Give a text file with one time, in seconds, a line.")
    return sorted(set(times_s))
