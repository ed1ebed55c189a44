"""Two trackers agree on a click, up to the octave, and the F-measure is that of mir_eval."""

from __future__ import annotations

import mir_eval
import numpy as np
import pytest

from mudar.rhythm.beat_tracking import agreement, librosa_beats
from mudar.rhythm.metrics import f_measure
from mudar.spec import AudioSpec


def test_the_f_measure_is_the_one_of_mir_eval() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        reference = np.cumsum(rng.uniform(0.2, 0.8, 20))
        estimate = np.sort(np.concatenate([reference[::2] + rng.normal(0, 0.05, 10), rng.uniform(0, 10, 5)]))
        assert f_measure(reference, estimate) == pytest.approx(mir_eval.onset.f_measure(reference, estimate, 0.07)[0])


@pytest.mark.slow
def test_librosa_finds_a_click_and_half_of_its_tempo_agrees_too() -> None:
    spec = AudioSpec()
    samples = np.zeros(12 * spec.sample_rate_hz, np.float32)
    clicks = np.arange(0.5, 12, 0.5)
    for time_s in clicks:
        first = round(time_s * spec.sample_rate_hz)
        samples[first : first + 200] = np.hanning(200)
    beats = librosa_beats(samples, spec)
    assert agreement(clicks, beats) > 0.9
    assert agreement(clicks[::2], beats) > 0.9
    assert agreement(clicks + 0.25, clicks) < 0.7


def test_nothing_agrees_with_nothing() -> None:
    assert agreement([], [1.0, 2.0]) == 0.0
