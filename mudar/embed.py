"""Embeds a file: media, features and network make its Analysis, that is segments, rhythm and tempo.

Streaming: of a file of any length only its descriptors are in memory. Knows no names of models, no database and no
queue. Sections 3 and 4.3.

Shapes: T model frames; M motion features; S segments; W frames of one; E, R the lengths of its vectors; H rhythm
heads; k, C positions and channels of a frame's map.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mudar.errors import MediaError, MediaTooShort
from mudar.features.envelope import curve_at
from mudar.features.flow import FlowEstimator, make_flow
from mudar.features.motion import Motion, extract_motion
from mudar.features.windows import Window, overlap_add, windows
from mudar.media.decode.audio import decode_audio
from mudar.model.checkpoint import LoadedModel
from mudar.model.frame_features import FrameFeatureExtractor
from mudar.model.inputs import motion_input
from mudar.model.mudar import Mudar
from mudar.progress import Progress, ignore, scaled
from mudar.records import Analysis, Array, Kind, Rhythm, Segment, SoundRhythm
from mudar.rhythm.beat_tracking import agreement, librosa_beats
from mudar.rhythm.descriptors import dance_descriptor, music_descriptor
from mudar.rhythm.motion_speed import braking_s, picture_speed
from mudar.rhythm.music import MusicFeatures, model_input, music_features
from mudar.rhythm.own_sound import FEWEST_BEATS, sound_evidence, sound_rhythm, with_sound
from mudar.rhythm.postprocessing import postprocess
from mudar.rhythm.smoothing import snap_and_smooth
from mudar.spec import FeatureSpec

D = TypeVar("D", np.float16, np.float32)
Maps = NDArray[np.float16]
_SEGMENTS_AT_ONCE = 16
SPEED_FPS = 30.0  # of the speed that a retargeting looks at: braking lies below 4 Hz


class Embedder:
    """Embeds files with one model. Not for several threads at once: give each worker its own.

    >>> embedder = Embedder.from_loaded(load("model_store/checkpoints/mudar-small/0.5.0"))
    >>> len(embedder.music("song.wav").rhythm.beats_s) > 4
    True
    """

    def __init__(self, model: Mudar, spec: FeatureSpec, name: str, flow: FlowEstimator | None = None) -> None:
        self.model, self.spec, self.name = model.eval(), spec, name
        self.config = model.config
        self.flow = flow or make_flow(spec.video)

    @classmethod
    def from_loaded(cls, loaded: LoadedModel) -> Embedder:
        """Makes the embedder of a checkpoint that was loaded."""
        device = str(next(loaded.model.parameters()).device)
        flow = make_flow(loaded.spec.video, loaded.flow_weights, device)
        return cls(loaded.model, loaded.spec, loaded.name, flow)

    def warm_up(self) -> None:
        """Pays now what the first file would: librosa's compiled kernels, the network's first pass over music."""
        audio, segment = self.spec.audio, self.spec.segment
        clicks = np.zeros(round(segment.window_s * audio.sample_rate_hz), np.float32)
        clicks[:: audio.sample_rate_hz // 2] = 1.0
        where = windows(segment.window_s, self.spec.frames_per_segment, self.spec)
        self._embed_music(music_features(clicks, audio), where, ignore)
        librosa_beats(clicks, audio)

    def file(self, path: str | Path, kind: Kind, progress: Progress = ignore) -> Analysis:
        """Analyses a file by `dance` or by `music`, as `kind` says."""
        return self.dance(path, progress) if kind == "dance" else self.music(path, progress)

    def dance(self, path: str | Path, progress: Progress = ignore) -> Analysis:
        """Analyses a video's picture. Raises NoVideoStream, StillVideo, MediaTooShort and other MediaErrors.

        A progress callback that raises ends the work there; nothing is left behind.
        """
        timer = _StageTimer()
        frames = FrameFeatureExtractor(self.model) if self.model.config.needs_frames else None
        motion = extract_motion(
            path,
            self.spec,
            flow=self.flow,
            on_frame=frames,
            frame_size_px=self.config.appearance_size_px if frames else None,
            progress=scaled(progress, 0.0, 0.9),
        )
        where = windows(motion.duration_s, motion.frames, self.spec)
        with timer.stage("network"):
            embeddings, curves = self._embed_dance(
                motion, frames.maps() if frames else None, where, scaled(progress, 0.9, 0.97)
            )
        with timer.stage("rhythm"):
            stitched = overlap_add(curves, where, motion.frames)  # (T, H)
            rows = motion_input(motion.between, self.spec.video)
            rhythm = self._dance_rhythm(stitched, rows, motion)
            vectors = dance_descriptor(self.config, self.spec.video, rows, rhythm.curve, where)
        with timer.stage("sound"):
            sound = self._own_sound(path, rows, motion.duration_s)
            rhythm = rhythm if sound is None else with_sound(rhythm, sound)
        progress(1.0, "rhythm")
        segments = _segments(where, embeddings, vectors)
        stage_s = motion.stage_s | timer.seconds()
        return Analysis("dance", motion.duration_s, self.name, rhythm, segments, stage_s)

    def music(self, path: str | Path, progress: Progress = ignore) -> Analysis:
        """Analyses a file's sound. Raises NoAudioStream, SilentAudio, MediaTooShort and other MediaErrors."""
        timer = _StageTimer()
        progress(0.0, "decode")
        with timer.stage("decode"):
            samples = decode_audio(path, self.spec.audio.sample_rate_hz).samples
        duration_s = len(samples) / self.spec.audio.sample_rate_hz
        if duration_s < self.spec.segment.min_s - 1e-3:
            raise MediaTooShort(f"{Path(path).name} sounds for {duration_s:.2f} s.")
        progress(0.3, "listen")
        with timer.stage("features"):
            features = music_features(samples, self.spec.audio)
        progress(0.7, "network")
        frames = max(round(duration_s * self.spec.video.fps), 1)
        where = windows(duration_s, frames, self.spec)
        with timer.stage("network"):
            embeddings = self._embed_music(features, where, scaled(progress, 0.7, 0.95))
        with timer.stage("rhythm"):
            rhythm = self._music_rhythm(features, frames)
            pulses = curve_at(features.beat_curve, self.spec.audio, self.spec.video.fps, frames)
            vectors = music_descriptor(self.config, self.spec.video, rhythm.curve, pulses, where)
        progress(1.0, "rhythm")
        segments = _segments(where, embeddings, vectors)
        return Analysis("music", duration_s, self.name, rhythm, segments, timer.seconds())

    def _embed_dance(
        self, motion: Motion, maps: Maps | None, where: list[Window], progress: Progress
    ) -> tuple[Array, Array]:
        """Returns embeddings (S, E) and rhythm curves (S, W, H) in 0..1."""
        rows = motion_input(motion.between, self.spec.video)  # (T, M)
        embeddings, curves = [], []
        for batch in _batches(where, progress):
            windowed = self._tensor(_cut(rows, batch))
            cells = None if maps is None else self._tensor(_cut(maps, batch).astype(np.float32))
            with torch.inference_mode():
                embeddings.append(self.model.encode_dance(windowed, cells).embedding.cpu().numpy())
                curves.append(torch.sigmoid(self.model.rhythm_logits(windowed, cells)).cpu().numpy())
        return np.concatenate(embeddings), np.concatenate(curves)

    def _embed_music(self, features: MusicFeatures, where: list[Window], progress: Progress) -> Array:
        """Returns embeddings (S, E)."""
        rows = model_input(features)  # (Ta, F)
        rate_hz, frames = self.spec.audio.frame_rate_hz, where[0].frames
        length = min(round(frames / self.spec.video.fps * rate_hz), len(rows))
        embeddings = []
        for batch in _batches(where, progress):
            firsts = [min(round(w.first_frame / self.spec.video.fps * rate_hz), len(rows) - length) for w in batch]
            audio = self._tensor(np.stack([rows[first : first + length] for first in firsts]))
            with torch.inference_mode():
                embeddings.append(self.model.encode_music(audio, frames).embedding.cpu().numpy())
        return np.concatenate(embeddings)

    def _dance_rhythm(self, curves: Array, rows: Array, motion: Motion) -> Rhythm:
        """Reads strokes at the file's own frame rate off (T, H) curves and (T, M) rows of the clip."""
        fps = self.spec.video.fps
        read = postprocess(self.config, curves, self.model.filtered(rows), fps)
        strokes = _at_native_rate(read.times_s, read.strengths, motion, fps)
        peaks = _at_native_rate(read.peaks_s, read.peak_strengths, motion, fps)
        impacts_s = braking_s(motion.native_times_s, motion.native_displacement)
        speed = picture_speed(motion.native_times_s, motion.native_directed, SPEED_FPS)
        tempi = read.tempo_bpm, read.tempo_alternatives
        points = *strokes, read.curve, fps, *tempi, read.beats_s, read.bars_s, impacts_s
        return Rhythm(*points, speed, SPEED_FPS, *peaks)

    def _own_sound(self, path: str | Path, rows: Array, duration_s: float) -> SoundRhythm | None:
        """The beats of the clip's own sound, weighed against its motion (T, M); None without a sound with beats."""
        audio = self.spec.audio
        try:
            samples = decode_audio(path, audio.sample_rate_hz).samples[: round(duration_s * audio.sample_rate_hz)]
            features = music_features(samples, audio)
        except MediaError:  # no sound, silence, or one that cannot be read: the picture can
            return None
        beats = features.beats
        if len(beats.times_s) < FEWEST_BEATS:
            return None
        agreed = agreement(beats.times_s, librosa_beats(samples, audio))
        onsets = features.envelope, audio.frame_rate_hz
        evidence = sound_evidence(rows, self.spec.video.fps, *onsets, beats.times_s, agreed)
        return sound_rhythm(beats, features.downbeats_s, evidence)

    def _music_rhythm(self, features: MusicFeatures, frames: int) -> Rhythm:
        fps = self.spec.video.fps
        return Rhythm(
            times_s=features.onset_times_s,
            strengths=features.onset_strengths,
            curve=curve_at(features.envelope, self.spec.audio, fps, frames),
            fps=fps,
            tempo_bpm=features.beats.tempo_bpm,
            tempo_alternatives=features.beats.alternatives,
            beats_s=features.beats.times_s,
            downbeats_s=features.downbeats_s,
        )

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(next(self.model.parameters()).device)


