"""What .env.example says is what both doors read, with the defaults they really have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import service.settings
import workers.settings
from service.jobs import queue

EXAMPLE = (Path(__file__).resolve().parents[2] / ".env.example").read_text()
DOORS = [service.settings.Settings, workers.settings.Settings]


@pytest.mark.parametrize("door", DOORS)
def test_every_setting_is_listed_with_its_default(door: Any) -> None:
    listed = dict(re.findall(r"^#? ?(MUDAR_[A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    for name, field in door.model_fields.items():
        assert f"MUDAR_{name.upper()}" in listed
        value = listed[f"MUDAR_{name.upper()}"]
        if name != "model_root":
            assert getattr(door(_env_file=None, **({name: value} if value else {})), name) == field.default


def test_nothing_else_is_listed() -> None:
    known = {f"MUDAR_{name.upper()}" for door in DOORS for name in door.model_fields}
    assert set(re.findall(r"MUDAR_[A-Z_]+(?==)", EXAMPLE)) == known


@pytest.mark.parametrize(
    ("old", "new"),
    [("TIDY_S", "cleanup_interval_s"), ("LOST_AFTER_S", "requeue_after_s"), ("KEEP_JOBS_S", "job_retention_s")],
)
def test_a_renamed_setting_is_still_read_under_its_old_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, old: str, new: str
) -> None:
    (tmp_path / ".env").write_text(f"MUDAR_{old}=7\n")
    with pytest.warns(FutureWarning, match=f"MUDAR_{old} is now called MUDAR_{new.upper()}"):
        assert getattr(service.settings.Settings(_env_file=tmp_path / ".env"), new) == 7
    monkeypatch.setenv(f"MUDAR_{old}", "8")
    with pytest.warns(FutureWarning, match=f"MUDAR_{old} is now called MUDAR_{new.upper()}"):
        assert getattr(service.settings.Settings(_env_file=None), new) == 8
    monkeypatch.setenv(f"MUDAR_{new.upper()}", "9")
    with pytest.warns(FutureWarning):
        assert getattr(service.settings.Settings(_env_file=None), new) == 9


def test_redelivery_waits_longer_than_any_job_may_take() -> None:
    value = service.settings.Settings(_env_file=None)
    assert value.visibility_timeout_s > value.longest_limit_s + queue.HARD_LIMIT_GRACE_S
