"""The table from HDR to plain screens: values that the standards state, and what must hold for any colour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mudar.media.render.tonemap import WHITE, cube, hlg_light, pq_light, pq_signal, roll_off, tonemap

signals = st.floats(0.0, 1.0)


def grey(level: float) -> np.ndarray:
    return np.full(3, level)


def test_values_that_the_standards_state() -> None:
    assert pq_light(grey(1.0))[0] == pytest.approx(10_000)
    assert pq_light(grey(0.5081))[0] == pytest.approx(100, rel=0.01)  # BT.2408, table 1
    assert pq_light(grey(0.5806))[0] == pytest.approx(203, rel=0.01)
    assert hlg_light(grey(0.75))[0] == pytest.approx(203, rel=0.01)
    assert hlg_light(grey(1.0))[0] == pytest.approx(1000, rel=0.01)


def test_both_ways_give_the_same() -> None:
    light = np.geomspace(0.01, 10_000, 50)
    np.testing.assert_allclose(pq_light(pq_signal(light)), light, rtol=1e-6)


@pytest.mark.parametrize("peak", [300.0, 1000.0, 4000.0])
def test_what_is_dim_stays_and_the_peak_is_white(peak: float) -> None:
    light = np.geomspace(0.1, peak, 200)
    rolled = roll_off(light, peak)
    assert (np.diff(rolled) > 0).all()
    assert rolled[-1] == pytest.approx(WHITE, rel=1e-3)
    dim = light < 20
    np.testing.assert_allclose(rolled[dim], light[dim], rtol=1e-6)


def test_a_source_no_brighter_than_white_is_left_alone() -> None:
    np.testing.assert_allclose(roll_off(np.array([1.0, 150.0, 500.0]), 150.0), [1.0, 150.0, WHITE])


@pytest.mark.parametrize("peak", [np.nextafter(WHITE, 300.0), WHITE + 1e-12, WHITE + 1e-6])
def test_a_peak_just_above_white_divides_by_no_zero(peak: float) -> None:
    rolled = roll_off(np.array([1.0, 150.0, WHITE, 500.0]), peak)
    np.testing.assert_allclose(rolled, [1.0, 150.0, WHITE, WHITE], rtol=1e-6)


@example(red=0.0, green=0.0, blue=1e-160, transfer="arib-std-b67")  # so dark that room / chroma would overflow
@example(red=0.0, green=0.0, blue=5e-324, transfer="arib-std-b67")
@example(red=0.0, green=0.0, blue=5e-324, transfer="smpte2084")
@given(red=signals, green=signals, blue=signals, transfer=st.sampled_from(["smpte2084", "arib-std-b67"]))
def test_every_colour_lands_on_the_screen(red: float, green: float, blue: float, transfer: str) -> None:
    out = tonemap(np.array([red, green, blue]), transfer)
    assert np.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 1


@given(level=signals)
def test_grey_stays_grey(level: float) -> None:
    out = tonemap(grey(level), "smpte2084")
    assert np.ptp(out) < 2e-3


def test_the_table_is_written_red_fastest() -> None:
    lines = cube("smpte2084").splitlines()
    assert lines[0] == "LUT_3D_SIZE 33"
    assert len(lines) == 1 + 33**3
    second = np.array([float(n) for n in lines[2].split()])
    np.testing.assert_allclose(second, tonemap(np.array([1 / 32, 0, 0]), "smpte2084"), atol=1e-5)
