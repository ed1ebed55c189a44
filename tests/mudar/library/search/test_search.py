"""Questions against the catalogue: filters that lose nothing, pages that meet, answers that say what fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mudar.errors import MudarError, OutOfRange
from mudar.library import analyses
from mudar.library.db import Database
from mudar.library.search.index_replica import IndexReplica
from mudar.library.search.search import Filters, Question, search, search_many
from mudar.records import Analysis


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
    follower = IndexReplica(database, "m@1", 6, 4, tmp_path / "index")
    follower.open()
    yield follower, known, analysis(99, kind="music")
    follower.stop()


def test_filters_leave_the_order_and_lose_nothing(
    database: Database, library: tuple[IndexReplica, dict[str, tuple[float, float, str]], Analysis]
) -> None:
    follower, known, music = library
    every = Question("music", music.segments, 100, 0.4)
    ranked = [record["id"] for record in search(database, follower, every)]
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
        wanted = [item_id for item_id in ranked if passes(*known[item_id])]
        assert [r["id"] for r in search(database, follower, replace(every, filters=filters))] == wanted
    gone = ranked[:3]
    found = search(database, follower, replace(every, filters=Filters(exclude=[*gone, "nobody"])))
    assert [record["id"] for record in found] == ranked[3:]


def test_pages_meet(
    database: Database, library: tuple[IndexReplica, dict[str, tuple[float, float, str]], Analysis]
) -> None:
    follower, known, music = library
    whole = search(database, follower, Question("music", music.segments, 100, 0.7))
    pages = [search(database, follower, Question("music", music.segments, 5, 0.7, offset=at)) for at in range(0, 30, 5)]
    assert [record for page in pages for record in page] == whole
    assert [record["tempo_bpm"] for record in whole] == [known[record["id"]][0] for record in whole]
    for offset in (-1, 996):
        with pytest.raises(OutOfRange):
            search(database, follower, Question("music", music.segments, 5, 0.7, offset=offset))


def test_questions_asked_together_are_answered_as_alone(
    database: Database, library: tuple[IndexReplica, dict[str, tuple[float, float, str]], Analysis]
) -> None:
    follower, _, music = library
    few = [replace(segment, start_s=segment.start_s + 1) for segment in music.segments[:1]]
    questions = [Question("music", music.segments, k, lam) for k in (3, 10) for lam in (0.0, 0.4, 1.0)]
    questions += [Question("music", few, 3, 0.4), Question("music", music.segments, 3, 0.4, offset=998)]
    questions += [Question("music", music.segments, 3, 0.4, Filters(labels=["odd"]), offset=2)]
    questions += [Question("dance", music.segments, 3, 0.4), Question("music", music.segments, 3, 0.7, offset=23)]
    alone = []
    for question in questions:
        try:
            alone.append(search(database, follower, question))
        except MudarError as error:
            alone.append(type(error))
    together = [type(a) if isinstance(a, MudarError) else a for a in search_many(database, follower, questions)]
    assert together == alone
    assert alone.count(OutOfRange) == 1
    assert len(alone[-1]) == 1
    assert len({str(answer) for answer in alone}) == len(alone)
