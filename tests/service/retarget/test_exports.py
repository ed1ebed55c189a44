"""What an editor asks after embedding: corrected rhythms, exports, music for a dance, and whether it is in sync."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import opentimelineio as otio
import pytest

from mudar.retarget.report.export import time_map


def finished(up: Any, answer: Any) -> dict[str, Any]:
    """The job that was accepted, ended."""
    assert answer.status_code == 202, answer.text
    return dict(up.ended(answer.json()["job_id"]))


@pytest.fixture(scope="module")
def ids(up: Any, tmp_path_factory: pytest.TempPathFactory, make_clip: Callable[..., Path]) -> dict[str, str]:
    """A dance of 10 s and a song of 11 s, with rhythms put right: the network is a random one."""
    folder, stored = tmp_path_factory.mktemp("editor"), {}
    for name, seconds in (("dance", 10.0), ("song", 11.0)):
        path = make_clip(folder / f"{name}.mp4", seconds=seconds, picture=name == "dance")
        with path.open("rb") as file:
            job = finished(up, up.http.post("/embed", files={"file": (path.name, file)}))
        stored[name] = str(job["result"]["items"][0]["id"])
    put = up.http.put(f"/items/{stored['song']}/rhythm", json={"beats_s": list(np.arange(0.3, 10.9, 0.5))})
    assert put.status_code == 200, put.text
    return stored


def test_a_corrected_rhythm_is_kept_and_rendered_again(up: Any, ids: dict[str, str]) -> None:
    strokes = [round(0.4 + 0.55 * k, 3) for k in range(17)]
    request = {"dance_id": ids["dance"], "music_id": ids["song"], "verify": False}
    put = up.http.put(f"/items/{ids['dance']}/rhythm", json={"times_s": strokes})
    assert put.status_code == 200, put.text
    record = up.http.get(f"/items/{ids['dance']}?include=rhythm").json()["rhythm"]
    assert record["times_s"] == pytest.approx(strokes)
    assert record["strengths"] == [1.0] * 17
    assert record["impacts_s"] == record["peaks_s"] == []
    first = finished(up, up.http.post("/retarget", json=request))
    landed = first["result"]["report"]["landings"]["source_s"]
    assert all(min(abs(at - s) for s in strokes) < 1e-3 for at in landed)
    assert up.http.post("/retarget", json=request).json()["job_id"] == first["id"]  # the same wish, the same job
    later = [s + 0.2 for s in strokes]
    up.http.put(f"/items/{ids['dance']}/rhythm", json={"times_s": later})
    second = finished(up, up.http.post("/retarget", json=request))
    assert second["id"] != first["id"]
    assert all(min(abs(at - s) for s in later) < 1e-3 for at in second["result"]["report"]["landings"]["source_s"])


def test_what_the_model_found_comes_back(up: Any, ids: dict[str, str]) -> None:
    where = f"/items/{ids['dance']}"
    stored = up.http.delete(f"{where}/rhythm").json()
    assert not stored["edited"]
    assert stored["times_s"] != [1.0, 2.0]
    edit = {"times_s": [1.0, 2.0], "beats_s": [1.0, 1.5, 2.0], "downbeats_s": [1.5]}
    edited = up.http.put(f"{where}/rhythm", json=edit).json()
    assert edited["edited"]
    assert edited["tempo_bpm"] == 120.0
    assert "found" not in edited
    up.http.put(f"{where}/rhythm", json={"times_s": [1.0, 2.0, 3.0]})
    assert up.http.get(f"{where}?include=rhythm").json()["rhythm"]["edited"]
    assert up.http.get(where).json()["strokes"] == 3
    back = up.http.delete(f"{where}/rhythm").json()
    assert back.pop("edition") > edited["edition"]  # work for the edited rhythm is not taken for this one's
    stored.pop("edition", None)
    assert back == stored
    assert up.http.get(f"{where}?include=rhythm").json()["rhythm"] == stored
    assert up.http.get(where).json()["strokes"] == len(stored["times_s"])
    assert up.http.delete("/items/nobody/rhythm").json()["code"] == "unknown_item"


def test_tapped_beats_are_evened(up: Any, ids: dict[str, str]) -> None:
    """A hand that scatters by 20 ms: half of that is left, or less, and without being asked nothing is moved."""
    even = 0.4 + 0.5 * np.arange(19)
    tapped = (even + np.random.default_rng(0).normal(0, 0.02, 19)).round(4).tolist()
    for request, least, most in ((False, 0.99, 1.01), (True, 0.0, 0.7)):
        put = up.http.put(f"/items/{ids['dance']}/rhythm", json={"times_s": tapped, "even": request})
        left = np.std(put.json()["times_s"] - even) / np.std(tapped - even)
        assert least < left < most


@pytest.mark.parametrize(
    "edit",
    [
        {"times_s": [2.0, 1.0]},
        {"times_s": [1.0, 99.0]},
        {"times_s": [1.0], "strengths": [0.5, 0.5]},
        {"strengths": [2.0] * 17},
        {"curve": [1.0]},
    ],
)
def test_what_is_no_rhythm_is_refused(up: Any, ids: dict[str, str], edit: dict[str, Any]) -> None:
    before = up.http.get(f"/items/{ids['dance']}?include=rhythm").json()["rhythm"]
    answer = up.http.put(f"/items/{ids['dance']}/rhythm", json=edit)
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert up.http.get(f"/items/{ids['dance']}?include=rhythm").json()["rhythm"] == before


def mean_fall(report: dict[str, Any]) -> float:
    """By how much the picture slows down over a landing, on the average."""
    warp, landings = time_map(report), np.array(report["landings"]["output_s"])[1:-1]
    return float((warp.speed(landings - 0.04) - warp.speed(landings + 0.04)).mean())


def test_reports_for_several_accents_and_no_video(up: Any, ids: dict[str, str]) -> None:
    up.http.put(f"/items/{ids['dance']}/rhythm", json={"times_s": [round(0.4 + 0.55 * k, 3) for k in range(17)]})
    request = {"dance_id": ids["dance"], "music_id": ids["song"], "dry_run": True, "accents": [0.0, 0.1, 1.0]}
    job = finished(up, up.http.post("/retarget", json=request))
    assert job["state"] == "done", job
    result = job["result"]
    assert [preview["accent"] for preview in result["previews"]] == [0.0, 0.1, 1.0]
    falls = [mean_fall(preview["report"]) for preview in result["previews"]]
    assert falls[0] < falls[1] - 0.05 < falls[2] - 0.05
    assert "video_url" not in result
    for name in (".mp4", "/report.png", "/export?format=csv"):
        assert up.http.get(f"/videos/{job['id']}{name}").json()["code"] == "unknown_job"
    one = finished(up, up.http.post("/retarget", json={**request, "accents": [], "accent": 0.1}))["result"]
    assert one["previews"] == [{"accent": 0.1, "report": result["previews"][1]["report"]}]
    rendered = finished(up, up.http.post("/retarget", json={**request, "dry_run": False, "accents": [], "accent": 0.1}))
    foretold, report = one["previews"][0]["report"], rendered["result"]["report"]
    assert foretold["landings"] == report["landings"]
    assert foretold["map_nodes"] == report["map_nodes"]
    for wrong in ({"accents": [2.0]}, {"dry_run": False}, {"accents": [0.1] * 20}):
        assert up.http.post("/retarget", json=request | wrong).status_code == 422


def test_nothing_is_analysed_again_after_a_correction(up: Any, ids: dict[str, str]) -> None:
    """The work of a retargeting with a corrected rhythm is the plan and the rendering."""
    up.http.put(f"/items/{ids['dance']}/rhythm", json={"times_s": [round(0.5 + 0.6 * k, 3) for k in range(15)]})
    answer = up.http.post("/retarget", json={"dance_id": ids["dance"], "music_id": ids["song"], "verify": False})
    with up.http.stream("GET", f"/jobs/{answer.json()['job_id']}/events") as events:
        lines = "".join(events.iter_text())
    stages = {json.loads(line[5:])["stage"] for line in lines.splitlines() if line.startswith("data:")}
    assert stages & {"plan", "render"}, lines
    assert not stages & {"watch", "network", "rhythm", "listen", "decode"}, lines


def test_music_for_a_dance(up: Any, ids: dict[str, str]) -> None:
    answer = up.http.post("/soundtrack", json={"dance_id": ids["dance"], "k": 2, "lambda": 0.5, "method": "shift"})
    job = finished(up, answer)
    assert job["state"] == "done", job
    result = job["result"]
    best, *others = result["songs"]
    assert result["music_id"] == best["id"]
    assert {"score", "warp_cost", "report", "title"} <= best.keys()
    assert all(song["warp_cost"] >= best["warp_cost"] for song in others if song["refused"] is None)
    assert up.http.get(result["video_url"]).content[4:8] == b"ftyp"
    assert up.http.get(result["report_url"]).content[:8] == b"\x89PNG\r\n\x1a\n"
    exported = up.http.get(f"/videos/{job['id']}/export?format=otio")
    timeline = otio.adapters.read_from_string(exported.text, "otio_json")
    rate = timeline.video_tracks()[0].duration().rate
    assert timeline.duration().to_seconds() == pytest.approx(result["duration_s"], abs=2 / rate)
    lines = up.http.get(f"/videos/{job['id']}/export?format=csv").text.splitlines()
    assert len(lines) == result["report"]["frames"] + 1
    assert up.http.get(f"/videos/{job['id']}/export?format=edl").json()["code"] == "out_of_range"
    json.loads(up.http.get(f"/videos/{job['id']}/export?format=json").text)
    assert up.http.post("/soundtrack", json={"dance_id": ids["song"]}).json()["code"] == "wrong_kind"


def test_in_time_or_not(up: Any, ids: dict[str, str]) -> None:
    beats = [round(0.3 + 0.5 * k + 0.05 * (k % 3), 3) for k in range(18)]
    up.http.put(f"/items/{ids['dance']}/rhythm", json={"times_s": beats})
    job = finished(up, up.http.post(f"/sync?item_id={ids['dance']}&fix=true"))
    assert job["state"] == "done", job
    result = job["result"]
    assert result["verdict"] in ("in_time", "off", "unsure")
    assert 0 <= result["confidence"] <= 1
    assert result["fixed"] == (result["verdict"] == "off")
    if result["fixed"]:
        assert up.http.get(result["video_url"]).content[4:8] == b"ftyp"
    assert up.http.post(f"/sync?item_id={ids['song']}").json()["code"] == "wrong_kind"
    assert up.http.post("/sync").json()["code"] == "bad_request"
