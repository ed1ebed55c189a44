"""Generated clips: seeded, on one clock, light, and real files that the core can read."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mudar.media.decode.audio import decode_audio
from mudar.media.decode.video import iter_frames
from mudar.rhythm.music import music_features
from mudar.spec import AudioSpec
from training.data.synthetic.clip import make_clip, write_clip, write_song
from training.data.synthetic.music.beatgrid import make_grid
from training.data.synthetic.music.music import GROOVES
from training.data.synthetic.video.dancer import Dance, make_dance
from training.data.synthetic.video.figure import JOINT, joints, mirrored
from training.data.synthetic.video.film import Body
from training.data.synthetic.video.styles import STYLE, STYLES
from training.evaluation.metrics import f1

pytestmark = pytest.mark.slow


def test_the_seed_is_the_clip() -> None:
    one, same, other = make_clip(3, 3.0), make_clip(3, 3.0), make_clip(4, 3.0)
    assert one.truth == same.truth
    assert one.truth != other.truth
    assert np.array_equal(one.music.samples, same.music.samples)
    pictures = [np.stack(list(clip.dance.frames(5, 64, 64))) for clip in (one, same, other)]
    assert np.array_equal(pictures[0], pictures[1])
    assert not np.array_equal(pictures[0], pictures[2])


@pytest.mark.parametrize("style", [s.name for s in STYLES])
def test_every_style_strokes_on_its_grid(style: str) -> None:
    truth = make_clip(21, 12.0, style=style).truth
    grid = np.asarray(truth.beats_s)
    eighths = np.sort(np.concatenate([grid, (grid[1:] + grid[:-1]) / 2]))
    strokes = np.asarray(truth.strokes_s)
    inside = strokes[(strokes > eighths[0]) & (strokes < eighths[-1])]
    assert len(inside) >= 5
    assert np.abs(inside[:, None] - eighths[None]).min(axis=1).max() <= 0.031  # the dancer's own jitter, no more


def test_the_music_has_its_onsets_on_the_beats() -> None:
    clip = make_clip(6, 12.0, style="jump", sample_rate_hz=24_000)
    heard = music_features(clip.music.samples, AudioSpec())
    near = np.abs(np.asarray(clip.truth.beats_s)[:, None] - heard.onset_times_s[None]).min(axis=1)
    assert np.median(near) < 0.010
    assert f1(clip.truth.beats_s, heard.beats.times_s, 0.07) > 0.85


def test_a_mirrored_pose_is_the_mirrored_body() -> None:
    poses = np.random.default_rng(0).normal(scale=0.1, size=(5, 22))
    flipped = joints(mirrored(poses))
    straight = joints(poses) * np.array([-1.0, 1.0, 1.0])
    for name in ("head", "neck", "hand", "knee", "toe"):
        for side in ("",) if name in JOINT else ("_l", "_r"):
            other = {"": "", "_l": "_r", "_r": "_l"}[side]
            assert np.allclose(flipped[:, JOINT[name + side]], straight[:, JOINT[name + other]], atol=1e-9)


def test_limbs_keep_their_lengths() -> None:
    positions = joints(np.random.default_rng(1).normal(scale=0.2, size=(50, 22)))
    for a, b in (("hip_l", "knee_l"), ("knee_l", "ankle_l"), ("shoulder_r", "elbow_r"), ("elbow_r", "hand_r")):
        length = np.linalg.norm(positions[:, JOINT[a]] - positions[:, JOINT[b]], axis=1)
        assert np.ptp(length) < 1e-6


def test_a_grid_keeps_its_tempo_and_covers_the_clip() -> None:
    grid = make_grid(np.random.default_rng(2), 30.0, 120.0, drift=0.01)
    assert grid.beats_s[0] < 0 < 30.0 < grid.beats_s[-1]
    assert abs(np.diff(grid.beats_s).mean() - 0.5) < 0.01


def test_a_written_clip_reads_back_as_what_was_filmed(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    truth = write_clip(path, 9, 3.0, width=160, height=96, fps=30)
    filmed = list(make_clip(9, 3.0).dance.frames(30, 160, 96))
    read = [frame.image for frame in iter_frames(path, fps=None, size=None)]
    assert len(read) == len(filmed) == 90
    assert np.abs(read[45].astype(int) - filmed[45]).mean() < 8
    sound = decode_audio(path, 24_000)
    assert abs(len(sound.samples) / 24_000 - truth.duration_s) < 0.06


@pytest.mark.parametrize("name", ["song.wav", "song.flac"])
def test_a_written_song_reads_back_on_time(tmp_path: Path, name: str) -> None:
    truth = write_song(tmp_path / name, 4, 6.0, groove="house")
    heard = music_features(decode_audio(tmp_path / name, 24_000).samples, AudioSpec())
    near = np.abs(np.asarray(truth.beats_s)[:, None] - heard.onset_times_s[None]).min(axis=1)
    assert np.median(near) < 0.010
    assert truth.groove == "house" in GROOVES


def test_dances_differ_in_all_that_real_ones_differ_in() -> None:
    """Company, passers-by, cameras, strokes that land, pass and launch; each often enough to be learnt from."""
    grid = make_grid(np.random.default_rng(0), 1.0, 120.0)
    dances = [make_dance(seed, grid, 1.0) for seed in range(80)]
    company = [len(dance.bodies) for dance in dances]
    assert {1, 2, 3} <= set(company)
    assert 0.3 < np.mean(np.array(company) > 1) < 0.7
    assert {0.0, 0.5, 1.0, 1.8} == {dance.camera_motion for dance in dances}
    eases = [STYLE[dance.style].make(np.random.default_rng(0)).ease for dance in dances]
    assert eases.count("land") > 20
    assert eases.count("pass") > 15
    assert eases.count("launch") > 1


def test_whoever_stands_in_front_hides_who_stands_behind() -> None:
    grid, checked = make_grid(np.random.default_rng(0), 1.0, 120.0), 0
    for seed in range(40):
        dance = make_dance(seed, grid, 0.2)
        if len(dance.bodies) != 2:
            continue
        back, front = dance.bodies

        def shown(*bodies: Body, dance: Dance = dance) -> np.ndarray:
            return next(iter(replace(dance, bodies=bodies).frames(5, 96, 96)))

        empty = shown(replace(back, at_x=9.0))
        hidden = (shown(front) != empty).any(axis=2) & (shown(back) != empty).any(axis=2)
        if hidden.sum() > 100:  # blended edges show a little of both
            assert np.median(np.abs(shown(back, front)[hidden].astype(int) - shown(front)[hidden])) <= 1
            checked += int(hidden.sum())
    assert checked > 200  # pixels at which one was before the other


def test_dancers_and_songs_need_no_torch() -> None:
    code = "import sys, training.data.synthetic.clip; sys.exit('torch' in sys.modules or 'librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
