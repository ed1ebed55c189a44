"""Weights: saved, checked, loaded; and each way in which they may be wrong."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_store.loader import FLOW_FILE, load, save_checkpoint
from model_store.registry import Registry
from mudar.embed import Embedder
from mudar.errors import CardInvalid, ChecksumMismatch, ModelError
from mudar.model.checkpoint import CARD_FILE, WEIGHTS_FILE, Card, read_card
from mudar.model.config import small
from mudar.model.mudar import Mudar, build
from mudar.spec import FeatureSpec, VideoSpec

SPEC = FeatureSpec(video=VideoSpec(fps=10.0))
CONFIG = replace(small(), d_model=16, layers=1, embed_dim=8, injector_dim=8, audio_channels=(2, 4, 4), estimator_dim=8)
CARD = Card("tiny", "1", FeatureSpec(), small(), data="none", licence="Apache-2.0", lambda_default=0.7)


@pytest.fixture
def network() -> Mudar:
    return build(CONFIG, SPEC, seed=4).eval()


@pytest.fixture
def folder(tmp_path: Path, network: Mudar) -> Path:
    return save_checkpoint(tmp_path, network, CARD)


def test_what_is_loaded_is_what_was_saved(tmp_path: Path, folder: Path, network: Mudar) -> None:
    loaded = load("tiny", [tmp_path])
    assert loaded.name == "tiny@1"
    assert loaded.spec == SPEC  # the network's own, not what the card was made with
    assert loaded.model.config == CONFIG
    assert not loaded.model.training
    assert loaded.card.lambda_default == 0.7
    motion = torch.rand(1, 20, SPEC.video.motion_dim)
    with torch.no_grad():
        assert torch.equal(loaded.model(motion).rhythm_logits, network(motion).rhythm_logits)
    assert {path.name for path in folder.iterdir()} == {WEIGHTS_FILE, CARD_FILE}


def test_an_embedder_takes_it(tmp_path: Path, folder: Path) -> None:
    embedder = Embedder.from_loaded(load("tiny@1", [tmp_path]))
    assert (embedder.name, embedder.spec) == ("tiny@1", SPEC)


def test_the_card_says_when_and_what(folder: Path) -> None:
    card = read_card(folder)
    assert len(card.sha256) == 64
    assert card.created.startswith("20")
    assert tomllib.loads((folder / CARD_FILE).read_text())["features"]["video"]["fps"] == 10.0


def test_changed_weights_are_not_loaded(tmp_path: Path, folder: Path) -> None:
    content = bytearray((folder / WEIGHTS_FILE).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(content)
    with pytest.raises(ChecksumMismatch):
        load("tiny", [tmp_path])


def test_weights_of_another_network_are_not_loaded(tmp_path: Path, folder: Path) -> None:
    text = (folder / CARD_FILE).read_text().replace("d_model = 16", "d_model = 32")
    (folder / CARD_FILE).write_text(text)
    with pytest.raises(CardInvalid, match="do not fit"):
        load("tiny", [tmp_path])


def test_a_pickle_is_not_loaded(tmp_path: Path, folder: Path, network: Mudar) -> None:
    """Even one whose checksum the card bears."""
    import hashlib

    torch.save(network.state_dict(), folder / WEIGHTS_FILE)
    sha256 = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    (folder / CARD_FILE).write_text(replace(read_card(folder), sha256=sha256).to_toml())
    with pytest.raises(CardInvalid):
        load("tiny", [tmp_path])


def test_missing_weights(tmp_path: Path, folder: Path) -> None:
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(CardInvalid):
        load("tiny", [tmp_path])


def test_a_version_is_written_once(tmp_path: Path, folder: Path, network: Mudar) -> None:
    before = (folder / WEIGHTS_FILE).read_bytes()
    with pytest.raises(ModelError, match="already"):
        save_checkpoint(tmp_path, build(CONFIG, SPEC, seed=5), CARD)
    assert (folder / WEIGHTS_FILE).read_bytes() == before


def test_a_failed_save_leaves_nothing(tmp_path: Path, network: Mudar) -> None:
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, network, replace(CARD, version="2", metrics={"f1": object()}))
    assert Registry([tmp_path]).names() == []
    assert list((tmp_path / "tiny").iterdir()) == []


def test_pwcnets_weights_are_the_users_to_bring(tmp_path: Path) -> None:
    spec = replace(SPEC, video=replace(SPEC.video, flow="pwcnet"))
    save_checkpoint(tmp_path, build(CONFIG, spec), CARD)
    with pytest.raises(ModelError, match="PWC-Net") as refused:
        load("tiny", [tmp_path])
    assert "import-pwcnet" in refused.value.hint
    (tmp_path / FLOW_FILE).write_bytes(b"")
    assert load("tiny", [tmp_path]).flow_weights == tmp_path / FLOW_FILE
