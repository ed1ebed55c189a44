"""The catalogue: one item for the same bytes, paging that misses nothing, deletion that is final."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mudar.errors import BadRequest, UnknownItem
from mudar.library import changes, items
from mudar.library.db import Database

SHA = "ab" * 32


def test_an_item_tells_what_it_was_given_and_is_json(database: Database) -> None:
    info = {"duration_s": 12.5, "container": "mp4"}
    with database.begin() as session:
        made = items.create_item(
            session, items.NewItem(SHA, "dance", " Bachata ", ["b", "a", "b", " "], {"take": 2}, info)
        )
    with database.read() as session:
        stored = items.get_item(session, made["id"])
    assert made == {**stored, "created": True}
    assert (stored["title"], stored["labels"], stored["metadata"]) == ("Bachata", ["a", "b"], {"take": 2})
    assert (stored["state"], stored["models"], stored["duration_s"], stored["model"]) == ("new", [], 12.5, None)
    assert json.loads(json.dumps(stored)) == stored


def test_the_same_bytes_are_the_same_item_and_labels_add_up(database: Database) -> None:
    with database.begin() as session:
        first = items.create_item(session, items.NewItem(SHA, "dance", "One", ["a"]))
    with database.begin() as session:
        again = items.create_item(session, items.NewItem(SHA, "dance", "Two", ["b"]))
        other = items.create_item(session, items.NewItem(SHA, "music", linked_to=first["id"]))
    assert (again["id"], again["created"], again["title"]) == (first["id"], False, "One")
    assert again["labels"] == ["a", "b"]
    assert other["id"] != first["id"]
    assert other["linked_to"] == first["id"]


def test_many_uploads_of_the_same_bytes_at_once_make_one_item(database: Database) -> None:
    def upload(number: int) -> tuple[str, bool]:
        with database.begin() as session:
            made = items.create_item(session, items.NewItem(SHA, "music", labels=[str(number)]))
            return made["id"], made["created"]

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(upload, range(16)))
    assert len({item_id for item_id, _ in made}) == 1
    assert sum(created for _, created in made) == 1
    with database.read() as session:
        assert len(items.get_item(session, made[0][0])["labels"]) == 16


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "x" * 501])
def test_text_that_no_database_takes_is_refused(database: Database, text: str) -> None:
    raises = pytest.raises(BadRequest)
    with raises, database.begin() as session:
        items.create_item(session, items.NewItem(SHA, "dance", text))
    raises = pytest.raises(BadRequest)
    with raises, database.begin() as session:
        items.create_item(session, items.NewItem(SHA, "dance", labels=[text]))


def test_metadata_that_is_not_json_is_refused(database: Database) -> None:
    raises = pytest.raises(BadRequest)
    with raises, database.begin() as session:
        items.create_item(session, items.NewItem(SHA, "dance", metadata={"bpm": float("nan")}))


def test_pages_show_every_item_once_newest_first_even_while_more_arrive(
    database: Database, new_item: Callable[..., str], tick: Callable[[], None]
) -> None:
    made = []
    for i in range(11):
        made.append(new_item("dance" if i % 3 else "music", labels=["odd"] if i % 2 else []))
        tick()
    listed, cursor = [], None
    while True:
        with database.read() as session:
            page = items.list_items(session, items.ItemQuery(cursor=cursor, limit=4))
        listed += [item["id"] for item in page.items]
        new_item()
        cursor = page.next_cursor
        if cursor is None:
            break
    assert listed == made[::-1]


def test_filters_lose_nothing(database: Database, new_item: Callable[..., str]) -> None:
    both, one = new_item(labels=["a", "b"]), new_item(labels=["a"])
    music = new_item("music", labels=["a", "b"])
    with database.read() as session:

        def listed(**kw: object) -> set[str]:
            ids = items.ids_with(session, **kw)  # type: ignore[arg-type]
            assert {item["id"] for item in items.list_items(session, items.ItemQuery(**kw)).items} == ids  # type: ignore[arg-type]
            return ids

        assert listed() == {both, one, music}
        assert listed(labels=["a"]) == {both, one, music}
        assert listed(labels=["a", "b"]) == {both, music}
        assert listed(labels=["a", "b"], kind="dance") == {both}
        assert listed(labels=["none"]) == set()
        assert items.count_items(session) == {"dance": 2, "music": 1}


@pytest.mark.parametrize("cursor", ["nonsense", "", "W10", "é"])
def test_a_cursor_of_somebody_elses_is_refused(database: Database, cursor: str) -> None:
    raises = pytest.raises(BadRequest)
    with raises, database.read() as session:
        items.list_items(session, items.ItemQuery(cursor=cursor))


def test_deletion_is_final_and_the_bytes_may_come_back_as_a_new_item(database: Database) -> None:
    with database.begin() as session:
        old = items.create_item(session, items.NewItem(SHA, "dance", labels=["a"]))["id"]
        linked = items.create_item(session, items.NewItem(SHA, "music", linked_to=old))["id"]
    with database.begin() as session:
        items.delete_item(session, old)
    with database.begin() as session:
        new = items.create_item(session, items.NewItem(SHA, "dance"))
        assert new["id"] != old
        assert new["labels"] == []
        assert items.get_item(session, linked)["linked_to"] is None
        assert [(c.action, c.item_id) for c in changes.since(session, 0)] == [("deleted", old)]
    for call in (items.get_item, items.delete_item):
        raises = pytest.raises(UnknownItem)
        with raises, database.begin() as session:
            call(session, old)
