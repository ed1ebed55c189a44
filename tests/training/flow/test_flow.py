"""Generated pairs move as their flow says; PWC-Net learns from them; a killed run goes on; weights come back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from mudar.model.correlation import cost_volume, warp
from mudar.model.pwcnet import PwcNet, read_weights
from training.flow import train as loop
from training.flow.begin import lsuv_init
from training.flow.layers import Scenes, draw
from training.flow.loss import LEVEL_WEIGHTS, endpoint_error, multiscale
from training.flow.measure import on_files, read_flo
from training.flow.train import EASY, Budget, FlowRecipe, FlowRun, LearntNothing, export, train

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
STEPS = 30
CLEAR = Scenes(noise=0.0, light=0.0)
TINY = FlowRecipe(batch=1, small_batch=1, small_side=64, side=64, begin_pairs=4, begin_side=64)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _warped(picture: Tensor, flow: Tensor) -> Tensor:
    height, width = picture.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    at = torch.stack([2 * (x + flow[:, 0]) / (width - 1) - 1, 2 * (y + flow[:, 1]) / (height - 1) - 1], dim=-1)
    return F.grid_sample(picture, at.float(), padding_mode="border", align_corners=True)


def test_the_second_picture_read_along_the_flow_is_the_first() -> None:
    """Wherever nothing is hidden: four fifths of the pixels, while without the flow far fewer agree."""
    pairs = draw(6, 128, 160, _generator(), CLEAR)
    along = (_warped(pairs.second, pairs.flow) - pairs.first).abs().mean(dim=1)
    still = (pairs.second - pairs.first).abs().mean(dim=1)
    assert (along < 0.06).float().mean() > 0.8
    assert (along < 0.06).float().mean() > (still < 0.06).float().mean() + 0.15
    assert 0.5 < float(pairs.flow.norm(dim=1).mean()) < 12


def test_pairs_follow_from_the_seed() -> None:
    one, same, other = (draw(2, 64, 64, _generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.first, same.first)
    assert torch.equal(one.flow, same.flow)
    assert not torch.equal(one.flow, other.flow)


def test_loss_by_hand() -> None:
    """A flow off by (3, 4) units everywhere: 5 at each position; level l has 4^(6 - l) for each of level 6."""
    truth = torch.zeros(2, 2, 64, 128)
    off = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    flows = [off.expand(2, 2, 64 // 2**level, 128 // 2**level) for level in LEVEL_WEIGHTS]
    by_hand = sum(weight * 5 * 4 ** (6 - level) for level, weight in LEVEL_WEIGHTS.items())
    assert float(multiscale(flows, truth)) == pytest.approx(by_hand, rel=1e-5)
    assert float(multiscale([f * 0 for f in flows], truth + 20 * off)) == pytest.approx(by_hand, rel=1e-5)
    assert endpoint_error(truth + 20 * off, truth).tolist() == pytest.approx([100.0, 100.0])


def test_the_network_learns_a_pair() -> None:
    run = FlowRun.fresh(TINY, CPU)
    pairs = draw(1, 64, 64, _generator(5))
    losses = []
    for _ in range(14):
        loss = multiscale(run.net(pairs.first, pairs.second), pairs.flow)
        run.optimiser.zero_grad()
        torch.autograd.backward(loss)
        run.optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses) < 0.6 * losses[0]


def test_a_few_steps_from_nothing_tell_motion_from_none_on_unseen_pairs() -> None:
    """At level 3, on easy pairs. From the usual random weights the error stays that of no motion."""
    torch.manual_seed(0)
    net = PwcNet(stop_level=3)
    lsuv_init(net, draw(8, 192, 192, _generator(99), EASY))
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4)
    for step in range(STEPS):
        pairs = draw(6, 128, 128, _generator(step), EASY)
        loss = multiscale(net(pairs.first, pairs.second), pairs.flow)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
    unseen = draw(12, 128, 128, _generator(7_000_000), EASY)
    with torch.no_grad():
        flow = F.interpolate(20 * net(unseen.first, unseen.second)[0], (128, 128), mode="bilinear")
    ours, still = endpoint_error(flow, unseen.flow).mean(), endpoint_error(0 * flow, unseen.flow).mean()
    assert float(ours) < 0.95 * float(still)


def test_compared_features_find_their_place_again() -> None:
    """Warped by the true flow, the best of the 81 displacements is none far more often than by chance."""
    torch.manual_seed(0)
    net, pairs = PwcNet(stop_level=3), draw(6, 192, 192, _generator(9), EASY)
    share = {}
    for name in ("usual", "prepared"):
        with torch.no_grad():
            features = net.pyramid(torch.cat([pairs.first, pairs.second]))[3]
            first, second = features.chunk(2)
            back = warp(second, F.avg_pool2d(pairs.flow, 16) / 16)
            best = cost_volume(first, back).argmax(dim=1)[(back != 0).any(dim=1)]
        share[name] = float((best == 40).float().mean())
        lsuv_init(net, pairs)
    assert share["usual"] < 0.15
    assert share["prepared"] > 0.35


def test_a_run_that_learns_nothing_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "on_generated", lambda *_: (2.0, 2.0))
    with pytest.raises(LearntNothing, match="no motion"):
        train(TINY, Budget(steps=1, patience_s=0.0), tmp_path, CPU, False, Console(quiet=True))


def test_scenes_grow_harder() -> None:
    recipe = FlowRecipe()
    assert recipe.scenes(0.0) == EASY
    assert EASY.patches < recipe.scenes(recipe.easy_share / 2).patches < Scenes().patches
    assert recipe.scenes(recipe.easy_share) == recipe.scenes(1.0) == Scenes()


class Killed(Exception):
    pass


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SAVE_EVERY_S", -1.0)
    quiet, length = Console(quiet=True), Budget(steps=4)
    complete = train(TINY, length, tmp_path / "whole", CPU, False, quiet)
    advance = FlowRun.advance

    def dies(run: FlowRun, recipe: FlowRecipe, share: float, bf16: bool = False) -> Tensor:
        if run.step == 2:
            raise Killed
        return advance(run, recipe, share, bf16)

    monkeypatch.setattr(FlowRun, "advance", dies)
    with pytest.raises(Killed):
        train(TINY, length, tmp_path / "killed", CPU, False, quiet)
    monkeypatch.setattr(FlowRun, "advance", advance)
    resumed = train(TINY, length, tmp_path / "killed", CPU, False, quiet)
    for mine, theirs in zip(resumed.parameters(), complete.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_run_ends_annealed_whatever_its_length() -> None:
    recipe = FlowRecipe()
    assert recipe.rate(0.0) < 0.1 * recipe.learning_rate
    assert max(recipe.rate(share) for share in np.linspace(0, 1, 101)) == pytest.approx(recipe.learning_rate, rel=0.01)
    assert recipe.rate(1.0) < 1e-3 * recipe.learning_rate
    assert recipe.sizes(0.1)[1] < recipe.sizes(0.9)[1]


def test_weights_come_back_in_half_precision(tmp_path: Path) -> None:
    net = PwcNet()
    export(net, tmp_path / "pwcnet.safetensors")
    assert (tmp_path / "pwcnet.safetensors").stat().st_size < 20e6
    again = PwcNet.from_state(read_weights(tmp_path / "pwcnet.safetensors"), stop_level=3)
    for name, value in again.state_dict().items():
        assert torch.allclose(value, net.state_dict()[name], atol=2e-3)


def test_pairs_of_files_are_measured_beside_no_motion_and_dis(tmp_path: Path) -> None:
    import cv2

    rng = np.random.default_rng(0)
    canvas = cv2.GaussianBlur(rng.integers(0, 256, (96, 140, 3), dtype=np.uint8), (5, 5), 1.5)
    cv2.imwrite(str(tmp_path / "00001_img1.ppm"), canvas[:90, 6:134])
    cv2.imwrite(str(tmp_path / "00001_img2.ppm"), canvas[:90, 3:131])  # the same, 3 px further to the right
    flow = np.broadcast_to(np.float32([3, 0]), (90, 128, 2))
    header = np.float32([202021.25]).tobytes() + np.int32([128, 90]).tobytes()
    (tmp_path / "00001_flow.flo").write_bytes(header + flow.tobytes())
    assert np.array_equal(read_flo(tmp_path / "00001_flow.flo"), flow)
    ours, still, dis = on_files(PwcNet().eval(), tmp_path, CPU)["00001"]
    assert still == pytest.approx(3.0, rel=1e-5)
    assert dis < 1.0
    assert np.isfinite(ours)
    with pytest.raises(ValueError, match="flo"):
        read_flo(tmp_path / "00001_img1.ppm")
