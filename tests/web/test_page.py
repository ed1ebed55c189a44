"""The page as an editor uses it: drop, look, rank, retarget, watch. Real service, real Chromium, real media."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Request, expect

from tests.waiting import PATIENCE_S

DROP = """([selector, files]) => {
  const dataTransfer = new DataTransfer();
  for (const [name, type, data] of files) {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    dataTransfer.items.add(new File([bytes], name, {type}));
  }
  const how = {dataTransfer, bubbles: true, cancelable: true};
  for (const kind of ["dragover", "drop"]) document.querySelector(selector).dispatchEvent(new DragEvent(kind, how));
}"""
# The shares of a canvas that are drawn warm (strokes of the dance) and blue (onsets of the song).
INK = """(canvas) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const share = {dance: 0, music: 0};
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] < 20) continue;
    if (data[i] > data[i + 2] + 60) share.dance += 4 / data.length;
    if (data[i + 2] > data[i] + 60) share.music += 4 / data.length;
  }
  return share;
}"""
PLAYS = """() => { const v = document.querySelector("#result-video");
  return v.videoWidth > 0 && v.currentTime > 0.4 && !v.error; }"""
PHONE = {"width": 390, "height": 844}
HTTP = httpx.Client(timeout=PATIENCE_S)


def drop(page: Page, selector: str, path: Path, media_type: str) -> None:
    drop_files(page, selector, [(path, media_type)])


def drop_files(page: Page, selector: str, files: list[tuple[Path, str]]) -> None:
    sent = [[path.name, media_type, base64.b64encode(path.read_bytes()).decode()] for path, media_type in files]
    page.evaluate(DROP, [selector, sent])


def add_pair(page: Page, media: Any) -> None:
    """The clip by dropping it, the song by choosing it; until both are analysed."""
    drop(page, "#dance", media.clip, "video/mp4")
    page.set_input_files("#music .drop input", media.song)
    for kind in ("dance", "music"):
        expect(page.locator(f"#{kind}")).to_have_attribute("data-state", "ready")


def shown_item(page: Page, kind: str) -> str:
    """The id of what stands in a panel, as the address bar has it."""
    return str(page.evaluate("(kind) => new URLSearchParams(location.hash.slice(1)).get(kind)", kind))


def overflow_px(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def test_from_two_files_to_a_video_that_plays(stack: Any, opened: Any, media: Any, tmp_path: Path) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    page.screenshot(path=tmp_path / "1-empty.png")
    add_pair(page, media)
    for kind in ("dance", "music"):
        assert page.locator(f"#{kind} .score canvas").evaluate(INK)[kind] > 0.003, f"no strokes drawn for the {kind}"
    expect(page.locator("#matches li").first).to_be_visible()
    page.screenshot(path=tmp_path / "2-pair.png", full_page=True)

    page.get_by_role("button", name="Put it on the beat").click()
    page.wait_for_function(PLAYS)
    assert page.evaluate("document.querySelector('#result-video').videoWidth") == 320
    for row in ("Onsets hit", "Beats hit, as seen"):
        expect(page.locator("#result tbody tr", has_text=row)).to_contain_text("%")
    ink = page.locator(".duet canvas").evaluate(INK)
    assert min(ink.values()) > 0.002, f"the picture of the result shows {ink}"
    page.locator("#result summary").click()
    assert page.locator(".map canvas").evaluate(INK)["dance"] > 0.002
    page.screenshot(path=tmp_path / "3-result.png", full_page=True)
    job = str(page.evaluate("new URLSearchParams(location.hash.slice(1)).get('job')"))
    report = HTTP.get(f"{stack.url}/jobs/{job}").json()["result"]["report"]
    beats, strokes, frame_s = report["beats"]["output_s"], report["strokes"]["output_s"], 1 / report["fps"] + 1e-4
    met = sum(any(abs(beat - stroke) <= frame_s for stroke in strokes) for beat in beats)
    before, chance = (round(report["beats_hit"][name] * len(beats)) for name in ("before", "chance"))
    expect(page.locator(".verdict")).to_contain_text(f"{met} of {len(beats)} beats land within a frame")
    expect(page.locator(".verdict")).to_contain_text(f"Before: {before}. By chance: {chance}.")
    drawn = page.evaluate("""async ([report]) => (await import("/static/duet.js")).landed(report, null)""", [report])
    assert sum(drawn["met"]) == met
    assert drawn["strokes"] == strokes
    video = HTTP.get(str(page.locator(".download").evaluate("(link) => link.href")), headers={"range": "bytes=0-99"})
    assert (video.status_code, len(video.content)) == (206, 100)

    page.get_by_role("button", name="Compare").click()
    page.wait_for_function("() => document.querySelector('.was').videoWidth > 0")
    page.set_viewport_size(PHONE)
    assert overflow_px(page) <= 0
    page.screenshot(path=tmp_path / "4-phone.png", full_page=True)
    assert opened.complaints == []


def asks_with(request: Request, balance: float) -> bool:
    return request.url.endswith("/retrieve") and request.post_data_json["lambda"] == balance


def test_the_balance_asks_again_and_shows_what_the_service_answers(stack: Any, opened: Any, media: Any) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    add_pair(page, media)
    rows = page.locator("#matches li")
    expect(rows.first).to_be_visible()
    for balance in (1.0, 0.25):
        with page.expect_response(lambda answer, balance=balance: asks_with(answer.request, balance)):
            page.locator("#lambda").fill(str(balance))
        query = {"dance_id": shown_item(page, "dance"), "lambda": balance, "k": 12}
        best = HTTP.post(f"{stack.url}/retrieve", json=query).json()["results"][0]
        expect(rows.first.locator(".number")).to_have_text(f"{best['score']:.2f}".replace("-", "\N{MINUS SIGN}"))
        expect(rows.first.locator(".title")).to_have_text(best["title"])
        bar_percent = rows.first.locator(".look").evaluate("(bar) => parseFloat(bar.style.width)")
        assert bar_percent == pytest.approx(100 * balance * max(best["embedding_score"], 0), abs=0.01)
    assert opened.complaints == []


def test_a_reload_shows_the_same_pair(stack: Any, opened: Any, media: Any) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    add_pair(page, media)
    pair = [shown_item(page, kind) for kind in ("dance", "music")]
    page.reload()
    for kind in ("dance", "music"):
        expect(page.locator(f"#{kind}")).to_have_attribute("data-state", "ready")
    assert [shown_item(page, kind) for kind in ("dance", "music")] == pair
    expect(page.locator("#dance .facts")).to_contain_text(media.clip.stem)
    expect(page.get_by_role("button", name="Put it on the beat")).to_be_enabled()
    assert opened.complaints == []


def test_the_calls_are_explained_with_no_other_host_in_reach(stack: Any, opened: Any) -> None:
    page: Page = opened.page
    page.route(lambda url: not url.startswith((stack.url, "data:")), lambda route: route.abort())
    page.goto(f"{stack.url}/docs")
    expect(page.locator("#operations-retrieve-post_retrieve_retrieve_post")).to_be_visible()
    assert opened.complaints == []


def test_a_part_of_the_song_and_its_options_are_asked_for(stack: Any, opened: Any, media: Any) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    add_pair(page, media)
    page.evaluate("document.querySelector('#music audio').currentTime = 2.5")
    page.locator("#music .here").click()
    page.get_by_label("Most seconds of the song that are used").fill("0:04")
    page.get_by_label("Strokes land on").select_option("every_nth")
    page.get_by_label("The clip's own sound").select_option("-18")
    with page.expect_request(lambda request: request.url.endswith("/retarget")) as sent:
        page.get_by_role("button", name="Put it on the beat").click()
    request = sent.value.post_data_json
    assert request["music_start_s"] == pytest.approx(2.5, abs=0.05)
    assert request["max_duration_s"] == 4
    assert (request["on"], request["nth"], request["original_gain_db"]) == ("every_nth", 2, -18)
    assert "accent" not in request, "an accent that nobody chose is the service's to choose"
    page.wait_for_function(PLAYS)
    expect(page.locator(".besides")).to_contain_text("Song 0:0")
    assert opened.complaints == []


def test_the_page_says_where_the_beat_comes_from(stack: Any, opened: Any) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    words = """async (rhythm) => { const {originOf, originWords} = await import("/static/origin.js");
      return originOf(rhythm) && originWords(rhythm); }"""
    sound = {"beats_s": [0.5, 1.0], "confidence": 0.97, "reason": "The motion goes with it."}
    of_sound = {"source": "sound", "sound": sound, "times_s": [0.5, 1.0]}
    assert page.evaluate(words, of_sound).startswith("The beat comes from the clip's own sound, 97 % sure. The motion")
    assert page.evaluate(words, of_sound | {"source": "hand"}).startswith("The beat comes from the clip's own sound")
    assert "picture" in page.evaluate(words, of_sound | {"source": "picture", "times_s": [0.7]})
    assert page.evaluate(words, {"source": "hand", "sound": None, "times_s": [0.7]}) == "The beat is as you set it."
    assert page.evaluate(words, {"times_s": [0.7]}) is None, "a record that does not tell"


def counted(page: Page, points: int) -> None:
    expect(page.locator("#dance .count")).to_have_text(f"{points} strokes")


def test_strokes_are_tapped_set_moved_and_taken_away(stack: Any, opened: Any, media: Any, tmp_path: Path) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    add_pair(page, media)
    item = f"{stack.url}/items/{shown_item(page, 'dance')}?include=rhythm"
    detected = HTTP.get(item).json()["rhythm"]
    page.get_by_role("button", name="Mark the strokes by hand").click()
    counted(page, len(detected["times_s"]))
    page.locator("#dance .clear").click()
    expect(page.locator("#dance .keep")).to_be_disabled()
    canvas = page.locator("#dance .score canvas")
    box = canvas.bounding_box()
    assert box is not None
    y = box["y"] + 60
    at = [box["x"] + share * box["width"] for share in (0.2, 0.5, 0.8)]  # 7 s are all in sight: 1.4, 3.5 and 5.6 s
    for x in at:
        page.mouse.click(x, y)
    counted(page, 3)
    page.mouse.click(at[2] + 2, y)  # on the mark: takes it away
    counted(page, 2)
    page.get_by_role("button", name="Undo").click()
    counted(page, 3)
    page.mouse.move(at[1] + 1, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=4)
    page.mouse.up()
    page.evaluate("document.querySelector('#dance video').currentTime = 0.5")
    page.keyboard.press("t")
    counted(page, 4)
    page.keyboard.press("Delete")
    counted(page, 3)
    page.keyboard.press("t")
    counted(page, 4)
    page.screenshot(path=tmp_path / "marks.png")
    page.get_by_label("Even out taps").first.uncheck()
    page.get_by_role("button", name="Keep").click()
    expect(page.locator("#dance .facts")).to_contain_text("4 strokes by hand")
    assert HTTP.get(item).json()["rhythm"]["times_s"] == pytest.approx([0.5, 1.4, 4.2, 5.6], abs=0.03)

    page.reload()
    expect(page.locator("#dance .facts")).to_contain_text("4 strokes by hand")
    page.get_by_role("button", name="Mark the strokes by hand").click()
    page.get_by_role("button", name="As found").click()
    expect(page.locator("#dance .facts")).to_contain_text(f"{len(detected['times_s'])} strokes")
    assert HTTP.get(item).json()["rhythm"]["times_s"] == detected["times_s"]
    assert opened.complaints == []


def test_marks_that_are_not_kept_outlive_a_reload(stack: Any, opened: Any, media: Any) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    add_pair(page, media)
    page.get_by_role("button", name="Mark the strokes by hand").click()
    page.locator("#dance .clear").click()
    for time_s in (1.0, 2.0, 3.0):
        page.evaluate("(time_s) => { document.querySelector('#dance video').currentTime = time_s; }", time_s)
        page.keyboard.press("t")
    counted(page, 3)
    page.reload()
    expect(page.locator("#dance .drafted")).to_be_visible()
    counted(page, 3)
    page.get_by_role("button", name="Undo").click()
    counted(page, 2)
    page.get_by_role("button", name="Redo").click()
    counted(page, 3)
    page.locator("#dance .leave").click()
    page.reload()
    expect(page.get_by_role("button", name="Mark the strokes by hand")).to_be_visible()
    assert opened.complaints == []


def test_of_files_dropped_together_none_vanishes(stack: Any, opened: Any, media: Any, tmp_path: Path) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    again, words = tmp_path / "another song.flac", tmp_path / "words.flac"
    again.write_bytes(media.song.read_bytes())
    words.write_text("This is no song.")
    audio = [(path, "audio/flac") for path in (media.song, words, again)]
    drop_files(page, "#dance", [(media.clip, "video/mp4"), *audio])
    rows = page.locator("#queue li")
    expect(rows.first).to_be_visible()
    for kind in ("dance", "music"):
        expect(page.locator(f"#{kind}")).to_have_attribute("data-state", "ready")
    expect(rows).to_have_count(1)  # the good one is in the library, the bad one says why it is not
    expect(rows.locator(".title")).to_have_text("words.flac")
    expect(rows.get_by_role("button", name="Try again")).to_be_visible()
    page.screenshot(path=tmp_path / "queue.png")
    rows.get_by_role("button", name="Dismiss").click()
    expect(page.locator("#queue")).to_be_hidden()


def test_a_run_of_taps_takes_the_place_of_the_marks_it_passes(stack: Any, opened: Any) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    taps = """async ([marks, taps]) => {
      const { tapped } = await import("/static/marks.js");
      let last = null;
      for (const tap of taps) [marks, last] = [tapped(marks, tap, last), tap];
      return marks;
    }"""
    old = [0.5, 1.0, 1.5, 2.0, 2.5, 9.0]
    assert page.evaluate(taps, [old, [0.9, 1.7]]) == [0.5, 0.9, 1.7, 2.0, 2.5, 9.0]  # 1.0 and 1.5 were passed over
    assert page.evaluate(taps, [old, [0.9, 8.0]]) == [0.5, 0.9, 1.5, 2.0, 2.5, 8.0, 9.0]  # too late to be one run
    assert page.evaluate(taps, [[], [3.0, 3.01, 2.0]]) == [2.0, 3.0]  # no two at once, and backwards is a new run


@pytest.mark.parametrize("opened", [PHONE], ids=["phone"], indirect=True)
def test_a_refused_file_says_why_where_it_was_dropped(stack: Any, opened: Any, media: Any, tmp_path: Path) -> None:
    page: Page = opened.page
    page.goto(stack.url)
    drop(page, "#dance", media.text, "video/mp4")
    trouble = page.locator("#dance .trouble")
    expect(trouble).to_be_visible()
    assert trouble.locator(".detail").inner_text()
    assert "mp4" in trouble.locator(".hint").inner_text()
    drop(page, "#dance", media.song, "audio/flac")
    page.get_by_role("button", name="Use it as the song").click()
    expect(page.locator("#music")).to_have_attribute("data-state", "ready")
    expect(page.locator("#dance")).to_have_attribute("data-state", "empty")
    assert overflow_px(page) <= 0
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
