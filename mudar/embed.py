"""Embedder: a file to its Analysis, that is segments, rhythm and tempo. Where media, features and network meet.

Streaming: a file of any length is held as its descriptors only. Knows no shelf (model_store hands it a model), no
database and no queue. Sections 3 and 4.3.

Shapes: T model frames; M motion features; S segments; W frames of one; E, R the lengths of its vectors; H rhythm
heads; k, C positions and channels of a frame's map.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mudar.errors import MediaTooShort
from mudar.features.envelope import curve_at
from mudar.features.flow import FlowEstimator, make_flow
from mudar.features.motion import Motion, extract_motion
from mudar.features.windows import Window, overlap_add, windows
from mudar.media.decode.audio import decode_audio
from mudar.model.frame_features import FrameFeatureExtractor
from mudar.model.inputs import motion_input
from mudar.model.mudar import Mudar
from mudar.progress import Progress, ignore, scaled
from mudar.records import Analysis, Array, Kind, Rhythm, Segment
from mudar.rhythm.descriptors import dance_descriptor, music_descriptor
from mudar.rhythm.motion_speed import braking_s, picture_speed
from mudar.rhythm.music import MusicFeatures, model_input, music_features
from mudar.rhythm.postprocessing import postprocess
from mudar.rhythm.smoothing import snap_and_smooth
from mudar.spec import FeatureSpec

D = TypeVar("D", np.float16, np.float32)
Maps = NDArray[np.float16]
_SEGMENTS_AT_ONCE = 16
SPEED_FPS = 30.0  # of the speed that a retargeting looks at: braking lies below 4 Hz


class Loaded(Protocol):
    """What the shelf hands out: a network, what it is fed, its name@version, and PWC-Net's weights if it needs them."""

    @property
    def model(self) -> Mudar: ...
    @property
    def spec(self) -> FeatureSpec: ...
    @property
    def name(self) -> str: ...
    @property
    def flow_weights(self) -> Path | None: ...


