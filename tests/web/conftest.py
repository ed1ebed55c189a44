"""A real Chromium, and a dancer and a song small enough to wait for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.waiting import PATIENCE_S
from training.data.synthetic.clip import write_clip, write_song

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# The sandbox needs rights that a container's root has not; videos play without a click, for a test has no finger.
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"]


@dataclass(frozen=True)
class Media:
    """Paths of a dancer's clip (to another song than this one), a song, and a text file that claims to be a clip."""

    clip: Path
    song: Path
    text: Path


@dataclass
class Opened:
    """A page, and what its console complained of."""

    page: Page
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    folder = tmp_path_factory.mktemp("media")
    made = Media(folder / "a dancer.mp4", folder / "a song.flac", folder / "words.mp4")
    write_clip(made.clip, seed=5, duration_s=7.0, width=320, height=180, fps=25)
    write_song(made.song, seed=8, duration_s=10.0)
    made.text.write_text("This is no clip.")
    return made


@pytest.fixture(scope="module")  # no longer: while it runs, no other test could start an event loop of its own
def chromium() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        if os.environ.get("MUDAR_REQUIRE_ALL") == "1":
            pytest.fail("There is no Chromium on PATH, and MUDAR_REQUIRE_ALL=1 wants every test run.")
        pytest.skip("There is no Chromium on PATH.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS, timeout=1000 * PATIENCE_S)
        yield browser
        browser.close()


@pytest.fixture(params=[{"width": 1280, "height": 900}], ids=["desktop"])
def opened(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """A fresh page of this size, its complaints written down."""
    context = chromium.new_context(viewport=request.param)
    context.set_default_timeout(1000 * PATIENCE_S)
    expect.set_options(timeout=1000 * PATIENCE_S)  # a job may wait for the other tests' jobs
    page = context.new_page()
    opened_page = Opened(page)

    def note_complaint(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            opened_page.complaints.append(message.text)

    page.on("console", note_complaint)
    page.on("pageerror", lambda error: opened_page.complaints.append(str(error)))
    yield opened_page
    context.close()
