"""Answers of two ways to search, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mudar.index.results import SearchHit
from mudar.index.types import SearchRequest


def same(answers: Sequence[Sequence[SearchHit]], others: Sequence[Sequence[SearchHit]]) -> bool:
    """The same items and seconds in the same order; scores to nine digits, since numpy and the compiled loops add in
    different orders."""
    flat, other = [m for answer in answers for m in answer], [m for answer in others for m in answer]
    named, named_too = ([(m.item_id, m.start_s, m.query_start_s) for m in matches] for matches in (flat, other))
    alike = named == named_too and list(map(len, answers)) == list(map(len, others))
    return alike and np.allclose([m[1:4] for m in flat], [m[1:4] for m in other], rtol=0, atol=1e-9)


def at(requests: Sequence[SearchRequest], lam: float | Sequence[float], k: int, **narrow: Any) -> list[SearchRequest]:
    """The same requests at one λ, or each at its own, and for k items."""
    each = [lam] * len(requests) if isinstance(lam, float) else lam
    return [replace(request, lam=value, k=k, **narrow) for request, value in zip(requests, each, strict=True)]
