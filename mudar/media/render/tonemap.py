"""Maps HDR to the range and colours of ordinary screens, as a table from RGB to RGB. Knows no frames and no filters.

PQ (SMPTE ST 2084) or HLG (ITU-R BT.2100) in BT.2020 primaries becomes light; the brightest of R, G, B is brought under
the white of a plain screen (203 cd/m², BT.2408) by the curve of BT.2390, which leaves what is dim as it is and rolls
off what is bright; the other two go with it, so that hues stay; then BT.709 primaries, what lies outside of them drawn
towards grey, and the screen's own power of 2.4 (BT.1886). FFmpeg's own mapping takes 4 s to set up, this takes 0.05.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mudar.media.render.format import USUAL_PEAK

Light = NDArray[np.float64]  # (..., 3) of R, G, B in cd/m², or relative to white

WHITE = 203.0  # cd/m²
SIDE = 33  # entries of the table along each axis
LUMA_2020 = np.array([0.2627, 0.6780, 0.0593])
LUMA_709 = np.array([0.2126, 0.7152, 0.0722])
TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])  # BT.2087
M1, M2, C1, C2, C3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875  # ST 2084


def cube(transfer: str, peak: float = USUAL_PEAK) -> str:
    """Writes the table as an Adobe .cube text, red fastest.

    transfer: smpte2084 or arib-std-b67; peak: the source's, cd/m².
    """
    step = np.linspace(0.0, 1.0, SIDE)
    blue, green, red = np.meshgrid(step, step, step, indexing="ij")
    out = tonemap(np.stack([red, green, blue], axis=-1), transfer, peak).reshape(-1, 3)
    return f"LUT_3D_SIZE {SIDE}\n" + "\n".join(f"{r:.5f} {g:.5f} {b:.5f}" for r, g, b in out.tolist()) + "\n"


def tonemap(signal: Light, transfer: str, peak: float = USUAL_PEAK) -> Light:
    """Maps an HDR signal (..., 3) in 0..1 to the signal of a plain screen, in 0..1."""
    light = pq_light(signal) if transfer == "smpte2084" else hlg_light(signal)
    brightest = np.maximum(light.max(axis=-1, keepdims=True), 1e-6)
    relative = light * (roll_off(brightest, peak) / brightest) / WHITE
    return np.asarray(_desaturate(relative @ TO_709.T) ** (1 / 2.4))


def pq_light(signal: Light) -> Light:
    """Converts a PQ signal in 0..1 to light in cd/m²."""
    powered = np.power(np.clip(signal, 0, 1), 1 / M2)
    return np.asarray(10_000 * np.power(np.maximum(powered - C1, 0) / (C2 - C3 * powered), 1 / M1))


def pq_signal(light: Light | float) -> Light:
    """Converts light in cd/m² to a PQ signal, the inverse of `pq_light`."""
    powered = np.power(np.asarray(light) / 10_000, M1)
    return np.asarray(np.power((C1 + C2 * powered) / (1 + C3 * powered), M2))


def hlg_light(signal: Light) -> Light:
    """Converts an HLG signal to the light in cd/m² of a screen of 1,000 cd/m², with the system's gamma of 1.2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = np.maximum((scene * LUMA_2020).sum(axis=-1, keepdims=True), 1e-9)
    return np.asarray(1000 * luma**0.2 * scene)


def roll_off(light: Light, peak: float) -> Light:
    """Compresses cd/m² up to `peak` to cd/m² up to WHITE by the curve of BT.2390-10, section 5.4.1."""
    top = pq_signal(peak)
    limit = pq_signal(WHITE) / top
    if limit >= 1:  # also a peak above WHITE by so little that the curve would divide by 1 - knee = 0
        return np.minimum(light, WHITE)
    x = np.clip(pq_signal(light) / top, 0, 1)
    knee = 1.5 * limit - 0.5
    t = np.clip((x - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * limit
    return pq_light(np.where(x < knee, x, spline) * top)


def _desaturate(light: Light) -> Light:
    """Draws colours outside 0..1 towards the grey of their own luminance, just as far as it takes."""
    grey = np.clip((light * LUMA_709).sum(axis=-1, keepdims=True), 0, 1)
    chroma = light - grey
    room = np.where(chroma > 0, 1 - grey, grey)
    size = np.abs(chroma)
    # Only where chroma exceeds its room: elsewhere the share would be clipped to 1, and near black it overflows.
    share = np.divide(room, size, out=np.ones_like(size), where=size > room)
    return np.clip(grey + chroma * share.min(axis=-1, keepdims=True), 0, 1)