def _at_native_rate(times_s: Array, strengths: Array, motion: Motion, fps: float) -> tuple[Array, Array]:
    """Moves points read at `fps` to the file's own frame rate; those outside of the file are left out."""
    if not len(times_s):
        return times_s, strengths
    native = motion.native_times_s, motion.native_displacement
    moved = snap_and_smooth(times_s, *native, window_s=1 / fps)
    inside = (moved >= 0) & (moved <= motion.duration_s)
    return moved[inside], strengths[inside]


def _segments(where: list[Window], embeddings: Array, vectors: Array) -> tuple[Segment, ...]:
    parts = zip(where, embeddings, vectors, strict=True)
    return tuple(Segment(window.start_s, window.end_s, embedding, vector) for window, embedding, vector in parts)


class _StageTimer:
    """Measures the seconds spent in each stage, and in all."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._stages[name] = time.perf_counter() - began

    def seconds(self) -> dict[str, float]:
        return {**self._stages, "total": time.perf_counter() - self._began}


def _batches(where: list[Window], progress: Progress) -> Iterator[list[Window]]:
    for start in range(0, len(where), _SEGMENTS_AT_ONCE):
        yield where[start : start + _SEGMENTS_AT_ONCE]
        progress(min((start + _SEGMENTS_AT_ONCE) / len(where), 1.0), "network")


def _cut(rows: NDArray[D], where: list[Window]) -> NDArray[D]:
    """Cuts (S, W, ...) windows out of (T, ...)."""
    return np.stack([rows[w.first_frame : w.first_frame + w.frames] for w in where])
