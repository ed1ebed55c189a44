"""What one upload says of itself is checked on the way in, so that no item breaks the list for everybody."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from mudar.library import tables

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT
VALUE = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3))
METADATA = st.dictionaries(ANY_TEXT, VALUE, max_size=3)


def nested(depth: int) -> str:
    """An object around lists, `depth` levels in all."""
    return '{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


@pytest.fixture(scope="session")
def tone(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A second of sound, as small as a file can be that is accepted."""
    path = tmp_path_factory.mktemp("tone") / "tone.wav"
    wavfile.write(path, 8000, (8000 * np.sin(np.arange(12_000) / 3)).astype(np.int16))
    return path.read_bytes()


@pytest.fixture
def own_api(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest, run_api: Callable[[Any], AbstractContextManager]
) -> Iterator[Any]:
    """An API on a database of each kind."""
    base = request.getfixturevalue("settings")
    with run_api(base.model_copy(update={"database_url": database_url, "data_dir": tmp_path / "data"})) as api:
        yield api


def post(api: Any, tone: bytes, name: bytes = b"tone.wav", **fields: bytes | list[bytes]) -> Any:
    """POST /embed with these very bytes as fields and as the file's name."""
    parts = [(key, value) for key, given in fields.items() for value in (given if isinstance(given, list) else [given])]
    body = b"".join(
        b'--xx\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (k.encode(), v) for k, v in parts
    )
    head = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n' % name
    headers = {"content-type": "multipart/form-data; boundary=xx"}
    return api.http.post("/embed", content=body + head + tone + b"\r\n--xx--\r\n", headers=headers)


@pytest.mark.parametrize(
    "metadata",
    [r'{"a": "\ud800"}', r'{"\udfff": 1}', r'{"a": ["\u0000"]}', '{"a": 1e999}', '{"a": -Infinity}', '{"a": NaN}']
    + [nested(depth) for depth in (17, 400, 30_000)]
    + ['{"a": "%s"}' % ("ä" * 40_000), '{"a": %s}' % ("9" * 5000)],
)  # fmt: skip
def test_metadata_that_could_not_be_given_back_is_refused(api: Any, tone: bytes, metadata: str) -> None:
    answer = post(api, tone, metadata=metadata.encode())
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_request")
    assert api.http.get("/items").status_code == 200


def test_what_is_as_large_and_deep_as_may_be_comes_back(own_api: Any, tone: bytes) -> None:
    metadata = {**json.loads(nested(16)), "text": "ä" * 32_000, "\U0001f483": 10**300}
    answer = post(own_api, tone, metadata=json.dumps(metadata, ensure_ascii=False).encode())
    assert answer.status_code == 202, answer.text
    assert own_api.http.get("/items").json()["items"][0]["metadata"] == metadata


@pytest.mark.parametrize(
    "fields",
    [
        {"title": b"a\0b"}, {"labels": b"a\0b"}, {"title": b"x" * 501}, {"name": b"a\0.wav"}, {"name": b"x" * 501},
        {"labels": [b"%d" % i for i in range(33)]}, {"kind": b"\0"}, {"model": b"\0"},
    ],
)  # fmt: skip
def test_text_that_could_not_be_stored_is_refused(own_api: Any, tone: bytes, fields: dict[str, Any]) -> None:
    assert post(own_api, tone, **fields).status_code in (404, 422)
    assert own_api.http.get("/items").json()["items"] == []


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(METADATA, ANY_TEXT, st.lists(ANY_TEXT, max_size=3), ANY_TEXT)
def test_whatever_is_accepted_is_given_back(
    own_api: Any, tone: bytes, metadata: dict[str, Any], title: str, labels: list[str], name: str
) -> None:
    raw = [text.encode("utf-8", "surrogatepass") for text in (title, *labels)]
    quoted = name.translate({ord(c): "_" for c in '"\\\r\n'}).encode("utf-8", "surrogatepass")
    answer = post(own_api, tone, quoted, metadata=json.dumps(metadata).encode(), title=raw[0], labels=raw[1:])
    listed = own_api.http.get("/items")
    assert listed.status_code == 200
    if answer.status_code != 202:
        assert answer.status_code == 422, answer.text
        assert listed.json() == {"items": [], "next_cursor": None}
        return
    (item,) = listed.json()["items"]
    assert [item["id"]] == answer.json()["items"]
    assert item["metadata"] == metadata
    read = [text.decode("utf-8", "replace").strip() for text in raw]
    assert item["title"] == read[0] or not read[0]
    assert item["labels"] == sorted(set(read[1:]) - {""})
    assert own_api.http.delete(f"/items/{item['id']}").status_code == 204


BROKEN = ['{"a": "\\ud800"}', '{"a": ' + "[" * 400 + "]" * 400 + "}", "[" * 3000 + "]" * 3000, "[]"]


@pytest.mark.parametrize("stored", BROKEN, ids=["surrogate", "deep", "too deep to parse", "no object"])
def test_a_row_that_cannot_be_read_hides_no_other(own_api: Any, tone: bytes, stored: str) -> None:
    """As an older version let it in, or another program wrote it."""
    good, bad = (post(own_api, tone + pad).json()["items"][0] for pad in (b"", b"\0\0"))
    with own_api.container.database.begin() as session:
        broken = sa.literal_column(f"'{stored}'")
        session.execute(sa.update(tables.items).where(tables.items.c.id == bad).values(metadata=broken))
    listed = own_api.http.get("/items")
    assert listed.status_code == 200, listed.text
    assert [item["id"] for item in listed.json()["items"]] == [good]
    assert [(e["id"], e["error"]["code"]) for e in listed.json()["errors"]] == [(bad, "unreadable_item")]
    assert own_api.http.get(f"/items/{bad}").json()["code"] == "unreadable_item"
    assert own_api.http.delete(f"/items/{bad}").status_code == 204
    assert own_api.http.get("/items").json().keys() == {"items", "next_cursor"}
