"""Measures strokes against events for table 1: precision and recall as the paper prints them, and what they hide.

For each clip, at ±70 ms: precision, recall, F1; its chance (F1 after circular shifts of the strokes through the clip);
its null (F1 against another clip's events, the mistake of a network that only knows that dances are regular); F1 at
the best constant lag of ±300 ms (phones and speakers add one), with the chance of that same search.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from training.evaluation import metrics
from training.evaluation.inference import ClipPrediction, partners
from training.evaluation.metrics import Array, Columns

TOLERANCE_S: Final = 0.07
FINE_S: Final = 0.05
LAGS_S: Final = np.linspace(-0.3, 0.3, 13)
LAG_SHIFTS: Final = 12
TARGETS: Final = {"beat": "our target: strokes where they are known, else beats", "onset": "the paper's target"}


def table(predictions: Sequence[ClipPrediction], target: str) -> Columns:
    """Measures each figure of each clip, in the clips' order; empty for a network without this head."""
    if not predictions or target not in predictions[0].heads:
        return {}
    rows = [
        clip_figures(_events_s(own, target), own.strokes_s(target), _events_s(other, target), own.record.duration_s)
        for own, other in zip(predictions, partners(predictions), strict=True)
    ]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def clip_figures(
    events_s: ArrayLike, strokes_s: ArrayLike, foreign_s: ArrayLike, duration_s: float
) -> dict[str, float]:
    """Measures one clip; `foreign_s` are another clip's events. error_ms is NaN when nothing was matched."""
    events, strokes = np.asarray(events_s, float), np.asarray(strokes_s, float)
    precision, recall, f1 = metrics.precision_recall_f1(events, strokes, TOLERANCE_S)
    chance = metrics.chance_f1(events, strokes, TOLERANCE_S, duration_s)
    fine = metrics.f1(events, strokes, FINE_S)
    errors = metrics.timing_errors_s(events, strokes)
    shifts = duration_s * (np.arange(1, LAG_SHIFTS + 1) * 0.6180339887 % 1.0)
    lag_chance = np.mean([best_lag_f1(events, np.sort((strokes + s) % duration_s)) for s in shifts])
    foreign = np.asarray(foreign_s, float)
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "chance": chance,
        "lift": f1 - chance,
        "null": metrics.f1(foreign[foreign < duration_s], strokes, TOLERANCE_S),
        "f1_50ms": fine,
        "chance_50ms": metrics.chance_f1(events, strokes, FINE_S, duration_s),
        "lag_f1": best_lag_f1(events, strokes),
        "lag_chance": float(lag_chance),
        "error_ms": 1000 * float(np.median(np.abs(errors))) if len(errors) else float("nan"),
    }


def best_lag_f1(events_s: Array, strokes_s: Array) -> float:
    """Finds the largest F1 over constant lags of the strokes."""
    return max(metrics.f1(events_s, strokes_s + lag, TOLERANCE_S) for lag in LAGS_S)


def _events_s(prediction: ClipPrediction, target: str) -> Array:
    events_s = np.asarray(prediction.record.curves_s()[target], float)
    return events_s[(events_s >= 0) & (events_s < prediction.record.duration_s)]
