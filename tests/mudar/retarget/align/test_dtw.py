"""The chain of landings: equal to brute force on small inputs, lawful on all, right where the truth is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mudar.retarget.align import dtw
from mudar.retarget.align.dtw import Costs, Downbeats, Limits, align, landing_gain
from mudar.retarget.events import Events, fill_gaps
from mudar.retarget.warp.time_map import max_speed_step

PRICES = Costs()


@st.composite
def few_points(draw: st.DrawFn, most: int) -> Events:
    gaps = draw(st.lists(st.floats(0.2, 1.2), min_size=1, max_size=most))
    strengths = draw(st.lists(st.floats(0, 1), min_size=len(gaps), max_size=len(gaps)))
    return Events(np.cumsum(gaps), np.array(strengths))


def price(chain: list[tuple[int, int]], strokes: Events, targets: Events, limits: Limits) -> float:
    """The gain of one chain by the definition; -inf where a limit is broken."""
    worth = landing_gain(strokes, targets)
    gain = worth[chain[0]]
    last = None
    for (i0, j0), (i1, j1) in itertools.pairwise(chain):
        if i1 - i0 > limits.max_strokes or j1 - j0 > limits.max_targets:
            return -np.inf
        dt = targets.times_s[j1] - targets.times_s[j0]
        speed = (strokes.times_s[i1] - strokes.times_s[i0]) / dt
        if not limits.low <= speed <= limits.high or (last is not None and abs(speed - last) > limits.step):
            return -np.inf
        gain += worth[i1, j1] - PRICES.speed * np.log(speed) ** 2 * dt
        gain -= PRICES.skip_stroke * strokes.strengths[i0 + 1 : i1].sum()
        gain -= PRICES.skip_target * targets.strengths[j0 + 1 : j1].sum()
        if last is not None:
            gain -= PRICES.change * np.log(speed / last) ** 2
        last = speed
    return float(gain)


def chains(n: int, m: int, so_far: list[tuple[int, int]]):
    """Every ascending chain of pairs."""
    i, j = so_far[-1] if so_far else (-1, -1)
    if so_far:
        yield so_far
    for a in range(i + 1, n):
        for b in range(j + 1, m):
            yield from chains(n, m, [*so_far, (a, b)])


@settings(max_examples=60)
@given(few_points(5), few_points(5), st.sampled_from([(0.67, 1.5), (0.5, 2.0), (0.25, 4.0)]))
def test_finds_what_brute_force_finds(strokes: Events, targets: Events, bounds: tuple[float, float]) -> None:
    limits = Limits(*bounds, max_speed_step(*bounds))
    best = max(price(c, strokes, targets, limits) for c in chains(len(strokes), len(targets), []))
    chain = align(strokes, targets, limits)
    assert chain.gain == pytest.approx(best, abs=1e-9)
    pairs = list(zip(chain.strokes.tolist(), chain.targets.tolist(), strict=True))
    assert price(pairs, strokes, targets, limits) == pytest.approx(best, abs=1e-9)


def warped_metronome(rng: np.random.Generator, count: int) -> tuple[Events, Events]:
    """Beats at 0.5 s and strokes that drift slowly in tempo, with 10 % false strokes and 10 % missing."""
    beats = 5.0 + 0.5 * np.arange(count)
    speed = 1.1 + 0.15 * np.sin(np.arange(count) / 9)
    true = 2.0 + np.cumsum(0.5 * speed)
    matched = rng.random(count) > 0.1
    false = rng.uniform(true[0], true[-1], count // 10)
    times = np.concatenate([true[matched], false])
    strengths = np.concatenate([np.full(matched.sum(), 0.9), np.full(len(false), 0.2)])
    order = np.argsort(times)
    return fill_gaps(Events(times[order], strengths[order])), Events(beats, np.full(count, 0.8))


@pytest.mark.parametrize("count", [40, 400])
def test_recovers_a_known_warp_through_false_and_missing_strokes(count: int) -> None:
    strokes, beats = warped_metronome(np.random.default_rng(1), count)
    limits = Limits(0.67, 1.5, max_speed_step(0.67, 1.5))
    chain = align(strokes, beats, limits)
    strong = strokes.strengths[chain.strokes] > 0.5
    assert (strokes.strengths[chain.strokes] == 0.2).mean() < 0.05
    assert strong.sum() > 0.9 * (strokes.strengths > 0.5).sum()
    # a chain that slipped by a beat would be shifted by half a second somewhere
    assert (
        np.ptp(
            chain.targets[strong]
            - np.round(
                np.interp(
                    strokes.times_s[chain.strokes[strong]],
                    2.0 + np.cumsum(0.5 * (1.1 + 0.15 * np.sin(np.arange(count) / 9))),
                    np.arange(count),
                )
            )
        )
        <= 1
    )


def test_the_band_of_long_inputs_finds_the_same_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    strokes, beats = warped_metronome(np.random.default_rng(2), 120)
    limits = Limits(0.67, 1.5, max_speed_step(0.67, 1.5))
    unbanded = align(strokes, beats, limits)
    monkeypatch.setattr(dtw, "BAND_ABOVE_NODES", 100)
    banded = align(strokes, beats, limits)
    assert banded.gain == pytest.approx(unbanded.gain, rel=1e-6)
    np.testing.assert_array_equal(banded.strokes, unbanded.strokes)


def test_nothing_to_align_gives_an_empty_chain() -> None:
    nothing = Events(np.zeros(0), np.zeros(0))
    one = Events(np.ones(1), np.ones(1))
    limits = Limits(0.67, 1.5, 0.2)
    assert len(align(nothing, one, limits).strokes) == 0
    assert align(one, one, limits).gain == pytest.approx(1.0)


def test_bars_begin_together_where_both_are_known() -> None:
    # equal strokes on equal beats: any of four phases is as good, but for the downbeats
    strokes, targets = Events(np.arange(0.2, 12, 0.5), np.ones(24)), Events(np.arange(0.1, 16, 0.5), np.ones(32))
    limits = Limits(0.67, 1.5, 0.27)
    for late in range(4):
        downbeats = Downbeats(strokes.times_s[late::4], targets.times_s[1::4])
        chain = align(strokes, targets, limits, downbeats=downbeats)
        pairs = list(zip(chain.strokes.tolist(), chain.targets.tolist(), strict=True))
        assert len(pairs) >= 20
        assert all((i - late) % 4 == (j - 1) % 4 for i, j in pairs)
