"""What a model found comes back as it was, one model apart from another."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest

from mudar.errors import ItemDeleted, NotReady, UnknownItem
from mudar.library import analyses, changes, items, serialization
from mudar.library import annotations as edits
from mudar.library.db import Database
from mudar.records import Analysis, Rhythm, SoundRhythm
from mudar.rhythm.annotation import resolve

Make = Callable[..., Analysis]
NewItem = Callable[..., str]


def same_rhythm(a: Rhythm, b: Rhythm) -> bool:
    """Bit for bit."""
    return all(np.array_equal(x, vars(b)[name]) for name, x in vars(a).items())


def store(database: Database, item_id: str, analysis: Analysis) -> dict[str, object]:
    with database.begin() as session:
        return analyses.store_analysis(session, item_id, analysis.model, analysis)


def test_every_number_comes_back_bit_for_bit(database: Database, new_item: NewItem, analysis: Make) -> None:
    item_id, given = new_item(), analysis(segments=5)
    summary = store(database, item_id, given)
    expected = {"duration_s": 20.5, "tempo_bpm": 118.5, "strokes": 7, "segments": 5, "model": "m@1"}
    assert summary == {"id": item_id, "kind": "dance", **expected}
    with database.read() as session:
        assert same_rhythm(analyses.rhythm(session, item_id), given.rhythm)
        stored = analyses.segments(session, item_id)
        assert analyses.summary(session, item_id, "m@1") == summary
        assert items.get_item(session, item_id).items() >= {**expected, "state": "ready", "models": ["m@1"]}.items()
    assert len(stored) == 5
    for a, b in zip(stored, given.segments, strict=True):
        assert (a.start_s, a.end_s) == (b.start_s, b.end_s)
        assert np.array_equal(a.embedding, b.embedding)
        assert np.array_equal(a.rhythm, b.rhythm)


def test_the_json_records_hold_the_same_numbers(analysis: Make) -> None:
    given = analysis()
    record = json.loads(json.dumps(serialization.rhythm_record(given.rhythm)))
    assert record.keys() >= {"times_s", "strengths", "curve", "fps", "tempo_bpm"}
    assert same_rhythm(serialization.rhythm_of(record), given.rhythm)
    segment = json.loads(json.dumps(serialization.segment_record(given.segments[0])))
    assert np.array_equal(np.array(segment["embedding"], np.float32), given.segments[0].embedding)


@pytest.mark.parametrize("samples", [0, 30])
def test_the_speed_comes_back_by_direction(analysis: Make, samples: int) -> None:
    speed = np.random.default_rng(0).random((samples, 4), np.float32)
    given = dataclasses.replace(analysis().rhythm, speed=speed, speed_fps=30.0)
    record = json.loads(json.dumps(serialization.rhythm_record(given)))
    again = serialization.rhythm_of(record)
    assert again.speed.dtype == np.float32
    assert np.array_equal(again.speed, speed)


def test_a_rhythm_from_the_sound_keeps_what_the_picture_gives(analysis: Make) -> None:
    sound = SoundRhythm(np.array([0.5, 1.0], np.float32), np.zeros(0, np.float32), 120.0, 0.9, "It fits.")
    picture = dataclasses.replace(analysis().rhythm, sound=sound)
    again = serialization.rhythm_of(json.loads(json.dumps(serialization.rhythm_record(resolve(picture, "sound")))))
    assert (again.source, again.times_s.tolist()) == ("sound", [0.5, 1.0])
    assert np.array_equal(resolve(again, "picture").times_s, picture.times_s)


def test_a_model_sees_only_its_own(database: Database, new_item: NewItem, analysis: Make) -> None:
    item_id = new_item()
    store(database, item_id, analysis(1, model="m@1"))
    store(database, item_id, analysis(2, model="m@2", segments=2))
    with database.read() as session:
        assert same_rhythm(analyses.rhythm(session, item_id, "m@1"), analysis(1).rhythm)
        assert same_rhythm(analyses.rhythm(session, item_id), analysis(2).rhythm)  # the newest
        assert items.get_item(session, item_id, "m@1")["segments"] == 3
        assert analyses.count_segments(session) == {"m@1": 3, "m@2": 2}
        raises = pytest.raises(NotReady)
        with raises:
            analyses.segments(session, item_id, "m@3")


def test_embedding_again_replaces(database: Database, new_item: NewItem, analysis: Make) -> None:
    item_id = new_item()
    store(database, item_id, analysis(1, segments=4))
    store(database, item_id, analysis(2, segments=2))
    with database.read() as session:
        assert len(analyses.segments(session, item_id)) == 2
        assert same_rhythm(analyses.rhythm(session, item_id), analysis(2).rhythm)
        assert [c.seq for c in changes.since(session, 0)] == [1, 2]


def test_no_item_no_analysis(database: Database, new_item: NewItem, analysis: Make) -> None:
    item_id = new_item()
    with database.read() as session:
        for call in (analyses.rhythm, analyses.segments):
            with pytest.raises(NotReady, match="its job is new"):
                call(session, item_id)
            with pytest.raises(UnknownItem):
                call(session, "dance-0")
    with database.begin() as session:
        items.delete_item(session, item_id)
    with pytest.raises(ItemDeleted):
        store(database, item_id, analysis())
    with database.read() as session:
        assert changes.head(session).seq == 1  # the refused one took no number


@pytest.mark.parametrize("where", ["curve", "embedding", "norm", "kind"])
def test_what_would_poison_an_index_is_refused_whole(
    database: Database, new_item: NewItem, analysis: Make, where: str
) -> None:
    item_id, good = new_item(), analysis()
    bad = np.full(6, np.nan, np.float32) if where == "embedding" else np.full(6, 1, np.float32)
    if where == "curve":
        rhythm = dataclasses.replace(good.rhythm, curve=np.array([0, np.inf], np.float32))
        broken = dataclasses.replace(good, rhythm=rhythm)
    elif where == "kind":
        broken = dataclasses.replace(good, kind="music")
    else:
        last = dataclasses.replace(good.segments[-1], embedding=bad)
        broken = dataclasses.replace(good, segments=(*good.segments[:-1], last))
    with pytest.raises(ValueError, match=r"finite|norm|music"):
        store(database, item_id, broken)
    with database.read() as session:
        assert analyses.count_segments(session) == {}
        assert changes.head(session).seq == 0


def test_a_dance_changes_between_its_sound_and_its_picture(
    database: Database, new_item: NewItem, analysis: Make
) -> None:
    item_id = new_item()
    sound = SoundRhythm(np.array([0.5, 1.0, 1.5], np.float32), np.zeros(0, np.float32), 120.0, 0.9, "It fits.")
    made = analysis(1)
    store(database, item_id, dataclasses.replace(made, rhythm=dataclasses.replace(made.rhythm, sound=sound)))
    with database.begin() as session:
        heard = edits.rhythm_payload(edits.edit_rhythm(session, item_id, {}, rhythm_from="sound"))
        assert (heard["source"], heard["edited"], heard["times_s"]) == ("sound", False, [0.5, 1.0, 1.5])
        assert items.get_item(session, item_id)["tempo_bpm"] == 120.0
        shown = edits.rhythm_payload(edits.edit_rhythm(session, item_id, {}, rhythm_from="picture"))
        assert (shown["source"], shown["edited"]) == ("picture", False)
        assert np.array_equal(np.float32(shown["times_s"]), made.rhythm.times_s)
        by_hand = edits.rhythm_payload(edits.edit_rhythm(session, item_id, {"times_s": [1.0]}, rhythm_from="sound"))
        assert (by_hand["source"], by_hand["times_s"]) == ("hand", [1.0])
        assert edits.rhythm_payload(edits.restore_rhythm(session, item_id))["source"] == "picture"


def test_what_a_person_edited_outlives_a_second_analysis(database: Database, new_item: NewItem, analysis: Make) -> None:
    item_id = new_item()
    store(database, item_id, analysis(1))
    beats = [0.5, 1.0, 1.5, 2.0]
    with database.begin() as session:
        edits.edit_rhythm(session, item_id, {"times_s": [1.0, 2.0, 3.0], "beats_s": beats})
        assert items.get_item(session, item_id)["tempo_bpm"] == 120.0
    again = analysis(2)
    item = store(database, item_id, again)
    assert (item["strokes"], item["tempo_bpm"]) == (3, 120.0)
    with database.begin() as session:
        edited = analyses.rhythm(session, item_id)
        assert (edited.times_s.tolist(), edited.beats_s.tolist()) == ([1.0, 2.0, 3.0], beats)
        assert np.array_equal(edited.speed, again.rhythm.speed)  # what nobody edits is the new one's
        assert edits.edition(session, item_id, "m@1") == 1
        edits.restore_rhythm(session, item_id)
        assert same_rhythm(analyses.rhythm(session, item_id), again.rhythm)
        assert items.get_item(session, item_id)["tempo_bpm"] == 118.5
    store(database, item_id, again)
    with database.read() as session:
        assert edits.edition(session, item_id, "m@1") == 2  # work for the first edition is not taken for a later one's


def test_a_new_model_finds_what_a_person_did_not_change(database: Database, new_item: NewItem, analysis: Make) -> None:
    item_id, given = new_item(), analysis(2, model="m@2")
    store(database, item_id, analysis(1, model="m@1"))
    with database.begin() as session:
        edits.edit_rhythm(session, item_id, {"beats_s": [0.5, 1.0, 1.5]}, "m@1")
    store(database, item_id, given)
    with database.begin() as session:
        models = analyses.rhythm(session, item_id, "m@2")
        assert models.beats_s.tolist() == [0.5, 1.0, 1.5]
        assert np.array_equal(models.times_s, given.rhythm.times_s)
        assert np.array_equal(models.peaks_s, given.rhythm.peaks_s)
        edits.restore_rhythm(session, item_id, "m@2")
        assert same_rhythm(analyses.rhythm(session, item_id, "m@2"), given.rhythm)
        assert analyses.rhythm(session, item_id, "m@1").beats_s.tolist() == [0.5, 1.0, 1.5]
