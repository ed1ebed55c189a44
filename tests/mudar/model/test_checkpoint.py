"""Cards: there and back, and what is refused."""

from dataclasses import replace

import pytest

from mudar import spec as specs
from mudar.errors import CardInvalid
from mudar.model.checkpoint import Card, is_word
from mudar.model.config import paper, small
from mudar.spec import FeatureSpec

CARD = Card(
    name="mudar-small",
    version="0.1.0",
    spec=FeatureSpec(),
    model=small(),
    sha256="ab" * 32,
    created="2026-01-02T03:04:05+00:00",
    commit="0123abc",
    licence="Apache-2.0",
    data='Generated dancers.\nTwo lines, and a "quote" — and λ.',
    metrics={"beat": {"f1": 0.5, "chance": 0.25}, "retrieval": {"r_at_5": 0.4, "chance": 0.1, "songs": 20}},
    lambda_default=0.3,
)


@pytest.mark.parametrize("card", [CARD, replace(CARD, spec=specs.paper(), model=paper(), metrics={})])
def test_a_card_survives_its_file(card: Card) -> None:
    assert Card.from_toml(card.to_toml()) == card


def test_a_card_from_before_shapes_means_squares() -> None:
    """Such a network learnt from squeezed pictures and must be shown them, whatever is made today."""
    both = replace(CARD.spec, video=replace(CARD.spec.video, flow_shape="both"))
    text = replace(CARD, spec=both).to_toml()
    older = text.replace('flow_shape = "both"\n', "")
    assert older != text
    assert Card.from_toml(text).spec == both
    assert Card.from_toml(older).spec.video.flow_shape == "square"


def test_a_person_can_read_it() -> None:
    text = CARD.to_toml()
    assert 'name = "mudar-small"' in text
    assert "[metrics.beat]" in text
    assert "sample_rate_hz = 24000" in text
    assert 'served_head = "beat"' in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "mudar-small"', 'name = "../../etc"'),
        ('version = "0.1.0"', 'version = ""'),
        ("lambda_default = 0.3", "lambda_default = 2.0"),
        ("d_model = 128", "d_modell = 128"),
        ("d_model = 128", "d_model = 127"),
        ("[model]", "[modell]"),
        ("hop_samples = 200", "hop_sampels = 200"),
        ('licence = "Apache-2.0"', "licence = "),
        ('licence = "Apache-2.0"', 'license = "Apache-2.0"'),
    ],
)
def test_a_damaged_card_is_refused(old: str, new: str) -> None:
    text = CARD.to_toml()
    assert old in text
    with pytest.raises(CardInvalid):
        Card.from_toml(text.replace(old, new, 1))


@pytest.mark.parametrize("text", ["", "..", ".hidden", "a/b", "a\\b", "a b", "a\n", "ä", "x" * 65, "-rf"])
def test_what_may_not_be_a_name(text: str) -> None:
    assert not is_word(text)


@pytest.mark.parametrize("text", ["mudar-small", "0.1.0", "served", "1.0.0-rc1+gpu", "A_1"])
def test_what_may(text: str) -> None:
    assert is_word(text)
