"""Makes a time map of knots: C1, strictly increasing, never outside the speed bounds.

Between knots the map is a cubic Hermite spline with PCHIP's slopes, limited. With end slopes a, b and mean slope m,
the slope of a cubic is a parabola with Bernstein coefficients a, 3m - a - b, b, and so stays inside lo..hi when all
three do. Choosing every slope inside [(3m - hi)/2, (3m - lo)/2] of both its intervals is enough, and such a slope
exists when neighbouring means differ by at most (hi - lo)/3 (`max_speed_step`). Knows no rhythm and no file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from mudar.errors import RetargetRefused
from mudar.retarget.events import Floats
from mudar.rhythm.metrics import distance_s

EPSILON = 1e-9
NODE_GAP_S = 0.12  # nodes closer than this would leave no room for an accent


@dataclass(frozen=True)
class SpeedLimits:
    """Bounds what a warp may do to the speed of the picture: hard bounds, and the strength 0..1 of its accents."""

    bounds: tuple[float, float]
    accent: float


def max_speed_step(low: float, high: float) -> float:
    """Returns the largest difference of neighbouring mean speeds for which a C1 map inside low..high surely exists."""
    return (high - low) / 3


@dataclass(frozen=True)
class TimeMap:
    """Maps output seconds to source seconds by (K,) nodes and their slopes; cubic between them, straight outside.

    >>> TimeMap(np.array([0.0, 2.0]), np.array([1.0, 3.0]), np.ones(2)).source_s([0.5, 4.0]).tolist()
    [1.5, 5.0]
    """

    output_s: Floats
    nodes_s: Floats
    slopes: Floats

    def source_s(self, output_s: ArrayLike) -> Floats:
        """Returns the source seconds shown at these output seconds; any shape."""
        return self._evaluate(output_s)[0]

    def speed(self, output_s: ArrayLike) -> Floats:
        """Returns the speed there, in source seconds per output second; any shape."""
        return self._evaluate(output_s)[1]

    def at_source(self, source_s: ArrayLike) -> Floats:
        """Returns the output seconds at which these source seconds are shown, by bisection; any shape."""
        target = np.asarray(source_s, float)
        first, last = self.nodes_s[0], self.nodes_s[-1]
        before = self.output_s[0] + (target - first) / self.slopes[0]
        after = self.output_s[-1] + (target - last) / self.slopes[-1]
        low, high = np.full_like(target, self.output_s[0]), np.full_like(target, self.output_s[-1])
        for _ in range(50):
            middle = (low + high) / 2
            below = self.source_s(middle) < target
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.where(target < first, before, np.where(target > last, after, (low + high) / 2))

    def speed_range(self) -> tuple[float, float]:
        """Returns the exact lowest and highest speed: at the nodes or at a parabola's vertex."""
        speeds = self.slopes
        if len(self.output_s) > 1:
            a, b = self.slopes[:-1], self.slopes[1:]
            middle = 3 * np.diff(self.nodes_s) / np.diff(self.output_s) - a - b
            bend = a - 2 * middle + b
            with np.errstate(divide="ignore", invalid="ignore"):
                at = (a - middle) / bend
            inside = np.isfinite(at) & (at > 0) & (at < 1)
            u = at[inside]
            peak = a[inside] * (1 - u) ** 2 + 2 * middle[inside] * u * (1 - u) + b[inside] * u**2
            speeds = np.concatenate([speeds, peak])
        return float(speeds.min()), float(speeds.max())

    def shifted(self, offset_s: float) -> TimeMap:
        """Returns the same map with output time counted from `offset_s` on."""
        return TimeMap(self.output_s - offset_s, self.nodes_s, self.slopes)

    def with_nodes(self, output_s: ArrayLike) -> TimeMap:
        """Returns the same map with nodes at these output seconds too, where they are near no other node."""
        more = np.asarray(output_s, float)
        times = np.union1d(self.output_s, more[distance_s(more, self.output_s) > NODE_GAP_S])
        return TimeMap(times, *self._evaluate(times))

    def _evaluate(self, output_s: ArrayLike) -> tuple[Floats, Floats]:
        t = np.asarray(output_s, float)
        if len(self.output_s) == 1:
            return self.nodes_s[0] + self.slopes[0] * (t - self.output_s[0]), np.full_like(t, self.slopes[0])
        clipped = np.clip(t, self.output_s[0], self.output_s[-1])
        k = np.clip(np.searchsorted(self.output_s, clipped, side="right") - 1, 0, len(self.output_s) - 2)
        step = self.output_s[k + 1] - self.output_s[k]
        u = (clipped - self.output_s[k]) / step
        a, b = self.slopes[k], self.slopes[k + 1]
        middle = 3 * (self.nodes_s[k + 1] - self.nodes_s[k]) / step - a - b
        speed = a * (1 - u) ** 2 + 2 * middle * u * (1 - u) + b * u**2
        # the integral of a Bernstein parabola
        grown = step * (a * u + (middle - a) * u**2 + (a - 2 * middle + b) * u**3 / 3)
        return self.nodes_s[k] + grown + speed * (t - clipped), speed


def time_map(music_s: Floats, source_s: Floats, bounds: tuple[float, float]) -> TimeMap:
    """Returns the limited C1 map through all knots ((K,) music seconds, (K,) source seconds).

    Raises RetargetRefused when no such map exists.
    """
    music, source = np.asarray(music_s, float), np.asarray(source_s, float)
    if len(music) == 1:
        return TimeMap(music, source, np.ones(1))
    low, high = bounds
    means = np.diff(source) / np.diff(music)
    floor = np.maximum(low, (3 * means - high) / 2)
    ceiling = np.minimum(high, (3 * means - low) / 2)
    floor = np.maximum(np.append(floor, floor[-1]), np.insert(floor, 0, floor[0]))
    ceiling = np.minimum(np.append(ceiling, ceiling[-1]), np.insert(ceiling, 0, ceiling[0]))
    if means.min() < low - EPSILON or means.max() > high + EPSILON or (floor > ceiling + EPSILON).any():
        raise RetargetRefused(
            f"The knots need speeds of {means.min():.2f} to {means.max():.2f}, too abruptly changing."
        )
    slopes = np.asarray(PchipInterpolator(music, source).derivative()(music)) if len(music) > 2 else means[[0, 0]]
    slopes[0], slopes[-1] = means[0], means[-1]
    return TimeMap(music, source, np.clip(slopes, floor, np.maximum(floor, ceiling)))
