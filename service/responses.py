"""The one answer that several routes give: 202, with the place to follow the job."""

from __future__ import annotations

from typing import Any

from fastapi import Response


def accepted(response: Response, job: dict[str, Any]) -> dict[str, Any]:
    """The body of a 202; sets Location."""
    response.headers["location"] = f"/jobs/{job['id']}"
    return {"job_id": job["id"], "state": job["state"], "items": job["item_ids"]}


def multipart(files: dict[str, str], **fields: dict[str, Any]) -> dict[str, Any]:
    """OpenAPI's words for a streamed multipart body: files by name and what they are, and the fields beside them."""
    parts: dict[str, Any] = {n: {"type": "string", "format": "binary", "description": d} for n, d in files.items()}
    return {"schema": {"type": "object", "properties": {**parts, **fields}, "required": list(files)}}
