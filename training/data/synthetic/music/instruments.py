"""Synthesises single notes and drum hits, float64 (N,) with a peak of about 1. Knows no rhythm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]


def _decay(seconds: float, rate_hz: int, tail_s: float) -> tuple[Samples, Samples]:
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    return time, np.exp(-time / tail_s)


def _noise(rng: np.random.Generator, count: int) -> Samples:
    return rng.uniform(-1, 1, size=count)


def _bright(samples: Samples) -> Samples:
    return np.diff(samples, prepend=0.0) * 0.7


def kick(rng: np.random.Generator, rate_hz: int) -> Samples:
    """A bass drum: a falling sine and a click."""
    time, fall = _decay(0.28, rate_hz, 0.08)
    low, drop = rng.uniform(44, 60), rng.uniform(70, 150)
    phase = 2 * np.pi * (low * time + drop * 0.025 * (1 - np.exp(-time / 0.025)))
    return np.sin(phase) * fall + 0.25 * _bright(_noise(rng, len(time))) * np.exp(-time / 0.004)


def snare(rng: np.random.Generator, rate_hz: int) -> Samples:
    """A snare drum: a short tone under noise."""
    time, fall = _decay(0.22, rate_hz, rng.uniform(0.04, 0.07))
    return 0.5 * np.sin(2 * np.pi * rng.uniform(170, 230) * time) * fall + 0.7 * _noise(rng, len(time)) * fall


def clap(rng: np.random.Generator, rate_hz: int) -> Samples:
    """Hands: three quick bursts and a tail."""
    time, fall = _decay(0.2, rate_hz, 0.05)
    bursts = sum(np.exp(-np.abs(time - d) / 0.003) for d in (0.0, 0.009, 0.018))
    return 0.6 * _bright(_noise(rng, len(time))) * (bursts + 0.6 * fall)


def hat(rng: np.random.Generator, rate_hz: int, open_: bool = False) -> Samples:
    """A cymbal, closed or open."""
    time, fall = _decay(0.3 if open_ else 0.08, rate_hz, 0.09 if open_ else 0.018)
    return 0.6 * _bright(_bright(_noise(rng, len(time)))) * fall


def guira(rng: np.random.Generator, rate_hz: int) -> Samples:
    """Synthesises one stroke of a güira, a metal scraper."""
    time, fall = _decay(0.09, rate_hz, 0.03)
    return 0.5 * _bright(_noise(rng, len(time))) * fall * (0.6 + 0.4 * np.sin(2 * np.pi * 90 * time))


def bongo(rng: np.random.Generator, rate_hz: int, high: bool = True) -> Samples:
    """A small hand drum."""
    time, fall = _decay(0.18, rate_hz, 0.05)
    pitch = (rng.uniform(360, 420) if high else rng.uniform(220, 260)) * (1 + 0.15 * np.exp(-time / 0.02))
    return np.sin(2 * np.pi * np.cumsum(pitch) / rate_hz) * fall + 0.1 * _noise(rng, len(time)) * np.exp(-time / 0.003)


def tone(frequency_hz: float, seconds: float, rate_hz: int, kind: str) -> Samples:
    """A pitched note. kind: bass | pluck | pad | lead."""
    harmonics = {"bass": 5, "pluck": 7, "pad": 4, "lead": 6}[kind]
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    out = np.zeros_like(time)
    for n in range(1, harmonics + 1):
        if n * frequency_hz < rate_hz * 0.45:
            sharpness = np.exp(-time * n / 0.35) if kind == "pluck" else 1.0
            out += np.sin(2 * np.pi * n * frequency_hz * time + 0.3 * n) * sharpness / n**1.3
    attack_s = {"bass": 0.006, "pluck": 0.002, "pad": 0.12, "lead": 0.02}[kind]
    tail_s = {"bass": 0.4, "pluck": 0.25, "pad": 9.0, "lead": 0.8}[kind]
    shape = np.minimum(time / attack_s, 1.0) * np.exp(-time / tail_s)
    shape *= np.minimum((seconds - time) / 0.02, 1.0).clip(0, 1)
    return out * shape * 0.6
