"""Computes what the code gives for each golden case: a flat dict of arrays. Only this file calls the core.

Keys that end in `_s` are seconds.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from model_store.loader import load_served
from mudar.embed import Embedder
from mudar.records import Analysis
from mudar.retarget.plan import plan
from mudar.retarget.retarget import AnalyzedFile, retarget
from mudar.retarget.settings import RetargetSettings
from tests.golden.inputs import INPUTS, write_input

Values = dict[str, NDArray[np.float64]]
PLANS = {
    "plan_landing_middle": ("dance_landing.mp4", "song_middle.flac", ("dtw", "shift", "acceleration")),
    "plan_uneven_late": ("dance_uneven.mp4", "song_late.wav", ("dtw",)),
}
RENDERED = "rendered_landing_middle"
RENDERED_S = 3.0
FILES = {Path(name).stem: name for name in INPUTS}
CASES = (*FILES, *PLANS, RENDERED)
SAMPLES = 101  # of a time map, over the whole output


class Figures:
    """Golden cases computed on demand, each file analysed once. The inputs are written into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._embedder = Embedder.from_loaded(load_served())
        self._analysis = cache(self._analysed)

    def of(self, case: str) -> Values:
        """Everything that is compared for this case."""
        if case in FILES:
            return _analysis_values(self._analysis(FILES[case]))
        values = self._rendered() if case == RENDERED else self._planned(*PLANS[case])
        return {key: np.asarray(value, np.float64) for key, value in values.items()}

    def _analysed(self, name: str) -> Analysis:
        kind = "dance" if name.startswith("dance") else "music"
        return self._embedder.file(write_input(self._folder, name), kind)

    def _planned(self, dance_name: str, song_name: str, methods: tuple[str, ...]) -> Values:
        """Landings and time map of each method."""
        dance, song = self._analysis(dance_name), self._analysis(song_name)
        values = {}
        for method in methods:
            made = plan(dance.rhythm, dance.duration_s, song.rhythm, song.duration_s, RetargetSettings(method=method))
            at_s = np.linspace(0.0, made.duration_s, SAMPLES)
            of_method = {
                "landing_music_s": made.knots_music_s,
                "landing_source_s": made.knots_source_s,
                "landing_output_s": made.knots_output_s,
                "offset_s": made.offset_s,
                "duration_s": made.duration_s,
                "octave": made.octave,
                "map_node_output_s": made.time_map.output_s,
                "map_node_source_s": made.time_map.nodes_s,
                "map_slope": made.time_map.slopes,
                "map_output_s": at_s,
                "map_source_s": made.time_map.source_s(at_s),
            }
            values |= {f"{method}.{key}": value for key, value in of_method.items()}
        return values

    def _rendered(self) -> Values:
        """When the frames of a rendered file are shown, and what the time map shows then."""
        dance_name, song_name, _ = PLANS["plan_landing_middle"]
        dance, song = self._analysis(dance_name), self._analysis(song_name)
        out = self._folder / "rendered.mp4"
        files = (
            AnalyzedFile(write_input(self._folder, name), analysis.rhythm)
            for name, analysis in ((dance_name, dance), (song_name, song))
        )
        settings = RetargetSettings(max_duration_s=RENDERED_S, encoder="libx264")
        result = retarget(*files, out, settings)
        with av.open(str(out)) as container:
            shown_s = np.array([float(frame.pts * frame.time_base) for frame in container.decode(video=0)])
        return {"frame_s": shown_s, "frame_source_s": result.time_map.source_s(shown_s), "length_s": result.duration_s}


def _analysis_values(analysis: Analysis) -> Values:
    rhythm, segments = analysis.rhythm, analysis.segments
    values = {
        "duration_s": analysis.duration_s,
        "point_s": rhythm.times_s,
        "point_strength": rhythm.strengths,
        "rhythm_curve": rhythm.curve,
        "tempo_bpm": rhythm.tempo_bpm,
        "tempo_alternatives": rhythm.tempo_alternatives,
        "beat_s": rhythm.beats_s,
        "downbeat_s": rhythm.downbeats_s,
        "impact_s": rhythm.impacts_s,
        "speed": rhythm.speed,
        "peak_s": rhythm.peaks_s,
        "peak_strength": rhythm.peak_strengths,
        "segment_start_s": [segment.start_s for segment in segments],
        "segment_end_s": [segment.end_s for segment in segments],
        "segment_embedding": [segment.embedding for segment in segments],
        "segment_rhythm": [segment.rhythm for segment in segments],
    }
    return {key: np.asarray(value, np.float64) for key, value in values.items()}
