"""Draws a dance's strokes over its video, to be checked by eye.

    python -m training.tools.visualize_strokes looked CLIPS/mixed/a.mp4 CLIPS/bachata/b.mp4

A PNG for each clip, of its middle. Above, a column for each stroke: the picture 0.1 s before it, then, and 0.1 s after.
Below, time to the right: how fast the picture moves (white), the curve that strokes are read from (orange), strokes
(yellow, from above), and of the clip's own sound beats (green, from below) and onsets (grey, short). Printed: F1 of the
strokes against these beats, and against librosa's, within 70 ms beside chance, and the tempi. It makes pictures of the
people in the clips: keep them where the clips are.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import librosa
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from model_store.loader import load_served
from mudar.embed import Embedder
from mudar.features.flow import make_flow
from mudar.media.decode.audio import decode_audio
from mudar.media.decode.video import iter_frames
from mudar.records import Rhythm
from training.data.records import Image
from training.evaluation.metrics import chance_f1, f1

Array = NDArray[np.float32]
COLUMNS: Final = 12
STEP_S: Final = 0.1
TOLERANCE_S: Final = 0.07
_LIBROSA_HZ: Final = 22050
_CELL_PX, _GRAPH_PX, _LEAST_S = (132, 150), 240, 3.0
_STROKE, _CURVE, _SPEED = (255, 210, 0), (255, 110, 40), (235, 235, 235)
_BEAT, _ONSET = (0, 220, 120), (130, 130, 130)


def shown_strokes(times_s: Array, duration_s: float) -> Array:
    """At most `COLUMNS` strokes in a row, about the middle of the clip."""
    first = int(np.searchsorted(times_s, duration_s / 2)) - COLUMNS // 2
    first = max(0, min(first, len(times_s) - COLUMNS))
    return times_s[first : first + COLUMNS]


def contact_sheet(path: Path, times_s: Array) -> Image:
    """Draws the frames before, at and after each stroke, (3 · h, COLUMNS · w, 3) RGB."""
    width, height = _CELL_PX
    sheet = np.zeros((3 * height, COLUMNS * width, 3), np.uint8)
    requests = [(time_s + (row - 1) * STEP_S, row, column) for column, time_s in enumerate(times_s) for row in range(3)]
    requests.sort()
    image: Image | None = None
    for frame in iter_frames(path, fps=None, size=None):
        while requests and image is not None and requests[0][0] < frame.time_s:
            _paste(sheet, image, *requests.pop(0)[1:])
        image = np.asarray(frame.image, np.uint8)
    for _, row, column in requests:
        assert image is not None
        _paste(sheet, image, row, column)
    return sheet


def _paste(sheet: Image, picture: Image, row: int, column: int) -> None:
    width, height = _CELL_PX
    scale = min((width - 2) / picture.shape[1], (height - 2) / picture.shape[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    y, x = row * height, column * width + (width - small.shape[1]) // 2
    sheet[y : y + small.shape[0], x : x + small.shape[1]] = small


def graph(dance: Rhythm, music: Rhythm, start_s: float, end_s: float) -> Image:
    """Draws motion, strokes, beats and onsets from `start_s` to `end_s`, (h, COLUMNS · w, 3) RGB."""
    wide = COLUMNS * _CELL_PX[0]
    picture = np.zeros((_GRAPH_PX, wide, 3), np.uint8)

    def across(times_s: NDArray[np.floating]) -> NDArray[np.int32]:
        inside = times_s[(times_s >= start_s) & (times_s <= end_s)]
        return np.asarray(np.round((inside - start_s) / (end_s - start_s) * (wide - 1)), np.int32)

    for times_s, colour, top in (
        (music.times_s, _ONSET, _GRAPH_PX - 18),
        (music.beats_s, _BEAT, _GRAPH_PX // 2),
        (dance.times_s, _STROKE, 0),
    ):
        bottom = _GRAPH_PX // 2 if colour == _STROKE else _GRAPH_PX  # none hides another
        for x in across(times_s):
            cv2.line(picture, (int(x), top), (int(x), bottom), colour, 2)
    for values, fps, lead_s, colour in (
        (dance.total_speed, dance.speed_fps, 0.5, _SPEED),
        (dance.curve, dance.fps, 0.0, _CURVE),
    ):
        if len(values):
            times_s = (np.arange(len(values)) + lead_s) / fps
            inside = (times_s >= start_s) & (times_s <= end_s)
            level = values[inside] / max(float(values[inside].max(initial=0.0)), 1e-9)
            points = np.stack([across(times_s), _GRAPH_PX - 4 - (_GRAPH_PX - 8) * level], 1).round().astype(np.int32)
            cv2.polylines(picture, [points], False, colour, 1, cv2.LINE_AA)
    return picture


def draw(path: Path, embedder: Embedder, out: Path) -> str:
    """Writes `out`/NAME.png and returns a line about it. MediaErrors as `Embedder.file`."""
    dance, music = embedder.file(path, "dance"), embedder.file(path, "music")
    strokes, beats = dance.rhythm.times_s, music.rhythm.beats_s
    chosen_s = shown_strokes(strokes, dance.duration_s)
    if not len(chosen_s):
        return f"{path.name}: no stroke was found"
    start_s = max(0.0, float(chosen_s[0]) - 2 * STEP_S)
    end_s = max(float(chosen_s[-1]) + 2 * STEP_S, start_s + _LEAST_S)
    picture = np.concatenate([contact_sheet(path, chosen_s), graph(dance.rhythm, music.rhythm, start_s, end_s)])
    out.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out / f"{path.stem}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    how = "beat filter" if len(dance.rhythm.peaks_s) else "network's peaks"
    labels = {"our": beats, "librosa's": other_beats_s(path)}
    scores = [_score(whose, beats_s, strokes, dance.duration_s) for whose, beats_s in labels.items()]
    return (
        f"{path.name}: {len(strokes)} strokes by {how}, {dance.rhythm.tempo_bpm:.0f} bpm for "
        f"{music.rhythm.tempo_bpm:.0f}, F1 by {scores[0]}, by {scores[1]}, shown {start_s:.1f} to {end_s:.1f} s"
    )


def other_beats_s(path: Path) -> Array:
    """Beats of the clip's sound as librosa's own tracker has them, by its defaults, in seconds."""
    samples = decode_audio(path, _LIBROSA_HZ).samples
    _, beats_s = librosa.beat.beat_track(y=samples, sr=_LIBROSA_HZ, units="time")
    return np.asarray(beats_s, np.float32)


def _score(whose: str, beats_s: Array, strokes_s: Array, duration_s: float) -> str:
    hit, chance = f1(beats_s, strokes_s, TOLERANCE_S), chance_f1(beats_s, strokes_s, TOLERANCE_S, duration_s)
    return f"{whose} beats {hit:.2f} (chance {chance:.2f})"


def main(argv: Sequence[str] | None = None) -> None:
    """Draws the clips that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--model", default="mudar-small@served")
    args = parser.parse_args(argv)
    served = load_served(args.model)
    embedder = Embedder(served.model, served.spec, served.name, make_flow(served.spec.video, served.flow_weights))
    console = Console(soft_wrap=True, highlight=False)
    for clip in args.clips:
        console.print(draw(clip, embedder, args.out), markup=False)


if __name__ == "__main__":
    main()
