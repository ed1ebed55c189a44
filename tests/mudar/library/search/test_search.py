"""Searches of the library: filters that lose nothing, pages that meet, batches that change no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mudar.errors import EmptyLibrary, MudarError, OutOfRange
from mudar.index.types import SearchRequest
from mudar.library import analyses
from mudar.library.db import Database
from mudar.library.search.index_replica import IndexReplica
from mudar.library.search.search import Filters, search, search_many, stack_segments
from mudar.records import Analysis, Segment


@pytest.fixture
def library(
    database: Database, new_item: Callable[..., str], analysis: Callable[..., Analysis], tmp_path: Path
) -> Iterator[tuple[IndexReplica, dict[str, tuple[float, float, str]], Analysis]]:
    """24 dances with (tempo, duration, label), and a piece of music to ask with."""
    known = {}
    for n in range(24):
        item_id = new_item("dance", labels=["even" if n % 2 == 0 else "odd"])
        given = analysis(n, kind="dance")
        tempo, duration = 80.0 + 5 * n, 10.0 + n % 5
        given = replace(given, duration_s=duration, rhythm=replace(given.rhythm, tempo_bpm=tempo))
        with database.begin() as session:
            analyses.store_analysis(session, item_id, "m@1", given)
        known[item_id] = (tempo, duration, "even" if n % 2 == 0 else "odd")
    replica = IndexReplica(database, "m@1", 6, 4, tmp_path / "index")
    replica.open()
    yield replica, known, analysis(99, kind="music")
    replica.stop()


def ask(segments: Sequence[Segment], k: int, lam: float, **narrow: Any) -> SearchRequest:
    return SearchRequest(**stack_segments(segments), lam=lam, k=k, **narrow)


Library = tuple[IndexReplica, dict[str, tuple[float, float, str]], Analysis]


def test_filters_leave_the_order_and_lose_nothing(database: Database, library: Library) -> None:
    replica, known, music = library
    every = ask(music.segments, 100, 0.4)
    ranked = [result.id for result in search(database, replica, "dance", every)]
    assert set(ranked) == set(known)
    cases = [
        (Filters(labels=["odd"]), lambda tempo, duration, label: label == "odd"),
        (Filters(tempo_bpm=(100.0, 150.0)), lambda tempo, duration, label: 100 <= tempo <= 150),
        (Filters(duration_s=(None, 12.0)), lambda tempo, duration, label: duration <= 12),
        (
            Filters(["even"], (120.0, None), (11.0, 13.0)),
            lambda t, d, label: label == "even" and t >= 120 and 11 <= d <= 13,
        ),
        (Filters(labels=["neither"]), lambda tempo, duration, label: False),
    ]
    for filters, passes in cases:
        with database.read() as session:
            allow = filters.allowed(session, "dance", "m@1")
        expected = [item_id for item_id in ranked if passes(*known[item_id])]
        results = search(database, replica, "dance", replace(every, allow=allow))
        assert [result.id for result in results] == expected
    with database.read() as session:
        assert Filters().allowed(session, "dance", "m@1") is None
    results = search(database, replica, "dance", replace(every, exclude=[*ranked[:3], "nobody"]))
    assert [result.id for result in results] == ranked[3:]


def test_fewer_results_are_the_first_of_more(database: Database, library: Library) -> None:
    """So that pages meet."""
    replica, known, music = library
    every = search(database, replica, "dance", ask(music.segments, 100, 0.7))
    for k in range(5, 30, 5):
        assert search(database, replica, "dance", ask(music.segments, k, 0.7)) == every[:k]
    assert [result.tempo_bpm for result in every] == [known[result.id][0] for result in every]
    for k in (0, 1001):
        with pytest.raises(OutOfRange):
            search(database, replica, "dance", ask(music.segments, k, 0.7))


def test_a_batch_is_answered_as_its_requests_are_one_by_one(database: Database, library: Library) -> None:
    replica, known, music = library
    few = [replace(segment, start_s=segment.start_s + 1) for segment in music.segments[:1]]
    requests = [ask(music.segments, k, lam) for k in (3, 10) for lam in (0.0, 0.4, 1.0)]
    requests += [ask(few, 3, 0.4), ask(music.segments, 1001, 0.4), ask(music.segments, 24, 0.7)]
    requests += [
        ask(music.segments, 5, 0.4, allow=set(list(known)[::2])),
        ask(music.segments, 3, 0.4, exclude=[*known][:5]),
    ]
    one_by_one: list[Any] = []
    for request in requests:
        try:
            one_by_one.append(search(database, replica, "dance", request))
        except MudarError as error:
            one_by_one.append(type(error))
    batch = [
        type(answer) if isinstance(answer, MudarError) else answer
        for answer in search_many(database, replica, "dance", requests)
    ]
    assert batch == one_by_one
    assert one_by_one.count(OutOfRange) == 1
    assert len({str(answer) for answer in one_by_one}) == len(one_by_one)
    with pytest.raises(EmptyLibrary):
        search(database, replica, "music", ask(music.segments, 3, 0.4))
