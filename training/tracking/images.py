"""Draws images of a network while it learns: strokes over the motion, and which dance is like which music.

Plain arrays drawn with cv2, for TensorBoard or a file. Shapes: B clips; T frames; M motion; H heads.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mudar.model.mudar import Mudar
from mudar.rhythm.peaks import strokes_from_curve
from training.baselines.registry import Network
from training.data.batches import Batch
from training.data.records import Image
from training.recipe import Recipe

Array = NDArray[np.float32]
_ROW_PX, _CURVE_PX, _WIDE_PX, _CELL_PX = 3, 60, 720, 12
_STROKE: Final = (255, 200, 0)
_TARGET: Final = (0, 200, 120)


@torch.inference_mode()
def draw_images(network: Network, batch: Batch, recipe: Recipe, clips: int = 3) -> dict[str, Image]:
    """Draws the images of a batch, by name."""
    was_training = network.training
    network.eval()
    images: dict[str, Image] = {}
    some = slice(-clips, None)
    frames = batch.frames
    if isinstance(network, Mudar) and recipe.loss.rhythm_weight:
        head, served = recipe.model.served_index, recipe.features.video.fps
        frames_of_clips = None if frames is None else frames[some]
        curves = (
            torch.sigmoid(network.rhythm_logits(batch.motion[some], frames_of_clips).float())[..., head].cpu().numpy()
        )
        truth = batch.target[some, :, head].cpu().numpy()
        motion = batch.motion[some].cpu().numpy()
        rows = [strokes_over_motion(m, c, t, served) for m, c, t in zip(motion, curves, truth, strict=True)]
        images["strokes over motion"] = np.concatenate(rows)
    if len(batch.audio):
        first = len(batch.motion) - len(batch.audio)
        dance = network.encode_dance(batch.motion[first:], None if frames is None else frames[first:]).embedding
        music = network.encode_music(batch.audio, batch.motion.shape[1]).embedding
        images["dance against music"] = similarity((dance @ music.T).float().cpu().numpy())
    network.train(was_training)
    return images


def strokes_over_motion(motion: Array, curve: Array, target: Array, fps: float) -> Image:
    """Draws motion (T, M) as a map, time to the right, with its strokes in yellow; below, curve and target (T,).

    The target is green, the curve yellow.
    """
    heat = np.clip(motion.T * (255 / 4), 0, 255).astype(np.uint8)  # (M, T): 4 is much for normalised motion
    picture = np.asarray(cv2.applyColorMap(heat, cv2.COLORMAP_MAGMA), np.uint8)[..., ::-1]
    size = _WIDE_PX, _ROW_PX * len(heat) // 2
    picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    below = np.zeros((_CURVE_PX, _WIDE_PX, 3), np.uint8)
    x = (np.arange(len(curve)) + 0.5) * _WIDE_PX / len(curve)
    for line, colour in ((target, _TARGET), (curve, _STROKE)):
        points = np.stack([x, (_CURVE_PX - 3) - (_CURVE_PX - 6) * line], axis=1).round().astype(np.int32)
        cv2.polylines(below, [points], False, colour, 1, cv2.LINE_AA)
    times_s, _ = strokes_from_curve(np.ascontiguousarray(curve), fps)
    for time_s in times_s:
        at = round((time_s * fps + 0.5) * _WIDE_PX / len(curve))
        cv2.line(picture, (at, 0), (at, len(picture) - 1), _STROKE, 1)
    return np.concatenate([picture, below]).astype(np.uint8)


def similarity(table: Array) -> Image:
    """Draws cosines (B, B) in -1..1 as a square of cells: the true pairs lie on the diagonal."""
    heat = np.clip((table + 1) * 127.5, 0, 255).astype(np.uint8)
    colours = np.asarray(cv2.applyColorMap(heat, cv2.COLORMAP_VIRIDIS), np.uint8)[..., ::-1]
    side = _CELL_PX * len(table)
    return np.asarray(cv2.resize(colours, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8)
