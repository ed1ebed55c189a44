"""One clip to one record, by the core's own features: the lines that serving runs. Knows no pool and no progress."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mudar.features.envelope import curve_at
from mudar.features.flow import DisFlow
from mudar.features.hoof import motion_descriptor
from mudar.features.music import model_input, music_features
from mudar.media.decode import decode_audio
from mudar.motion import read_motion
from mudar.spec import FeatureSpec, VideoSpec
from training.data.clip import make_clip
from training.data.store import Array, Record

_SIZES = ((256, 144), (144, 256), (200, 200), (240, 180))  # generated clips are filmed in one of these


@dataclass(frozen=True)
class GeneratedJob:
    """Clip `seed` of song `song_seed`."""

    clip_id: str
    seed: int
    song_seed: int
    duration_s: float


@dataclass(frozen=True)
class RealJob:
    """A file, its song and who filmed it."""

    clip_id: str
    path: Path
    song_id: str
    source: str


Job = GeneratedJob | RealJob


def extract(job: Job, spec: FeatureSpec) -> Record:
    """The record of a job. Raises the media errors of the core for a file that cannot be used."""
    return _generated(job, spec) if isinstance(job, GeneratedJob) else _real(job, spec)


def flow_descriptors(images: Iterable[np.ndarray], spec: VideoSpec) -> Array:
    """(T - 1, M): the motion from each frame to the next, of frames at spec.fps."""
    flow, previous, rows = DisFlow(spec), None, []
    for image in images:
        if previous is not None:
            rows.append(motion_descriptor(flow(previous, image), spec))
        previous = image
    return np.stack(rows) if rows else np.zeros((0, spec.motion_dim), np.float32)


def _generated(job: GeneratedJob, spec: FeatureSpec) -> Record:
    clip = make_clip(job.seed, job.duration_s, song_seed=job.song_seed, sample_rate_hz=spec.audio.sample_rate_hz)
    width, height = _SIZES[job.seed % len(_SIZES)]
    between = flow_descriptors(clip.dance.frames(spec.video.fps, width, height), spec.video)
    heard = music_features(clip.music.samples, spec.audio)
    truth = clip.truth
    return Record(
        job.clip_id, truth.song_id, f"generated-{job.seed}", truth.style, "generated", job.duration_s, between,
        model_input(heard), curve_at(heard.envelope, spec.audio, spec.video.fps, len(between) + 1),
        heard.onset_times_s, *(np.asarray(t, np.float32) for t in (truth.strokes_s, truth.beats_s, truth.downbeats_s)),
    )  # fmt: skip


def _real(job: RealJob, spec: FeatureSpec) -> Record:
    heard = music_features(decode_audio(job.path, spec.audio.sample_rate_hz).samples, spec.audio)
    between = read_motion(job.path, spec).between
    count = len(between) + 1
    return Record(
        job.clip_id, job.song_id, job.source, "", "real", count / spec.video.fps, between, model_input(heard),
        curve_at(heard.envelope, spec.audio, spec.video.fps, count), heard.onset_times_s, np.zeros(0, np.float32),
        heard.beats.times_s, heard.downbeats_s,
    )  # fmt: skip
