"""Answers in columns: what is read of them is what lists of Match would hold."""

from __future__ import annotations

import numpy as np
import pytest

from mudar.index.results import NONE, Found, Match, Matches


def made(count: int) -> tuple[Found, list[Match]]:
    rng = np.random.default_rng(count)
    ids, numbers = [f"dance-{i}" for i in range(count)], tuple(rng.random((5, count)))
    return Found(ids, numbers), [Match(*row) for row in zip(ids, *(n.tolist() for n in numbers), strict=True)]


def test_they_read_as_the_list_would() -> None:
    found, all_of_them = made(7)
    matches, plain = Matches(found, 2, 6), all_of_them[2:6]
    assert matches.item_ids == [m.item_id for m in plain]
    assert len(matches) == 4
    assert list(matches) == plain
    assert matches[0] == plain[0]
    assert matches[-1].score == plain[-1].score
    assert matches[1:3] == plain[1:3]
    assert repr(matches) == repr(plain)
    assert all(type(match) is Match and type(match.score) is float for match in matches)
    assert matches[2] in matches
    with pytest.raises(IndexError):
        matches[4]


def test_they_are_equal_to_what_holds_the_same() -> None:
    found, all_of_them = made(7)
    again, _ = made(7)
    assert Matches(found, 2, 6) == Matches(again, 2, 6) == all_of_them[2:6]
    assert Matches(found, 2, 6) != Matches(found, 2, 5)
    assert Matches(found, 2, 6) != all_of_them[1:5]
    assert Matches(found, 2, 6) != 4
    assert [Matches(found, 0, 7)] == [all_of_them]
    with pytest.raises(TypeError):
        hash(Matches(found, 2, 6))


def test_none_is_empty_and_false() -> None:
    assert NONE == []
    assert not NONE
    assert NONE.item_ids == []
    assert list(NONE) == []
