"""What .env.example says is what both doors read, with the defaults they really have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import service.settings
import workers.settings
from mudar.library import protocol
from service.jobs import queue

EXAMPLE = (Path(__file__).resolve().parents[2] / ".env.example").read_text()
DOORS = [service.settings.Settings, workers.settings.Settings]


@pytest.mark.parametrize("door", DOORS)
def test_every_setting_is_listed_with_its_default(door: Any) -> None:
    listed = dict(re.findall(r"^#? ?(MUDAR_[A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    for name, field in door.model_fields.items():
        assert f"MUDAR_{name.upper()}" in listed
        told = listed[f"MUDAR_{name.upper()}"]
        if name != "model_root":
            assert getattr(door(_env_file=None, **({name: told} if told else {})), name) == field.default


def test_nothing_else_is_listed() -> None:
    known = {f"MUDAR_{name.upper()}" for door in DOORS for name in door.model_fields}
    assert set(re.findall(r"MUDAR_[A-Z_]+(?==)", EXAMPLE)) == known


def test_what_both_doors_read_has_the_same_default() -> None:
    one, other = (door.model_fields for door in DOORS)
    for name in one.keys() & other.keys():
        assert one[name].default == other[name].default, name


def test_both_ends_of_the_wire_use_the_same_names() -> None:
    for name in ("TASK", "QUEUE", "ENQUEUED", "JOBS_CHANNEL", "WORKERS"):
        assert getattr(queue, name) == getattr(protocol, name)


def test_redelivery_waits_longer_than_any_job_may_take() -> None:
    told = service.settings.Settings(_env_file=None)
    assert told.visibility_timeout_s > told.longest_limit_s + queue.HARD_LIMIT_GRACE_S
