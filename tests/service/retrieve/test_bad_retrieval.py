"""Every question to POST /retrieve that has no answer gets its own clear refusal, from a running service."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mudar.library import analyses
from mudar.library.items import NewItem, create_item
from mudar.records import Analysis, Rhythm, Segment
from service.settings import Settings

MODEL, OTHER = "mudar-small@0.0.0", "mudar-other@1.0.0"


@pytest.fixture(scope="module")
def lone(
    settings: Settings,
    model_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
    run_api: Callable[[Settings], AbstractContextManager[Any]],
) -> Iterator[Any]:
    """An API with a library and a shelf of its own: two models, of which one has embedded nothing."""
    from model_store.loader import save_checkpoint
    from model_store.registry import Registry
    from mudar.model.checkpoint import Card, load_weights

    folder = tmp_path_factory.mktemp("lone")
    shutil.copytree(model_root, folder / "models")
    card = Registry([model_root]).card("mudar-small@0.0.0")
    network = load_weights(model_root / "mudar-small" / "0.0.0", card)
    save_checkpoint(folder / "models", network, Card("mudar-other", "1.0.0", card.spec, card.model))
    with run_api(settings.model_copy(update={"data_dir": folder / "data", "model_root": folder / "models"})) as api:
        yield api


def item(api: Any, kind: Any, number: int, labels: tuple[str, ...] = (), model: str | None = MODEL) -> str:
    """An item, embedded by `model` if any, as a worker would."""
    rng = np.random.default_rng(number)
    embedding, rhythm = (rng.normal(size=n).astype(np.float32) for n in (256, 64))
    points = np.array([0.5, 1.0], np.float32)
    segment = Segment(0.0, 2.0, embedding / np.linalg.norm(embedding), rhythm / np.linalg.norm(rhythm))
    answers = Rhythm(points, points, np.zeros(30, np.float32), 15.0, 90.0 + number)
    with api.container.database.begin() as session:
        made = create_item(session, NewItem(f"{number:064x}", kind, f"{kind} {number}", labels))
        if model:
            analysis = Analysis(kind, 2.0, model, answers, (segment,))
            analyses.store_analysis(session, made["id"], model, analysis)
    return str(made["id"])


@pytest.fixture(scope="module")
def dance(lone: Any) -> str:
    """The one dance, in a library without music."""
    return item(lone, "dance", 1)


@pytest.fixture(scope="module")
def song(lone: Any, dance: str) -> str:
    """Music for it, once the library need not be empty any more."""
    return item(lone, "music", 2, ("slow",))


def ask(api: Any, **params: Any) -> tuple[int, dict[str, Any]]:
    answer = api.http.post("/retrieve", params=params)
    if answer.status_code != 200:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]
        assert answer.json()["hint"]
    return answer.status_code, answer.json()


def cancelled_while_queued(api: Any, files: dict[str, bytes]) -> str:
    """An item that was not ready while its job waited, as it was told, and whose job then was cancelled."""
    sent = api.http.post("/embed", files={"file": ("clip.mp4", files["dance"])}).json()
    status, body = ask(api, dance_id=sent["items"][0])
    assert (status, body["code"]) == (409, "not_ready")
    assert "queued" in body["detail"]
    api.http.delete(f"/jobs/{sent['job_id']}")
    return str(sent["items"][0])


def test_the_first_item_of_all_is_not_ready_before_its_job_has_ended(lone: Any, files: dict[str, bytes]) -> None:
    item_id = cancelled_while_queued(lone, files)
    status, body = ask(lone, dance_id=item_id)
    assert (status, body["code"]) == (409, "no_index")
    assert lone.http.delete(f"/items/{item_id}").status_code == 204


def test_an_empty_library(lone: Any, dance: str) -> None:
    status, body = ask(lone, dance_id=dance)
    assert (status, body["code"]) == (409, "empty_library")
    assert "music" in body["detail"]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"lambda": "1.01"}, "out_of_range", "lambda"),
        ({"lambda": "-0.01"}, "out_of_range", "lambda"),
        ({"lambda": "nan"}, "out_of_range", "lambda"),
        ({"lambda": "inf"}, "out_of_range", "lambda"),
        ({"lambda": "half"}, "bad_request", "lambda"),
        ({"k": "0"}, "out_of_range", "k"),
        ({"k": "101"}, "out_of_range", "k"),
        ({"k": "-1"}, "out_of_range", "k"),
        ({"k": "ten"}, "bad_request", "k"),
        ({"k": "1.5"}, "bad_request", "k"),
        ({"offset": "-1"}, "out_of_range", "offset"),
        ({"offset": "901"}, "out_of_range", "offset"),
        ({"min_tempo_bpm": "nan"}, "out_of_range", "min_tempo_bpm"),
        ({"max_duration_s": "-1"}, "out_of_range", "max_duration_s"),
        ({"min_tempo_bpm": "120", "max_tempo_bpm": "90"}, "out_of_range", "min_tempo_bpm"),
    ],
)
def test_numbers_out_of_range_or_none(
    lone: Any, dance: str, song: str, change: dict[str, str], code: str, says: str
) -> None:
    status, body = ask(lone, dance_id=dance, **change)
    assert (status, body["code"]) == (422, code)
    assert says in body["detail"]


def test_the_bounds_themselves_are_answered(lone: Any, dance: str, song: str) -> None:
    for lam in ("0", "1", "0.0"):
        status, body = ask(lone, dance_id=dance, k=100, **{"lambda": lam})
        assert status == 200
        assert [match["id"] for match in body["results"]] == [song]


def test_an_unknown_id_and_one_of_the_wrong_kind(lone: Any, dance: str, song: str) -> None:
    for params in ({"dance_id": "dance-none"}, {"music_id": "music-none"}, {"music_id": "' OR 1=1"}):
        status, body = ask(lone, **params)
        assert (status, body["code"]) == (404, "unknown_item")
    status, body = ask(lone, dance_id=song)
    assert (status, body["code"], body["hint"]) == (422, "wrong_kind", "Ask with music_id.")
    for params in ({}, {"dance_id": dance, "music_id": song}):
        status, body = ask(lone, **params)
        assert (status, body["code"]) == (422, "bad_request")


def test_an_item_whose_job_has_not_ended(lone: Any, song: str, files: dict[str, bytes]) -> None:
    item_id = cancelled_while_queued(lone, files)
    status, body = ask(lone, dance_id=item_id)
    assert (status, body["code"]) == (409, "not_ready")
    assert "cancelled" in body["detail"]


def test_models_that_are_not_there_or_have_no_index(lone: Any, dance: str, song: str) -> None:
    status, body = ask(lone, dance_id=dance, model="mudar-nobody")
    assert (status, body["code"]) == (404, "unknown_model")
    status, body = ask(lone, dance_id=dance, model=OTHER)
    assert (status, body["code"]) == (409, "no_index")
    assert OTHER in body["detail"]
    item(lone, "dance", 3, model=OTHER)  # now it has embedded something, but not this dance
    status, body = ask(lone, dance_id=dance, model=OTHER)
    assert (status, body["code"]) == (409, "not_ready")


def test_filters_that_match_nothing_say_so_and_are_no_error(lone: Any, dance: str, song: str) -> None:
    for narrow in ({"label": "nobody-has-it"}, {"min_tempo_bpm": 200}, {"max_duration_s": 0.1}, {"exclude": song}):
        status, body = ask(lone, dance_id=dance, **narrow)
        assert (status, body["results"]) == (200, [])
        assert body["query"]["note"] == "No music passes the filters."
    status, body = ask(lone, dance_id=dance, offset=1)
    assert (status, body["results"], body["query"]["note"]) == (200, [], "There are no more.")
    status, body = ask(lone, dance_id=dance, label="slow", max_tempo_bpm=92)
    assert [match["id"] for match in body["results"]] == [song]
    assert "note" not in body["query"]


def test_questions_at_the_same_time_get_each_its_own_answer(lone: Any, dance: str, song: str) -> None:
    requests: list[dict[str, Any]] = [{"dance_id": dance, "lambda": n / 10} for n in range(11)]
    requests += [{"music_id": song}, {"dance_id": "dance-none"}, {"music_id": dance}, {"dance_id": dance, "k": 3}]
    requests += [{"dance_id": dance, "model": "none"}, {"dance_id": dance, "model": OTHER}, {"dance_id": dance, "k": 0}]
    requests += [{"dance_id": dance, "label": "nobody"}, {"dance_id": dance, "exclude": song}]
    alone = [ask(lone, **params) for params in requests]
    assert {status for status, _ in alone} == {200, 404, 409, 422}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda params: ask(lone, **params), 5 * requests))
    assert answers == 5 * alone
