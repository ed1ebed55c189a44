"""Table 3: the music of a song looks for the dances to it, (21); and each dance for its song. Knows no files.

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
from numpy.typing import NDArray
from torch import Tensor

from mudar.model.mudar import Mudar
from mudar.model.temporal import Code
from training.baselines.network import Baseline, rows
from training.baselines.registry import Network
from training.evaluation import metrics
from training.evaluation.tables.inference import Seen

Array = NDArray[np.float32]
Columns = dict[str, list[float]]

LAMBDAS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_PAIRS_AT_ONCE: Final = 256


def table(network: Network, seen: Sequence[Seen]) -> dict[str, dict[str, Columns]]:
    """λ as text to {"songs": per song, "chance": one row, "null": per song, "dances": per dance} of named columns."""
    library = first_of_each_song(seen)
    if len(library) < 2:
        return {}
    songs, dances = [one.record.song_id for one in library], [one.record.song_id for one in seen]
    embedding = pair_scores(network, [one.dance for one in seen], [one.music for one in library])  # (dances, songs)
    found = {}
    for lam in LAMBDAS if isinstance(network, Mudar) else (1.0,):
        found[str(lam)] = columns_of(hybrid(seen, library, lam, embedding), dances, songs)
    return found


def columns_of(scores: Array, dances: list[str], songs: list[str]) -> dict[str, Columns]:
    """All of the table from (Q, N) scores of dances and songs, each with its song's name."""
    return {
        "songs": _lists(metrics.retrieval_scores(scores.T, songs, dances)),
        "chance": {name: [value] for name, value in metrics.retrieval_chance(songs, dances).items()},
        "null": _lists(metrics.retrieval_scores(scores.T, np.roll(songs, 1).tolist(), dances)),
        "dances": song_search(scores, dances, songs),
    }


def song_search(scores: Array, dances: Sequence[str], songs: Sequence[str]) -> Columns:
    """Of each dance (row of (Q, N) scores of N songs): r1, r5, and rank, 1 at the top and 0 at the bottom."""
    ranks = metrics.true_ranks(scores, dances, songs)
    last = max(len(songs) - 1, 1)
    return {
        "r1": (ranks < 1).astype(float).tolist(),
        "r5": (ranks < 5).astype(float).tolist(),
        "rank": (1.0 - ranks / last).tolist(),
        "chance_r1": [1 / len(songs)] * len(ranks),
        "chance_r5": [min(5 / len(songs), 1.0)] * len(ranks),
    }


def first_of_each_song(seen: Sequence[Seen]) -> list[Seen]:
    """One clip a song, in order."""
    found: dict[str, Seen] = {}
    for one in seen:
        found.setdefault(one.record.song_id, one)
    return list(found.values())


def hybrid(dances: Sequence[Seen], musics: Sequence[Seen], lam: float, embedding: Array) -> Array:
    """(Q, N) of (21) on the best pair of segments. `embedding` is that of λ = 1."""
    if lam == 1.0:
        return embedding
    if lam == 0.0:
        return best_pairs([one.dance_rhythm for one in dances], [one.music_rhythm for one in musics])
    queries = [np.concatenate([lam * _unit(d.dance), (1 - lam) * d.dance_rhythm], axis=1) for d in dances]
    return best_pairs(queries, [np.concatenate([_unit(m.music), m.music_rhythm], axis=1) for m in musics])


def pair_scores(network: Network, dances: Sequence[Code], musics: Sequence[Code]) -> Array:
    """(Q, N) score of the best pair of segments: inner product, or what the baseline asks of a pair."""
    if not isinstance(network, Baseline) or type(network).match is Baseline.match:
        return best_pairs([d.embedding.cpu().numpy() for d in dances], [m.embedding.cpu().numpy() for m in musics])
    return np.stack([_asked(network, dance, musics) for dance in dances])


@torch.no_grad()
def _asked(network: Baseline, dance: Code, musics: Sequence[Code]) -> Array:
    """(N,) best score of any segment of the dance with any of each music, cut to the shorter one's frames.

    Music of one length is asked about at once: a question alone costs little more than many.
    """
    found = np.zeros(len(musics), np.float32)
    lengths = [min(dance.sequence.shape[1], music.sequence.shape[1]) for music in musics]
    for frames in sorted(set(lengths)):
        chosen = [i for i, length in enumerate(lengths) if length == frames]
        one = Code(dance.sequence[:, :frames], dance.embedding)
        other = Code(
            torch.cat([musics[i].sequence[:, :frames] for i in chosen]),
            torch.cat([musics[i].embedding for i in chosen]),
        )
        best = _best_of_dance(network, one, other).cpu().numpy()  # of each of the musics' segments
        starts = np.cumsum([0, *(len(musics[i].embedding) for i in chosen[:-1])])
        found[chosen] = np.maximum.reduceat(best, starts)
    return found


def _best_of_dance(network: Baseline, dance: Code, music: Code) -> Tensor:
    """(S,) the best score of each segment of the music with any of the dance."""
    segments = len(music.embedding)
    place = torch.arange(len(dance.embedding) * segments, device=dance.embedding.device)
    scores = [
        network.match(rows(dance, part // segments), rows(music, part % segments))
        for part in torch.split(place, _PAIRS_AT_ONCE)
    ]
    return torch.cat(scores).view(len(dance.embedding), segments).amax(dim=0)


def best_pairs(queries: Sequence[Array], items: Sequence[Array]) -> Array:
    """(Q, N) largest inner product of any row of the query with any of the item."""
    starts = np.cumsum([0, *(len(x) for x in items[:-1])])
    every = np.concatenate(items)
    return np.stack([np.maximum.reduceat((q @ every.T).max(axis=0), starts) for q in queries])


def _unit(code: Code) -> Array:
    embedding: Array = code.embedding.cpu().numpy()
    return embedding


def _lists(columns: dict[str, NDArray[np.float64]]) -> Columns:
    return {name: values.tolist() for name, values in columns.items()}
