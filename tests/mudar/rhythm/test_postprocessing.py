"""Two readings of a dance: the network's peaks where it is sure, the best even chain of the filter's where not."""

from dataclasses import replace

import numpy as np

from mudar.model.config import FILTER_HEADS, small
from mudar.rhythm.peaks import strokes_from_curve
from mudar.rhythm.postprocessing import MIN_CONFIDENCE, postprocess
from mudar.rhythm.tempo import tempo, track_beats

FPS, CONFIG = 15.0, replace(small(), rhythm_heads=("beat", "downbeat"))


def bells(times_s: np.ndarray, height: float, seconds: float = 24.0) -> np.ndarray:
    away_s = np.abs(np.arange(round(seconds * FPS))[:, None] / FPS - times_s).min(axis=1)
    return (height * np.exp(-0.5 * (away_s / 0.05) ** 2)).astype(np.float32)


BEATS_S = np.arange(0.37, 24.0, 0.52)
UNEVEN_S = BEATS_S + 0.09 * np.sin(np.arange(len(BEATS_S)) * 2.1)


def filtered(noise: float) -> np.ndarray:
    """A filter's curves: weak bells on the beats and on every fourth, in noise."""
    rng = np.random.default_rng(3)
    columns = {"beat": BEATS_S, "beat13": BEATS_S[::2], "downbeat": BEATS_S[2::4]}
    curves = np.stack([bells(columns[name], 0.2) for name in FILTER_HEADS], axis=1)
    return (curves + noise * rng.random(curves.shape) + 0.1).astype(np.float32)


def network(height: float) -> np.ndarray:
    return np.stack([bells(UNEVEN_S, height), bells(UNEVEN_S[1::4], height)], axis=1)


def hits(beats_s: np.ndarray) -> float:
    near = np.abs(np.asarray(beats_s)[:, None] - BEATS_S).min(axis=1) < 0.05
    return 2 * float(near.sum()) / (len(beats_s) + len(BEATS_S))


def test_a_sure_network_strikes_where_its_peaks_are() -> None:
    curves = network(0.9)
    assert MIN_CONFIDENCE < 0.9
    read = postprocess(CONFIG, curves, filtered(0.3), FPS)
    times_s, strengths = strokes_from_curve(curves[:, 0], FPS)
    assert read.times_s.tolist() == times_s.tolist()
    assert read.strengths.tolist() == strengths.tolist()
    assert read.curve.tolist() == curves[:, 0].tolist()
    assert not len(read.peaks_s)


def test_without_a_filter_the_network_is_read_however_unsure() -> None:
    curves = network(0.2)
    read = postprocess(CONFIG, curves, None, FPS)
    assert read.times_s.tolist() == strokes_from_curve(curves[:, 0], FPS)[0].tolist()
    assert read.tempo_bpm == tempo(curves[:, 0], FPS)[0]
    assert read.beats_s.tolist() == track_beats(curves[:, 0], FPS, read.tempo_bpm).tolist()
    assert len(read.bars_s)


def test_an_unsure_network_leaves_it_to_the_filter_and_its_beats_to_their_regularity() -> None:
    noisy = filtered(0.3)
    read = postprocess(CONFIG, network(0.2), noisy, FPS)
    assert read.curve.tolist() == noisy[:, 0].tolist()
    assert hits(read.times_s) > 0.9
    assert hits(read.times_s) > hits(strokes_from_curve(noisy[:, 0], FPS)[0]) + 0.1
    assert abs(read.tempo_bpm * 0.52 / 60 - 1) < 0.02
    assert np.abs(read.bars_s[:, None] - BEATS_S[2::4]).min(axis=1).max() < 0.08
    assert len(read.strengths) == len(read.times_s)
    assert 0 <= read.strengths.min() <= read.strengths.max() <= 1
    assert read.peaks_s.tolist() == strokes_from_curve(network(0.2)[:, 0], FPS)[0].tolist()
    assert len(read.peak_strengths) == len(read.peaks_s)


def test_a_clip_in_which_nothing_moves_has_no_strokes() -> None:
    read = postprocess(CONFIG, np.zeros((90, 2), np.float32), np.full((90, len(FILTER_HEADS)), 0.2, np.float32), FPS)
    assert len(read.times_s) == len(read.beats_s) == len(read.bars_s) == 0
    assert read.tempo_bpm == 0
