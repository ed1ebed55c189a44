"""How the picture between two others moves: from the flow both ways to one motion, and whom to believe where.

Warping both frames to the moment s needs the motion *there*, which neither flow has: each says where its own pixels
go. Four guesses are made for each place, and the one under which the two frames look most alike is taken:
- the mean of both flows, as in Super SloMo (Jiang et al. 2018, eq. 4): m = (1-s) F01 - s F10;
- the flow of the first frame, read where a pixel that is here at s would have begun: m(p) = F01(p - s F01(p));
- that of the second, read where it will end: m(p) = -F10(p - (1-s) F10(p));
- none: a coarse flow drags the wall along with the arm before it.
A frame is believed where its flow comes back to its start (Sundaram et al. 2010); elsewhere the other one covers for
it: that is occlusion. Where the two still clash after all, one of them is shown alone, the nearer or the more
trusted: a sharp wrong limb looks like the source's own blur, two half-bright ones look like a ghost.

Shapes: h, w of the grid; flows and motion are (h, w, 2) in pixels of that grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mudar.media.interpolation.cuts import carried

cv: Any = cv2  # its stubs lack None for outputs

Flow = NDArray[np.float32]
Shares = NDArray[np.float32]
TOLERANCE_PX = 0.5  # of the grid; plus a share of the motion itself
TOLERANCE_SHARE = 0.1
CLASH = 20.0  # grey levels (of 255) by which two frames may differ once they are moved; twice that is hopeless
STAYS = 0.5  # grey levels by which rest must be the better guess: in a flat limb all are alike
AROUND = (3, 3)  # a guess is judged by its surroundings, not by one pixel
HOPELESS = 0.7  # share of what moves that neither frame is believed in: above, the pair is not interpolated
MOVES_PX = 0.25  # of the grid
FLOOR = 1e-2  # where neither is believed, both count by their nearness


@dataclass(frozen=True)
class FlowPair:
    """Two small pictures (h, w) uint8 and the flow both ways between them."""

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    forth: Flow
    back: Flow


@dataclass(frozen=True)
class IntermediateFlow:
    """motion: from the first frame to the second, by place at the moment; second: (h, w) 0..1, its share of the mix."""

    share: float
    motion: Flow
    second: Shares


class Between:
    """All moments between the two pictures of a pair."""

    def __init__(self, pair: FlowPair) -> None:
        self._pair = pair
        self._trust = _comes_back(pair.forth, pair.back), _comes_back(pair.back, pair.forth)

    def at(self, share: float) -> IntermediateFlow | None:
        """The moment this far (0..1) from the first frame to the second; None where the flow explains too little."""
        motion, clash = self._best(share)
        trust = carried(self._trust[0], -share * motion), carried(self._trust[1], (1 - share) * motion)
        moves = _length(motion) > MOVES_PX
        if moves.any() and float((1 - np.maximum(*trust))[moves].mean()) > HOPELESS:
            return None
        first, second = (1 - share) * (trust[0] + FLOOR), share * (trust[1] + FLOOR)
        mixed = second / (first + second)
        mixed += (np.round(mixed) - mixed) * clash
        return IntermediateFlow(share, motion, cv.GaussianBlur(mixed, (3, 3), 0))

    def _best(self, share: float) -> tuple[Flow, Shares]:
        """(motion, how much the frames still clash under it, 0..1)."""
        found: Flow | None = None
        for guess in self._guesses(share):
            a = carried(self._pair.first, -share * guess)
            b = carried(self._pair.second, (1 - share) * guess)
            unlike = cv.blur(cv.absdiff(a, b).astype(np.float32), AROUND)
            if found is None:
                found, least = guess, unlike
                continue
            better = cv.compare(unlike, least, cv.CMP_LT)
            cv.copyTo(guess, better, found)
            cv.min(unlike, least, dst=least)
        assert found is not None
        rest = cv.blur(cv.absdiff(self._pair.first, self._pair.second).astype(np.float32), AROUND)
        found[rest + STAYS < least] = 0
        return found, np.clip(cv.min(rest, least) / CLASH - 1, 0, 1)

    def _guesses(self, share: float) -> list[Flow]:
        forth, back = self._pair.forth, self._pair.back
        return [
            cv.addWeighted(forth, 1 - share, back, -share, 0.0),
            carried(forth, -share * forth),
            -carried(back, (share - 1) * back),
        ]


def _comes_back(there: Flow, back: Flow) -> Shares:
    """(h, w) 1 where going there and back again ends at the start, down to 0 where it misses by twice the tolerance."""
    miss = _length(there + carried(back, there))
    allowed = TOLERANCE_PX + TOLERANCE_SHARE * _length(there)
    return np.asarray(cv.blur(np.clip(2 - miss / allowed, 0, 1), AROUND), np.float32)


def _length(flow: Flow) -> NDArray[np.float32]:
    u, v = cv.split(flow)
    return np.asarray(cv.magnitude(u, v), np.float32)
