"""Extracts one clip's features to one record, by the functions of the core that serving runs.

A real file is decoded once; with `frames`, the same pass keeps the pictures that the network will look at. Two of three
generated clips are written to a file too, of some rate and quality, and read from there: a network that has learnt
from clean pictures alone takes what coding leaves of a still arm for its strokes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mudar.features.envelope import curve_at
from mudar.features.flow import FlowEstimator, make_flow
from mudar.features.hoof import mean_descriptor
from mudar.features.motion import extract_motion
from mudar.media.decode.audio import decode_audio
from mudar.rhythm.music import MusicFeatures, model_input, music_features
from mudar.spec import FeatureSpec, VideoSpec
from training.data.records import Array, ClipFeatures, Image, encode_jpeg
from training.data.synthetic.clip import Clip, film, make_clip

_SIZES = ((256, 144), (144, 256), (200, 200), (240, 180))  # generated clips are filmed in one of these
_CODED = 2 / 3  # share of generated clips that are read from a file
_RATES, _QUALITIES = (24, 25, 30), (19, 32)  # frames a second; x264's crf, from and up to


@dataclass(frozen=True)
class GeneratedJob:
    """Clip `seed` of song `song_seed`."""

    clip_id: str
    seed: int
    song_seed: int
    duration_s: float


@dataclass(frozen=True)
class RealJob:
    """A file, its song and who filmed it; `style` is its label, if its folder gives one."""

    clip_id: str
    path: Path
    song_id: str
    source: str
    style: str = ""


Job = GeneratedJob | RealJob


@dataclass(frozen=True)
class FrameSource:
    """Says what a record holds of the picture besides its motion, and what estimates that motion."""

    frames: bool = False  # for networks that look at frames
    flow_weights: Path | None = None  # for a spec whose flow is PWC-Net's


MOTION_ALONE = FrameSource()


def extract(job: Job, spec: FeatureSpec, frame_source: FrameSource = MOTION_ALONE) -> ClipFeatures:
    """Extracts the record of a job. Raises the media errors of the core for a file that cannot be used."""
    return _generated(job, spec, frame_source) if isinstance(job, GeneratedJob) else _real(job, spec, frame_source)


def flow_descriptors(images: Iterable[Image], spec: VideoSpec, flow: FlowEstimator | None = None) -> Array:
    """Describes the motion (T - 1, M) from each frame to the next, of frames at spec.fps."""
    estimate, previous, rows = flow or make_flow(spec), None, []
    for image in images:
        if previous is not None:
            rows.append(mean_descriptor(estimate(previous, image), spec))
        previous = image
    return np.stack(rows) if rows else np.zeros((0, spec.motion_dim), np.float32)


def _generated(job: GeneratedJob, spec: FeatureSpec, frame_source: FrameSource) -> ClipFeatures:
    clip = make_clip(job.seed, job.duration_s, song_seed=job.song_seed, sample_rate_hz=spec.audio.sample_rate_hz)
    collector = _Collector(spec.video.frame_size_px)
    coding = _coding(job)
    if coding is None:
        between = _of_pictures(clip, job, spec, frame_source, collector)
    else:
        between = _of_file(clip, job, spec, frame_source, collector, coding)
    truth, music = clip.truth, music_features(clip.music.samples, spec.audio)
    return ClipFeatures(
        clip_id=job.clip_id, song_id=truth.song_id, source=f"generated-{job.seed}", style=truth.style,
        origin="generated", duration_s=job.duration_s, between=between, onsets_s=music.onset_times_s,
        strokes_s=_times(truth.strokes_s), beats_s=_times(truth.beats_s), downbeats_s=_times(truth.downbeats_s),
        jpegs=tuple(collector.jpegs), flow_shape=spec.video.flow_shape, **_music_fields(music, spec, len(between) + 1),
    )  # fmt: skip


def _real(job: RealJob, spec: FeatureSpec, frame_source: FrameSource) -> ClipFeatures:
    music = music_features(decode_audio(job.path, spec.audio.sample_rate_hz).samples, spec.audio)
    collector = _Collector(spec.video.frame_size_px)
    between = _read(job.path, spec, frame_source, collector)
    count = len(between) + 1
    return ClipFeatures(
        clip_id=job.clip_id, song_id=job.song_id, source=job.source, style=job.style, origin="real",
        duration_s=count / spec.video.fps, between=between, onsets_s=music.onset_times_s,
        strokes_s=np.zeros(0, np.float32), beats_s=music.beats.times_s, downbeats_s=music.downbeats_s,
        jpegs=tuple(collector.jpegs), flow_shape=spec.video.flow_shape, **_music_fields(music, spec, count),
    )  # fmt: skip


def _coding(job: GeneratedJob) -> tuple[int, int] | None:
    """Frames a second and crf of the file that a clip is read back from; None for one that is seen as it was drawn."""
    rng = np.random.default_rng([job.seed, 6])
    return (int(rng.choice(_RATES)), int(rng.integers(*_QUALITIES))) if rng.random() < _CODED else None


def _of_pictures(
    clip: Clip, job: GeneratedJob, spec: FeatureSpec, frame_source: FrameSource, collector: _Collector
) -> Array:
    filmed = clip.dance.frames(spec.video.fps, *_SIZES[job.seed % len(_SIZES)])
    flow = make_flow(spec.video, frame_source.flow_weights)
    return flow_descriptors(collector.collecting(filmed) if frame_source.frames else filmed, spec.video, flow)


def _of_file(
    clip: Clip,
    job: GeneratedJob,
    spec: FeatureSpec,
    frame_source: FrameSource,
    collector: _Collector,
    coding: tuple[int, int],
) -> Array:
    size, (fps, crf) = _SIZES[job.seed % len(_SIZES)], coding
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        film(path, clip, size=size, fps=fps, crf=crf, with_audio=False)
        return _read(path, spec, frame_source, collector)


def _read(path: Path, spec: FeatureSpec, frame_source: FrameSource, collector: _Collector) -> Array:
    flow, frames = make_flow(spec.video, frame_source.flow_weights), frame_source.frames
    side = spec.video.frame_size_px if frames else None
    return extract_motion(path, spec, flow=flow, on_frame=collector if frames else None, frame_size_px=side).between


class _Collector:
    """Collects every frame that it is given, square and as JPEG."""

    def __init__(self, side_px: int) -> None:
        self.side_px = side_px
        self.jpegs: list[bytes] = []

    def __call__(self, image: Image) -> None:
        side = (self.side_px, self.side_px)
        square = image if image.shape[:2] == side else cv2.resize(image, side, interpolation=cv2.INTER_AREA)
        self.jpegs.append(encode_jpeg(np.asarray(square, np.uint8)))

    def collecting(self, images: Iterable[Image]) -> Iterable[Image]:
        """The same images, each looked at as it passes."""
        for image in images:
            self(image)
            yield image


def _music_fields(music: MusicFeatures, spec: FeatureSpec, frames: int) -> dict[str, Array]:
    envelope = curve_at(music.envelope, spec.audio, spec.video.fps, frames)
    return {"audio": model_input(music), "envelope": envelope}


def _times(times_s: Iterable[float]) -> Array:
    return np.asarray(times_s, np.float32)
