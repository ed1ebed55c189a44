"""Chooses the speed of a time map from moment to moment, so that the picture brakes on the beats and less between them.

anchor_refinement.py chose which moment of the source each beat shows, and speed_ramps.py put the same pulse around
each. But the body speeds up and brakes by itself, and both together are what shows. So the map's speed u becomes a free
number every NODE_S, inside the hard bounds and the accent's depth, and all of them are chosen together to maximise

    1/J  sum_j log(1 + p_j q_j / FLOOR) / log(1 + 1 / FLOOR)             beats that look like impacts
    + STROKE / J  sum_j exp(-(s(t_j) - nearest stroke)^2 / 2 w^2)        strokes of the network that stay at their beats
    - CHANGE  mean (u')^2 NODE_S - ROUGH  mean sqrt(1 + b'(t)^2)         changes of speed, and of braking
    - END  (s(end) - aim)^2                                              a piece that ends elsewhere in the source

with  s(t) = s(0) + int_0^t u          the time map,
      b_d(t) = -(G'' * x_d(s(t)))      the braking in direction d, x_d the source's path, G a Gaussian; b their sum,
      h(t) = sum_d max(b_d, 0) / usual
      p_j = softmax of SHARP h over AROUND_S about beat j, at the beat;  q_j = 1 / (1 + exp(-STEEP (h(t_j) - HEIGHT))).

h is how much of the motion in each direction vanishes, as in the directograms of Davis and Agrawala (2018). The
gradient is exact and the search is L-BFGS-B. A piecewise linear speed is a quadratic map, so the bounds hold
everywhere. Long dances are done in pieces. Pure: a map in, a map out.

N = nodes of the speed, T = moments of a piece, D = directions, J = beats, W = moments around a beat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import minimize

from mudar.retarget.events import Floats
from mudar.retarget.warp.saliency import LEAST_USUAL, SMOOTH_S, TRUNCATE, USUAL_S, MotionProfile, braking
from mudar.retarget.warp.speed_ramps import ACCENT_DEPTH
from mudar.retarget.warp.time_map import SpeedLimits, TimeMap
from mudar.rhythm.metrics import nearest

RATE_HZ = 60.0
EVERY = 2  # moments to a node of the speed
NODE_S = EVERY / RATE_HZ
AROUND_S = 0.2  # an impact is to stand out from this far
SHARP = 3.0  # how much of a soft maximum goes to its highest, times the braking over what is usual
HEIGHT, STEEP = 1.3, 3.0  # times the usual braking looks like an impact half of the time, and how steeply that grows
FLOOR = 0.1  # the most is gained at a beat that does not look like an impact at all
STROKE = 0.2  # gained where a stroke of the network is
STROKE_WIDTH_S = 0.035
CHANGE = 0.02  # paid, times the mean square of the speed's slope, in seconds
ROUGH = 1e-3  # paid, times the mean change of braking from moment to moment, in mean speeds of the source a second^2
END = 1.0  # paid, times the square of the seconds by which the piece ends elsewhere in the source
STEPS = 60  # of the search, a piece
PIECE_S = 12.0
OVERLAP_S = 1.0  # looked at beyond a piece, and done anew in the next

_HALF = round(TRUNCATE * SMOOTH_S * RATE_HZ)
_WINDOW = round(AROUND_S * RATE_HZ)
_PAD = _HALF + _WINDOW  # moments looked at beyond either end of a piece


@dataclass(frozen=True)
class OptimizedSpeed:
    """Holds the map, and (J,) in 0..1 how surely each beat looks like an impact; NaN for beats too near either end."""

    warp: TimeMap
    saliency: Floats


def optimize_speed(
    warp: TimeMap,
    plain: TimeMap,
    span_s: tuple[float, float],
    beats_s: Floats,
    profile: MotionProfile,
    limits: SpeedLimits,
) -> OptimizedSpeed:
    """Chooses the speed of `warp` anew between these music seconds; `plain` is the same before its accents.

    beats_s: (J,) ascending. The speed stays inside the bounds and within accent x ACCENT_DEPTH of the plain one. The
    begin of the span shows what it showed.
    """
    count = max(2, int((span_s[1] - span_s[0]) / NODE_S) + 1)
    nodes_s: Floats = span_s[0] + np.arange(count, dtype=np.float64) * NODE_S
    depth = limits.accent * ACCENT_DEPTH
    low, high = (np.clip(plain.speed(nodes_s) * share, *limits.bounds) for share in (1 - depth, 1 + depth))
    speeds = np.clip(warp.speed(nodes_s), low, high)
    aims_s = warp.source_s(nodes_s)
    saliency = np.full(len(beats_s), np.nan)
    begin, source_s = 0, float(aims_s[0])
    while begin < count - 1:
        last = count - 1 if count - begin < 1.5 * PIECE_S / NODE_S else begin + round(PIECE_S / NODE_S)
        end = min(count - 1, last + round(OVERLAP_S / NODE_S))
        part = slice(begin, end + 1)
        here = (beats_s >= nodes_s[begin] + AROUND_S / 2) & (beats_s <= nodes_s[end] - AROUND_S / 2)
        if here.any():
            piece = _Piece(nodes_s[begin], end - begin, source_s, float(aims_s[end]), beats_s[here], profile)
            floor, ceiling = low[part].copy(), high[part].copy()
            if begin:
                floor[0] = ceiling[0] = speeds[begin]
            speeds[part] = piece.best(speeds[part], floor, ceiling)
            saliency[here] = piece.saliency(speeds[part])
        source_s += float((speeds[begin:last] + speeds[begin + 1 : last + 1]).sum()) / 2 * NODE_S
        begin = last
    shown_s: Floats = aims_s[0] + np.append(0.0, np.cumsum((speeds[1:] + speeds[:-1]) / 2) * NODE_S)
    return OptimizedSpeed(TimeMap(nodes_s, shown_s, speeds), saliency)


class _Piece:
    """Computes what the speeds of one piece are worth; `best` searches them, everything else serves its gradient."""

    def __init__(
        self, start_s: float, intervals: int, source_s: float, aim_s: float, beats_s: Floats, profile: MotionProfile
    ) -> None:
        self._moments = intervals * EVERY + 1
        self._source_s, self._aim_s, self._strokes_s = source_s, aim_s, profile.strokes_s
        self._source_path, self._steps, self._source_fps = profile.directed
        self._ahead = np.arange(1.0, _PAD + 1)
        self._share = np.arange(EVERY) / EVERY
        at = (beats_s - start_s) * RATE_HZ
        self._beat, self._beat_part = _split(at, self._moments)
        self._window, self._window_part = _split(
            at[:, None] + np.arange(-_WINDOW, _WINDOW + 1) + _WINDOW, self._moments + 2 * _WINDOW
        )
        self._usual = np.ones(self._moments + 2 * _WINDOW)

    def best(self, speeds: Floats, low: Floats, high: Floats) -> Floats:
        """Searches the best speeds (N,) from these on, inside low..high."""
        falls, _ = self._braking(self._path(speeds))
        vanishing = np.maximum(falls, 0.0).sum(axis=0)
        usual = gaussian_filter1d(vanishing, USUAL_S * RATE_HZ, mode="nearest")
        self._usual = np.maximum(usual, LEAST_USUAL * float(usual.max())) + 1e-12
        box = np.stack([low, high], axis=1)
        result = minimize(self._cost, speeds, jac=True, method="L-BFGS-B", bounds=box, options={"maxiter": STEPS})
        return np.clip(result.x, low, high)

    def saliency(self, speeds: Floats) -> Floats:
        """Returns (J,) how surely each beat looks like an impact, 0..1."""
        falls, _ = self._braking(self._path(speeds))
        share, height, _ = self._impacts(self._heights(falls))
        return share * height

    def _cost(self, speeds: Floats) -> tuple[float, Floats]:
        """Returns what is paid less what is gained, and its gradient (N,)."""
        path = self._path(speeds)
        falls, slopes = self._braking(path)
        gained, by_braking = self._gain(falls)
        paid, by_roughness = self._roughness(falls)
        at_strokes, by_path = self._strokes(path)
        change = np.diff(speeds)
        weight = CHANGE / (NODE_S * len(change))
        late_s = path[-1] - self._aim_s
        by_path = self._back(by_braking - by_roughness, slopes) + by_path
        by_path[-1] -= 2 * END * late_s
        gradient = -self._by_speeds(by_path)
        gradient[1:] += 2 * weight * change
        gradient[:-1] -= 2 * weight * change
        return paid + weight * float(change @ change) + END * late_s**2 - gained - at_strokes, gradient

    def _path(self, speeds: Floats) -> Floats:
        """Integrates the speed, which is linear between nodes, to (T,) source seconds."""
        speed, path = np.empty(self._moments), np.empty(self._moments)
        speed[:-1] = (speeds[:-1, None] * (1 - self._share) + speeds[1:, None] * self._share).ravel()
        speed[-1] = speeds[-1]
        path[0] = 0.0
        np.cumsum((speed[1:] + speed[:-1]) / (2 * RATE_HZ), out=path[1:])
        return path + self._source_s

    def _by_speeds(self, by_path: Floats) -> Floats:
        """Returns the gradient by the speeds (N,) from that by the path (T,): `_path` transposed."""
        later = np.cumsum(by_path[:0:-1])[::-1] / (2 * RATE_HZ)
        by_speed = np.zeros_like(by_path)
        by_speed[:-1] += later
        by_speed[1:] += later
        between = by_speed[:-1].reshape(-1, EVERY)
        gradient = np.zeros(len(between) + 1)
        gradient[:-1] += between @ (1 - self._share)
        gradient[1:] += between @ self._share
        gradient[-1] += by_speed[-1]
        return gradient

    def _braking(self, path: Floats) -> tuple[Floats, Floats]:
        """Returns (D, T + 2 _WINDOW), how fast the picture's smoothed speed falls, straight on beyond both ends.

        And the (D, T + 2 _PAD) steps of the source's path at the moments that are shown.
        """
        slow, fast = path[1] - path[0], path[-1] - path[-2]
        shown = np.concatenate([path[0] - self._ahead[::-1] * slow, path, path[-1] + self._ahead * fast])
        frames, part = _split(shown * self._source_fps, self._source_path.shape[1])
        slopes = self._steps[:, frames]
        return braking(self._source_path[:, frames] + slopes * part, RATE_HZ)[:, _HALF:-_HALF], slopes

    def _back(self, by_braking: Floats, slopes: Floats) -> Floats:
        """Returns the gradient by the path (T,) from that by the braking: `_braking` transposed."""
        padded = np.zeros_like(slopes)
        padded[:, _HALF:-_HALF] = by_braking
        by_source = braking(padded, RATE_HZ, mode="constant")
        by_shown = np.einsum("dt,dt->t", by_source, slopes) * self._source_fps
        by_path = by_shown[_PAD:-_PAD].copy()
        for end, beside, beyond in ((0, 1, by_shown[:_PAD][::-1]), (-1, -2, by_shown[-_PAD:])):
            turned = float(beyond @ self._ahead)  # straight on: as the last two moments lie
            by_path[end] += float(beyond.sum()) + turned
            by_path[beside] -= turned
        return by_path

    def _heights(self, braking: Floats) -> Floats:
        """Returns (J, W) what vanishes around each beat, in all directions, over what is usual."""
        over = np.maximum(braking, 0.0).sum(axis=0) / self._usual
        return over[self._window] * (1 - self._window_part) + over[self._window + 1] * self._window_part

    @staticmethod
    def _impacts(heights: Floats) -> tuple[Floats, Floats, Floats]:
        """Returns p (J,), the beat's share of a softmax around it, q (J,), and the softmax (J, W)."""
        soft = np.exp(SHARP * (heights - heights.max(axis=1, keepdims=True)))
        soft /= soft.sum(axis=1, keepdims=True)
        return soft[:, _WINDOW], 1 / (1 + np.exp(-STEEP * (heights[:, _WINDOW] - HEIGHT))), soft

    def _gain(self, braking: Floats) -> tuple[float, Floats]:
        """Returns the mean gain over the beats, 1 were all sure, and its gradient by the braking."""
        share, height, soft = self._impacts(self._heights(braking))
        sure, full = share * height, np.log1p(1 / FLOOR) * len(share)
        each = 1 / ((FLOOR + sure) * full)
        by_heights = -SHARP * soft * sure[:, None]
        by_heights[:, _WINDOW] += SHARP * sure + sure * (1 - height) * STEEP
        by_heights *= each[:, None]
        length = len(self._usual)
        by_over = np.bincount(self._window.ravel(), (by_heights * (1 - self._window_part)).ravel(), length)
        by_over += np.bincount(self._window.ravel() + 1, (by_heights * self._window_part).ravel(), length)
        return float(np.log1p(sure / FLOOR).sum() / full), (braking > 0) * (by_over / self._usual)

    @staticmethod
    def _roughness(braking: Floats) -> tuple[float, Floats]:
        """Returns what the changes of all braking cost, and the gradient of that by the braking."""
        change = np.diff(braking.sum(axis=0)) * RATE_HZ
        size = np.sqrt(change**2 + 1.0)
        weight = ROUGH / len(change)
        by_change = weight * change / size * RATE_HZ
        by_braking = np.zeros(len(change) + 1)
        by_braking[1:] += by_change
        by_braking[:-1] -= by_change
        return weight * float(size.sum()), by_braking

    def _strokes(self, path: Floats) -> tuple[float, Floats]:
        """Returns what is gained where beats show strokes of the network, and its gradient by the path."""
        if not len(self._strokes_s):
            return 0.0, np.zeros(len(path))
        shown = path[self._beat] * (1 - self._beat_part) + path[self._beat + 1] * self._beat_part
        away = shown - nearest(shown, self._strokes_s)
        near = STROKE / len(shown) * np.exp(-((away / STROKE_WIDTH_S) ** 2) / 2)
        by_shown = -near * away / STROKE_WIDTH_S**2
        by_path: Floats = np.bincount(self._beat, by_shown * (1 - self._beat_part), len(path)).astype(np.float64)
        by_path += np.bincount(self._beat + 1, by_shown * self._beat_part, len(path))
        return float(near.sum()), by_path


def _split(at: Floats, length: int) -> tuple[NDArray[np.intp], Floats]:
    """Returns the sample before `at`, such that there is one after it, and the share of that one."""
    inside = np.clip(at, 0.0, length - 1)
    before = np.minimum(inside.astype(np.intp), length - 2)
    return before, inside - before
