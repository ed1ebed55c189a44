"""What colour alone tells of the song and of the style of each clip, beside tables 2 and 3. Knows no network.

Each clip's music is foretold by a ridge regression over the clips of other folds, by source and song (one large source,
by song alone): as blind to the clip as the network is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.data.records import ClipFeatures
from training.data.splits import folds
from training.evaluation.downstream import color_baseline
from training.evaluation.downstream.color_baseline import Colours
from training.evaluation.evaluate import group_of
from training.evaluation.tables import table3

FOLDS = 4


def add(
    measured: dict[str, Any], colours: Colours, clips: Sequence[ClipFeatures], teach: Sequence[ClipFeatures], mels: int
) -> None:
    """Put what colours tell into one group's measurement, where every clip of it has them."""
    if any(record.clip_id not in colours for record in clips) or not measured["table3"]:
        return
    measured["table3"]["colour"] = song_table(colours, clips, mels)
    if "table2" in measured:
        measured["table2"]["colour"] = _styles(colours, [r for r in clips if r.style], teach)


def song_table(colours: Colours, clips: Sequence[ClipFeatures], mels: int) -> dict[str, dict[str, list[float]]]:
    """Table 3 by colour."""
    songs = list(dict.fromkeys(record.song_id for record in clips))
    library = [next(record for record in clips if record.song_id == song) for song in songs]
    scores = np.zeros((len(clips), len(songs)), np.float32)
    for held in _parts(clips):
        others = [record for i, record in enumerate(clips) if i not in held]
        asked = sorted(held)
        if others and asked:
            scores[asked] = color_baseline.song_scores(colours, others, [clips[i] for i in asked], library, mels)
    return table3.columns_of(scores, [record.song_id for record in clips], songs)


def _styles(colours: Colours, labelled: Sequence[ClipFeatures], teach: Sequence[ClipFeatures]) -> list[float]:
    known = [r for r in teach if r.style and r.clip_id in colours and group_of(r) == group_of(labelled[0])]
    if known:
        return color_baseline.style_accuracy(colours, known, labelled)
    right = [float("nan")] * len(labelled)
    for held in _parts(labelled):
        others = [record for i, record in enumerate(labelled) if i not in held]
        asked = sorted(held)
        if others and asked:
            found = color_baseline.style_accuracy(colours, others, [labelled[i] for i in asked])
            right = [found[asked.index(i)] if i in held else value for i, value in enumerate(right)]
    return right


def _parts(clips: Sequence[ClipFeatures]) -> list[set[int]]:
    """Places of the clips of each fold."""
    source, count = Counter(record.source for record in clips).most_common(1)[0]
    large = frozenset({source}) if count > len(clips) / 2 else frozenset[str]()
    place = {record.clip_id: i for i, record in enumerate(clips)}
    return [{place[clip_id] for clip_id in part} for part in folds(list(clips), FOLDS, 0, large)]
