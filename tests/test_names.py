"""Holds the code to the field's words: no identifier that names nothing, no old symbol, module or setting."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from tests.names import CODE, ROOT, identifiers, says_nothing, tracked_files

# A weight is named in the checkpoints, and stays.
STAYS: Final = ("mudar/model/dance.py", "place")

# The history says what things were called, and this file lists it.
HISTORY: Final = ("CHANGELOG.md", "tests/test_names.py")
TEXTS: Final = (".py", ".md", ".toml", ".yml", ".yaml", ".js", ".css", ".html", ".conf", ".sbatch", ".mako")
TEXT_FILES: Final = ("Makefile", ".env.example", "Dockerfile", "training.Dockerfile", "compose-test", "run")

# Words that stood for nothing else: wherever they stand, an old name is meant.
DEAD_WORDS: Final = """
    Sifter Sieves FlatRows IvfRows MapReader read_dance beat_grid read_motion _Watcher Eyewitness IndexFollower
    MilvusFollower Waker Lingering ServedModel HouseDep RhythmLoss in_context steadied
    container_origin_s measure_again find_hardest render_apart end_with place_on HEARTBEAT_S
"""
# Words that a sentence may use: only a class or function of this name is meant.
DEAD_SYMBOLS: Final = """
    Digits Sketches Sweep Scan Turn Questions Asked Wanted Asking Question Pairs Found Matches Match Probes Effort
    Columns Stamp Frozen Moved Reading Picture Settled Polished Prices Chain Count Stamps Timeline Look Shaper Ask
    Shown Moment Pair Ahead Follower Searched Head Together Shelf Kept About Ingest Wish Ticket Embedded House Pulse
    World Meter Pieces How Heard Crashed Cell Desk Told Fleet outgrown edited evened repeats stitch blows
    settle polish accented believed bridged octaves anchors_s survey origin_s of_dance of_music offer tidy revive
"""
OLD_SETTING: Final = re.compile(r"\b(?:MUDAR_)?(?:TIDY_S|LOST_AFTER_S|KEEP_JOBS_S)\b", re.IGNORECASE)
READS_OLD_SETTINGS: Final = ("service/settings.py", "workers/settings.py", "tests/service/test_settings.py")

OLD_MODULES: Final = {
    "mudar": "by_hand dance_rhythm index_store look matches memory motion repeats retrieve rhythm rhythm_vectors "
    "steady sync tempo windows locks nearest remote",
    "mudar.features": "beat music",
    "mudar.library": "answers codec edition edits follow follow_milvus garbage wake",
    "mudar.media": "audio_out audio_warp clock container cuts decode encode encoder flow_pwc header info interpolate "
    "interpolate_flow limiter measure moment orientation packets picture pipe planes probe remux render sampling scale "
    "shape survey tone waveform",
    "mudar.retarget": "acceleration accent apart blow chart dtw export independent metrics paper_dtw points polish "
    "report settle shift timewarp",
    "service": "background cli cli_evaluate cli_ingest cli_local cli_models cli_output cli_points demo deps dispatch "
    "embed embedded events index ingest intake linger queue replica retarget retrieve routes search shelf sockets "
    "soundtrack together",
    "training": "beat_filter bench_ddp bench_loader bench_step cost downstream drawn engine evaluate feed folds log "
    "metrics negatives objective pictures pool saves shown study study_cells study_run tables whole world",
    "training.data": "beatgrid choreography clip cut dancer figure film flowpairs grooves instruments layers music "
    "pack packer parts scene store styles table",
    "workers": "presence progress run steps wire",
}
PATH: Final = re.compile(r"(?<![\w.])(?:mudar|service|workers|training)(?:[./]\w+)+")


@cache
def texts() -> list[tuple[str, str]]:
    """(name, text) of the tracked text files."""
    paths = [path for path in tracked_files() if path.suffix in TEXTS or path.name in TEXT_FILES]
    named = [(str(path.relative_to(ROOT)), path) for path in paths]
    return [(name, path.read_text()) for name, path in named if name not in HISTORY]


@cache
def old_modules() -> frozenset[str]:
    """The old modules whose place no new module or package took."""
    old = {f"{package}.{name}" for package, names in OLD_MODULES.items() for name in names.split()}
    files = {str(path.relative_to(ROOT)) for path in tracked_files()}
    there = {name.removesuffix(".py").replace("/", ".") for name in files}
    there |= {str(folder).replace("/", ".") for name in files for folder in Path(name).parents}
    return frozenset(old - there)


def names_old_module(path: str) -> bool:
    """Whether a dotted or slashed path begins with a module that went."""
    parts = re.split(r"[./]", path)
    if path.endswith(".py") and ".".join(parts[:-2]) in OLD_MODULES and not (ROOT / path).exists():
        return parts[-2] in OLD_MODULES[".".join(parts[:-2])].split()
    return any(".".join(parts[:n]) in old_modules() for n in range(2, len(parts) + 1))


def lines_with(text: str, name: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """(where, what) of each match of a pattern."""
    for number, line in enumerate(text.splitlines(), 1):
        for match in pattern.finditer(line):
            yield f"{name}:{number}", match[0]


def test_every_identifier_names_something() -> None:
    bad = [
        f"{name}:{line} {identifier}"
        for name, text in texts()
        if name.endswith(".py") and name.startswith((*(f"{room}/" for room in CODE), "tests/"))
        for line, identifier in identifiers(text)
        if says_nothing(identifier) and (name, identifier) != STAYS
    ]
    assert not bad, "\n".join(["", *bad])


def test_no_old_word_is_left() -> None:
    word = re.compile(r"\b(?:" + "|".join(DEAD_WORDS.split()) + r")\b")
    bad = [f"{where} {what}" for name, text in texts() for where, what in lines_with(text, name, word)]
    assert not bad, "\n".join(["", *bad])


def test_no_class_or_function_has_an_old_name() -> None:
    bad = [
        f"{name}:{node.lineno} {node.name}"
        for name, text in texts()
        if name.endswith(".py")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.lstrip("_") in DEAD_SYMBOLS.split()
    ]
    assert not bad, "\n".join(["", *bad])


def test_no_old_module_is_named() -> None:
    bad = [
        f"{where} {path}"
        for name, text in texts()
        for where, path in lines_with(text, name, PATH)
        if names_old_module(path)
    ]
    assert not bad, "\n".join(["", *bad])


def test_old_settings_are_named_only_where_they_are_read() -> None:
    bad = [
        f"{where} {what}"
        for name, text in texts()
        if name not in READS_OLD_SETTINGS
        for where, what in lines_with(text, name, OLD_SETTING)
    ]
    assert not bad, "\n".join(["", *bad])


@pytest.mark.parametrize(
    ("path", "is_old"),
    [
        ("mudar/nearest/ivf.py", True),
        ("mudar.nearest", True),
        ("mudar/rhythm.py", True),
        ("mudar.rhythm.tempo", False),
        ("training.tables", True),
        ("service/retarget/service.py", False),
        ("service/retarget.py", True),
        ("workers.run", True),
    ],
)
def test_an_old_module_is_told_from_a_new_one(path: str, is_old: bool) -> None:
    assert names_old_module(path) == is_old
