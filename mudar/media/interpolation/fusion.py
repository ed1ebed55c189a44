"""Fuses the flow both ways to the motion at a moment between two pictures, and to weights for mixing them.

Warping both frames to the moment s needs the motion *there*, which neither flow has: each says where its own pixels
go. Four guesses are made for each pixel, and the one under which the two frames look most alike is taken:
- the mean of both flows, as in Super SloMo (Jiang et al. 2018, eq. 4): m = (1-s) F01 - s F10;
- the flow of the first frame, read where a pixel that is here at s would have begun: m(p) = F01(p - s F01(p));
- that of the second, read where it will end: m(p) = -F10(p - (1-s) F10(p));
- none: a coarse flow drags the wall along with the arm before it.
A frame is trusted where its flow comes back to its start (Sundaram et al. 2010); elsewhere the other one covers for
it: that is occlusion. Where the two still differ after all, one of them is shown alone, the nearer or the more
trusted: a sharp wrong limb looks like the source's own blur, two half-bright ones look like a ghost.

Shapes: h, w of the grid; flows and motion are (h, w, 2) in pixels of that grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.media.interpolation.cuts import warp

cv: Any = cv2  # its stubs lack None for outputs

Flow = NDArray[np.float32]
Shares = NDArray[np.float32]
TOLERANCE_PX = 0.5  # of the grid; plus a share of the motion itself
TOLERANCE_SHARE = 0.1
DIFFERS = 20.0  # grey levels (of 255) by which two frames may differ once they are moved; twice that is hopeless
STAYS = 0.5  # grey levels by which rest must be the better guess: in a flat limb all are alike
AROUND = (3, 3)  # a guess is judged by its surroundings, not by one pixel
LARGEST_UNTRUSTED = 0.7  # share of what moves that neither frame is trusted in: above, nothing is interpolated
MOVES_PX = 0.25  # of the grid
FLOOR = 1e-2  # where neither is trusted, both count by their nearness


@dataclass(frozen=True)
class FlowPair:
    """Holds two small pictures (h, w) uint8 and the flow both ways between them."""

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    forth: Flow
    back: Flow


@dataclass(frozen=True)
class IntermediateFlow:
    """Describes the moment `share` of the way between two frames.

    motion: from the first frame to the second, for each pixel of the moment; second: (h, w) 0..1, its share of the mix.
    """

    share: float
    motion: Flow
    second: Shares


class FlowFusion:
    """Computes the moments between the two pictures of a pair."""

    def __init__(self, pair: FlowPair) -> None:
        self._pair = pair
        self._trust = _consistency(pair.forth, pair.back), _consistency(pair.back, pair.forth)

    def at(self, share: float) -> IntermediateFlow | None:
        """Computes the moment `share` (0..1) of the way to the second frame; None if the flow explains too little."""
        motion, conflict = self._best_motion(share)
        trust = warp(self._trust[0], -share * motion), warp(self._trust[1], (1 - share) * motion)
        moves = _length(motion) > MOVES_PX
        if moves.any() and float((1 - np.maximum(*trust))[moves].mean()) > LARGEST_UNTRUSTED:
            return None
        first, second = (1 - share) * (trust[0] + FLOOR), share * (trust[1] + FLOOR)
        mixed = second / (first + second)
        mixed += (np.round(mixed) - mixed) * conflict
        return IntermediateFlow(share, motion, cv.GaussianBlur(mixed, (3, 3), 0))

    def _best_motion(self, share: float) -> tuple[Flow, Shares]:
        """Returns (motion, how much the frames still differ under it, 0..1)."""
        best: Flow | None = None
        for guess in self._motion_guesses(share):
            a = warp(self._pair.first, -share * guess)
            b = warp(self._pair.second, (1 - share) * guess)
            difference = cv.blur(cv.absdiff(a, b).astype(np.float32), AROUND)
            if best is None:
                best, least = guess, difference
                continue
            better = cv.compare(difference, least, cv.CMP_LT)
            cv.copyTo(guess, better, best)
            cv.min(difference, least, dst=least)
        assert best is not None
        rest = cv.blur(cv.absdiff(self._pair.first, self._pair.second).astype(np.float32), AROUND)
        best[rest + STAYS < least] = 0
        return best, np.clip(cv.min(rest, least) / DIFFERS - 1, 0, 1)

    def _motion_guesses(self, share: float) -> list[Flow]:
        forth, back = self._pair.forth, self._pair.back
        return [
            cv.addWeighted(forth, 1 - share, back, -share, 0.0),
            warp(forth, -share * forth),
            -warp(back, (share - 1) * back),
        ]


def _consistency(forth: Flow, back: Flow) -> Shares:
    """Rates (h, w) from 1 where the flow there and back ends at its start to 0 where it misses by two tolerances."""
    miss = _length(forth + warp(back, forth))
    allowed = TOLERANCE_PX + TOLERANCE_SHARE * _length(forth)
    return np.asarray(cv.blur(np.clip(2 - miss / allowed, 0, 1), AROUND), np.float32)


def _length(flow: Flow) -> NDArray[np.float32]:
    u, v = cv.split(flow)
    return np.asarray(cv.magnitude(u, v), np.float32)
