"""Measures, for table 3, how a song's music finds the dances to it, (21), and each dance its song. Knows no files.

The gallery is every dance of the group; a song's query is the music of its first clip. score = λ S_e + (1 - λ) S_r
of the best pair of segments, as in serving. A baseline has no rhythm: λ = 1 alone, S_e being its own score of a pair.
The null pairs every query with another song's answers, and should be chance.

Shapes: Q queries; N items; S segments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from mudar.model.mudar import Mudar
from mudar.model.temporal import Code
from training.baselines.network import Baseline, rows
from training.baselines.registry import Network
from training.evaluation import metrics
from training.evaluation.inference import ClipPrediction, dance_vectors, first_of_each_song, music_vectors
from training.evaluation.metrics import Columns, Vectors

LAMBDAS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_PAIRS_AT_ONCE: Final = 256


def table(network: Network, predictions: Sequence[ClipPrediction]) -> dict[str, dict[str, Columns]]:
    """Measures, by λ as text, {"songs": per song, "chance": one row, "null": per song, "dances": per dance} of columns.

    Empty for fewer than two songs.
    """
    library = first_of_each_song(predictions)
    if len(library) < 2:
        return {}
    songs, dances = [clip.record.song_id for clip in library], [clip.record.song_id for clip in predictions]
    if not isinstance(network, Mudar):
        scores = pair_scores(network, [clip.dance for clip in predictions], [clip.music for clip in library])
        return {"1.0": metrics.retrieval_columns(scores, dances, songs)}
    queries, items = dance_vectors(predictions), music_vectors(library)
    return {
        str(lam): metrics.retrieval_columns(metrics.hybrid_scores(queries, items, lam), dances, songs)
        for lam in LAMBDAS
    }


def pair_scores(network: Baseline, dances: Sequence[Code], musics: Sequence[Code]) -> Vectors:
    """Scores (Q, N) the best pair of segments: by inner product, or by what the baseline makes of a pair."""
    if type(network).match is Baseline.match:
        embeddings = ([code.embedding.cpu().numpy() for code in codes] for codes in (dances, musics))
        return metrics.best_pair_scores(*embeddings)
    return np.stack([_match_scores(network, dance, musics) for dance in dances])


@torch.no_grad()
def _match_scores(network: Baseline, dance: Code, musics: Sequence[Code]) -> Vectors:
    """Scores (N,) the best pair of any segment of the dance with any of each music, cut to the shorter one's frames.

    Music of one length is scored in one batch: one pair costs little less than many.
    """
    scores = np.zeros(len(musics), np.float32)
    lengths = [min(dance.sequence.shape[1], music.sequence.shape[1]) for music in musics]
    for frames in sorted(set(lengths)):
        chosen = [i for i, length in enumerate(lengths) if length == frames]
        dance_code = Code(dance.sequence[:, :frames], dance.embedding)
        music_code = Code(
            torch.cat([musics[i].sequence[:, :frames] for i in chosen]),
            torch.cat([musics[i].embedding for i in chosen]),
        )
        best = _best_of_dance(network, dance_code, music_code).cpu().numpy()  # of each of the musics' segments
        starts = np.cumsum([0, *(len(musics[i].embedding) for i in chosen[:-1])])
        scores[chosen] = np.maximum.reduceat(best, starts)
    return scores


def _best_of_dance(network: Baseline, dance: Code, music: Code) -> Tensor:
    """Scores (S,) each segment of the music with the dance's best."""
    segments = len(music.embedding)
    pairs = torch.arange(len(dance.embedding) * segments, device=dance.embedding.device)
    scores = [
        network.match(rows(dance, part // segments), rows(music, part % segments))
        for part in torch.split(pairs, _PAIRS_AT_ONCE)
    ]
    return torch.cat(scores).view(len(dance.embedding), segments).amax(dim=0)
