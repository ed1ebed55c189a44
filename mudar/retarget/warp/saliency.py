"""How much of a blow a landing would be seen to be, from how fast the picture moved in the source.

The picture of the output moves at v(s(t)) s'(t): v the source's own speed, s the time map. A blow is where that falls.
At each landing one asks: were this moment of the source shown there, at this speed and with this accent, how hard
would the picture brake, beside what is usual around, and is that the hardest within a sixth of a second?
v is the mean speed that the embedding measured (mudar/rhythm/peaks.py). independent.py judges the result by its own
flow,
and neither knows the other.

J = landings, C = candidates of each, T = moments about a landing.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter1d

from mudar.retarget.events import Floats
from mudar.retarget.warp.speed_ramps import speed_pulse
from mudar.retarget.warp.time_map import TimeMap
from mudar.rhythm.motion_speed import deceleration

SMOOTH_S = 0.04  # an eye, and the flow's noise, see no faster
RATE_HZ = 100.0
AT_ONCE_S = 0.01  # the braking within this of the beat is on it
AROUND_S = 0.18  # and is to stand out from this far
USUAL_S = 1.0
LEAST_USUAL = 0.05  # of the highest usual braking: where nothing moves, nothing can be a blow
CUT = 3.0  # times the source's ordinary speed: faster is a cut
HALF = 2.0  # times the usual braking is seen as a blow half of the time

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
    """How far the source's picture has moved by any of its seconds. speed: (K, D) by direction, or (K,)."""

    def __init__(self, speed: Floats, fps: float) -> None:
        directed = np.asarray(speed, np.float64).reshape(len(speed), -1)
        total = directed.sum(axis=1)
        usual = float(np.quantile(total, 0.95))
        calm = directed * np.minimum(1.0, CUT * usual / np.maximum(total, 1e-12))[:, None]
        self._fps, self._seconds = fps, np.arange(len(calm) + 1) / fps
        self._directed = np.vstack([np.zeros((1, calm.shape[1])), np.cumsum(calm, axis=0) / fps]).T  # (D, K + 1)
        self._gone = self._directed.sum(axis=0)

    @cached_property
    def directed(self) -> tuple[Floats, Floats, float]:
        """(D, K + 1) way in each direction, in seconds at the picture's mean speed, (D, K + 1) way from each sample to
        the next, none from the last, and the samples a second."""
        mean = float(self._gone[-1]) / float(self._seconds[-1])
        gone = np.ascontiguousarray(self._directed / max(mean, 1e-12))
        return gone, np.diff(gone, axis=1, append=gone[:, -1:]), self._fps

    def gone(self, source_s: Floats) -> Floats:
        """Mean way in picture sides, any shape."""
        return np.interp(source_s, self._seconds, self._gone)

    def usual_braking(self, warp: TimeMap, start_s: float, end_s: float, at_s: Floats) -> Floats:
        """(J,) how hard the output's picture brakes on the average of some two seconds about these of its moments."""
        clock = np.arange(start_s, end_s, 1 / RATE_HZ)
        speed = np.diff(self.gone(warp.source_s(clock))) * RATE_HZ
        smooth = gaussian_filter1d(speed, SMOOTH_S * RATE_HZ, mode="nearest")
        usual = gaussian_filter1d(deceleration(smooth) * RATE_HZ, USUAL_S * RATE_HZ, mode="nearest")
        return np.maximum(np.interp(at_s, clock[:-1], usual), LEAST_USUAL * float(usual.max()) + 1e-12)

    def blows(
        self, source_s: Floats, speed: Floats, usual: Floats, accent: float, bounds: tuple[float, float]
    ) -> Floats:
        """(J, C) in 0..1, how surely each source second of (J, C) would be seen as a blow, shown at (J,) plain
        speeds where (J,) is the usual braking."""
        at_s, added = speed_pulse(speed, accent, bounds)
        gained = np.stack([np.interp(_WIDE_S, at_s, row) for row in added])
        ahead = np.cumsum(gained, axis=1) / RATE_HZ  # (J, W)
        shown = speed[:, None] * _WIDE_S + ahead - ahead[:, [len(_WIDE_S) // 2]]
        path = self.gone(source_s[:, :, None] + shown[:, None, :]) - self.gone(source_s)[..., None]  # (J, C, W)
        falls = braking(path, RATE_HZ)[..., _MARGIN:-_MARGIN]  # (J, C, T)
        here = np.maximum(falls[..., np.abs(AT) <= AT_ONCE_S + 1e-9].max(axis=-1), 0.0)
        share = here / np.maximum(falls.max(axis=-1), 1e-12)
        height = (here / usual[:, None]) ** 2
        return np.asarray(height / (height + HALF**2) * share**2)
