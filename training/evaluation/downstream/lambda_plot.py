"""The sweep over λ as a picture: R@5 and rank, both ways, with their intervals, beside chance. Knows only figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

SHOWN = (("r5", "R@5"), ("rank", "rank (0.5 = chance)"))
SIZE_INCHES = (4.2, 3.2)  # of one panel


def draw(every: dict[str, dict[str, Any]], path: Path) -> None:
    """`every`: by choice of rhythm vector, by group, what `retrieval.sweep` found. A row a group, a column a figure."""
    groups = list(next(iter(every.values())))
    wide, high = SIZE_INCHES
    picture = Figure(figsize=(wide * len(SHOWN), high * len(groups)), layout="constrained")
    axes = picture.subplots(len(groups), len(SHOWN), squeeze=False)
    for row, group in zip(axes, groups, strict=True):
        for axis, (figure, name) in zip(row, SHOWN, strict=True):
            _panel(axis, {choice: found[group] for choice, found in every.items()}, figure)
            axis.set(title=group, xlabel="λ (0 = rhythm alone, 1 = embedding alone)", ylabel=name, ylim=(0, 1))
    axes[0][0].legend(fontsize=7)
    picture.savefig(path, dpi=150)


def _panel(axis: Any, by_choice: dict[str, Any], figure: str) -> None:
    colours = mpl.colormaps["tab10"]
    for number, (choice, found) in enumerate(by_choice.items()):
        for direction, dash in (("dance to music", "-"), ("music to dance", "--")):
            rows = found[direction]
            mean, low, high = zip(*(row[figure] for row in rows.values()), strict=True)
            label = direction if choice == "own" else f"{choice}, {direction}"
            axis.plot(list(rows), mean, dash, color=colours(number), label=label)
            axis.fill_between(list(rows), low, high, color=colours(number), alpha=0.1)
        axis.axhline(found["chance"][figure], color="grey", linewidth=0.8, linestyle=":")
