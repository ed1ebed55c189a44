"""MUDAR_INDEX_URL through the running service: the same answers as from its own memory, and a clear 503 without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest

from mudar.library import analyses
from mudar.library.items import NewItem, create_item, delete_item
from mudar.records import Analysis, Rhythm, Segment
from service.settings import Settings

MODEL = "mudar-small@0.0.0"
RunApi = Callable[[Settings], AbstractContextManager[Any]]


def fill(api: Any, dances: int) -> list[str]:
    """Dances of one to three segments and a song, embedded; the song's id comes last."""
    rng = np.random.default_rng(0)

    def unit(size: int) -> np.ndarray:
        vector = rng.normal(size=size).astype(np.float32)
        return vector / np.linalg.norm(vector)

    points, ids = np.array([0.5, 1.0], np.float32), []
    for number in range(dances + 1):
        kind: Any = "dance" if number < dances else "music"
        segments = tuple(Segment(4.0 * n, 4.0 * n + 8, unit(256), unit(64)) for n in range(1 + number % 3))
        rhythm = Rhythm(points, points, np.zeros(30, np.float32), 15.0, 80.0 + number)
        with api.container.database.begin() as session:
            made = create_item(
                session, NewItem(f"{number:064x}", kind, f"{kind} {number}", ["odd"] if number % 2 else [])
            )
            analyses.store_analysis(session, made["id"], MODEL, Analysis(kind, 12.0, MODEL, rhythm, segments))
        ids.append(str(made["id"]))
    return ids


@pytest.fixture(scope="module")
def pair(
    settings: Settings, run_api: RunApi, milvus_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Any, Any, list[str]]]:
    """Two replicas of one library: one searches in its memory, the other in Milvus."""
    own = settings.model_copy(update={"data_dir": tmp_path_factory.mktemp("pair")})
    with run_api(own) as here, run_api(own.model_copy(update={"index_url": milvus_url})) as there:
        yield here, there, fill(here, 20)
        follower = there.container.indexes.of(there.container.catalog.resolve(None))
        with follower.engine.client() as client:
            for kind in ("dance", "music"):
                client.drop_collection(follower.index(kind).name)


@pytest.mark.parametrize("lam", [0, 0.3, 0.7, 1])
@pytest.mark.parametrize(
    "narrow",
    [
        {},
        {"label": "odd"},
        {"min_tempo_bpm": 84.5, "max_tempo_bpm": 95},
        {"max_duration_s": 5},
        {"offset": 4, "k": 3},
    ],
)
def test_the_same_answer_from_both(pair: tuple[Any, Any, list[str]], lam: float, narrow: dict[str, Any]) -> None:
    here, there, ids = pair
    params = {"music_id": ids[-1], "lambda": lam, "exclude": ids[2], **narrow}
    mine, theirs = (api.http.post("/retrieve", params=params).json() for api in (there, here))
    assert mine["query"] == theirs["query"]
    assert [match["id"] for match in mine["results"]] == [match["id"] for match in theirs["results"]]
    for one, other in zip(mine["results"], theirs["results"], strict=True):
        for name, value in one.items():
            assert value == (pytest.approx(other[name], abs=1e-5) if isinstance(value, float) else other[name])


def test_a_deleted_item_is_gone_from_both_at_once(pair: tuple[Any, Any, list[str]]) -> None:
    here, there, ids = pair
    with here.container.database.begin() as session:
        delete_item(session, ids[0])
    for api in (here, there):
        results = api.http.post("/retrieve", params={"music_id": ids[-1], "k": 50}).json()["results"]
        assert {match["id"] for match in results} == set(ids[1:-1])


def test_readiness_names_what_searches(pair: tuple[Any, Any, list[str]]) -> None:
    here, there, _ = pair
    checks = [api.http.get("/health/ready").json()["checks"]["index"] for api in (here, there)]
    assert checks[0] == {"ok": True, "detail": "in this process"}
    assert checks[1]["ok"]
    assert checks[1]["detail"].startswith("Milvus ")


def test_without_the_engine_search_says_so_and_all_else_goes_on(
    settings: Settings, run_api: RunApi, files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    changes = {"data_dir": tmp_path_factory.mktemp("away"), "index_url": "http://127.0.0.1:9"}
    with run_api(settings.model_copy(update=changes)) as api:
        ids = fill(api, 2)
        answer = api.http.post("/retrieve", params={"music_id": ids[-1]})
        assert (answer.status_code, answer.json()["code"]) == (503, "index_unavailable")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "http://127.0.0.1:9" in answer.json()["detail"]
        ready = api.http.get("/health/ready")
        assert ready.status_code == 503
        assert not ready.json()["checks"]["index"]["ok"]
        assert api.http.get("/metrics").status_code == 200
        assert api.http.post("/embed", files={"file": ("a.mp4", files["dance"])}).status_code == 202
