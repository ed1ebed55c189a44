"""What the network is fed: features brought to one scale, the same for training and serving. numpy only.

Knows no files and no weights. Shapes: T frames; M = spec.motion_dim; Ta audio frames; F = audio_dim(spec).
"""

from __future__ import annotations

import numpy as np

from mudar.records import Array
from mudar.spec import AudioSpec, VideoSpec

LARGEST = 8.0  # times a clip's usual motion; beyond it lies a cut or a flash, not a dancer
_GAIN_QUANTILE = 0.75
_GAIN_FLOOR = 1e-4  # picture sides a second: below, there is only the noise of the flow
_MEL_GAIN = 2.0  # `features.music.model_input` gives mel in -1..1; most of it lies in the middle


def audio_dim(spec: AudioSpec) -> int:
    """F: columns of the music input, [log-mel | onset | beat | tempogram]."""
    return spec.n_mels + 2 + spec.tempogram_bins


def motion_gain(motion: Array, spec: VideoSpec) -> float:
    """How strongly a clip (T, M) moves as a rule, in picture sides a second: robust to cuts and to pauses."""
    magnitude = motion[:, spec.hoof_bins]
    return max(float(np.quantile(magnitude, _GAIN_QUANTILE)), _GAIN_FLOOR) if len(magnitude) else _GAIN_FLOOR


def normalise_motion(motion: Array, spec: VideoSpec, gain: float | None = None) -> Array:
    """Descriptors (T, M) of one whole clip, divided by its gain, each column of order 1 and at most `LARGEST`.

    Histograms are multiplied by their number of directions: a motion spread evenly has 1 in each.
    `gain` overrides the clip's own, for a window cut from a longer clip.
    """
    scale = np.ones(spec.motion_dim, np.float32)
    scale[: spec.hoof_bins] = spec.hoof_bins
    scale[spec.hoof_bins + 1 :] = spec.grid_directions
    scale /= motion_gain(motion, spec) if gain is None else gain
    return np.minimum(motion * scale, np.float32(LARGEST)).astype(np.float32)


def normalise_audio(audio: Array, spec: AudioSpec) -> Array:
    """Music input (Ta, F), as `model_input` gives it, with its mel brought to -2..2; the rest lies in 0..1 already."""
    scaled = audio.astype(np.float32, copy=True)
    scaled[:, : spec.n_mels] *= _MEL_GAIN
    return scaled
