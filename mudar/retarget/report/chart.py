"""Draws the report: strokes and beats before and after, the map, the speed over time. Pillow only.

Drawn at twice the size and shrunk, which makes lines smooth. Knows the report, no media.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mudar.retarget.events import Floats
from mudar.retarget.report.export import Report, time_map
from mudar.rhythm.metrics import distance_s

WIDTH, HEIGHT, SCALE = 1280, 800, 2
LEFT, RIGHT = 110, 1250
INK, FAINT, BEAT, STROKE, MAP, IMPACT = "#1d2330", "#c9ced8", "#e8a33d", "#2f6fde", "#169b62", "#b0368f"
MISSED = "#f6dfb8"
STROKE_ROWS = ((96, 126, "before"), (132, 162, "after"))
IMPACT_ROW = (168, 190)
ONSET_ROW = (196, 203)
TIGHT = 60  # beats in the picture above which lines get thinner
MAP_TOP, MAP_BOTTOM = 246, 500
SPEED_TOP, SPEED_BOTTOM = 560, 740


class _Sheet:
    """Draws on a canvas with seconds from left to right."""

    def __init__(self, duration_s: float) -> None:
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
        self._draw = ImageDraw.Draw(self.image)
        self._duration_s = duration_s

    def x(self, second: float) -> float:
        return LEFT + (RIGHT - LEFT) * second / self._duration_s

    def line(self, points: Iterable[tuple[float, float]], colour: str, width: float = 1.0) -> None:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        self._draw.line(scaled, fill=colour, width=max(1, round(width * SCALE)), joint="curve")

    def text(self, x: float, y: float, words: str, size: int = 14, colour: str = INK, anchor: str = "ls") -> None:
        font = ImageFont.load_default(size * SCALE)
        self._draw.text((x * SCALE, y * SCALE), words, fill=colour, font=font, anchor=anchor)

    def ticks(self, seconds: Iterable[float], top: float, bottom: float, colour: str, width: float) -> None:
        for second in seconds:
            if 0 <= second <= self._duration_s:
                self.line([(self.x(second), top), (self.x(second), bottom)], colour, width)

    def curve(self, seconds: Floats, heights: Floats, colour: str, width: float) -> None:
        self.line([(self.x(float(s)), float(y)) for s, y in zip(seconds, heights, strict=True)], colour, width)


def draw(report: Report, path: str | Path, title: str = "") -> None:
    """Writes the report as a PNG of 1280x800."""
    duration_s = float(report["duration_s"])
    sheet = _Sheet(duration_s)
    sheet.text(LEFT, 36, title or f"{report['method']}, accent {report['accent']:g}, {report['interpolation']}", 20)
    sheet.text(LEFT, 62, _summary(report), 14)
    _strokes(sheet, report)
    warp, times = time_map(report), np.linspace(0, duration_s, 1600)
    _map(sheet, report, times, warp.source_s(times))
    _speed(sheet, report, times, warp.speed(times))
    for second in np.arange(0, duration_s, _step(duration_s)):
        sheet.text(sheet.x(float(second)), SPEED_BOTTOM + 22, f"{second:g} s", 12, anchor="ms")
    sheet.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(path, format="PNG", optimize=True)


def _summary(report: Report) -> str:
    parts = [f"{name.replace('_', ' ')} {_three(report[name])}" for name in ("beats_hit", "onsets_hit")]
    if "independent" in report:
        parts.append(f"seen by flow alone {_three(report['independent']['beats_hit'])}")
    return "  |  ".join(parts)


def _three(score: dict[str, float]) -> str:
    return f"{score['before']:.2f} -> {score['after']:.2f} (chance {score['chance']:.2f})"


def _strokes(sheet: _Sheet, report: Report) -> None:
    """Draws strokes over beats, before and after; a beat that none is near, within a frame, is pale."""
    beats = np.array(report["beats"]["output_s"] or report["onsets"]["output_s"])
    rows = [
        (*row, np.array(report["strokes"][name]), STROKE)
        for row, name in zip(STROKE_ROWS, ("before_s", "output_s"), strict=True)
    ]
    if "independent" in report:
        rows.append((*IMPACT_ROW, "seen", np.array(report["independent"]["impacts"]["output_s"]), IMPACT))
    width = 2.5 * min(1.0, (TIGHT / max(len(beats), 1)) ** 0.5)
    for top, bottom, name, strokes, colour in rows:
        sheet.line([(LEFT, bottom), (RIGHT, bottom)], FAINT)
        hit = distance_s(beats, strokes) <= 1 / float(report["fps"]) + 1e-9
        sheet.ticks(beats[~hit], top, bottom, MISSED, width)
        sheet.ticks(beats[hit], top, bottom, BEAT, width)
        sheet.ticks(strokes, top + 8, bottom, colour, 0.8 * width)
        sheet.text(LEFT - 10, bottom - 6, name, anchor="rs")
    sheet.ticks(report["onsets"]["output_s"], *ONSET_ROW, INK, 0.4 * width)
    sheet.text(LEFT - 10, ONSET_ROW[1] + 2, "onsets", anchor="rs")
    legend = (("beats hit", BEAT), ("missed", "#d9b777"), ("strokes", STROKE), ("seen by flow alone", IMPACT))
    x = RIGHT
    for words, colour in reversed(legend[: 3 + ("independent" in report)]):
        sheet.text(x, 88, words, 12, colour, "rs")
        x -= 7 * len(words) + 14


def _map(sheet: _Sheet, report: Report, times: Floats, source: Floats) -> None:
    low, high = float(source.min()), float(source.max())

    def y(second: float) -> float:
        return MAP_BOTTOM - (MAP_BOTTOM - MAP_TOP) * (second - low) / max(high - low, 1e-9)

    _frame(sheet, MAP_TOP, MAP_BOTTOM, "source (s) over output (s), with the landings; pale: an even speed")
    for second in (low, high):
        sheet.text(LEFT - 10, y(second) + 5, f"{abs(second):.1f}", 12, anchor="rs")  # -0.0 is 0.0
    sheet.line([(sheet.x(0), y(low)), (sheet.x(float(times[-1])), y(high))], FAINT, 1)
    sheet.curve(times, np.array([y(float(s)) for s in source]), MAP, 2.0)
    width = 2.5 * min(1.0, (TIGHT / max(len(report["landings"]["output_s"]), 1)) ** 0.5)
    for second, shown in zip(report["landings"]["output_s"], report["landings"]["source_s"], strict=True):
        if 0 <= second <= times[-1]:
            sheet.line([(sheet.x(second), y(shown) - 4), (sheet.x(second), y(shown) + 4)], STROKE, width)


def _speed(sheet: _Sheet, report: Report, times: Floats, speed: Floats) -> None:
    bounds: list[Any] = [b for b in report["speed_bounds"] if b is not None]
    low, high = min([0.5, *bounds, float(speed.min())]), max([1.6, *bounds, float(speed.max())])

    def y(value: float) -> float:
        return SPEED_BOTTOM - (SPEED_BOTTOM - SPEED_TOP) * (value - low) / (high - low)

    _frame(sheet, SPEED_TOP, SPEED_BOTTOM, "speed of the picture")
    sheet.ticks(report["beats"]["output_s"], SPEED_TOP, SPEED_BOTTOM, "#f6e3c4", 1.0)
    for value in {1.0, *bounds}:
        sheet.line([(LEFT, y(value)), (RIGHT, y(value))], FAINT, 1)
        sheet.text(LEFT - 10, y(value) + 5, f"{value:g}x", 12, anchor="rs")
    sheet.curve(times, np.array([y(float(v)) for v in speed]), INK, 1.5)


def _frame(sheet: _Sheet, top: float, bottom: float, name: str) -> None:
    sheet.line([(LEFT, top), (LEFT, bottom), (RIGHT, bottom)], FAINT, 1.5)
    sheet.text(LEFT, top - 8, name, 13)


def _step(duration_s: float) -> float:
    """Returns the seconds between two labels: at most a dozen of them."""
    return next((step for step in (1.0, 2.0, 5.0, 10.0, 30.0, 60.0) if duration_s / step <= 12), 120.0)
