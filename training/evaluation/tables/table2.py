"""Table 2: the style of each clip, by the head of section 4.2 on frozen codes, beside chance. Knows no files."""

from __future__ import annotations

from collections.abc import Sequence

from training.data.splits import folds
from training.evaluation.downstream import classification
from training.evaluation.downstream.classification import HeadRecipe
from training.evaluation.tables.inference import Seen

Columns = dict[str, list[float]]
CROSS = 4  # folds, by song, where nothing else is there to learn from
USUAL = HeadRecipe()


def table(train: Sequence[Seen], test: Sequence[Seen], recipe: HeadRecipe = USUAL) -> Columns:
    """accuracy and chance of each test clip; the head learns from `train`, or, without any, from the other folds."""
    labels = [one.record.style for one in test]
    if train:
        known = [one.record.style for one in train]
        return {
            "accuracy": classification.accuracy(train, test, known, labels, recipe),
            "chance": classification.majority(known, labels),
        }
    found: dict[str, dict[str, float]] = {}
    for part in folds([one.record for one in test], CROSS, by_song=frozenset(one.record.source for one in test)):
        held = set(part)
        inside = [one for one in test if one.record.clip_id not in held]
        outside = [one for one in test if one.record.clip_id in held]
        if not inside or not outside:
            continue
        columns = table(inside, outside, recipe)
        for i, one in enumerate(outside):
            found[one.record.clip_id] = {name: values[i] for name, values in columns.items()}
    rows = [found[one.record.clip_id] for one in test if one.record.clip_id in found]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
