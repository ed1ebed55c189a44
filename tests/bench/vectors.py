"""Vectors to measure retrieval with: not real ones, but shaped like them, in three ways.

`measured` has the statistics of what mudar-small makes of 62 real clips (206 segments of dance, 207 of music): the
spectra of both parts, how far the segments of one item lie apart, and how much of a question of the other kind lies
along the library's axes. Its embeddings have nearly collapsed onto a cone of few axes. `crowded` is what a richer model
may give, and harder: embeddings of 128 axes with a slowly falling spectrum in some thousand styles, rhythm vectors of a
pulse train with four parameters, so that thousands lie within a hundredth of each other. `uniform` is directions at
random, on which nothing can be skipped. `python -m tests.bench.vectors` prints the statistics of all three.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mudar.index.hybrid import HybridIndex
from mudar.index.types import SearchRequest
from mudar.rhythm.autocorrelation import lags_s
from mudar.rhythm.descriptors import TEMPO_LAGS_S

Array = NDArray[np.float32]
KINDS = ("measured", "crowded", "uniform")
RANK, STYLES, SEGMENTS = 128, 4000, 6
RHYTHM_DIM, RHYTHM_AXES = 64, 29  # a curve of 15 frames a second has no more
_BLOCK = 30_000  # a multiple of SEGMENTS

# Of mudar-small 0.2.0 on real clips. Shares of variance along principal axes, then how they go on falling.
_EMBEDDING_MEAN, _EMBEDDING_WITHIN = 0.905, 0.6  # squared norm of the mean; share of variance within an item
_EMBEDDING_AXES = (0.643, 0.325, 0.020, 0.0032, 0.0016)  # at the 24th 1e-4, then a tenth every 41
_RHYTHM_MEAN, _RHYTHM_WITHIN, _RHYTHM_FALL = 0.30, 0.61, 0.80
# Of a question's squared norm, the share on the first of the library's axes; the first of all is the rows' mean.
_QUERY_EMBEDDING = ((1, 0.174), (2, 0.355), (4, 0.402), (32, 0.443), (128, 0.5))
_QUERY_RHYTHM = ((1, 0.01), (8, 0.36), (16, 0.70), (29, 1.0))


@dataclass(frozen=True)
class Vectors:
    """N rows of N / 6 items, and 200 queries."""

    embeddings: Array
    rhythms: Array
    item: NDArray[np.int64]  # (N,)
    query_embeddings: Array
    query_rhythms: Array

    @property
    def dim(self) -> int:
        """D."""
        return self.embeddings.shape[1] + self.rhythms.shape[1]

    def names(self) -> list[str]:
        """Item ids of the rows, whose order is that of the numbers."""
        return [f"dance-{number:09d}" for number in self.item]

    def query(self, number: int) -> SearchRequest:
        """One query of one segment."""
        return SearchRequest(
            self.query_embeddings[number : number + 1], self.query_rhythms[number : number + 1], np.zeros(1, np.float32)
        )

    def blocks(self) -> Iterator[Array]:
        """[E ; R], some rows at a time."""
        for start in range(0, len(self.item), _BLOCK):
            part = slice(start, start + _BLOCK)
            yield np.hstack([self.embeddings[part], self.rhythms[part]])

    def index(self) -> HybridIndex:
        """All rows, exact."""
        index, names, count = HybridIndex(self.embeddings.shape[1], RHYTHM_DIM), self.names(), len(self.item)
        for start in range(0, count, _BLOCK):
            part = slice(start, start + _BLOCK)
            rows = np.arange(count)[part]
            index.add(rows, names[part], self.embeddings[part], self.rhythms[part], 4.0 * (rows % SEGMENTS))
        return index


def make(count: int, embed_dim: int, queries: int = 200, kind: str = "measured", seed: int = 0) -> Vectors:
    """N = `count` rows of `embed_dim` + 64 numbers."""
    rng = np.random.default_rng(seed)
    item = np.arange(count) // SEGMENTS
    vectors = Vectors(*_room(count, embed_dim), item, *_room(queries, embed_dim))
    parts = [(vectors.embeddings, vectors.rhythms), (vectors.query_embeddings, vectors.query_rhythms)]
    {"measured": _measured, "crowded": _crowded, "uniform": _uniform}[kind](rng, *parts)
    return vectors


Part = tuple[Array, Array]  # embeddings and rhythms to fill


def _room(count: int, embed_dim: int) -> Part:
    return np.empty((count, embed_dim), np.float32), np.empty((count, RHYTHM_DIM), np.float32)


def _uniform(rng: np.random.Generator, rows: Part, queries_part: Part) -> None:
    for part in (*rows, *queries_part):
        for block in _blocks(part):
            block[:] = _unit(rng.standard_normal(block.shape, np.float32))


def _measured(rng: np.random.Generator, rows: Part, queries_part: Part) -> None:
    at = np.arange(6, RANK)
    tail = np.where(at <= 24, 0.0016 * (at / 5.0) ** -1.75, 1e-4 * 10 ** ((24 - at) / 41))
    embedding = np.array([*_EMBEDDING_AXES, *tail])
    rhythm = _RHYTHM_FALL ** np.arange(RHYTHM_AXES - 1)
    spectra = (embedding, _EMBEDDING_MEAN, _EMBEDDING_WITHIN), (rhythm, _RHYTHM_MEAN, _RHYTHM_WITHIN)
    shares = (_QUERY_EMBEDDING, _QUERY_RHYTHM)
    for out, query, (variance, mean, within), share in zip(rows, queries_part, spectra, shares, strict=True):
        axes = np.linalg.qr(rng.normal(size=(out.shape[1], out.shape[1])))[0].T.astype(np.float32)
        spread = np.sqrt((1 - mean) * variance / variance.sum()).astype(np.float32)
        middle, axes_used = np.sqrt(mean) * axes[0], axes[1 : 1 + len(spread)]
        for block in _blocks(out):
            items = -(-len(block) // SEGMENTS)
            centres = np.repeat(rng.standard_normal((items, len(spread)), np.float32), SEGMENTS, 0)[: len(block)]
            own = rng.standard_normal(centres.shape, np.float32)
            block[:] = _unit(middle + ((np.sqrt(1 - within) * centres + np.sqrt(within) * own) * spread) @ axes_used)
        direction = rng.standard_normal(query.shape, np.float32)
        direction[:, 0] = 1.0
        query[:] = _unit((direction * _standing(share, len(axes))) @ axes)


def _standing(share: tuple[tuple[int, float], ...], dim: int) -> Array:
    """(dim,): size of a query along each axis, from cumulative shares of its squared norm."""
    sizes, at, so_far = np.zeros(dim), 0, 0.0
    for axes, total in (*share, (dim, 1.0)):
        if axes > at:
            sizes[at:axes] = (total - so_far) / (axes - at)
        at, so_far = axes, total
    return np.sqrt(sizes).astype(np.float32)


def _crowded(rng: np.random.Generator, rows: Part, queries_part: Part) -> None:
    axes = np.linalg.qr(rng.normal(size=(rows[0].shape[1], RANK)))[0].T * (np.arange(1, RANK + 1) ** -0.5)[:, None]
    styles, tempi = rng.standard_normal((STYLES, RANK), np.float32), rng.uniform(85, 150, STYLES)
    lags = lags_s(RHYTHM_DIM, *TEMPO_LAGS_S).astype(np.float32)
    for (embeddings, rhythms), of_one, noise in ((rows, SEGMENTS, 0.0), (queries_part, 1, 0.4)):
        for e, r in zip(_blocks(embeddings), _blocks(rhythms), strict=True):
            items = -(-len(e) // of_one)
            style, mine = rng.integers(0, STYLES, items), np.arange(len(e)) // of_one
            centres = styles[style] + 0.6 * rng.standard_normal((items, RANK), np.float32)
            own = (0.35 + noise) * rng.standard_normal((len(e), RANK), np.float32)
            e[:] = _unit((centres[mine] + own) @ axes.astype(np.float32))
            bpm, swing = tempi[style] + 6 * rng.normal(size=items), rng.uniform(0.2, 1, (items, 4)).astype(np.float32)
            period = 60 / bpm[mine, None] * (1 + 0.01 * rng.normal(size=(len(e), 1)))
            turns = (2 * np.pi * lags / period).astype(np.float32)
            repeats = sum(swing[mine, h : h + 1] * np.cos((h + 1) / 2 * turns) for h in range(4))
            r[:] = _unit(repeats + (0.1 + 0.2 * noise) * rng.standard_normal(r.shape, np.float32))


def _blocks(part: Array) -> Iterator[Array]:
    for start in range(0, len(part), _BLOCK):
        yield part[start : start + _BLOCK]


def _unit(x: NDArray[np.floating]) -> Array:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def statistics(e: Array, item: NDArray[np.int64], query: Array) -> dict[str, float]:
    """Of one part: axes that hold .95 and .995 of it, likeness within and between items, and what a query finds."""
    energy = np.cumsum(np.linalg.eigvalsh(e.T.astype(float) @ e)[::-1])
    some = np.random.default_rng(0).choice(len(e), min(len(e), 500), replace=False)
    likeness, same = e[some] @ e.T, item[some, None] == item
    same[np.arange(len(some)), some] = False
    best = np.sort(query @ e.T, axis=1)[:, ::-1]
    return {
        "axes_95": float(np.searchsorted(energy, 0.95 * energy[-1]) + 1),
        "axes_995": float(np.searchsorted(energy, 0.995 * energy[-1]) + 1),
        "within_item": float(likeness[same].mean()),
        "between": float(likeness.mean()),
        "query_first": float(np.median(best[:, 0])),
        "query_tenth": float(np.median(best[:, 9])),
        "query_mean": float(best.mean()),
        "query_spread": float(best.std()),
    }


if __name__ == "__main__":
    for shape in KINDS:
        made = make(206, 256, kind=shape)
        for part in ("embeddings", "rhythms"):
            figures = statistics(getattr(made, part), made.item, getattr(made, f"query_{part}"))
            print(shape, part, " ".join(f"{name} {value:.3f}" for name, value in figures.items()))
