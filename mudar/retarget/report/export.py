"""Exports a retargeting for other programs: the time map and the markers as CSV, JSON and OpenTimelineIO.

All from the report, so that it can be done later, without the media. Knows no pixels.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mudar.errors import OutOfRange
from mudar.retarget.events import Floats
from mudar.retarget.warp.time_map import TimeMap

Report = dict[str, Any]
MARKED = {"landings": "GREEN", "beats": "YELLOW", "onsets": "CYAN"}  # what becomes a marker, and its colour in editors
SHORTEST_PIECE_FRAMES = 2


def time_map(report: Report) -> TimeMap:
    """Returns the exact map of a report."""
    nodes = report["map_nodes"]
    return TimeMap(*(np.array(nodes[name]) for name in ("output_s", "source_s", "speed")))


def map_csv(report: Report, dance: str = "", music: str = "") -> str:
    """Writes one line for each frame of the output: frame, output_s, source_s, speed."""
    warp, times = time_map(report), _frame_times(report)
    rows = zip(range(len(times)), times, warp.source_s(times), warp.speed(times), strict=True)
    return _csv(["frame", "output_s", "source_s", "speed"], [[n, *(f"{x:.6f}" for x in rest)] for n, *rest in rows])


def markers_csv(report: Report, dance: str = "", music: str = "") -> str:
    """Writes one line for each marker: kind, output_s, source_s, music_s."""
    rows = [
        [kind, *(f"{second:.4f}" for second in (at, source, at + float(report["offset_s"])))]
        for kind, at, source in _markers(report)
    ]
    return _csv(["kind", "output_s", "source_s", "music_s"], rows)


def map_json(report: Report, dance: str = "", music: str = "") -> str:
    """Writes the exact map (a cubic Hermite spline: nodes and slopes) and the markers."""
    return json.dumps(
        {
            "dance": dance,
            "music": music,
            "fps": _fps(report),
            "duration_s": report["duration_s"],
            "music_offset_s": report["offset_s"],
            "map": {"interpolation": "cubic_hermite", **report["map_nodes"]},
            "markers": [
                {"kind": kind, "output_s": round(at, 4), "source_s": round(source, 4)}
                for kind, at, source in _markers(report)
            ],
        },
        indent=1,
    )


def otio(report: Report, dance: str = "dance.mp4", music: str = "music.wav") -> str:
    """Writes an OpenTimelineIO timeline: the dance in pieces of constant speed, cut at the landings, over the song.

    Editors know constant speeds (LinearTimeWarp), so the ease between two landings is lost there; the exact map
    lies in the timeline's metadata. As OTIO has it, a clip lasts as long on the timeline as its source_range says,
    and shows that much times its time_scalar of the media.
    """
    import opentimelineio as oti  # a compiled library: only whoever exports waits for it

    rate, warp = _fps(report), time_map(report)

    def at(second: float) -> Any:
        return oti.opentime.RationalTime(round(second * rate), rate)

    def span(start_s: float, frames: int) -> Any:
        return oti.opentime.TimeRange(at(start_s), oti.opentime.RationalTime(frames, rate))

    frames = len(_frame_times(report))
    dance_end_s = float(warp.source_s(np.array([frames / rate]))[0])
    timeline = oti.schema.Timeline(name=f"{Path(dance).stem} on {Path(music).stem}")
    timeline.metadata["mudar"] = {"map": report["map_nodes"], "method": report["method"], "accent": report["accent"]}
    picture, sound = (oti.schema.Track(name=kind, kind=kind) for kind in ("Video", "Audio"))
    cuts = _cuts(report, frames)
    for first, last in itertools.pairwise(cuts):
        start_s, end_s = (float(s) for s in warp.source_s(np.array([first, last]) / rate))
        speed = (end_s - start_s) * rate / (last - first)
        shown = span(max(start_s, 0.0), last - first)
        clip = oti.schema.Clip(Path(dance).stem, _reference(dance, dance_end_s, rate), shown)
        clip.effects.append(oti.schema.LinearTimeWarp(name="speed", time_scalar=speed))
        picture.append(clip)
    offset_s = float(report["offset_s"])
    song = _reference(music, offset_s + frames / rate, rate)
    sound.append(oti.schema.Clip(Path(music).stem, song, span(offset_s, frames)))
    for kind, second, _ in _markers(report):
        marked = oti.opentime.TimeRange(at(second), oti.opentime.RationalTime(1, rate))
        picture.markers.append(oti.schema.Marker(name=kind, marked_range=marked, color=MARKED[f"{kind}s"]))
    timeline.tracks.extend([picture, sound])
    return str(timeline.to_json_string())


def _reference(path: str, end_s: float, rate: float) -> Any:
    """Makes the reference to a medium; available is what is used of it, since a report does not know its length."""
    import opentimelineio as oti

    frames = oti.opentime.RationalTime(int(np.ceil(end_s * rate)) + 1, rate)
    available = oti.opentime.TimeRange(oti.opentime.RationalTime(0, rate), frames)
    return oti.schema.ExternalReference(oti.url_utils.url_from_filepath(path), available)


FORMATS: dict[str, Callable[[Report, str, str], str]] = {
    "csv": map_csv,
    "markers.csv": markers_csv,
    "json": map_json,
    "otio": otio,
}


def format_of(path: str | Path) -> str:
    """Returns the form that a file's name asks for: .otio, .json, .csv or .markers.csv. Raises OutOfRange."""
    form = next((form for form in sorted(FORMATS, key=len, reverse=True) if Path(path).name.endswith(f".{form}")), None)
    if form is None:
        raise OutOfRange(f"{Path(path).name} names no form of export: end it in .{', .'.join(FORMATS)}.")
    return form


def export(report: Report, form: str, dance: str, music: str) -> str:
    """Returns the text of the file; `dance` and `music` are what it calls the media. Raises OutOfRange."""
    if form not in FORMATS:
        raise OutOfRange(f"There is no export as {form!r}: use {', '.join(FORMATS)}.")
    return FORMATS[form](report, dance, music)


def _cuts(report: Report, frames: int) -> list[int]:
    """Lists the frames at which one constant speed gives way to the next: the landings, none closer than two frames."""
    cuts = [0]
    for second in sorted(report["landings"]["output_s"]):
        frame = round(second * _fps(report))
        if cuts[-1] + SHORTEST_PIECE_FRAMES <= frame <= frames - SHORTEST_PIECE_FRAMES:
            cuts.append(frame)
    return [*cuts, frames]


def _markers(report: Report) -> list[tuple[str, float, float]]:
    """Lists (kind, output second, source second), by kind and time, inside the output."""
    warp, end_s = time_map(report), float(report["duration_s"])
    markers = []
    for kinds in MARKED:
        times = [t for t in report[kinds]["output_s"] if 0 <= t < end_s]
        markers += [(kinds[:-1], t, float(s)) for t, s in zip(times, warp.source_s(times), strict=True)]
    return markers


def _frame_times(report: Report) -> Floats:
    return np.arange(int(report["duration_s"] * _fps(report) + 1e-3)) / _fps(report)


def _fps(report: Report) -> float:
    return float(report["fps"])


def _csv(header: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
