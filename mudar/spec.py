"""Defines every number that training and serving must share. Light: imports no torch, no librosa.

A FeatureSpec travels inside each checkpoint's card, so a model is always fed what it was trained on.
Knows nothing of files, networks or the queue.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

FlowMethod = Literal["dis", "pwcnet"]
FlowShape = Literal["square", "kept", "both"]


@dataclass(frozen=True)
class AudioSpec:
    """Defines the features of music, section 3.1.1: spectrogram (1), SuperFlux onset envelope (2), beat, tempogram.

    Peak picking is given in seconds and rounded to frames by us: librosa floor-divides its own defaults
    by the hop, so at 16 kHz / 512 two of them become 0 and a song gets twice its onsets.
    """

    sample_rate_hz: int = 24_000
    n_fft: int = 1024  # 42.7 ms
    hop_samples: int = 200  # 24000 / 200 = 120 frames a second: a multiple of 8, 15, 24, 30 and 60
    window: str = "hamming"
    n_mels: int = 80
    fmin_hz: float = 30.0
    fmax_hz: float = 11_000.0
    onset_n_mels: int = 138  # SuperFlux: a fine log-frequency axis
    onset_lag_frames: int = 3  # 25 ms at 120 frames a second
    onset_max_size: int = 3  # bins of the frequency-axis maximum filter
    peak_pre_max_s: float = 0.030
    peak_post_max_s: float = 0.030
    peak_pre_avg_s: float = 0.100
    peak_post_avg_s: float = 0.100
    peak_wait_s: float = 0.030
    peak_delta: float = 0.09  # of the envelope scaled to 0..1: about 4.2 onsets a second in ordinary music
    tempogram_window_s: float = 8.0
    tempogram_bins: int = 46  # log-spaced tempi the tempogram is resampled to
    tempo_min_bpm: float = 40.0
    tempo_max_bpm: float = 240.0
    start_bpm: float = 110.0  # centre of the tempo's prior
    tightness: float = 100.0
    silence_dbfs: float = -60.0  # a file whose loudest 50 ms lie below this is silent

    @property
    def frame_rate_hz(self) -> float:
        """Returns the feature frames a second."""
        return self.sample_rate_hz / self.hop_samples

    @property
    def input_dim(self) -> int:
        """Returns F: mel, onset, beat and tempogram, side by side in one frame of the audio encoder's input."""
        return self.n_mels + 2 + self.tempogram_bins


@dataclass(frozen=True)
class VideoSpec:
    """Defines the features of dance, section 3.1.2: frames, optical flow, HOOF (3)-(4), and a grid of it."""

    fps: float = 15.0  # the paper: 8
    frame_size_px: int = 256  # frames are scaled to a square, as in the paper
    flow: FlowMethod = "dis"
    flow_size_px: int = 128  # side of the picture that the flow is computed on, or its shorter one
    flow_shape: FlowShape = "square"  # squeezed, as in the paper; the file's own shape; the mean of both motions
    dis_preset: Literal["ultrafast", "fast", "medium"] = "fast"
    pwcnet_stop_level: int = 3
    remove_camera: bool = True  # subtract each frame's median flow
    hoof_bins: int = 12
    grid: int = 4  # cells along each side; 0 = no grid
    grid_directions: int = 8
    native_fps_max: float = 60.0  # strokes are refined at the file's own rate, up to this
    native_size_px: int = 64  # side of the picture that the refinement looks at

    @property
    def motion_dim(self) -> int:
        """Returns the length of one frame's motion descriptor: HOOF, magnitude, then the grid."""
        return self.hoof_bins + 1 + self.grid * self.grid * self.grid_directions


@dataclass(frozen=True)
class SegmentSpec:
    """Says how a file is cut: windows of `window_s`, every `hop_s`, the last one right-aligned."""

    window_s: float = 8.0
    hop_s: float = 4.0
    min_s: float = 1.0  # shorter media are refused


@dataclass(frozen=True)
class FeatureSpec:
    """Holds all of it; two specs that compare equal give the same features."""

    audio: AudioSpec = field(default_factory=AudioSpec)
    video: VideoSpec = field(default_factory=VideoSpec)
    segment: SegmentSpec = field(default_factory=SegmentSpec)

    @property
    def frames_per_segment(self) -> int:
        """Returns T: model frames in one segment."""
        return round(self.segment.window_s * self.video.fps)

    def to_dict(self) -> dict[str, Any]:
        """Returns a plain nested dict, for a card."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FeatureSpec:
        """Parses what `to_dict` returned; unknown keys raise TypeError."""
        return cls(
            audio=AudioSpec(**data.get("audio", {})),
            video=VideoSpec(**data.get("video", {})),
            segment=SegmentSpec(**data.get("segment", {})),
        )


def paper() -> FeatureSpec:
    """Returns the paper's own numbers where it gives them: 16 kHz, 8 fps, 256x256, PWC-Net, global HOOF."""
    return FeatureSpec(
        audio=AudioSpec(sample_rate_hz=16_000, n_fft=1024, hop_samples=200, fmax_hz=7_600.0, onset_lag_frames=2),
        video=VideoSpec(fps=8.0, flow="pwcnet", flow_size_px=256, remove_camera=False, grid=0),
    )


def segment_starts(duration_s: float, spec: SegmentSpec) -> list[float]:
    """Lists the start times in seconds of the segments of a file: every hop, the last one right-aligned.

    >>> segment_starts(14.0, SegmentSpec())
    [0.0, 4.0, 6.0]
    """
    last = duration_s - spec.window_s
    if last <= 1e-6:
        return [0.0]
    starts = [i * spec.hop_s for i in range(int(last // spec.hop_s) + 1)]
    if last - starts[-1] > 0.1:
        starts.append(last)
    return starts
