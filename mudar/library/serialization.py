"""Turns records into what a database stores, and into JSON, and back. Knows numpy and the records, no SQL."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mudar.errors import BadRequest
from mudar.records import Array, Rhythm, Segment, SoundRhythm

MAX_JSON_DEPTH = 16
MAX_JSON_BYTES = 65_536
_ARRAYS = ("times_s", "strengths", "curve", "beats_s", "downbeats_s", "impacts_s", "peaks_s", "peak_strengths")
_NOTHING: dict[str, Any] = {**dict.fromkeys(_ARRAYS, ()), "speed": (), "speed_fps": 0.0}
_POINTS = ("times_s", "strengths", "beats_s", "downbeats_s", "peaks_s", "peak_strengths")  # what a source gives


def json_floats(values: Array) -> list[float]:
    """The shortest decimals that give back the same float32 values; ValueError when one is not finite."""
    array = np.asarray(values, np.float32)
    if not np.isfinite(array).all():
        raise ValueError("a number of this analysis is not finite")
    return [float(str(value)) for value in array]


def rhythm_record(rhythm: Rhythm) -> dict[str, Any]:
    """A Rhythm as JSON: lists of seconds and shares, `fps`, `tempo_bpm` and its alternatives."""
    record: dict[str, Any] = {name: json_floats(getattr(rhythm, name)) for name in _ARRAYS}
    record["speed"] = [json_floats(row) for row in rhythm.speed]
    record["fps"] = float(rhythm.fps)
    record["speed_fps"] = float(rhythm.speed_fps)
    record["tempo_bpm"] = float(rhythm.tempo_bpm)
    record["tempo_alternatives"] = [[float(bpm), float(weight)] for bpm, weight in rhythm.tempo_alternatives]
    record["source"] = rhythm.source
    record["sound"] = None if rhythm.sound is None else _sound_record(rhythm.sound)
    record["picture"] = None
    if rhythm.picture is not None:
        record["picture"] = {name: json_floats(getattr(rhythm.picture, name)) for name in _POINTS}
        record["picture"]["tempo_bpm"] = float(rhythm.picture.tempo_bpm)
        record["picture"]["tempo_alternatives"] = [
            [float(bpm), float(w)] for bpm, w in rhythm.picture.tempo_alternatives
        ]
    return record


def _sound_record(sound: SoundRhythm) -> dict[str, Any]:
    beats = {"beats_s": json_floats(sound.beats_s), "downbeats_s": json_floats(sound.downbeats_s)}
    numbers = {"tempo_bpm": float(sound.tempo_bpm), "confidence": round(float(sound.confidence), 4)}
    return beats | numbers | {"reason": sound.reason}


def _sound_of(record: dict[str, Any]) -> SoundRhythm:
    beats_s, downbeats_s = (np.asarray(record[name], np.float32) for name in ("beats_s", "downbeats_s"))
    return SoundRhythm(beats_s, downbeats_s, record["tempo_bpm"], record["confidence"], record["reason"])


def rhythm_of(record: dict[str, Any]) -> Rhythm:
    """The inverse of `rhythm_record`."""
    return Rhythm(
        **{name: np.asarray(record[name], np.float32) for name in _ARRAYS},
        speed=np.asarray(record["speed"], np.float32).reshape(-1, 4),
        fps=record["fps"],
        speed_fps=record["speed_fps"],
        tempo_bpm=record["tempo_bpm"],
        tempo_alternatives=tuple((bpm, weight) for bpm, weight in record["tempo_alternatives"]),
        sound=_sound_of(record["sound"]) if record.get("sound") else None,
        source=record.get("source") or "picture",
        picture=rhythm_of(_NOTHING | {"fps": record["fps"], **record["picture"]}) if record.get("picture") else None,
    )


def segment_record(segment: Segment) -> dict[str, Any]:
    """A Segment as JSON: its seconds, its embedding (E,) and its rhythm vector (R,)."""
    return {
        "start_s": segment.start_s,
        "end_s": segment.end_s,
        "embedding": json_floats(segment.embedding),
        "rhythm": json_floats(segment.rhythm),
    }


def to_bytes(vector: Array) -> bytes:
    """Encodes a vector (D,) as little-endian float32.

    ValueError unless its numbers are finite and its norm at most 1.
    """
    array = np.asarray(vector, "<f4")
    if array.ndim != 1 or not float(array.astype(np.float64) @ array.astype(np.float64)) <= 1.001:
        raise ValueError("a vector must have one axis, finite numbers, and a norm of 1 at most")
    return array.tobytes()


def from_bytes(data: bytes) -> Array:
    """Decodes a vector (D,) to a copy that may be written to."""
    return np.frombuffer(data, "<f4").astype(np.float32)


def iso_time(seconds: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def clean_text(value: str, name: str, longest: int = 500) -> str:
    """The text without outer blanks; BadRequest for what no database takes (NUL, lone surrogates, too long)."""
    text = value.strip()
    if len(text) > longest:
        raise BadRequest(f"{name} is longer than {longest} characters")
    if not is_text(text):
        raise BadRequest(f"{name} holds a character that is not text")
    return text


def is_text(value: str) -> bool:
    """Whether it can be stored and sent: Unicode scalar values alone (no lone surrogate), and no NUL."""
    return "\x00" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value)


def parse_json_object(text: str, name: str) -> dict[str, Any]:
    """The JSON object that a sender wrote as text, fit to be stored and sent. BadRequest, as `check_json`."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_JSON_BYTES:
        raise BadRequest(f"{name} is longer than 64 KiB")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise BadRequest(f"{name} is nested deeper than {MAX_JSON_DEPTH} levels") from error
    except ValueError as error:
        raise BadRequest(f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest(f'{name} must be a JSON object, like {{"dancer": "Ana"}}.')
    return check_json(value, name)


def check_json(value: Mapping[str, Any], name: str, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The same as a dict, checked to be JSON that both databases take and every client can read.

    BadRequest: more than 16 levels, more than `max_bytes`, a number that is not finite, text that is none.
    """
    _check_json_value(value, name, 1)
    try:
        size_bytes = len(json.dumps(dict(value), ensure_ascii=False, separators=(",", ":")).encode())
    except (TypeError, ValueError) as error:  # an integer of more digits than Python writes
        raise BadRequest(f"{name} is not JSON: {error}") from error
    if size_bytes > max_bytes:
        raise BadRequest(f"{name} is longer than {max_bytes} bytes")
    return dict(value)


def _check_json_value(value: Any, name: str, depth: int) -> None:
    if isinstance(value, Mapping | list | tuple):
        if depth > MAX_JSON_DEPTH:
            raise BadRequest(f"{name} is nested deeper than {MAX_JSON_DEPTH} levels")
        children = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
        for child in children:
            _check_json_value(child, name, depth + 1)
    elif isinstance(value, str) and not is_text(value):
        raise BadRequest(f"{name} holds a character that is not text")
    elif isinstance(value, float) and not math.isfinite(value):
        raise BadRequest(f"{name} holds a number that is not finite")


def cursor_of(created_at: float, row_id: str) -> str:
    """Where a page ended, opaque and fit for a URL."""
    return base64.urlsafe_b64encode(json.dumps([created_at, row_id]).encode()).decode().rstrip("=")


def parse_cursor(cursor: str) -> tuple[float, str]:
    """The inverse of `cursor_of`; BadRequest when it is none of ours."""
    try:
        created_at, row_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not (math.isfinite(created_at) and is_text(row_id)):
            raise ValueError("neither a time nor an id")
        return float(created_at), str(row_id)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadRequest("this cursor is none of ours", hint="Use next_cursor of the previous page.") from error
