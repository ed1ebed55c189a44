"""Clips held in memory, generated and real, drawn in shares. A source of batches (see `batches.Source`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mudar.spec import FeatureSpec
from training.data.batches import CPU
from training.data.ragged import Table, make_table
from training.data.records import ClipFeatures

Ints = NDArray[np.int64]


class Mixture:
    """Generated and real records, in shares; among the real ones each source counts as it should."""

    def __init__(
        self, generated: Sequence[ClipFeatures], real: Sequence[ClipFeatures], real_share: float, large_share: float
    ) -> None:
        """`large_share` of the real draws are of the source with the most clips."""
        self.records = [*generated, *real]
        self.real_share, self.large_share = real_share, large_share
        sources = np.array([record.source for record in real], dtype=str)
        names, sizes = np.unique(sources, return_counts=True)
        self._generated = np.arange(len(generated))
        of_largest = sources == (names[int(np.argmax(sizes))] if len(names) else "")
        self._largest = len(generated) + np.flatnonzero(of_largest)
        self._others = len(generated) + np.flatnonzero(~of_largest)
        self._tables: dict[tuple[FeatureSpec, torch.device], Table] = {}

    def __len__(self) -> int:
        """See `Source`."""
        return len(self.records)

    def table(self, spec: FeatureSpec, device: torch.device = CPU) -> Table:
        """All clips; made once for each device."""
        if (spec, device) not in self._tables:
            self._tables[spec, device] = make_table(self.records, spec.video).to(device)
        return self._tables[spec, device]

    def open(self, clips: Ints, spec: FeatureSpec, device: torch.device = CPU) -> tuple[Table, Ints]:
        """See `Source`."""
        return self.table(spec, device), clips

    def draw(self, rng: np.random.Generator, step: int, count: int) -> Ints:
        """See `Source`; without records of one kind the other fills its place."""
        reals = len(self._largest) + len(self._others)
        share = 0.0 if not reals else 1.0 if not len(self._generated) else self.real_share
        real = round(count * share)
        large = rng.uniform(size=real) < (self.large_share if len(self._others) else 1.0)
        drawn = [
            self._pick(rng, self._generated, count - real),
            self._pick(rng, self._largest, int(large.sum())),
            self._pick(rng, self._others, int((~large).sum())),
        ]
        return rng.permutation(np.concatenate(drawn))

    @staticmethod
    def _pick(rng: np.random.Generator, pool: Ints, count: int) -> Ints:
        return pool[rng.integers(len(pool), size=count)] if count else pool[:0]
