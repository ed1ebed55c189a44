"""Measures the style of each clip for table 2, by the head of section 4.2 on frozen codes. Knows no files."""

from __future__ import annotations

from collections.abc import Sequence

from training.data.splits import folds
from training.evaluation.downstream import classification
from training.evaluation.downstream.classification import HeadRecipe
from training.evaluation.inference import ClipPrediction
from training.evaluation.metrics import Columns

CROSS = 4  # folds, by song, where nothing else is there to learn from
PAPER_HEAD = HeadRecipe()


def table(train: Sequence[ClipPrediction], test: Sequence[ClipPrediction], recipe: HeadRecipe = PAPER_HEAD) -> Columns:
    """Measures accuracy and chance of each test clip; the head learns from `train`, or, without, from other folds."""
    labels = [clip.record.style for clip in test]
    if train:
        train_labels = [clip.record.style for clip in train]
        return {
            "accuracy": classification.accuracy(train, test, train_labels, labels, recipe),
            "chance": classification.majority(train_labels, labels),
        }
    by_clip: dict[str, dict[str, float]] = {}
    for fold in folds([clip.record for clip in test], CROSS, by_song=frozenset(clip.record.source for clip in test)):
        held_out = set(fold)
        inside = [clip for clip in test if clip.record.clip_id not in held_out]
        outside = [clip for clip in test if clip.record.clip_id in held_out]
        if not inside or not outside:
            continue
        columns = table(inside, outside, recipe)
        for i, clip in enumerate(outside):
            by_clip[clip.record.clip_id] = {name: values[i] for name, values in columns.items()}
    rows = [by_clip[clip.record.clip_id] for clip in test if clip.record.clip_id in by_clip]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
