"""Names, versions and aliases on two roots, as a service has them; and that looking costs no torch."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_store.registry import ALIASES_FILE, Registry
from mudar.errors import CardInvalid, UnknownModel
from mudar.model.checkpoint import CARD_FILE, Card
from mudar.model.config import small
from mudar.spec import FeatureSpec


def put(root: Path, name: str, version: str) -> None:
    folder = root / name / version
    folder.mkdir(parents=True)
    (folder / CARD_FILE).write_text(Card(name, version, FeatureSpec(), small()).to_toml(), encoding="utf-8")


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    """A writable root that is not there yet, and a shipped one with two versions, of which the older is served."""
    shipped = tmp_path / "shipped"
    put(shipped, "mudar-small", "0.9.0")
    put(shipped, "mudar-small", "0.10.0")
    (shipped / ALIASES_FILE).write_text('[mudar-small.served]\nversion = "0.9.0"\n')
    return [tmp_path / "data" / "models", shipped]


def meant(roots: list[Path], name: str) -> str:
    return Registry(roots).card(name).id


def test_names_mean_versions(roots: list[Path]) -> None:
    assert meant(roots, "mudar-small@0.10.0") == "mudar-small@0.10.0"
    assert meant(roots, "mudar-small@served") == "mudar-small@0.9.0"
    assert meant(roots, "mudar-small") == "mudar-small@0.9.0"


def test_without_a_served_version_the_newest_is_meant(tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0", "0.10.0-rc1", "0.2.5"):
        put(tmp_path, "m", version)
    assert meant([tmp_path], "m") == "m@0.10.0"
    assert list(Registry([tmp_path]).versions("m")) == ["0.10.0", "0.10.0-rc1", "0.9.0", "0.2.5"]


@pytest.mark.parametrize(
    "name",
    ["", "@", "other", "mudar-small@", "mudar-small@0.3", "mudar-small@a@b", "../shipped", "a/b@served", "@0.9.0"],
)
def test_unknown_names(roots: list[Path], name: str) -> None:
    with pytest.raises(UnknownModel):
        Registry(roots).resolve(name)


def test_promote_and_roll_back(roots: list[Path]) -> None:
    registry = Registry(roots)
    registry.promote("mudar-small", "0.10.0")
    assert meant(roots, "mudar-small") == "mudar-small@0.10.0"
    put(roots[0], "mudar-small", "0.11.0")
    registry.promote("mudar-small", "0.11.0")
    registry.promote("mudar-small", "0.11.0")  # again: nothing to remember
    assert registry.aliases("mudar-small")["served"].previous == ("0.9.0", "0.10.0")
    assert registry.rollback("mudar-small").version == "0.10.0"
    assert registry.rollback("mudar-small").version == "0.9.0"
    assert meant(roots, "mudar-small@served") == "mudar-small@0.9.0"
    with pytest.raises(UnknownModel):
        registry.rollback("mudar-small")


def test_the_shipped_shelf_is_never_written(roots: list[Path]) -> None:
    before = (roots[1] / ALIASES_FILE).read_bytes()
    Registry(roots).promote("mudar-small", "0.10.0", "candidate")
    assert (roots[1] / ALIASES_FILE).read_bytes() == before
    assert meant(roots, "mudar-small@candidate") == "mudar-small@0.10.0"
    assert meant(roots, "mudar-small@served") == "mudar-small@0.9.0"


def test_what_is_not_there_is_not_promoted(roots: list[Path]) -> None:
    registry = Registry(roots)
    for name, version, alias in (
        ("mudar-small", "7", "served"),
        ("other", "0.9.0", "served"),
        ("mudar-small", "0.9.0", "a/b"),
    ):
        with pytest.raises(UnknownModel):
            registry.promote(name, version, alias)


def test_an_alias_to_a_version_that_is_gone_is_unknown(roots: list[Path]) -> None:
    (roots[1] / ALIASES_FILE).write_text('[mudar-small.served]\nversion = "0.8.0"\n')
    with pytest.raises(UnknownModel):
        Registry(roots).resolve("mudar-small")


def test_every_card_is_listed_but_the_broken(roots: list[Path]) -> None:
    broken = roots[1] / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / CARD_FILE).write_text("not toml at all [")
    assert [card.id for card in Registry(roots).cards()] == ["mudar-small@0.10.0", "mudar-small@0.9.0"]
    with pytest.raises(CardInvalid):
        Registry(roots).card("broken@1")


def test_a_card_in_the_wrong_folder_is_refused(roots: list[Path]) -> None:
    (roots[1] / "mudar-small" / "0.9.0").rename(roots[1] / "mudar-small" / "0.9.1")
    with pytest.raises(CardInvalid):
        Registry(roots).card("mudar-small@0.9.1")


def test_promotions_at_the_same_time_all_count(roots: list[Path]) -> None:
    put(roots[1], "mudar-small", "1")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: Registry(roots).promote("mudar-small", "1", f"alias{i}"), range(24)))
    assert len(Registry(roots).aliases("mudar-small")) == 25


def test_looking_costs_no_torch() -> None:
    code = "import sys, model_store.registry; sys.exit(any(m in sys.modules for m in ('torch', 'scipy', 'librosa')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
