"""Talks to the HTTP interface; the command line is its first user. Knows no database."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from mudar.atomic_write import atomic_path
from mudar.errors import MudarError, UnknownModel, from_code

Json = dict[str, Any]
WAIT_S = 20
Watch = Callable[[Json], None]
"""Called with the job's record whenever the client has read it."""


class Unreachable(MudarError):
    """The service does not answer."""

    code = "unreachable"
    hint = "Start it with `mudar up`, or say where it is with --url or MUDAR_URL; --local needs none."


def _ignore(job: Json) -> None:
    return


class Client:
    """Calls one service. Errors come back as the leaves of mudar/errors.py that the service meant."""

    def __init__(self, url: str, *, timeout_s: float = 60) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=httpx.Timeout(timeout_s, read=WAIT_S + timeout_s))

    def embed(
        self,
        path: Path,
        *,
        kind: str | None = None,
        title: str = "",
        labels: list[str] | None = None,
        metadata: Json | None = None,
    ) -> Json:
        """Uploads a file; the job, as accepted."""
        fields: Json = {
            "kind": kind or "",
            "title": title,
            "labels": labels or [],
            "metadata": json.dumps(metadata or {}),
        }
        with path.open("rb") as file:
            return self._call("POST", "/embed", data=fields, files={"file": (path.name, file)})

    def retrieve(
        self,
        item_id: str,
        kind: str,
        *,
        k: int = 10,
        lam: float | None = None,
        labels: list[str] | None = None,
        model: str | None = None,
    ) -> Json:
        """What fits this item."""
        fields: Json = {f"{kind}_id": item_id, "k": k, "lambda": lam, "label": labels or [], "model": model}
        return self._call("POST", "/retrieve", json={key: v for key, v in fields.items() if v is not None})

    def retarget(self, dance_id: str, music_id: str, **settings: Any) -> Json:
        """Starts to put one onto the other; the job, as accepted."""
        given = {key: value for key, value in settings.items() if value is not None}
        return self._call("POST", "/retarget", json={"dance_id": dance_id, "music_id": music_id, **given})

    def retarget_files(self, dance: Path, music: Path, **settings: Any) -> Json:
        """The same with two files, which become items."""
        given = {key: str(value) for key, value in settings.items() if value is not None}
        with ExitStack() as stack:
            files = {
                name: (path.name, stack.enter_context(path.open("rb")))
                for name, path in (("dance", dance), ("music", music))
            }
            return self._call("POST", "/retarget/files", data=given, files=files)

    def item(self, item_id: str, *include: str) -> Json:
        """One item, with `embedding` or `rhythm` if included."""
        return self._call("GET", f"/items/{item_id}", params={"include": ",".join(include)})

    def edit_rhythm(self, item_id: str, **points: Any) -> Json:
        """Puts times_s, strengths, beats_s or downbeats_s in place of the model's; the record, as it is now."""
        return self._call("PUT", f"/items/{item_id}/rhythm", json=points)

    def items(self, **narrow: Any) -> Iterator[Json]:
        """All items, page by page."""
        cursor = None
        while True:
            page = self._call("GET", "/items", params={**narrow, **({"cursor": cursor} if cursor else {})})
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def served_model(self) -> str:
        """name@version of the model that the service uses when none is named."""
        served = [model["id"] for model in self._call("GET", "/models")["models"] if model["served"]]
        if not served:
            raise UnknownModel("The service has no model that it serves.")
        return str(served[0])

    def job(self, job_id: str, wait_s: float = 0) -> Json:
        """One job, after at most `wait_s` seconds or at its end."""
        return self._call("GET", f"/jobs/{job_id}", params={"wait": wait_s})

    def cancel(self, job_id: str) -> Json:
        """Asks a job to stop."""
        return self._call("DELETE", f"/jobs/{job_id}")

    def result(self, job_id: str, watch: Watch = _ignore, *, poll_s: float = 0.5) -> Json:
        """The job's result once it is done; raises its error when it failed or was cancelled."""
        while True:
            job = self.job(job_id, poll_s)
            watch(job)
            if job["state"] == "done":
                return dict(job["result"] or {})
            if job["state"] in ("failed", "cancelled"):
                raise _error_of(job["error"] or {})
            time.sleep(0.02)

    def download(self, address: str, path: Path) -> None:
        """Saves what `address` (a path on the service) gives; no half file is left."""
        try:
            with atomic_path(path) as unfinished, self._http.stream("GET", address) as answer:
                if answer.is_error:
                    answer.read()
                    raise _error_of(_body(answer))
                with unfinished.open("wb") as file:
                    file.writelines(answer.iter_bytes())
        except httpx.TransportError as error:
            raise Unreachable(f"The download from {self.url} broke off: {error}") from error

    def _call(self, method: str, path: str, **how: Any) -> Json:
        try:
            answer = self._http.request(method, path, **how)
        except httpx.TransportError as error:
            raise Unreachable(f"No answer from {self.url}: {error or type(error).__name__}") from error
        if answer.is_error:
            raise _error_of(_body(answer))
        return dict(answer.json()) if answer.content else {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()


def _body(answer: httpx.Response) -> Json:
    try:
        return dict(answer.json())
    except ValueError:
        return {"detail": f"The service answered {answer.status_code}."}


def _error_of(body: Json) -> MudarError:
    error = from_code(str(body.get("code", "")), str(body.get("detail", "")), str(body.get("hint", "")))
    error.code = str(body.get("code", error.code))
    return error
