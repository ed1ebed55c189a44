"""Pattern 2 of section 4.4, temporal acceleration: the k-th interval of the dance is made the k-th of the music.

I^m_k = P^m_{k+1} - P^m_k, and I^v_k = I^a_k for every k. The paper sets no limit to the speeds this takes; bounds
hold only when the caller gives them. Pure: times in, knots out.
"""

from __future__ import annotations

import numpy as np

from mudar.errors import RetargetRefused
from mudar.retarget.events import Floats
from mudar.retarget.warp.time_map import max_speed_step


def acceleration(strokes_s: Floats, targets_s: Floats, low: float, high: float) -> tuple[Floats, Floats]:
    """Knots ((K,) music seconds, (K,) source seconds): stroke k lands on target k, K = the shorter's count.

    Raises RetargetRefused when fewer than two pairs exist, or the intervals need speeds outside low..high or a change
    of speed that no smooth map inside them has; the hint then says which bounds would do.
    """
    count = min(len(strokes_s), len(targets_s))
    if count < 2:
        raise RetargetRefused(
            f"Acceleration needs two strokes and two targets; there are {len(strokes_s)} and {len(targets_s)}.",
            hint="Use method shift, or take another clip or song.",
        )
    music, source = np.asarray(targets_s[:count], float), np.asarray(strokes_s[:count], float)
    speeds = np.diff(source) / np.diff(music)
    step = float(np.abs(np.diff(speeds)).max(initial=0.0))
    if speeds.min() < low or speeds.max() > high or step > max_speed_step(low, high):
        k = int(np.argmax(np.abs(np.log(speeds))))
        slowest = min(low, _floor(speeds.min()))
        fastest = max(high, _ceil(speeds.max()), _ceil(slowest + 3 * step + 0.01))  # a smooth map needs room, too
        raise RetargetRefused(
            f"Interval {k} needs a speed of {speeds[k]:.2f}, and neighbours differ by up to {step:.2f}; "
            f"{low:g} to {high:g} does not hold that.",
            hint=f"min_speed={slowest}, max_speed={fastest} would do; or use method dtw, which may skip points.",
        )
    return music, source


def _floor(speed: float) -> float:
    return float(np.floor(speed * 100) / 100)


def _ceil(speed: float) -> float:
    return float(np.ceil(speed * 100) / 100)
