"""Foretells how much a landing would look like an impact, from how fast the picture moved in the source.

The picture of the output moves at v(s(t)) s'(t), v the source's own speed, s the time map; where that falls, it looks
like an impact. At each landing one asks: were this moment of the source shown there, at this speed and with this
accent, how hard would the picture brake, beside what is usual around, and is that the hardest within a sixth of a
second? v is the mean speed that the embedding measured (rhythm/motion_speed.py). report/impact_detector.py judges the
result by its own flow, and neither knows the other.

J = landings, C = candidates of each, T = moments about a landing.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mudar.retarget.events import Floats
from mudar.retarget.warp.speed_ramps import speed_pulse
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap
from mudar.rhythm.motion_speed import deceleration

SMOOTH_S = 0.04  # an eye, and the flow's noise, see no faster
RATE_HZ = 100.0
AT_ONCE_S = 0.01  # the braking within this of the beat is on it
AROUND_S = 0.18  # and is to stand out from this far
USUAL_S = 1.0
LEAST_USUAL = 0.05  # of the highest usual braking: where nothing moves, nothing can be an impact
CUT = 3.0  # times the source's ordinary speed: faster is a cut
HALF = 2.0  # times the usual braking looks like an impact half of the time

AT = np.arange(-round(AROUND_S * RATE_HZ), round(AROUND_S * RATE_HZ) + 1) / RATE_HZ  # (T,)
TRUNCATE = 4.0  # standard deviations: so cut, .001 of the path itself is in its second derivative
_MARGIN = round(TRUNCATE * SMOOTH_S * RATE_HZ)
_WIDE_S = np.arange(-_MARGIN, len(AT) + _MARGIN) / RATE_HZ - AROUND_S  # (W,)


def braking(path: Floats, rate_hz: float, mode: str = "nearest") -> Floats:
    """Returns by how much the smoothed speed of a picture falls, at each moment of the (..., T) path it has gone.

    This is minus the path's second derivative by a Gaussian of SMOOTH_S; near either end it depends on `mode`.
    """
    second = gaussian_filter1d(path, SMOOTH_S * rate_hz, order=2, mode=mode, truncate=TRUNCATE)
    return np.asarray(-(rate_hz**2) * second)


class MotionProfile:
    """Tells how far the source's picture has moved by any of its seconds, and where the network's strokes are.

    speed: (K, D) by direction, in picture sides a second; strokes_s: (S,) ascending.
    """

    def __init__(self, speed: Floats, fps: float, strokes_s: Floats) -> None:
        self.strokes_s = strokes_s
        directed = np.asarray(speed, np.float64)
        total = directed.sum(axis=1)
        usual = float(np.quantile(total, 0.95))
        capped = directed * np.minimum(1.0, CUT * usual / np.maximum(total, 1e-12))[:, None]
        self._fps, self._seconds = fps, np.arange(len(capped) + 1) / fps
        self._directed = np.vstack([np.zeros((1, capped.shape[1])), np.cumsum(capped, axis=0) / fps]).T  # (D, K + 1)
        self._path = self._directed.sum(axis=0)

    @cached_property
    def directed(self) -> tuple[Floats, Floats, float]:
        """Returns the (D, K + 1) path in each direction, its (D, K + 1) steps, and its samples a second.

        In seconds at the picture's mean speed; the last step is 0.
        """
        mean = float(self._path[-1]) / float(self._seconds[-1])
        path = np.ascontiguousarray(self._directed / max(mean, 1e-12))
        return path, np.diff(path, axis=1, append=path[:, -1:]), self._fps

    def path(self, source_s: Floats) -> Floats:
        """Returns how far the picture has moved by these seconds, in picture sides; any shape."""
        return np.interp(source_s, self._seconds, self._path)

    def mean_braking(self, warp: TimeMap, start_s: float, end_s: float, at_s: Floats) -> Floats:
        """Returns (J,) how hard the output's picture brakes on average over some two seconds about these moments."""
        clock = np.arange(start_s, end_s, 1 / RATE_HZ)
        speed = np.diff(self.path(warp.source_s(clock))) * RATE_HZ
        smooth = gaussian_filter1d(speed, SMOOTH_S * RATE_HZ, mode="nearest")
        usual = gaussian_filter1d(deceleration(smooth) * RATE_HZ, USUAL_S * RATE_HZ, mode="nearest")
        return np.maximum(np.interp(at_s, clock[:-1], usual), LEAST_USUAL * float(usual.max()) + 1e-12)

    def impact_saliency(self, source_s: Floats, speed: Floats, usual: Floats, limits: SpeedLimits) -> Floats:
        """Returns (J, C) in 0..1, how surely each source second of (J, C) would look like an impact.

        speed: (J,) plain speeds of the map there; usual: (J,) the mean braking there.
        """
        at_s, added = speed_pulse(speed, limits)
        gained = np.stack([np.interp(_WIDE_S, at_s, row) for row in added])
        ahead = np.cumsum(gained, axis=1) / RATE_HZ  # (J, W)
        shown = speed[:, None] * _WIDE_S + ahead - ahead[:, [len(_WIDE_S) // 2]]
        path = self.path(source_s[:, :, None] + shown[:, None, :]) - self.path(source_s)[..., None]  # (J, C, W)
        falls = braking(path, RATE_HZ)[..., _MARGIN:-_MARGIN]  # (J, C, T)
        here = np.maximum(falls[..., np.abs(AT) <= AT_ONCE_S + 1e-9].max(axis=-1), 0.0)
        share = here / np.maximum(falls.max(axis=-1), 1e-12)
        height = (here / usual[:, None]) ** 2
        return np.asarray(height / (height + HALF**2) * share**2)