class Embedder:
    """One model, ready for files. Not for several threads at once: give each worker its own."""

    def __init__(self, model: Mudar, spec: FeatureSpec, name: str, flow: FlowEstimator | None = None) -> None:
        self.model, self.spec, self.name = model.eval(), spec, name
        self.config = model.config
        self._flow = flow or make_flow(spec.video)

    @classmethod
    def from_loaded(cls, loaded: Loaded) -> Embedder:
        """The embedder of a model from the shelf."""
        device = str(next(loaded.model.parameters()).device)
        flow = make_flow(loaded.spec.video, loaded.flow_weights, device)
        return cls(loaded.model, loaded.spec, loaded.name, flow)

    def warm_up(self) -> None:
        """Pay now what the first file would: librosa's compiled kernels, the network's first pass over music."""
        audio, segment = self.spec.audio, self.spec.segment
        clicks = np.zeros(round(segment.window_s * audio.sample_rate_hz), np.float32)
        clicks[:: audio.sample_rate_hz // 2] = 1.0
        where = windows(segment.window_s, self.spec.frames_per_segment, self.spec)
        self._hear(music_features(clicks, audio), where, ignore)

    def file(self, path: str | Path, kind: Kind, progress: Progress = ignore) -> Analysis:
        """`dance` or `music`, by `kind`."""
        return self.dance(path, progress) if kind == "dance" else self.music(path, progress)

    def dance(self, path: str | Path, progress: Progress = ignore) -> Analysis:
        """Analysis of a video's picture. Raises NoVideoStream, StillVideo, MediaTooShort and other MediaErrors.

        A progress callback that raises ends the work there; nothing is left behind.
        """
        clock = _Clock()
        reader = FrameFeatureExtractor(self.model) if self.model.config.needs_frames else None
        motion = extract_motion(
            path,
            self.spec,
            flow=self._flow,
            look=reader,
            look_size_px=self.config.appearance_size_px if reader else None,
            progress=scaled(progress, 0.0, 0.9),
        )
        where = windows(motion.duration_s, motion.frames, self.spec)
        with clock.stage("network"):
            embeddings, curves = self._see(
                motion, reader.maps() if reader else None, where, scaled(progress, 0.9, 0.97)
            )
        with clock.stage("rhythm"):
            stitched = overlap_add(curves, where, motion.frames)  # (T, H)
            rows = motion_input(motion.between, self.spec.video)
            rhythm = self._dance_rhythm(stitched, rows, motion)
            vectors = dance_descriptor(self.config, self.spec.video, rows, rhythm.curve, where)
        progress(1.0, "rhythm")
        return self._analysis("dance", motion.duration_s, rhythm, where, (embeddings, vectors), clock, motion.stage_s)

    def music(self, path: str | Path, progress: Progress = ignore) -> Analysis:
        """Analysis of a file's sound. Raises NoAudioStream, SilentAudio, MediaTooShort and other MediaErrors."""
        clock = _Clock()
        progress(0.0, "decode")
        with clock.stage("decode"):
            samples = decode_audio(path, self.spec.audio.sample_rate_hz).samples
        duration_s = len(samples) / self.spec.audio.sample_rate_hz
        if duration_s < self.spec.segment.min_s - 1e-3:
            raise MediaTooShort(f"{Path(path).name} sounds for {duration_s:.2f} s.")
        progress(0.3, "listen")
        with clock.stage("features"):
            heard = music_features(samples, self.spec.audio)
        progress(0.7, "network")
        frames = max(round(duration_s * self.spec.video.fps), 1)
        where = windows(duration_s, frames, self.spec)
        with clock.stage("network"):
            embeddings = self._hear(heard, where, scaled(progress, 0.7, 0.95))
        with clock.stage("rhythm"):
            rhythm = self._music_rhythm(heard, frames)
            pulses = curve_at(heard.beat_curve, self.spec.audio, self.spec.video.fps, frames)
            vectors = music_descriptor(self.config, self.spec.video, rhythm.curve, pulses, where)
        progress(1.0, "rhythm")
        return self._analysis("music", duration_s, rhythm, where, (embeddings, vectors), clock, {})

    def _see(self, motion: Motion, maps: Maps | None, where: list[Window], progress: Progress) -> tuple[Array, Array]:
        """Embeddings (S, E) and rhythm curves (S, W, H) in 0..1."""
        rows = motion_input(motion.between, self.spec.video)  # (T, M)
        embeddings, curves = [], []
        for batch in _batches(where, progress):
            seen = self._tensor(_cut(rows, batch))
            looked = None if maps is None else self._tensor(_cut(maps, batch).astype(np.float32))
            with torch.inference_mode():
                embeddings.append(self.model.encode_dance(seen, looked).embedding.cpu().numpy())
                curves.append(torch.sigmoid(self.model.rhythm_logits(seen, looked)).cpu().numpy())
        return np.concatenate(embeddings), np.concatenate(curves)

    def _hear(self, heard: MusicFeatures, where: list[Window], progress: Progress) -> Array:
        """Embeddings (S, E)."""
        whole = model_input(heard)  # (Ta, F)
        rate_hz, frames = self.spec.audio.frame_rate_hz, where[0].frames
        length = min(round(frames / self.spec.video.fps * rate_hz), len(whole))
        embeddings = []
        for batch in _batches(where, progress):
            firsts = [min(round(w.first_frame / self.spec.video.fps * rate_hz), len(whole) - length) for w in batch]
            audio = self._tensor(np.stack([whole[first : first + length] for first in firsts]))
            with torch.inference_mode():
                embeddings.append(self.model.encode_music(audio, frames).embedding.cpu().numpy())
        return np.concatenate(embeddings)

    def _dance_rhythm(self, curves: Array, rows: Array, motion: Motion) -> Rhythm:
        """Strokes at the file's own frame rate, from (T, H) curves and (T, M) rows of the whole clip."""
        fps = self.spec.video.fps
        read = postprocess(self.config, curves, self.model.filtered(rows), fps)
        strokes = _placed(read.times_s, read.strengths, motion, fps)
        peaks = _placed(read.peaks_s, read.peak_strengths, motion, fps)
        impacts_s = braking_s(motion.native_times_s, motion.native_displacement)
        speed = picture_speed(motion.native_times_s, motion.native_directed, SPEED_FPS)
        tempi = read.tempo_bpm, read.tempo_alternatives
        points = *strokes, read.curve, fps, *tempi, read.beats_s, read.bars_s, impacts_s
        return Rhythm(*points, speed, SPEED_FPS, *peaks)

    def _music_rhythm(self, heard: MusicFeatures, frames: int) -> Rhythm:
        fps = self.spec.video.fps
        return Rhythm(
            times_s=heard.onset_times_s,
            strengths=heard.onset_strengths,
            curve=curve_at(heard.envelope, self.spec.audio, fps, frames),
            fps=fps,
            tempo_bpm=heard.beats.tempo_bpm,
            tempo_alternatives=heard.beats.alternatives,
            beats_s=heard.beats.times_s,
            downbeats_s=heard.downbeats_s,
        )

    def _analysis(
        self,
        kind: Kind,
        duration_s: float,
        rhythm: Rhythm,
        where: list[Window],
        vectors: tuple[Array, Array],
        clock: _Clock,
        stage_s: dict[str, float],
    ) -> Analysis:
        cut = zip(where, *vectors, strict=True)
        segments = tuple(Segment(w.start_s, w.end_s, embedding, vector) for w, embedding, vector in cut)
        return Analysis(kind, duration_s, self.name, rhythm, segments, {**stage_s, **clock.seconds()})

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(array).to(next(self.model.parameters()).device)


def _placed(times_s: Array, strengths: Array, motion: Motion, fps: float) -> tuple[Array, Array]:
    """Points read at `fps` at the file's own frame rate, those outside of the file left out."""
    if not len(times_s):
        return times_s, strengths
    native = motion.native_times_s, motion.native_displacement
    moved = snap_and_smooth(times_s, *native, window_s=1 / fps)
    kept = (moved >= 0) & (moved <= motion.duration_s)
    return moved[kept], strengths[kept]


class _Clock:
    """Seconds spent in each stage, and in all."""

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
    """(S, W, ...) windows of (T, ...)."""
    return np.stack([rows[w.first_frame : w.first_frame + w.frames] for w in where])
