"""Lists the seven bars of rhythm that songs are made of: where in the bar, and how loud. Knows no sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Hits = dict[str, tuple[tuple[float, float], ...]]  # instrument -> (place in the bar in beats, loudness)


def _eighths(loud: float, soft: float) -> tuple[tuple[float, float], ...]:
    return tuple((i / 2, loud if i % 2 == 0 else soft) for i in range(8))


@dataclass(frozen=True)
class Groove:
    """A bar of drums and bass, and the tempi it lives at."""

    name: str
    tempo_bpm: tuple[float, float]
    hits: Hits
    bass: tuple[float, ...]  # places in the bar
    comp: tuple[float, ...]  # where the chord instrument plucks
    pad: bool = True


_ON = ((0.0, 1.0), (1.0, 0.9), (2.0, 1.0), (3.0, 0.9))
_BACK = ((1.0, 1.0), (3.0, 1.0))
GROOVES: Final[dict[str, Groove]] = {
    g.name: g
    for g in (
        Groove(
            "house",
            (112, 134),
            {
                "kick": _ON,
                "clap": _BACK,
                "open_hat": tuple((b + 0.5, 0.8) for b in range(4)),
                "hat": _eighths(0.3, 0.2),
            },
            (0.5, 1.5, 2.5, 3.5),
            (0.0, 1.5, 3.0),
        ),
        Groove(
            "hiphop",
            (76, 104),
            {"kick": ((0.0, 1.0), (1.75, 0.7), (2.5, 0.9)), "snare": _BACK, "hat": _eighths(0.6, 0.4)},
            (0.0, 1.75, 2.5),
            (0.0,),
        ),
        Groove(
            "rock",
            (100, 160),
            {"kick": ((0.0, 1.0), (2.0, 0.9), (2.5, 0.7)), "snare": _BACK, "hat": _eighths(0.8, 0.5)},
            tuple(i / 2 for i in range(8)),
            (0.0, 2.0),
            False,
        ),
        Groove(
            "funk",
            (92, 122),
            {
                "kick": ((0.0, 1.0), (0.75, 0.6), (2.5, 0.9)),
                "snare": ((1.0, 1.0), (3.0, 1.0), (3.75, 0.3)),
                "hat": tuple((i / 4, 0.6 if i % 4 == 0 else 0.3) for i in range(16)),
            },
            (0.0, 0.75, 1.5, 2.5, 3.25),
            (0.5, 1.25, 2.5, 3.5),
            False,
        ),
        Groove(
            "bachata",
            (108, 146),
            {
                "bongo_high": _eighths(0.7, 0.5)[:6],
                "bongo_low": ((3.0, 1.0), (3.5, 0.5)),
                "guira": tuple((b + d, 0.6 if d == 0 else 0.35) for b in range(4) for d in (0.0, 0.5, 0.75)),
                "kick": ((0.0, 0.7), (2.0, 0.6), (3.0, 0.8)),
            },
            (0.0, 2.0, 3.0),
            tuple(i / 2 for i in range(8)),
            False,
        ),
        Groove(
            "reggaeton",
            (84, 104),
            {"kick": _ON, "snare": ((0.75, 0.8), (1.5, 0.9), (2.75, 0.8), (3.5, 0.9)), "hat": _eighths(0.4, 0.3)},
            (0.0, 0.75, 1.5, 2.0, 2.75, 3.5),
            (0.0, 2.0),
        ),
        Groove(
            "ballad",
            (70, 92),
            {"kick": ((0.0, 0.8), (2.0, 0.6)), "snare": ((1.0, 0.5), (3.0, 0.5)), "hat": _eighths(0.3, 0.2)},
            (0.0, 2.0),
            (0.0, 1.0, 2.0, 3.0),
        ),
    )
}
