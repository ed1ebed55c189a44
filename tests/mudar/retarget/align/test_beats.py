"""Beats are paired one to one, bars with bars, at the octave that stretches least, within the bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mudar.retarget.align.beats import align_beats
from mudar.retarget.align.dtw import Downbeats
from mudar.retarget.events import Events, tempo_octaves
from mudar.retarget.warp.time_map import time_map

BOUNDS = (0.67, 1.5)
NONE = Downbeats(np.zeros(0), np.zeros(0))


def beats(bpm: float, count: int, jitter_s: float = 0.0, first_s: float = 0.2) -> Events:
    rng = np.random.default_rng(0)
    times = first_s + np.arange(count) * 60 / bpm + rng.normal(0, jitter_s, count)
    return Events(np.sort(times), np.ones(count))


@pytest.mark.slow
@given(st.floats(75, 160), st.floats(75, 160))
def test_what_is_paired_can_be_mapped(dance_bpm: float, song_bpm: float) -> None:
    dance, song = beats(dance_bpm, 24, 0.015), beats(song_bpm, 60, 0.01)
    pairs = align_beats(dance, tempo_octaves(song, "beats"), NONE, BOUNDS)
    if pairs is None:
        return
    assert (np.diff(pairs.music_s) > 0).all()
    low, high = time_map(pairs.music_s, pairs.source_s, BOUNDS).speed_range()
    assert BOUNDS[0] - 1e-6 <= low <= high <= BOUNDS[1] + 1e-6
    if 0.75 < song_bpm / dance_bpm < 1.4:
        assert pairs.octave == 1.0
        spacing = np.diff(np.round((pairs.source_s - 0.2) * dance_bpm / 60))
        assert (spacing >= 1).all()
        assert spacing.mean() < 1.3


def test_bars_begin_on_bars() -> None:
    dance, song = beats(120, 24), beats(110, 60)
    downbeats = Downbeats(dance.times_s[2::4], song.times_s[1::4])
    pairs = align_beats(dance, tempo_octaves(song, "beats"), downbeats, BOUNDS)
    assert pairs is not None
    first = int(np.abs(dance.times_s - pairs.source_s[0]).argmin())
    target = int(np.abs(song.times_s - pairs.music_s[0]).argmin())
    assert (first - 2) % 4 == (target - 1) % 4


def test_a_slow_song_is_met_at_the_double_tempo() -> None:
    pairs = align_beats(beats(140, 30), tempo_octaves(beats(75, 40), "beats"), NONE, BOUNDS)
    assert pairs is not None
    assert pairs.octave == 2.0


def test_beats_that_no_speed_brings_together_are_refused() -> None:
    assert align_beats(beats(120, 30), iter([(1.0, beats(60, 30))]), NONE, BOUNDS) is None


def test_a_missing_beat_is_filled() -> None:
    dance, song = beats(120, 30), beats(115, 60)
    gap = Events(np.delete(dance.times_s, 12), np.ones(29))
    pairs = align_beats(gap, tempo_octaves(song, "beats"), NONE, BOUNDS)
    assert pairs is not None
    assert np.abs(np.diff(pairs.source_s) / np.diff(pairs.music_s) - 115 / 120).max() < 0.05
