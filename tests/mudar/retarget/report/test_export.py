"""Exports say what the map says: read back with csv, json, scipy and OpenTimelineIO itself."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import opentimelineio as otio
import pytest
from PIL import Image
from scipy.interpolate import CubicHermiteSpline

from mudar.errors import OutOfRange
from mudar.records import Rhythm
from mudar.retarget.report.chart import draw
from mudar.retarget.report.export import export, format_of, time_map
from mudar.retarget.retarget import dry_run
from mudar.retarget.settings import RetargetSettings

FPS = 25.0


def steady(start: float, period: float, end: float) -> Rhythm:
    times = np.arange(start, end, period).astype(np.float32)
    return Rhythm(times, np.ones(len(times), np.float32), np.zeros(0, np.float32), 15.0, 60 / period, (), times)


@pytest.fixture(scope="module")
def planned():
    """A plan and its report, after a trip through JSON."""
    chosen, report = dry_run(steady(0.4, 0.6, 12), 12.0, steady(0.2, 0.5, 30), 30.0, FPS, RetargetSettings())
    return chosen, json.loads(json.dumps(report))


def test_the_map_survives_the_report(planned) -> None:
    chosen, report = planned
    times = np.linspace(0, chosen.duration_s, 500)
    np.testing.assert_allclose(time_map(report).source_s(times), chosen.time_map.source_s(times), atol=1e-5)


def test_csv_has_a_line_a_frame(planned) -> None:
    chosen, report = planned
    rows = list(csv.DictReader(io.StringIO(export(report, "csv", "d.mp4", "m.wav"))))
    assert len(rows) == int(chosen.duration_s * FPS)
    shown = np.array([float(row["source_s"]) for row in rows])
    np.testing.assert_allclose(shown, chosen.time_map.source_s(np.arange(len(rows)) / FPS), atol=1e-5)
    markers = list(csv.DictReader(io.StringIO(export(report, "markers.csv", "d.mp4", "m.wav"))))
    landings = [row for row in markers if row["kind"] == "landing"]
    assert len(landings) == len([t for t in chosen.knots_output_s if 0 <= t < chosen.duration_s])
    for row in landings:
        # a landing is a stroke of the dance (0.4 + 0.6 k) on a beat of the music (0.2 + 0.5 k)
        assert abs((float(row["source_s"]) - 0.4) / 0.6 % 1 - 0.5) > 0.49
        assert abs((float(row["music_s"]) - 0.2) / 0.5 % 1 - 0.5) > 0.49


def test_json_is_a_spline_that_others_can_evaluate(planned) -> None:
    chosen, report = planned
    read = json.loads(export(report, "json", "d.mp4", "m.wav"))
    nodes = read["map"]
    spline = CubicHermiteSpline(nodes["output_s"], nodes["source_s"], nodes["speed"])
    times = np.linspace(nodes["output_s"][0], nodes["output_s"][-1], 300)
    np.testing.assert_allclose(spline(times), chosen.time_map.source_s(times), atol=1e-5)
    assert {marker["kind"] for marker in read["markers"]} == {"landing", "beat", "onset"}


def test_opentimelineio_reads_the_timeline(planned) -> None:
    chosen, report = planned
    timeline = otio.adapters.read_from_string(export(report, "otio", "dir/dance.mp4", "song.wav"), "otio_json")
    (picture,), (sound,) = timeline.video_tracks(), timeline.audio_tracks()
    frames = int(chosen.duration_s * FPS)
    assert picture.duration().value == sound.duration().value == frames
    assert sound[0].source_range.start_time.to_seconds() == pytest.approx(chosen.offset_s, abs=0.5 / FPS)
    done = 0.0
    for clip in picture:
        start_s, span = clip.source_range.start_time.to_seconds(), clip.source_range.duration
        assert abs(start_s - chosen.time_map.source_s(done / FPS)) <= 0.51 / FPS
        done += span.value
        shown_to = start_s + clip.effects[0].time_scalar * span.to_seconds()
        assert abs(shown_to - chosen.time_map.source_s(done / FPS)) <= 0.51 / FPS
        assert clip.media_reference.target_url == "dir/dance.mp4"
    assert done == frames
    assert {marker.name for marker in picture.markers} == {"landing", "beat", "onset"}


def test_editors_can_convert_the_timeline(planned) -> None:
    """Every clip says what there is of its media, more than it shows, at a URL; what OTIO writes again is the same."""
    _, report = planned
    text = export(report, "otio", "/home/me/my dance.mp4", "song.wav")
    timeline = otio.adapters.read_from_string(text, "otio_json")
    for clip in timeline.find_clips():
        available, source = clip.media_reference.available_range, clip.source_range
        shown = max([1.0, *(effect.time_scalar for effect in clip.effects)]) * source.duration.to_seconds()
        assert available.start_time.value == 0
        assert source.start_time.to_seconds() + shown <= available.duration.to_seconds() + 1.5 / FPS
    assert timeline.video_tracks()[0][0].media_reference.target_url == "file:///home/me/my dance.mp4"


ADAPTERS = {"fcp_xml": ".xml", "fcpx_xml": ".fcpxml", "cmx_3600": ".edl", "kdenlive": ".kdenlive"}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_adapters_of_editors_write_from_it(planned, tmp_path: Path, adapter: str) -> None:
    if adapter not in otio.adapters.available_adapter_names():
        pytest.skip(f"the adapter {adapter} is a package of its own")
    _, report = planned
    timeline = otio.adapters.read_from_string(export(report, "otio", "dance.mp4", "song.wav"), "otio_json")
    out = tmp_path / f"timeline{ADAPTERS[adapter]}"
    otio.adapters.write_to_file(timeline, str(out), adapter_name=adapter)
    assert "dance" in out.read_text()


def test_unknown_form(planned) -> None:
    assert [format_of(name) for name in ("a.csv", "b.markers.csv", "c.d.otio")] == ["csv", "markers.csv", "otio"]
    with pytest.raises(OutOfRange):
        format_of("a.edl")
    with pytest.raises(OutOfRange):
        export(planned[1], "edl", "d", "m")


def test_the_chart_shows_the_map(planned, tmp_path: Path) -> None:
    draw(planned[1], tmp_path / "report.png")
    with Image.open(tmp_path / "report.png") as image:
        assert image.size == (1280, 800)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    green = (pixels[..., 1] > pixels[..., 0] + 60) & (pixels[..., 1] > pixels[..., 2] + 20)
    ys, xs = np.nonzero(green[230:500])
    assert xs.min() < 130  # the map runs from the left edge, below,
    assert xs.max() > 1230  # to the right one, above
    assert np.corrcoef(xs, ys)[0, 1] < -0.99
