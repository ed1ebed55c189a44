"""Generated records: some are read back from a coded file, as a user's clip is."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.features.motion import extract_motion
from mudar.spec import FeatureSpec
from training.data import extract as extracting
from training.data.extract import GeneratedJob, extract
from training.data.synthetic.clip import film, make_clip

SPEC = FeatureSpec()


def job(seed: int) -> GeneratedJob:
    return GeneratedJob(f"gen-{seed}", seed, seed // 3, 3.0)


def test_most_are_read_from_a_file_and_some_are_not() -> None:
    coded = [extracting._coding(job(seed)) is not None for seed in range(300)]
    assert 0.58 < np.mean(coded) < 0.75


@pytest.mark.slow
def test_a_coded_record_is_the_same_dance_each_time() -> None:
    seed = next(seed for seed in range(100) if extracting._coding(job(seed)))
    first, again = extract(job(seed), SPEC), extract(job(seed), SPEC)
    np.testing.assert_array_equal(first.between, again.between)
    clip = make_clip(seed, 3.0, song_seed=seed // 3, sample_rate_hz=SPEC.audio.sample_rate_hz)
    np.testing.assert_allclose(first.strokes_s, clip.truth.strokes_s, atol=1e-6)
    filmed = clip.dance.frames(SPEC.video.fps, *extracting._SIZES[seed % 4])
    clean = extracting.flow_descriptors(filmed, SPEC.video)
    size = min(len(clean), len(first.between))
    moved = [rows[:size, SPEC.video.hoof_bins] for rows in (clean, first.between)]
    assert abs(len(clean) - len(first.between)) <= 1
    assert np.corrcoef(*moved)[0, 1] > 0.5
    assert not np.array_equal(clean[:size], first.between[:size])  # coding leaves its marks


@pytest.mark.slow
def test_worse_quality_is_further_from_what_was_filmed(tmp_path) -> None:  # type: ignore[no-untyped-def]
    clip = make_clip(11, 3.0)
    read = []
    for crf in (12, 40):
        path = tmp_path / f"{crf}.mp4"
        film(path, clip, size=(256, 144), fps=30, crf=crf, with_audio=False)
        read.append(extract_motion(path, SPEC).between)
        assert path.stat().st_size > 0
    clean = extracting.flow_descriptors(clip.dance.frames(SPEC.video.fps, 256, 144), SPEC.video)
    size = min(len(clean), *(len(rows) for rows in read))
    away = [float(np.abs(rows[:size] - clean[:size]).mean()) for rows in read]
    assert away[0] < away[1]
