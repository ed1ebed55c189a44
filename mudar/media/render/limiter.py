"""Sound that would clip, turned down just before and let go slowly after. Knows only blocks, one after another.

A block's own gain is what its peak needs. The gain at the border of two blocks is the lower of theirs, and between two
borders it runs straight; so it never exceeds what any sample needs, begins to fall a block (23 ms) ahead, and a song
that stays under the ceiling comes out as it went in, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mudar.media.render.audio import Block

CEILING = 0.99  # AAC shifts peaks by a little
RELEASE = 1.06  # times a border's gain that the next one may have: 20 dB in a second


def limit_peaks(blocks: Iterator[Block], ceiling: float = CEILING) -> Iterator[Block]:
    """The same (channels, samples) blocks, none louder than `ceiling`. One block is held."""
    held: tuple[Block, float] | None = None
    border = 1.0  # gain where the held block begins
    for block in blocks:
        need = min(1.0, ceiling / max(float(np.abs(block).max(initial=0.0)), 1e-9))
        if held is None:
            border = need
        else:
            following = min(held[1], need, border * RELEASE)
            yield _ramped(held[0], border, following)
            border = following
        held = block, need
    if held is not None:
        yield _ramped(held[0], border, min(held[1], border * RELEASE))


def _ramped(block: Block, first: float, last: float) -> Block:
    if first == last == 1.0:
        return block
    return (block * np.linspace(first, last, block.shape[1], dtype=np.float32)).astype(np.float32)
