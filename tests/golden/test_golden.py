"""Compares what the code gives now with the golden values; `python -m tests.golden.make` writes them anew."""

from __future__ import annotations

import numpy as np
import pytest

from tests.golden.figures import CASES, Figures
from tests.golden.make import read

pytestmark = pytest.mark.slow

TIME_TOLERANCE_S = 1e-6
TOLERANCE = 1e-5  # of vectors, curves and all else


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Figures:
    return Figures(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("case", CASES)
def test_nothing_has_changed(figures: Figures, case: str) -> None:
    expected, actual = read(case), figures.of(case)
    assert actual.keys() == expected.keys()
    for key, values in expected.items():
        tolerance = TIME_TOLERANCE_S if key.endswith("_s") else TOLERANCE
        assert actual[key].shape == values.shape, key
        np.testing.assert_allclose(actual[key], values, rtol=0, atol=tolerance, err_msg=key)
